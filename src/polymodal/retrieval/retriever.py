"""`Retriever`: ask a shared space with any modality, or several at once, for any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.atomic import atomic_folder
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.estimator import Spec
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float
from polymodal.retrieval.asked import as_batch
from polymodal.retrieval.composing import compose_parts, shares_of
from polymodal.retrieval.exact import Metric
from polymodal.retrieval.filters import Where
from polymodal.retrieval.hits import Hits
from polymodal.retrieval.index import Index, search_others
from polymodal.retrieval.layout import Layout
from polymodal.retrieval.memory import MemoryIndex
from polymodal.retrieval.queries import ROW, QueryTerm, key_of, numbers_of, parse_query
from polymodal.retrieval.space import space_modalities
from polymodal.retrieval.store import DiskIndex, refuse_occupied

EMBED_ROWS = 1024
COMMIT_ROWS = 1 << 16


class Retriever:
    """A fitted coordination and the index of what it embedded.

    Args:
        model: Any fitted estimator whose `transform` gives vectors of each modality in one space, or a scikit-learn
            `Pipeline` that ends in one.
        index: A `MemoryIndex` or `DiskIndex` of vectors of that space.

    Raises:
        NotFittedError: the model has learned nothing yet.
        ModalityError: the model is not a coordination.

    Relations:
        * a row of the data, asked for by the value of one modality, is found as by its embedded vector.
        * `search({"text": t, "image": x}, weights={"image": 0})` is `search({"text": t})`, and `search("text:t")`.
    """

    def __init__(self, model: Any, index: Index) -> None:
        self.model = model
        self.index = index
        self._specs = space_modalities(model, asker="Retriever")

    @classmethod
    def build(
        cls,
        model: Any,
        data: Modalities | Mapping[str, Any],
        folder: str | Path | None = None,
        *,
        metadata: Any = None,
        metric: Metric = "cosine",
    ) -> Retriever:
        """Embed `data` and index it, in memory or in a folder.

        Entries are kept under `data.ids`. A row's value that several rows of one id share (one picture, five
        captions) is one entry.

        Args:
            model: A fitted coordination.
            data: Any non-empty subset of the model's modalities; rows may lack some.
            folder: Where the index is kept; it appears whole when all is embedded, or not at all. In memory by default.
            metadata: Column (or a pandas frame) -> one value per row: text, int, float or bool, `None` where missing.
            metric: What near means.

        Raises:
            StoreError: the folder is occupied or cannot be written, or the disk is full.
            ModalityError: modalities the model does not have, ids that are neither texts nor integers.
        """
        frame = Modalities.of(data)
        columns = _columns(metadata, len(frame))
        specs = space_modalities(model, asker="Retriever")
        _refuse_unknown(frame.names, specs)
        first = next(_embedded(model, frame, frame.names, 1), None)
        if first is None:
            raise ModalityError(f"Retriever.build needs at least one value to index, got {frame!r}.")
        dim = first[2].shape[1]
        layout = Layout.infer(dim, metric, frame.ids, columns)
        layout.prepare_ids(frame.ids)  # before anything is embedded
        if folder is None:
            made = cls(model, MemoryIndex(layout))
            made.add(frame, metadata=columns)
            return made
        target = Path(folder)
        refuse_occupied(target)
        with atomic_folder(target) as temporary:
            cls(model, DiskIndex.create(temporary, layout)).add(frame, metadata=columns)
            refuse_occupied(target)  # another process may have built there meanwhile: its index stays
        return cls(model, DiskIndex.open(target))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that can be asked with."""
        return tuple(self._specs)

    def __repr__(self) -> str:
        return f"Retriever({type(self.model).__name__} of {list(self._specs)}, {self.index!r})"

    # --- asking -------------------------------------------------------------------------------------------------

    def search(
        self,
        queries: Modalities | Mapping[str, Any] | Float[np.ndarray, "..."] | str | None = None,
        k: int = 10,
        *,
        row: str | int | None = None,
        target: str | Sequence[str] | None = None,
        where: Where | None = None,
        weights: Mapping[str, float] | None = None,
        exact: bool = False,
    ) -> Hits:
        """The k nearest entries of each query, best first.

        Args:
            queries: Modality -> one value or a batch of them; several modalities make one composed query. Or vectors
                of the space. Or an expression, "image:42 - text:blue + 0.5 * text:red" (see `compose`), whose own
                entries are not among the hits.
            k: How many.
            row: Instead of queries, an id in the index: what is near it, without itself. `weights` names the
                modalities of it that count; all by default.
            target: Only entries of this modality (or these); all by default.
            where: Filter on metadata: `{"script": "greek"}` or `"script = 'greek' AND year > 1990"`.
            weights: Modality -> its share in a composed query, 1 by default; negative to lead away from it.
            exact: Do without the approximate index.

        Raises:
            ModalityError: a modality the model does not have (those it has are named), a row that is not there.
        """
        if (queries is None) == (row is None):
            raise ModalityError('search needs queries such as {"text": "a cat"}, or row=ID: one of the two.')
        if isinstance(queries, str):
            if weights is not None:
                raise ModalityError(
                    "An expression has its weights in it: write 0.5 * text:red, without weights=."
                )
            vectors, rows = self.compose(queries)
        elif row is None:
            vectors = self.embed(queries, weights=weights)  # type: ignore[arg-type]
            return self.index.search(vectors, k, target=target, where=where, exact=exact)
        else:
            vectors, rows = self._row(row, weights), [row]
        return search_others(self.index, vectors, k, without=rows, target=target, where=where, exact=exact)

    def embed(
        self,
        queries: Modalities | Mapping[str, Any] | Float[np.ndarray, "..."],
        *,
        weights: Mapping[str, float] | None = None,
    ) -> Float[np.ndarray, "q d"]:
        r"""Vectors of the queries in the space of the index, (q, d).

        Several modalities add up, $\sum_m w_m z_m$, each of length one where the metric is cosine (so is the sum);
        otherwise divided by the sum of the weights, where that is positive.
        """
        layout = self.index.layout
        if isinstance(queries, np.ndarray):
            return layout.prepare_vectors(np.atleast_2d(queries))
        if not isinstance(queries, Modalities | Mapping):
            raise ModalityError(
                f'A query is a mapping such as {{"text": "a cat"}} or an array of vectors, got {type(queries).__name__}. '
                f"The model has the modalities {list(self._specs)}."
            )
        _refuse_unknown(queries.keys(), self._specs)
        frame = (
            queries
            if isinstance(queries, Modalities)
            else Modalities({name: as_batch(value, self._specs[name]) for name, value in queries.items()})
        )
        shares = shares_of(frame.names, weights)
        parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, rows, vectors in _embedded(self.model, frame, frame.names, EMBED_ROWS):
            part = parts.setdefault(name, (np.zeros((len(frame), vectors.shape[1])), frame[name].present))[0]
            part[rows] = vectors
        return compose_parts(parts, shares, layout)

    def compose(self, expression: str) -> tuple[Float[np.ndarray, "1 d"], list[str | int]]:
        r"""The vector of an expression, $\sum_t w_t z_t$ with each $z_t$ of length one under cosine, and the ids it names.

        Args:
            expression: Terms such as `image:42` (an entry's vector of one modality), `row:42` (of all its modalities), `text:blue`
                (a value), `image:new.png` (a file), with weights, `0.5 * text:blue`, joined by + and -. See `retrieval.queries`.

        Raises:
            ModalityError: it cannot be read, names a modality or an id that is not there, or its parts cancel.

        Relations:
            * "text:blue" = embed({"text": "blue"}); "row:7" is the query of search(row=7).
        """
        rows: list[str | int] = []
        total = np.zeros((1, self.index.layout.dim))
        terms = parse_query(expression)
        for term in terms:
            total += term.weight * self._vector(term, rows)
        cosine = self.index.layout.metric == "cosine"
        if cosine and np.linalg.norm(total) < 1e-6:
            raise ModalityError(f"The parts of {expression!r} cancel: the query is zero. Change the weights.")
        weight = sum(term.weight for term in terms)
        return self.index.layout.prepare_vectors(total if cosine or weight <= 0 else total / weight), rows

    def _vector(self, term: QueryTerm, rows: list[str | int]) -> Float[np.ndarray, "1 d"]:
        if term.name != ROW or term.name in self._specs:
            _refuse_unknown([term.name], self._specs)
        meaning = "row" if term.name not in self._specs else term.meaning(self._specs[term.name].kind)
        if meaning == "row":
            rows.append(key_of(term.value, self.index.layout.ids))
            return self._row(rows[-1], {term.name: 1.0} if term.name in self._specs else None)
        value: Any = term.value
        if meaning == "numbers" or Path(value).suffix == ".npy":
            value = numbers_of(value, term.name)
        elif meaning == "file":
            value = Path(value).expanduser()
        return self.embed({term.name: value})

    # --- changing -----------------------------------------------------------------------------------------------

    def add(self, data: Modalities | Mapping[str, Any], *, metadata: Any = None) -> None:
        """Embed and put in new rows; an id that has entries of the same modality already is refused."""
        self._write(Modalities.of(data), metadata, replace=False)

    def update(self, data: Modalities | Mapping[str, Any], *, metadata: Any = None) -> None:
        """Embed and put in rows in place of what their ids had in the modalities given; nothing stale stays."""
        self._write(Modalities.of(data), metadata, replace=True)

    def delete(self, ids: Any, *, modality: str | None = None) -> int:
        """Take out all entries of these ids; returns how many vectors left."""
        return self.index.delete(ids, modality)

    # --- inside -------------------------------------------------------------------------------------------------

    def _write(self, frame: Modalities, metadata: Any, *, replace: bool) -> None:
        columns = _columns(metadata, len(frame))
        _refuse_unknown(frame.names, self._specs)
        put = self.index.update if replace else self.index.add
        for name in frame.names:
            rows = _entry_rows(frame, name)
            for block in _blocks(frame.ids[rows], rows):
                found = list(_embedded(self.model, frame[block], (name,), EMBED_ROWS))
                vectors = np.concatenate([vectors for _, _, vectors in found])
                told = {column: [values[i] for i in block] for column, values in columns.items()}
                put(name, frame.ids[block], vectors, told)
            lacking = frame.ids[~frame[name].present]
            gone = lacking[~np.isin(lacking, frame.ids[rows])]
            if replace and len(gone):
                self.index.delete(gone, name)

    def _row(self, row: str | int, weights: Mapping[str, float] | None) -> Float[np.ndarray, "1 d"]:
        found = self.index.vectors(row)
        if not found:
            raise ModalityError(f"The index has no entry with id {row!r}.")
        known = sorted(found)
        unknown = [name for name in weights or () if name not in found]
        if unknown:
            raise ModalityError(f"Row {row!r} has no {unknown}; it has {known}.{suggest(unknown[0], known)}")
        shares = {name: 1.0 if weights is None else float(weights[name]) for name in weights or known}
        parts = {name: (found[name].mean(axis=0)[None], np.ones(1, dtype=bool)) for name in shares}
        return compose_parts(parts, shares, self.index.layout)


