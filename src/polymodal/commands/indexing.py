"""`index MODEL DATA -o INDEX`, or `index VECTORS -o INDEX`: a folder that answers searches, with the model in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from polymodal.commands.models import open_model
from polymodal.commands.sources import Source, check_output, read_for_model
from polymodal.core.atomic import atomic_folder, recover
from polymodal.core.errors import DataError, ModalityError
from polymodal.core.estimator import Coordination, fitted_modalities
from polymodal.core.files import Files
from polymodal.core.modalities import Modalities
from polymodal.core.requirements import Requirements
from polymodal.core.texts import Texts
from polymodal.datasets.dataset import Dataset
from polymodal.persistence import MODEL_FILE
from polymodal.retrieval.lance import TABLE
from polymodal.retrieval.layout import RESERVED
from polymodal.retrieval.retriever import Retriever
from polymodal.retrieval.store import DiskIndex

ABOUT_FILE = "index.json"
VECTORS, MODEL = "vectors", "model"
OWN_PARTS = frozenset({ABOUT_FILE, VECTORS, MODEL})


@dataclass(frozen=True)
class IndexResult:
    """What was built.

    Args:
        index: The folder.
        vectors: Entries in all.
        modalities: Name -> rows that have it.
        metadata: Columns that filters may name.
        approximate: Name -> measured recall of its approximate index; exact search needs none.
        searchable_by: The modalities one may ask with: none where the index holds no model.
        takes_text: Whether one of them holds texts.
        notes: What was decided on the way.
    """

    index: str
    vectors: int
    modalities: dict[str, int]
    metadata: list[str]
    approximate: dict[str, float]
    searchable_by: list[str]
    takes_text: bool
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Given(Coordination):
    """Vectors that some model has already made: they are taken as they are."""

    requires = Requirements(min_modalities=1, kinds=frozenset({"vector"}), unpaired=True, min_rows=1)
    exempt: ClassVar[Mapping[str, str]] = {}

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        shapes = {name: column.shape for name, column in data.items()}
        if len(set(shapes.values())) > 1:
            raise ModalityError(
                f"An index needs vectors of one space, got {shapes}. Index what `polymodal embed` wrote."
            )

    def _transform(self, data: Modalities) -> Modalities:
        return data

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        return 0.0


def build_index(
    source: Source,
    output: str | Path,
    *,
    model: str | Path | None = None,
    approximate: bool = False,
    overwrite: bool = False,
) -> IndexResult:
    """Embed data (or take vectors as they are) and keep them where `search_index` finds them.

    The folder holds a copy of the model, the vectors, and every text, path and metadata column of the rows: it can be moved.

    Args:
        source: The data; without `model`, the vectors that `embed_data` wrote.
        output: The index folder; it appears whole, or what was there before stays.
        model: A saved coordination.
        approximate: Whether to build an approximate index as well, where the size pays; its recall is measured.
        overwrite: Whether an index that stands at `output` may be replaced.

    Raises:
        ConfigError: an output that exists.
        ModalityError: vectors of different spaces, or a model that gives no shared space.
        StoreError: the output cannot be written.
    """
    inputs = (source.path,) if model is None else (source.path, model)

    def check() -> Path:
        return check_output(output, overwrite=overwrite, ours=ABOUT_FILE, parts=OWN_PARTS, inputs=inputs)

    place = check()
    notes: list[str] = []
    fitted: Any
    if model is None:
        dataset = source.read()
        dataset = Dataset(_vectors_only(dataset, notes), dataset.metadata, name=dataset.name)
        fitted = Given().fit(dataset.data)
    else:
        fitted = open_model(model)
        dataset, notes = read_for_model(source, model, list(fitted_modalities(fitted)))
    metadata = entry_metadata(dataset, notes)
    with atomic_folder(place) as temporary:
        retriever = Retriever.build(fitted, dataset.data, temporary / VECTORS, metadata=metadata)
        built = retriever.index.build_approximate() if approximate else {}
        if model is not None:
            recover(model)
            shutil.copytree(model, temporary / MODEL)
        about = {
            "format": "polymodal-index",
            "format_version": 1,
            "files_at": str(Path(source.path).resolve()),
        }
        (temporary / ABOUT_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        total = len(retriever.index)
        check()  # another process may have written there meanwhile: its index stays
    return IndexResult(
        index=str(place),
        vectors=total,
        modalities={name: int(column.present.sum()) for name, column in dataset.data.items()},
        metadata=sorted(metadata),
        approximate={name: float(a.recall) for name, a in built.items()},
        searchable_by=[] if model is None else list(fitted_modalities(fitted)),
        takes_text=model is not None
        and any(spec.kind == "text" for spec in fitted_modalities(fitted).values()),
        notes=tuple(notes),
    )


def open_index(folder: str | Path, model: str | Path | None = None) -> tuple[DiskIndex, Any]:
    """The vectors of an index folder, and its model (None where it holds none).

    Args:
        folder: What `build_index` made, or the folder of a `Retriever`.
        model: A model folder; by default the one that the index holds.

    Raises:
        DataError: the folder is not there, or is no index.
        StoreError: the vectors are damaged.
    """
    place = Path(folder)
    recover(place)
    if not place.exists():
        raise DataError(
            f"An index folder was required, but {place} does not exist. Pass what `polymodal index -o` wrote."
        )
    if (place / MODEL_FILE).is_file():
        raise DataError(
            f"{place} is a model, not an index. Build one with: polymodal index {place} DATA -o INDEX"
        )
    own = (place / ABOUT_FILE).is_file()
    if not (place / VECTORS if own else place / f"{TABLE}.lance").is_dir():
        held = sorted(p.name for p in place.iterdir())[:5] if place.is_dir() else "a file"
        raise DataError(
            f"{place} is not an index, or lacks a part: it holds {held or 'nothing'}. "
            "Pass what `polymodal index -o` wrote, or build it again."
        )
    if model is None and own and (place / MODEL).is_dir():
        model = place / MODEL
    store = DiskIndex.open(place / VECTORS if own else place)
    return store, None if model is None else open_model(model)


def entry_metadata(dataset: Dataset, notes: list[str]) -> dict[str, list[Any]]:
    """What hits are shown with and filtered by: metadata, the texts, and the paths of files. One value per row, None where empty."""
    columns: dict[str, list[Any]] = {}
    for name, values in dataset.metadata.items():
        columns[name] = [
            None if v == "" or (isinstance(v, float) and np.isnan(v)) else v for v in values.tolist()
        ]
    for name, column in dataset.data.items():
        store = column.store
        if isinstance(store, Texts):
            columns.setdefault(name, [None if i < 0 else store[int(i)] for i in column.index])
        elif isinstance(store, Files):
            columns.setdefault(
                name, [None if i < 0 else str(store.paths[int(i)].resolve()) for i in column.index]
            )
    for name in [n for n in columns if n in RESERVED]:
        columns[f"{name}_"] = columns.pop(name)
        notes.append(f"the metadata column {name!r} is called '{name}_' in the index")
    return columns


def _vectors_only(dataset: Dataset, notes: list[str]) -> Modalities:
    names = [name for name, column in dataset.data.items() if column.kind == "vector"]
    other = [name for name in dataset.data.names if name not in names]
    if not names:
        raise ModalityError(
            f"An index without a model needs vectors, got { {n: c.kind for n, c in dataset.data.items()} }. "
            "Give the model as well: polymodal index MODEL DATA -o INDEX."
        )
    if other:
        notes.append(f"left out {other}: not vectors")
    return dataset.data.select(*names)
