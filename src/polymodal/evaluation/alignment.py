"""How near a found alignment is to the true one. Alignments are pairs of positions, (p, 2), as `Alignment.path` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Int


@dataclass(frozen=True)
class PathError:
    """Distance of a path from true pairs, along b.

    Attributes:
        mean: Mean absolute distance, in frames of b over `rate_b`: seconds where a rate was given, else frames.
        median: Its median.
        worst: Its maximum.
        within: Share of true pairs no further than the tolerance.
    """

    mean: float
    median: float
    worst: float
    within: float


@dataclass(frozen=True)
class MatchScores:
    """Precision, recall and their harmonic mean, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class CycleError:
    """Where one ends who follows alignments around a ring of sets.

    Attributes:
        returned: Share of the elements of the first set from which some way leads back to themselves.
        arrived: Share of them from which any way leads around.
        distance: Mean distance between where one began and where one arrived, in elements (of sequences: frames), over the
            elements from which one arrives, and for each over its ways; NaN where none does.
    """

    returned: float
    arrived: float
    distance: float


@dataclass(frozen=True)
class Coverage:
    """Share of the elements of each side that are in some pair."""

    a: float
    b: float


def path_error(
    path: Int[np.ndarray, "p 2"],
    truth: Int[np.ndarray, "q 2"],
    *,
    rate_b: float = 1.0,
    tolerance: float = 0.0,
) -> PathError:
    r"""How far from where it should be the path meets b: at each true pair (i, j), $|\hat j(i) - j| / r_b$.

    $\hat j(i)$ is the mean of the frames that the path matches with i; between frames it does not visit, the straight line.

    Args:
        path: Found pairs (frame of a, frame of b).
        truth: True pairs: a whole path, or a few known ones (onsets, landmarks).
        rate_b: Frames per second of b, to be told seconds.
        tolerance: What counts as near enough, in the unit of the answer.

    Relations:
        * a strictly rising path against itself: all zero, within 1.
        * b moved by k frames: mean = median = worst = k / rate_b.
    """
    _check(path, "path", at_least=1)
    _check(truth, "truth", at_least=1)
    frames, place = np.unique(path[:, 0], return_inverse=True)
    met = np.bincount(place.ravel(), weights=path[:, 1]) / np.bincount(place.ravel())
    away = np.abs(np.interp(truth[:, 0], frames, met) - truth[:, 1]) / rate_b
    return PathError(
        float(away.mean()), float(np.median(away)), float(away.max()), float((away <= tolerance).mean())
    )


def match_scores(
    path: Int[np.ndarray, "p 2"], truth: Int[np.ndarray, "q 2"], *, tolerance: int = 0
) -> MatchScores:
    """Which found pairs are true and which true pairs were found; each pair counts once.

    Args:
        path: Found pairs.
        truth: True pairs.
        tolerance: Frames by which a pair may be off, in both positions.

    Relations:
        * precision and recall change places with path and truth.
        * a larger tolerance never lowers either.
        * tolerance 0: f1 = 2 |both| / (|path| + |truth|) on distinct pairs.
    """
    found, true = _check(path, "path"), _check(truth, "truth")
    precision, recall = _share_near(found, true, tolerance), _share_near(true, found, tolerance)
    total = precision + recall
    return MatchScores(precision, recall, 2 * precision * recall / total if total else 0.0)


def alignment_error_rate(
    path: Int[np.ndarray, "p 2"], sure: Int[np.ndarray, "s 2"], possible: Int[np.ndarray, "q 2"]
) -> float:
    r"""$1 - (|A \cap S| + |A \cap P|) / (|A| + |S|)$: how word alignments with sure and possible links are judged; 0 is best.

    Args:
        path: A, the links found.
        sure: S, links that must be found.
        possible: P, links that may be found; the sure ones are always among them.

    Relations:
        * possible = sure: 1 - f1 of `match_scores`.

    References: Och & Ney 2003.
    """
    found, must = _pairs(path), _pairs(sure)
    may = must | _pairs(possible)
    if not found and not must:
        return 0.0
    return 1 - (len(found & must) + len(found & may)) / (len(found) + len(must))


