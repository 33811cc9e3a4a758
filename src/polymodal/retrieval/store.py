"""`DiskIndex`: entries in a folder that survive kills, full disks and several processes; searched through mapped files."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.atomic import atomic_file
from polymodal.core.errors import StoreError
from polymodal.core.random import RandomState, seed
from polymodal.retrieval.approximate import ApproximateIndex, Approximation, Kind
from polymodal.retrieval.filters import Where
from polymodal.retrieval.hits import Hits
from polymodal.retrieval.lance import (
    TABLE,
    among,
    connect,
    create_table,
    locked,
    open_table,
    scan,
    table_schema,
    told,
)
from polymodal.retrieval.layout import Layout
from polymodal.retrieval.memory import approximate, prepare, refuse_taken, report_of, vectors_of
from polymodal.retrieval.shelf import Shelf, search_shelves
from polymodal.retrieval.snapshot import take

WISH = "approximate.json"
SMALL_FILES = 64
"""Commits of few rows after which their files are merged: each write looks through all of them."""
_LOCK = ".lock"


class DiskIndex:
    """An `Index` in a folder. Made by `create`, opened by `open`.

    The truth is a lancedb table: each `add`, `update` and `delete` is one commit, which a kill leaves whole or
    undone. Writers of several processes take turns; readers see the last commit. Searches map a snapshot of the
    table, made again after a change.

    Relations:
        * gives what a `MemoryIndex` of the same entries gives.
    """

    def __init__(self, folder: Path, table: Any, layout: Layout) -> None:
        self.folder = folder
        self._table = table
        self._layout = layout
        self._held: tuple[int, dict[str, Shelf]] | None = None
        self._guard = threading.Lock()

    @classmethod
    def create(cls, folder: str | Path, layout: Layout) -> DiskIndex:
        """Make an empty index in a folder that does not exist yet, or is empty.

        Raises:
            StoreError: the folder holds something, or cannot be written.
        """
        path = Path(folder)
        refuse_occupied(path)
        return cls(path, create_table(path, layout), layout)

    @classmethod
    def open(cls, folder: str | Path) -> DiskIndex:
        """Open what `create` made.

        Raises:
            StoreError: no such folder, a folder of something else, a damaged table.
        """
        path = Path(folder)
        return cls(path, *open_table(path))

    # --- what is there ------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """Width, metric and types."""
        return self._layout

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have entries, sorted."""
        return tuple(sorted(self._shelves()))

    @property
    def version(self) -> int:
        """Number of the last commit, of whatever process."""
        with told(self.folder, "read"):
            return int(self._table.version)

    def __len__(self) -> int:
        with told(self.folder, "read"):
            return int(self._table.count_rows())

    def __repr__(self) -> str:
        return f"DiskIndex({str(self.folder)!r}: {len(self)} vectors; {self._layout.dim} features, {self._layout.metric})"

    # --- changing it --------------------------------------------------------------------------------------------

    def add(self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Put in new entries, in one commit.

        Raises:
            ModalityError: a key that is there already, vectors of another width, unknown metadata.
            StoreError: the disk is full, the folder cannot be written, another process does not let go.
        """
        new = self._rows(modality, ids, vectors, metadata)
        if not len(new):
            return
        with locked(self.folder, _LOCK), told(self.folder, "write to"):
            refuse_taken(modality, self._taken(modality, new.column("id").combine_chunks()))
            self._table.add(new)
            self._tidy()

    def update(
        self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Put in entries in place of all that their keys had, in one commit; new keys are added."""
        new = self._rows(modality, ids, vectors, metadata)
        if not len(new):
            return
        keys = new.column("id").combine_chunks()
        with locked(self.folder, _LOCK), told(self.folder, "write to"):
            change = self._table.merge_insert(["modality", "id", "part"])
            change = change.when_matched_update_all().when_not_matched_insert_all()
            change.when_not_matched_by_source_delete(among(keys, modality)).execute(new)
            self._tidy()

    def delete(self, ids: Any, modality: str | None = None) -> int:
        """Take out all entries of these keys (of one modality, or of all), in one commit; returns how many left."""
        keys = self._layout.prepare_ids(ids)
        if not len(keys):
            return 0
        with locked(self.folder, _LOCK), told(self.folder, "write to"):
            return int(self._table.delete(among(keys, modality)).num_deleted_rows)

    def compact(self, *, keep: timedelta = timedelta(days=1)) -> None:
        """Merge the files of many small commits, and drop versions older than `keep`."""
        with locked(self.folder, _LOCK), told(self.folder, "write to"):
            self._table.optimize(cleanup_older_than=keep)

    # --- asking it ----------------------------------------------------------------------------------------------

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        target: str | Sequence[str] | None = None,
        where: Where | None = None,
        exact: bool = False,
    ) -> Hits:
        """The k nearest entries of each query vector, best first, as of the last commit.

        Args:
            queries: Vectors (q, dim).
            k: How many.
            target: Only entries of this modality (or these).
            where: Filter on metadata: a mapping or a condition (`polymodal.retrieval.filters`).
            exact: Do without the approximate index.
        """
        return search_shelves(
            self._shelves(), self._layout, queries, k, target=target, where=where, exact=exact
        )

    def vectors(self, key: str | int) -> dict[str, np.ndarray]:
        """Modality -> the vectors of one key."""
        return vectors_of(self._shelves(), self._layout, key)

    def build_approximate(
        self, kind: Kind = "auto", *, min_recall: float = 0.95, random_state: RandomState = 0
    ) -> dict[str, Approximation]:
        """Build approximate indices where the size pays; modality -> what was built and its measured recall.

        They are kept beside the entries, and built again (and measured again) by the first search after a change.

        Args:
            kind: `auto`: exact below 200,000 vectors, `ivf` above. `exact` drops what was built.
            min_recall: The recall@10 to reach on queries of the other modalities.
            random_state: Seed.
        """
        wish = {"kind": kind, "min_recall": min_recall, "seed": seed(random_state)}
        with locked(self.folder, _LOCK), atomic_file(self.folder / WISH) as file:
            file.write_text(json.dumps(wish))
        self._held = None
        shelves = self._shelves()
        return {name: report_of(shelf.approximate, len(shelf)) for name, shelf in shelves.items()}

    # --- inside -------------------------------------------------------------------------------------------------

    def _rows(self, modality: str, ids: Any, vectors: Any, metadata: Mapping[str, Any] | None) -> Any:
        import pyarrow as pa

        new = prepare(self._layout, ids, vectors, metadata)
        schema = table_schema(self._layout)
        values = pa.FixedSizeListArray.from_arrays(pa.array(new.vectors.ravel()), self._layout.dim)
        columns = [pa.array([modality] * len(new), pa.string()), values, *new.table.columns]
        return pa.Table.from_arrays(columns, schema=schema)

    def _tidy(self) -> None:
        if self._table.stats()["fragment_stats"]["num_small_fragments"] > SMALL_FILES:
            self._table.optimize(cleanup_older_than=timedelta(days=1))

    def _taken(self, modality: str, keys: Any) -> list[Any]:
        import pyarrow.compute as pc

        found: list[Any] = []
        for batch in scan(self._table, ["id"], modality):
            ids = batch.column("id")
            found.extend(ids.filter(pc.is_in(ids, value_set=keys)).to_pylist())
        return found

    def _shelves(self) -> dict[str, Shelf]:
        with self._guard, told(self.folder, "read"):
            version = int(self._table.version)
            if self._held is None or self._held[0] != version:
                fixed = connect(self.folder).open_table(TABLE)
                fixed.checkout(version)  # what others commit meanwhile belongs to the next version
                shelves, place = take(self.folder, fixed, self._layout)
                self._held = (version, self._with_approximate(shelves, place))
            return self._held[1]

    def _with_approximate(self, shelves: dict[str, Shelf], place: Path | None) -> dict[str, Shelf]:
        try:
            wish = json.loads((self.folder / WISH).read_text())
            kind, min_recall, chance = wish["kind"], float(wish["min_recall"]), int(wish["seed"])
        except FileNotFoundError:
            return shelves
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.folder / WISH} is damaged ({error}). Call build_approximate(...) again."
            ) from None
        out = {}
        for i, (name, shelf) in enumerate(shelves.items()):
            file = None if place is None else place / f"{i}-{kind}-{min_recall}-{chance}.faiss"
            index = _load(file)
            if index is None:
                index = approximate(shelves, name, self._layout, kind, min_recall, chance)
                _save(index, file)
            out[name] = replace(shelf, approximate=index)
        return out


def refuse_occupied(folder: Path) -> None:
    """Say what stands in the way of a new index.

    Raises:
        StoreError: `folder` is a file, holds an index, or holds something else.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if (folder / f"{TABLE}.lance").is_dir():
        raise StoreError(
            f"{folder} holds an index already. Open it with DiskIndex.open(folder), or choose another folder."
        )
    if folder.exists():
        raise StoreError(
            f"{folder} exists and is not an empty folder; it is left as it is. Choose another folder for the index."
        )


def _load(file: Path | None) -> ApproximateIndex | None:
    if file is None or not file.exists():
        return None
    try:
        return ApproximateIndex.load(file)
    except StoreError:
        return None  # truncated: what can be built again is built again


def _save(index: ApproximateIndex | None, file: Path | None) -> None:
    if index is None or file is None:
        return
    try:
        index.save(file)
    except StoreError:
        return  # a cache that cannot be written is built by each process for itself
