"""How near a found alignment is to the true one. Alignments are pairs of positions, (p, 2), as `Alignment.path` holds them."""

from __future__ import annotations

from dataclasses import dataclass

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