def _refuse_unknown(names: Any, specs: Mapping[str, Spec]) -> None:
    unknown = [name for name in names if name not in specs]
    if unknown:
        raise ModalityError(
            f"The model has no modality {', '.join(map(repr, unknown))}; it has {list(specs)}.{suggest(str(unknown[0]), specs)} "
            "Ask with one of these, or fit a model on data that have it."
        )


def _embedded(
    model: Any, frame: Modalities, names: Sequence[str], step: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(modality, rows, vectors) of the rows that have it, `step` rows at a time and one modality at a time."""
    for name in names:
        rows = np.flatnonzero(frame[name].present)
        column = frame.select(name)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            out = model.transform(column[block])
            if not isinstance(out, Modalities) or name not in out or out[name].kind != "vector":
                raise ModalityError(
                    f"A Retriever needs a model whose transform gives one vector per row for {name!r}, {type(model).__name__} gave {out!r}."
                )
            yield name, block, np.asarray(out[name].values())


def _entry_rows(frame: Modalities, name: str) -> np.ndarray:
    """Rows that make entries: one for each distinct value of an id; rows of one id stand together."""
    column = frame[name]
    codes = column.identity if column.kind == "text" else column.index
    _, keys = np.unique(frame.ids, return_inverse=True)
    present = np.flatnonzero(column.present)
    pairs = np.stack([keys.ravel()[present], codes[present]], axis=1)
    rows = present[np.sort(np.unique(pairs, axis=0, return_index=True)[1])]
    first: dict[int, int] = {}
    return rows[
        np.argsort([first.setdefault(int(keys.ravel()[r]), i) for i, r in enumerate(rows)], kind="stable")
    ]


def _blocks(ids: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in commits of about 65,536 that never split an id."""
    start = 0
    while start < len(rows):
        stop = min(start + COMMIT_ROWS, len(rows))
        while stop < len(rows) and ids[stop] == ids[stop - 1]:
            stop += 1
        yield rows[start:stop]
        start = stop


def _columns(metadata: Any, n: int) -> dict[str, list[Any]]:
    """Columns of a mapping or a pandas frame, one value a row."""
    if metadata is None:
        return {}
    if not hasattr(metadata, "keys"):
        raise ModalityError(
            f"metadata needs columns, a mapping or a pandas frame, got {type(metadata).__name__}."
        )
    columns = {str(name): list(metadata[name]) for name in metadata.keys()}  # noqa: SIM118 (a frame iterates so too)
    wrong = {name: len(values) for name, values in columns.items() if len(values) != n}
    if wrong:
        raise ModalityError(f"metadata needs one value per row ({n}), got {wrong}.")
    return columns
