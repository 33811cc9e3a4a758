"""`retrieval_report`: how well each modality finds each other one, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, seed
from polymodal.core.typing import Int
from polymodal.evaluation import retrieval
from polymodal.evaluation.intervals import Interval, bootstrap_interval
from polymodal.evaluation.ranking import Metric, rank_embeddings


@dataclass(frozen=True)
class RetrievalScores:
    """How well `query` finds `target`.

    Attributes:
        query: Modality asked with.
        target: Modality searched.
        n_queries: Distinct query values that have something to find.
        n_candidates: Distinct target values.
        any_hit: k -> share of queries with a hit among the first k.
        recall: k -> mean share of the relevant candidates among the first k.
        median_rank: Median place of the first relevant candidate, from 1.
        mean_average_precision: mAP.
        mean_reciprocal_rank: MRR.
        hubness: Skewness of how often a candidate is among the first 10.
    """

    query: str
    target: str
    n_queries: int
    n_candidates: int
    any_hit: Mapping[int, Interval]
    recall: Mapping[int, Interval]
    median_rank: Interval
    mean_average_precision: Interval
    mean_reciprocal_rank: Interval
    hubness: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "query": self.query,
            "target": self.target,
            "n_queries": self.n_queries,
            "n_candidates": self.n_candidates,
            "any_hit": {str(k): v.to_dict() for k, v in self.any_hit.items()},
            "recall": {str(k): v.to_dict() for k, v in self.recall.items()},
            "median_rank": self.median_rank.to_dict(),
            "mean_average_precision": self.mean_average_precision.to_dict(),
            "mean_reciprocal_rank": self.mean_reciprocal_rank.to_dict(),
            "hubness": self.hubness,
        }


@dataclass(frozen=True)
class RetrievalReport:
    """One `RetrievalScores` for each ordered pair of modalities; prints as a table."""

    scores: tuple[RetrievalScores, ...]
    ks: tuple[int, ...]
    metric: Metric

    def __getitem__(self, pair: tuple[str, str]) -> RetrievalScores:
        """`report["text", "image"]`: how well texts find images."""
        for scores in self.scores:
            if (scores.query, scores.target) == pair:
                return scores
        known = [f"{s.query} -> {s.target}" for s in self.scores]
        raise ModalityError(f"The report has no pair {pair[0]!r} -> {pair[1]!r}; it has {known}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {"metric": self.metric, "ks": list(self.ks), "scores": [s.to_dict() for s in self.scores]}

    def to_markdown(self) -> str:
        """The table: means, and the interval of each in brackets."""
        heads = ["query -> target", "queries", "candidates", *(f"any hit@{k}" for k in self.ks)]
        heads += [*(f"recall@{k}" for k in self.ks), "median rank", "mAP", "MRR", "hubness"]
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for s in self.scores:
            cells = [f"{s.query} -> {s.target}", str(s.n_queries), str(s.n_candidates)]
            cells += [str(s.any_hit[k]) for k in self.ks] + [str(s.recall[k]) for k in self.ks]
            m = s.median_rank
            cells += [f"{m.value:g} [{m.low:g}, {m.high:g}]"]
            cells += [str(s.mean_average_precision), str(s.mean_reciprocal_rank), f"{s.hubness:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_markdown()


def retrieval_report(
    embedded: Modalities | Mapping[str, Any],
    *,
    source: Modalities | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    ks: Sequence[int] = (1, 5, 10),
    metric: Metric = "cosine",
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state: RandomState = 0,
) -> RetrievalReport:
    """Ask with each modality for each other one, and score what is found.

    Each distinct value is one query and one candidate, however many rows hold it. A candidate is relevant when it
    shares a row with the query's value, or, with `groups`, a group.

    Args:
        embedded: What a coordination's `transform` gave: vectors of every modality in one space; rows may lack some.
        source: The data before embedding (same rows), whose values say what is distinct; by default the vectors do.
        groups: One label a row (the character, the class): candidates of the same group are relevant, and the
            intervals draw whole groups.
        ks: The k of hits and recalls.
        metric: How near two vectors are.
        n_resamples: Bootstrap samples.
        level: Share inside the interval.
        random_state: Seed of the bootstrap.

    Raises:
        ModalityError: fewer than two modalities, spaces of different size, or no row that pairs two modalities.

    Complexity:
        O(queries x candidates x (d + log candidates)) a pair; the score matrix is never held.
    """
    frame = Modalities.of(embedded)
    _check_space(frame, source)
    codes = _codes(groups, len(frame))
    ks = tuple(sorted({int(k) for k in ks}))
    values = {name: _distinct(frame, source or frame, name) for name in frame.names}
    chance = seed(random_state)
    scores = []
    for a in frame.names:
        for b in frame.names:
            if a == b:
                continue
            found = _score_pair(
                (a, *values[a]), (b, *values[b]), codes, ks, metric, (n_resamples, level, chance)
            )
            if found is not None:
                scores.append(found)
    if not scores:
        raise ModalityError(
            f"retrieval_report needs rows that have two modalities (or groups that pair them), got none among "
            f"{list(frame.names)}. Pair rows with Modalities.join(..., on=ids)."
        )
    return RetrievalReport(tuple(scores), ks, metric)


def _score_pair(
    query: tuple[str, np.ndarray, np.ndarray],
    target: tuple[str, np.ndarray, np.ndarray],
    groups: np.ndarray | None,
    ks: tuple[int, ...],
    metric: Metric,
    bootstrap: tuple[int, float, int],
) -> RetrievalScores | None:
    (a, vectors_a, codes_a), (b, vectors_b, codes_b) = query, target
    if not len(vectors_a) or not len(vectors_b):
        return None
    relevance = _relevance(codes_a, codes_b, (len(vectors_a), len(vectors_b)), groups)
    if not relevance.nnz:
        return None
    ranking = rank_embeddings(vectors_a, vectors_b, relevance, metric=metric)
    clusters = None
    if groups is not None:
        clusters = np.zeros(len(vectors_a), dtype=np.int64)
        has = np.flatnonzero(codes_a >= 0)[::-1]  # backwards: the first row of a value decides
        clusters[codes_a[has]] = groups[has]
    n_resamples, level, chance = bootstrap

    def interval(per_query: np.ndarray, median: bool = False) -> Interval:
        return bootstrap_interval(
            per_query,
            statistic="median" if median else "mean",
            groups=clusters,
            n_resamples=n_resamples,
            level=level,
            random_state=chance,
        )

    return RetrievalScores(
        query=a,
        target=b,
        n_queries=int((ranking.relevant > 0).sum()),
        n_candidates=ranking.n_candidates,
        any_hit={k: interval(retrieval.any_hit(ranking, k)) for k in ks},
        recall={k: interval(retrieval.recall(ranking, k)) for k in ks},
        median_rank=interval(retrieval.first_place(ranking), median=True),
        mean_average_precision=interval(retrieval.mean_precision(ranking)),
        mean_reciprocal_rank=interval(retrieval.inverse_place(ranking)),
        hubness=retrieval.skewness(ranking.occurrence),
    )


def _distinct(frame: Modalities, source: Modalities, name: str) -> tuple[np.ndarray, Int[np.ndarray, " n"]]:
    """The vector of each distinct value, and which of them each row has (-1: none)."""
    column = frame[name]
    identity = np.where(column.present, source[name].identity, -1)
    _, first, inverse = np.unique(identity, return_index=True, return_inverse=True)
    lacking = int((identity < 0).any())  # -1 sorts first
    return np.asarray(column[first[lacking:]].values()), inverse.ravel() - lacking


def _relevance(
    codes_a: np.ndarray, codes_b: np.ndarray, shape: tuple[int, int], groups: np.ndarray | None
) -> Any:
    from scipy.sparse import csr_matrix

    links = np.arange(len(codes_a)) if groups is None else groups
    n = int(links.max(initial=-1)) + 1

    def held(codes: np.ndarray, width: int) -> Any:
        has = codes >= 0
        return csr_matrix(
            (np.ones(int(has.sum()), dtype=np.int32), (links[has], codes[has])), shape=(n, width)
        )

    product = held(codes_a, shape[0]).T @ held(codes_b, shape[1])
    product.data[:] = 1
    return product.tocsr()


def _check_space(frame: Modalities, source: Modalities | None) -> None:
    if len(frame.names) < 2:
        raise ModalityError(f"retrieval_report needs at least two modalities, got {list(frame.names)}.")
    shapes = {name: (c.kind, c.shape) for name, c in frame.items() if c.present.any()}
    if len(set(shapes.values())) > 1 or any(kind != "vector" for kind, _ in shapes.values()):
        raise ModalityError(
            f"retrieval_report needs vectors of one space, got {shapes}. Pass model.transform(data) of a coordination."
        )
    if source is not None and (len(source) != len(frame) or not set(frame.names) <= set(source.names)):
        raise ModalityError(
            f"source needs the {len(frame)} rows and the modalities {list(frame.names)} that were embedded, got {len(source)} rows "
            f"of {list(source.names)}."
        )


def _codes(groups: Sequence[Any] | np.ndarray | None, n: int) -> np.ndarray | None:
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ModalityError(f"groups needs one label per row ({n}), got shape {labels.shape}.")
    return np.unique(labels, return_inverse=True)[1].ravel()
