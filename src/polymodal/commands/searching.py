"""`search INDEX`: ask with a text, a picture, a sound, a row, or several of them added and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.commands.indexing import MODEL, open_index
from polymodal.commands.sources import Reading
from polymodal.core.errors import ConfigError, DataError, ModalityError, suggest
from polymodal.core.estimator import fitted_modalities
from polymodal.core.files import AUDIO_SUFFIXES, IMAGE_SUFFIXES, AudioReader, Files, ImageReader
from polymodal.core.typing import Kind
from polymodal.retrieval.exact import normalize
from polymodal.retrieval.index import search_others
from polymodal.retrieval.queries import ROW, is_query, key_of, numbers_of, parse_query
from polymodal.retrieval.retriever import Retriever

Asked = Literal["text", "image", "audio", "row", "modality"]
ARTICLE = {
    "text": "a text",
    "image": "a picture",
    "audio": "a recording",
    "row": "a row",
    "modality": "a value",
}


@dataclass(frozen=True)
class Term:
    """One part of a query.

    Args:
        asked: What `value` is: a text, the path of a picture or a recording, the id of a row in the index, or a value of
            the modality `name`.
        value: A text, a path or an id; for `modality`, a text, a path (also `.npy`) or numbers with commas between.
        weight: Its share; negative leads away from it.
        name: The modality, where several are of the same kind.
    """

    asked: Asked
    value: str
    weight: float = 1.0
    name: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """The nearest entries, best first.

    Args:
        query: What was asked, in words.
        searched: The modalities that were searched.
        hits: id, modality, score and metadata of each.
        recall: 1 where the search was exact, else the measured recall of the approximate index.
    """

    query: str
    searched: list[str]
    hits: list[dict[str, Any]]
    recall: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def search_index(
    index: str | Path,
    terms: Sequence[Term] | str,
    *,
    model: str | Path | None = None,
    k: int = 10,
    target: Sequence[str] = (),
    where: str | None = None,
    exact: bool = False,
) -> SearchResult:
    """The k entries of an index that are nearest to the sum of the terms.

    Each term's vector has length one before it is weighed. Where nothing else is said, entries of modalities that were not
    asked with are searched (a text finds pictures), and a row finds others than itself.

    Args:
        index: The index folder.
        terms: At least one. Or a text: an expression such as "image:42 - text:blue + 0.5 * text:red" (see
            `retrieval.queries`) where it names a modality, else words to search for.
        model: The model folder, where the index does not hold it.
        k: How many hits.
        target: Only entries of these modalities; `("all",)` is all of them.
        where: Condition on metadata: `"label = 'cat' AND year > 1990"`.
        exact: Do without the approximate index.

    Raises:
        ConfigError: nothing asked, weights that cancel, or k below one.
        ModalityError: a modality that the model does not have, an id that is not there, a condition that cannot be read.
        DataError: a folder that is no index, or a file that cannot be read.
    """
    if not terms or k < 1:
        raise ConfigError(
            f'A search needs something to ask and k >= 1. For example: polymodal search {index} "a red car", or --image FILE, '
            "--audio FILE, --row ID, --query NAME=VALUE."
        )
    store, fitted = open_index(index, model)
    retriever = Retriever(fitted, store) if fitted is not None else None
    if isinstance(terms, str):
        terms = _terms(terms, store, fitted)
    total = np.zeros((1, store.layout.dim))
    asked_with, own, words = [], [], []
    reading = Reading.of(model if model is not None else Path(index) / MODEL)
    for term in terms:
        if term.asked == "row":
            key = key_of(term.value, store.layout.ids)
            vector, names = _row(store, key, term.name)
            own.append(key)
        else:
            if retriever is None:
                raise ModalityError(
                    f"This index was built from vectors and holds no model, so it cannot read {ARTICLE[term.asked]}. Ask with --row ID, or "
                    "name the model: --model MODEL."
                )
            name = _modality(term, fitted)
            vector = retriever.embed({name: _value(term, name, fitted, reading)})
            names = [name]
            asked_with.append(name)
        total += term.weight * normalize(np.asarray(vector, dtype=np.float64))
        words.append(_words(term, names))
    if np.linalg.norm(total) < 1e-6:
        raise ConfigError(f"The parts of the query cancel ({' '.join(words)}). Change the weights.")
    searched = _searched(store.modalities, asked_with, target)
    hits = search_others(store, total, k, without=own, target=searched, where=where, exact=exact)
    return SearchResult(" ".join(words), list(searched), hits.records(), float(hits.recall))


def _row(store: Any, key: str | int, name: str | None) -> tuple[np.ndarray, list[str]]:
    found = store.vectors(key)
    if not found:
        raise ModalityError(
            f"The index has no entry with id {key!r}. Ids are those of the data (column id, or the row number from 0)."
        )
    if name is not None:
        if name not in found:
            raise ModalityError(f"Row {key!r} has no {name!r}; it has {sorted(found)}.{suggest(name, found)}")
        found = {name: found[name]}
    parts = [normalize(np.asarray(v, dtype=np.float64)).mean(axis=0) for v in found.values()]
    return np.sum(parts, axis=0)[None], sorted(found)


def _terms(expression: str, store: Any, model: Any) -> list[Term]:
    """An expression's terms, or the text itself; of an index without model only entries can be named."""
    specs = {} if model is None else fitted_modalities(model)
    if not is_query(expression, specs or store.modalities):
        return [Term("text", expression)]
    terms = []
    for term in parse_query(expression):
        if term.name == ROW and ROW not in specs:
            terms.append(Term("row", term.value, term.weight))
            continue
        known = specs or store.modalities
        if term.name not in known:
            raise ModalityError(
                f"There is no modality {term.name!r}; there are {list(known)}.{suggest(term.name, known)}"
            )
        by_id = model is None or term.meaning(specs[term.name].kind) == "row"
        terms.append(Term("row" if by_id else "modality", term.value, term.weight, term.name))
    return terms


