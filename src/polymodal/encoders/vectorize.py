"""`Vectorize`: every modality as vectors, each on its own, in closed form; so that a method for vectors runs on any data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.estimator import Coordination
from polymodal.core.linalg import signs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState, seed
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float, Kind
from polymodal.encoders.features import (
    learn_vocabulary,
    picture_features,
    sequence_features,
    sound_features,
    text_counts,
)

BLOCK = 512
VOCABULARY = 20_000
EXACT_ROWS = 1_500


class Vectorize(Coordination):
    r"""Plain vectors of every modality: no weights, no labels, seconds. A baseline, and what opens vector methods to all data.

    Pictures: 16 x 16 pixels and a colour histogram, then principal components. Texts: tf-idf of words and pieces of words,
    scaled to unit length, then their leading right singular vectors. Sequences: summary statistics and sound: statistics of log-mel bands,
    standardised, then principal components. Vectors: standardised, with all their features. Each modality is learned from
    its own rows only, so they do *not* share a space: `Pipeline([("vectors", Vectorize()), ("cca", CCA())])` makes one.

    A value that several rows use is turned into a vector once, and the rows go on sharing it.

    Args:
        n_components: Most components per modality; fewer where the values span fewer. Vectors keep all features.
        random_state: Of the singular vectors of more than 1,500 texts; smaller data need no chance.

    Attributes:
        state_: Name -> mean, scale, components and vocabulary.
        explained_: Name -> share of the variance that the components keep.

    Relations:
        * vectors: equals scikit-learn's StandardScaler.
        * pictures: the components are uncorrelated, their variances fall.
        * a modality's vectors do not depend on the other modalities.
    """

    requires = Requirements(min_modalities=1, unpaired=True)
    exempt: ClassVar[Mapping[str, str]] = {
        "cardinality": "gives vectors of each modality on its own, of different lengths: what a shared space is learned from",
    }

    state_: dict[str, dict[str, Any]]
    explained_: dict[str, float]

    def __init__(self, n_components: int = 120, *, random_state: RandomState = None) -> None:
        self.n_components = n_components
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[Vectorize]:
        return [cls(random_state=0)]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        if self.n_components < 1:
            raise ModalityError(
                f"Vectorize needs n_components >= 1 for {list(data.names)}, got {self.n_components}."
            )
        chosen = seed(self.random_state)
        self.state_, self.explained_ = {}, {}
        for name, column in data.items():
            self.state_[name], self.explained_[name] = _learn(column, self.n_components, chosen)

    def _transform(self, data: Modalities) -> Modalities:
        columns = {}
        for name, column in data.items():
            used, index = column.used()
            state = self.state_[name]
            blocks = [_project(f, state) for f in _features(column, used, state)]
            width = len(state["mean"]) if state["components"] is None else state["components"].shape[1]
            columns[name] = Modality(np.vstack(blocks) if blocks else np.empty((0, width)), index)
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """Mean over modalities of the share of variance (of texts: of the sum of squares) that the components keep on `data`."""
        shares = []
        for name, column in data.items():
            state = self.state_[name]
            used, _ = column.used()
            if state["components"] is None or not len(used):
                shares.append(1.0)
                continue
            total = kept = 0.0
            for features in _features(column, used, state):
                centred = (
                    features
                    if state["vocabulary"] is not None
                    else (features - state["mean"]) / state["scale"]
                )
                total += float(
                    centred.multiply(centred).sum() if state["vocabulary"] is not None else (centred**2).sum()
                )
                kept += float((_project(features, state) ** 2).sum())
            shares.append(kept / total if total else 1.0)
        return float(np.mean(shares))


# --- one modality ---------------------------------------------------------------------------------------------


def _learn(column: Modality, n_components: int, chosen_seed: int) -> tuple[dict[str, Any], float]:
    """What `_features` and `_project` need, and the share of variance kept. Each value in use counts as often as rows use it."""
    used, weights = np.unique(column.index[column.present], return_counts=True)
    state: dict[str, Any] = {
        "kind": column.kind,
        "vocabulary": None,
        "idf": None,
        "mean": None,
        "scale": None,
        "components": None,
    }
    if column.kind == "text":
        return _learn_text(column, used, state, n_components, chosen_seed)
    features = np.vstack(list(_features(column, used, state)))
    shares = weights / weights.sum()
    mean = shares @ features
    variance = shares @ (features - mean) ** 2
    constant = variance <= 1e-24 * np.maximum(1.0, mean**2)
    deviation = np.where(constant, 1.0, np.sqrt(variance))
    state["mean"] = mean
    state["scale"] = np.ones_like(mean) if column.kind == "grid" else deviation
    if column.kind == "vector":
        return state, 1.0
    X = (features - mean) / state["scale"] * np.sqrt(shares)[:, None]
    state["components"], explained = principal(X, n_components)
    return state, explained


def principal(X: Any, n_components: int) -> tuple[Float[np.ndarray, "d k"], float]:
    """Leading right singular vectors of `X` (dense or sparse), and the share of squares they keep.

    Their sign does not depend on the order of rows. Directions in which X is zero up to rounding are left out; at least one is kept.
    """
    m, d = X.shape
    gram = X @ X.T if m <= d else X.T @ X
    values, U = np.linalg.eigh(gram if isinstance(gram, np.ndarray) else np.asarray(gram.todense()))
    values, U = values[::-1], U[:, ::-1]
    kept = max(1, min(n_components, int((values > 1e-10 * max(values[0], 1e-300)).sum())))
    V = np.asarray(X.T @ U[:, :kept]) if m <= d else U[:, :kept]
    V = V / np.maximum(np.linalg.norm(V, axis=0), 1e-300)
    total = float(values.clip(0).sum())
    return V * signs(V), float(values[:kept].clip(0).sum() / total) if total else 1.0


def _learn_text(
    column: Modality, used: np.ndarray, state: dict[str, Any], n_components: int, chosen_seed: int
) -> tuple[dict[str, Any], float]:
    texts = column.store[used]
    state["vocabulary"] = learn_vocabulary(texts, VOCABULARY)
    counts = text_counts(texts, state["vocabulary"])
    documents = np.asarray((counts > 0).sum(axis=0)).ravel()
    state["idf"] = np.log((1 + len(texts)) / (1 + documents)) + 1
    X = _weigh(counts, state["idf"])
    m, d = X.shape
    if min(m, d) <= EXACT_ROWS:
        state["components"], explained = principal(X, n_components)
        return state, explained
    from sklearn.utils.extmath import randomized_svd

    _, s, Vt = randomized_svd(X, n_components, n_iter=4, random_state=chosen_seed)
    state["components"] = Vt.T * signs(Vt.T)
    return state, float((s**2).sum() / X.multiply(X).sum())


def _weigh(counts: Any, idf: np.ndarray) -> Any:
    """tf-idf rows of unit length; a text without any known word stays 0."""
    weighted = counts.multiply(idf[None, :]).tocsr()
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return weighted.multiply(1 / np.where(norms > 0, norms, 1)[:, None]).tocsr()


def _features(column: Modality, used: np.ndarray, state: Mapping[str, Any]) -> Iterator[Any]:
    """Features of the stored values `used`, a block at a time."""
    kind: Kind = state["kind"]
    for start in range(0, len(used), BLOCK):
        values = column.store[used[start : start + BLOCK]]
        if kind == "text":
            yield _weigh(text_counts(values, state["vocabulary"]), state["idf"])
        elif kind == "grid":
            yield picture_features(values)
        elif kind == "sequence":
            yield sequence_features(values)
        elif kind == "sound":
            yield sound_features(values)
        else:
            yield np.asarray(values, dtype=np.float64)


def _project(features: Any, state: Mapping[str, Any]) -> np.ndarray:
    if state["vocabulary"] is not None:
        return np.asarray(features @ state["components"])
    centred = (features - state["mean"]) / state["scale"]
    projected: np.ndarray = centred if state["components"] is None else centred @ state["components"]
    return projected