def cycle_error(paths: Sequence[Int[np.ndarray, "_ 2"]], length: int) -> CycleError:
    """Follow alignments around a ring: from the first set to the second, ..., and from the last back to the first.

    It needs no truth: perfect alignments return everywhere (but so do some wrong ones: all shifted, there and back).

    Args:
        paths: Pairs (element of one set, element of the next); the last leads to the first set again.
        length: Elements of the first set.

    Relations:
        * a path and its inverse: everyone who has a partner returns; distance 0 where it is one to one.
        * shifts by k in all, around a ring of r sets: distance r k.

    Complexity:
        O(ways) time and memory; a ring of one-to-one alignments has at most `length`.
    """
    from scipy.sparse import csr_array

    ways = [_check(path, f"path {k}") for k, path in enumerate(paths)]
    if (
        length < 1
        or not ways
        or (ways[0].size and ways[0][:, 0].max() >= length)
        or (ways[-1].size and ways[-1][:, 1].max() >= length)
    ):
        raise ModalityError(
            f"cycle_error needs at least one path, the first from and the last to a set of {length} elements; got {len(ways)} paths, from "
            f"element {ways[0][:, 0].max() if ways and ways[0].size else None} and to element "
            f"{ways[-1][:, 1].max() if ways and ways[-1].size else None} at most."
        )
    sizes = [length]
    for before, after in pairwise(ways):
        sizes.append(1 + max(int(side.max()) if side.size else 0 for side in (before[:, 1], after[:, 0])))
    sizes.append(length)
    around = None
    for (n, m), path in zip(pairwise(sizes), ways, strict=True):
        step = csr_array((np.ones(len(path)), (path[:, 0], path[:, 1])), shape=(n, m))
        around = step if around is None else around @ step
    cells = csr_array(around).tocoo()
    start, end = cells.row, cells.col
    counts = np.bincount(start, minlength=length)
    arrived = counts > 0
    apart = np.bincount(start, weights=np.abs(start - end), minlength=length)
    returned = np.unique(start[start == end])
    return CycleError(
        len(returned) / length,
        float(arrived.mean()),
        float((apart[arrived] / counts[arrived]).mean()) if arrived.any() else float("nan"),
    )


def coverage(path: Int[np.ndarray, "p 2"], length_a: int, length_b: int) -> Coverage:
    """How much of each side an alignment says anything about.

    Args:
        path: Found pairs.
        length_a: Elements of a.
        length_b: Elements of b.

    Relations:
        * a warping path from corner to corner in single steps: 1 and 1.
        * a one-to-one matching: both counts of elements are the number of pairs.
    """
    found = _check(path, "path")
    shares = []
    for side, name, length in ((0, "a", length_a), (1, "b", length_b)):
        seen = np.unique(found[:, side])
        if length < 1 or (seen.size and seen[-1] >= length):
            raise ModalityError(
                f"The path visits element {int(seen[-1]) if seen.size else None} of {name}, which has {length} elements. Give the lengths "
                "of what was aligned."
            )
        shares.append(len(seen) / length)
    return Coverage(*shares)


def _pairs(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in pairs}


def _check(pairs: np.ndarray, name: str, at_least: int = 0) -> np.ndarray:
    if len(pairs) < at_least or (pairs < 0).any():
        raise ModalityError(
            f"{name} must hold at least {at_least} pairs of positions from 0, got {len(pairs)} with smallest "
            f"{pairs.min() if pairs.size else None}."
        )
    return np.unique(pairs, axis=0)


def _share_near(pairs: np.ndarray, others: np.ndarray, tolerance: int) -> float:
    """Share of `pairs` that have one of `others` no further than `tolerance` away in both positions; of none, 1 where both are empty."""
    if not len(pairs) or not len(others):
        return float(len(pairs) == len(others))
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(others).query(pairs, p=np.inf)
    return float((distance <= tolerance).mean())