def _modality(term: Term, model: Any) -> str:
    """Which of the model's modalities a term speaks to."""
    specs = fitted_modalities(model)
    if term.name is not None:
        if term.name not in specs:
            raise ModalityError(
                f"The model has no modality {term.name!r}; it has {list(specs)}.{suggest(term.name, specs)}"
            )
        return term.name
    kinds: dict[str, Kind] = {"text": "text", "image": "grid", "audio": "sound"}
    fitting = [name for name, spec in specs.items() if spec.kind == kinds[term.asked]]
    if not fitting:
        raise ModalityError(
            f"The model cannot be asked with {ARTICLE[term.asked]}: none of its modalities is of kind {kinds[term.asked]!r}, they are "
            f"{ {name: spec.kind for name, spec in specs.items()} }. Ask with one of these: --query NAME=VALUE, or --row ID."
        )
    if len(fitting) > 1:
        raise ModalityError(
            f"Which modality is {ARTICLE[term.asked]}? The model has {fitting}. Say --query {fitting[0]}=VALUE."
        )
    return fitting[0]


def _value(term: Term, name: str, model: Any, reading: Reading | None) -> Any:
    spec = fitted_modalities(model)[name]
    if spec.kind == "text":
        if not term.value.strip():
            raise ConfigError("A text to search for needs at least one character.")
        return [term.value]
    path = Path(term.value).expanduser()
    if spec.kind in ("grid", "sound") and path.suffix.lower() != ".npy":
        return _file(path, spec, reading)
    return [numbers_of(term.value, name)]


def _file(path: Path, spec: Any, reading: Reading | None) -> Files:
    known = IMAGE_SUFFIXES if spec.kind == "grid" else AUDIO_SUFFIXES
    if path.suffix.lower() not in known:
        raise DataError(
            f"{path} is no {'picture' if spec.kind == 'grid' else 'recording'}: one of {sorted(known)} was required."
        )
    if not path.exists():
        raise DataError(f"{path} does not exist. Check the path.")
    if spec.kind == "grid":
        return Files([path], ImageReader(size=tuple(spec.shape[:2])))
    return Files([path], AudioReader(sample_rate=reading.source.sample_rate if reading else 16_000))


def _searched(there: Sequence[str], asked_with: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    if tuple(target) == ("all",):
        return tuple(there)
    if target:
        unknown = [name for name in target if name not in there]
        if unknown:
            raise ModalityError(
                f"The index has no entries of {unknown}; it has {list(there)}.{suggest(unknown[0], there)}"
            )
        return tuple(target)
    return tuple(name for name in there if name not in asked_with) or tuple(there)


def _words(term: Term, names: Sequence[str]) -> str:
    weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} x "
    what = (
        f"{term.name or 'row'} {'of row ' if term.name else ''}{term.value}"
        if term.asked == "row"
        else f"{names[0]} {_short(term.value)!r}"
    )
    return f"{'-' if term.weight < 0 else '+'} {weight}{what}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
