"""`Clustered` and `Predicted`: the decomposition of vectors, by few labels that stand for them, what chance adds taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import seed
from polymodal.core.typing import Float, Int, Num
from polymodal.information.counts import codes_of, table_of
from polymodal.information.decomposition import BROJA, Parts, Redundancy, parts_from, parts_of
from polymodal.information.tables import mutual


@dataclass(frozen=True)
class Clustered:
    """Each modality's clusters (k-means of standardised features) stand for it; then a decomposition of counts.

    Clusters can only lose information, so the total is a lower bound; what lies between cluster borders is not seen. Counts of n rows
    find a little of everything by chance: the mean over permuted labels is subtracted from each part. The equations between the
    parts stay exact, but a part that is truly 0 scatters around 0 and may come out slightly negative.

    Args:
        n_clusters: Clusters a modality. A modality of texts or whole numbers with at most so many values is taken as it is.
        method: `BROJA()`, `Imin()` or `MMI()`.
        n_permutations: Permutations of the label; 0 corrects nothing.

    Raises:
        ModalityError: more clusters than rows, labels that never repeat.

    Relations:
        * independent modalities: all parts 0 on average.

    References: Liang et al. 2023 (clusters as labels).
    """

    n_clusters: int = 8
    method: Redundancy = field(default_factory=BROJA)
    n_permutations: int = 20

    def study(self, a: Any, b: Any, y: Any, rng: np.random.Generator) -> tuple[Parts, Callable[[Any], Parts]]:
        """The parts; those of some rows keep the clusters of all and are not corrected (only their scatter is used)."""
        target = _labels(y)
        one, other = (cluster_codes(x, self.n_clusters, rng) for x in (a, b))

        def raw(labels: np.ndarray, rows: Any = slice(None)) -> Parts:
            return parts_of(table_of(one[rows], other[rows], labels[rows]), self.method)

        return _corrected(raw, target, self.n_permutations, rng), lambda rows: raw(target, rows)


@dataclass(frozen=True)
class Predicted:
    r"""Held-out predictions $\hat p(y|x_1)$, $\hat p(y|x_2)$, $\hat p(y|x_1, x_2)$ stand for the modalities.

    The true posterior of a modality says of y all that the modality does, and BROJA looks at each source's pair with y only. So the
    redundancy and the unique parts of two modalities are those of their posteriors. These come from cross-validated classifiers, are
    cut into `n_bins` (k-means) and counted; the total is that of the classifier that sees both. A classifier that learns
    badly finds less: each of the three informations is a lower bound, but the synergy, a difference, is not, and may come out negative.

    Args:
        model: A scikit-learn classifier with `predict_proba`; None: gradient boosting of 60 small trees.
        n_folds: Folds of the cross-validation.
        n_bins: Cells of the predictions.
        n_permutations: As for `Clustered`.
        groups: One label a row, such as the speaker; rows of one label are never on both sides of a fold.

    Raises:
        ModalityError: a label with fewer rows than folds, modalities that are no numbers, or groups of another length.

    References: Bertschinger et al. 2014 (unique information depends on the pairs only).
    """

    model: Any = None
    n_folds: int = 5
    n_bins: int = 8
    n_permutations: int = 20
    groups: Any = field(default=None, repr=False)

    def study(self, a: Any, b: Any, y: Any, rng: np.random.Generator) -> tuple[Parts, Callable[[Any], Parts]]:
        """The parts; those of some rows keep the predictions and their cells."""
        target = _labels(y)
        if self.groups is not None and len(self.groups) != len(target):
            raise ModalityError(
                f"Predicted needs one group for each of the {len(target)} rows that have both modalities, got {len(self.groups)}."
            )
        for x in (a, b):
            if np.asarray(x).dtype.kind not in "biuf":
                raise ModalityError("Predicted needs modalities of numbers, got texts. Encode them first.")
        inputs = (a, b, np.concatenate([a, b], axis=1))
        if target.max() == 0:
            codes = [np.zeros_like(target)] * 3
        else:
            number = seed(rng)
            codes = [cluster_codes(self._held_out(x, target, number), self.n_bins, rng) for x in inputs]

        def raw(labels: np.ndarray, rows: Any = slice(None)) -> Parts:
            one, other, both, z = (column[rows] for column in (*codes, labels))
            found = parts_of(table_of(one, other, z), BROJA())
            redundancy, first, second = found.values[:3]
            total = mutual(table_of(both, z))
            return Parts(parts_from(redundancy, redundancy + first, redundancy + second, total), found.gap)

        return _corrected(raw, target, self.n_permutations, rng), lambda rows: raw(target, rows)

    def _held_out(self, x: np.ndarray, y: np.ndarray, number: int) -> Float[np.ndarray, "n c"]:
        """Each row's class probabilities by a model that was fitted without it."""
        from sklearn.base import clone
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

        if np.bincount(y).min() < self.n_folds:
            raise ModalityError(
                f"Predicted needs at least {self.n_folds} rows of each label (n_folds), but one has {np.bincount(y).min()}. "
                "Leave out rare labels or take fewer folds."
            )
        model = (
            HistGradientBoostingClassifier(
                max_iter=60, max_leaf_nodes=8, min_samples_leaf=10, random_state=number
            )
            if self.model is None
            else clone(self.model)
        )
        deal = StratifiedKFold if self.groups is None else StratifiedGroupKFold
        folds = deal(self.n_folds, shuffle=True, random_state=number)
        found = cross_val_predict(model, x, y, groups=self.groups, cv=folds, method="predict_proba")
        return np.asarray(found, dtype=np.float64)


def cluster_codes(
    x: Num[np.ndarray, "n d"] | Any, n_clusters: int, rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """One cluster a row; values that are few enough already are their own clusters.

    Raises:
        ModalityError: more clusters than rows, or texts with more values than clusters.
    """
    from sklearn.cluster import KMeans

    if len(x) < n_clusters:
        raise ModalityError(
            f"Clusters need at least as many rows: got {n_clusters} clusters for {len(x)} rows."
        )
    codes = codes_of(x)
    if codes.max() < n_clusters:
        return codes
    if np.asarray(x).dtype.kind not in "biuf":
        raise ModalityError(
            f"Texts with more values ({codes.max() + 1}) than clusters ({n_clusters}) cannot be clustered. Encode them first."
        )
    values = np.asarray(x, dtype=np.float64)
    spread = values.std(0)
    scaled = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    labels = KMeans(n_clusters, n_init=3, random_state=seed(rng)).fit_predict(scaled)
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def _labels(y: Any) -> Int[np.ndarray, " n"]:
    codes = codes_of(y, None, "y")
    if len(codes) > 2 and codes.max() + 1 == len(codes):
        raise ModalityError(
            f"y needs labels that repeat, but all {len(codes)} rows differ. Cut it into classes first."
        )
    return codes


def _corrected(
    raw: Callable[[np.ndarray], Parts], target: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> Parts:
    """Parts minus their mean over permuted labels; all are linear, so their equations stay."""
    found = raw(target)
    chance = [raw(rng.permutation(target)).values for _ in range(n_permutations)]
    return Parts(found.values - np.mean(chance, axis=0) if chance else found.values, found.gap)
