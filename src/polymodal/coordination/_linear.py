"""What linear coordinations share: projections, the correlation of their components, and whether it is more than chance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Coordination
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import BLOCK_SIZE
from polymodal.core.random import RandomState
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import (
    HeldOutCorrelations,
    PermutationTest,
    held_out_correlations,
    pairwise_correlations,
    permutation_test_of_many,
)


class LinearCoordination(Coordination):
    """Base of the methods whose components are (x - mean) @ weights, one set of weights for each modality."""

    n_components: int | None
    block_size: int = BLOCK_SIZE

    @property
    @abstractmethod
    def weights_(self) -> dict[str, Float[np.ndarray, "d k"]]:
        """Name -> directions, one a column: the component is (x - mean) @ weights."""

    @property
    @abstractmethod
    def means_(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Name -> mean of the training rows that have the modality."""

    def held_out(
        self, data: Modalities | Mapping[str, Any], *, n_splits: int = 5, random_state: RandomState = None
    ) -> HeldOutCorrelations:
        """Cross-validated correlation of each component beside the fitted one; refits clones of this estimator."""
        return held_out_correlations(self, Modalities.of(data), n_splits=n_splits, random_state=random_state)

    def permutation_test(
        self,
        data: Modalities | Mapping[str, Any],
        *,
        n_permutations: int = 999,
        random_state: RandomState = None,
    ) -> PermutationTest:
        """Is each component more than chance? Against rows of `data` (the training rows) paired at random.

        Asks nothing of the distribution, and works with a ridge. Of data with missing rows, the complete rows are used.
        """
        views, weights = self._complete(self._check_known(data)), self.weights_
        return permutation_test_of_many(
            [views[name] for name in self._names],
            [weights[name] for name in self._names],
            reg=self._ridge,
            n_permutations=n_permutations,
            random_state=random_state,
        )

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, ...]:
        """In alphabetical order, so that the order in which modalities are given changes nothing."""
        return tuple(sorted(self.modalities_))

    @property
    def _ridge(self) -> float:
        """The ridge under which a permutation test whitens: as in the fit."""
        return 0.0

    def _transform(self, data: Modalities) -> Modalities:
        weights, means = self.weights_, self.means_
        columns = {}
        for name, column in data.items():
            # each stored value once: rows that share one keep sharing its representation
            used, index = column.used()
            columns[name] = Modality(
                project(column.store, used, means[name], weights[name], self.block_size), index
            )
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        if len(data.names) < 2:
            lacking = [name for name in self.modalities_ if name not in data]
            raise ModalityError(
                f"A correlation needs at least two of the modalities {list(self.modalities_)}, {lacking} are not in the data."
            )
        return float(pairwise_correlations(self._transform(data)).mean())

    def _complete(self, data: Modalities) -> dict[str, np.ndarray]:
        """Values of the rows that have every modality."""
        lacking = [name for name in self.modalities_ if name not in data]
        if lacking:
            raise ModalityError(
                f"{type(self).__name__} needs all modalities {list(self.modalities_)} here, {lacking} are not in the data."
            )
        whole = data.complete()
        if len(whole) < 2:
            raise ModalityError(
                f"A correlation needs at least 2 rows that have all of {list(self.modalities_)}, got {len(whole)}."
            )
        return {name: np.asarray(column.values(), dtype=np.float64) for name, column in whole.items()}

    def _check_n_components(self) -> None:
        if self.n_components is not None and self.n_components < 1:
            raise ConfigError(
                f"{type(self).__name__} needs n_components >= 1, or None for all, got {self.n_components}."
            )


def project(
    store: Any, used: np.ndarray, mean: np.ndarray, weights: np.ndarray, block_size: int
) -> Float[np.ndarray, "n k"]:
    """(store[used] - mean) @ weights, block by block."""
    out = np.empty((len(used), weights.shape[1]))
    for start in range(0, len(used), block_size):
        values = np.asarray(store[used[start : start + block_size]], dtype=np.float64)
        out[start : start + block_size] = (values - mean) @ weights
    return out
