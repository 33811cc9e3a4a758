"""Generalised CCA: one common component behind several modalities, and its best linear prediction from each. Rows may lack modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from polymodal.coordination._streamed import StreamedCoordination
from polymodal.coordination.multiset_cca import NEGLIGIBLE, joint_wilks_test
from polymodal.core.errors import ModalityError
from polymodal.core.linalg import BlockPencil, block_pencil, ridge
from polymodal.core.modalities import Modalities
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision, moments
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import IndependenceTest


class GeneralisedCCA(StreamedCoordination):
    r"""Common components G of two or more modalities, and in each modality the linear projection closest to them (MAXVAR).

    $$ \min_{G, W} \sum_m \lVert K_m (G - X_m W_m) \rVert^2 \quad \text{subject to} \quad G'KG = N I, \quad K = \sum_m K_m $$

    $X_m$ is centred on the rows that have modality m, and the diagonal 0/1 matrix $K_m$ says which those are: a row counts in a
    term only if it has that modality, so no absent value enters, and no two modalities need to occur together as long as others link them;
    `predict` then goes from one to the other through G.
    Solved exactly: with projectors $P_m = X_m(X_m'K_mX_m)^+X_m'$ the columns of G are the leading eigenvectors of
    $\sum_m P_m\,g = (\lambda / M)\,K g$, found in feature space. N is $\sum_m (n_m - 1)$: without missing rows
    K = M I, and G has unit variance.

    `transform` gives $X_mW_m$, `latent` gives G. `score` is the mean, over components and pairs of modalities, of the correlation on the
    data given.

    A row with one modality agrees with itself, and counts in full. Where there are many, mostly of one modality, components of that
    modality alone can come first; leave such rows out, or take `MultisetCCA`.

    Args:
        n_components: Components to keep; None keeps the leading ones on which the modalities agree: those before the first whose
            covariances between modalities do not add up to more than 0 (without missing rows and ridge: all with eigenvalue > 1).
        reg: Ridge c in [0, 1]: S_mm becomes (1 - c) S_mm + c (tr S_mm / d) I in the regression on each modality.
        precision: Of the block products. "float32" takes half the time; `fit` checks the conditioning, and repeats in float64 where
            float32 would cost more than about six digits.
        block_size: Rows a block.

    Attributes:
        eigenvalues_: For each component lambda: the sum over modalities of the share of G's variance that each predicts, at most M
            (without ridge); a component of one modality alone has 1 where no row lacks any.
        correlations_: Correlation of each component on the training rows, mean over pairs of modalities.
        weights_: Name -> (d, n_components), the (ridged) regression of G on the modality.
        means_: Name -> (d,).
        n_samples_: Rows seen.

    Raises:
        ModalityError: one modality, modalities that no rows link, or more components than the data have.

    Complexity:
        O(n p^2 + p^3) time for p features in all; O(p^2) memory, whatever the number of rows.

    Relations:
        * eigenvalues are 1 + those of `MultisetCCA`, without ridge and missing rows; the directions are the same.
        * two modalities: eigenvalues are 1 + the correlations of `CCA`, the directions the same.
        * unchanged by invertible linear maps of any modality (reg = 0).
        * reg = 1: G holds the principal components of all modalities side by side, each divided by the root of its mean variance.
        * no other G has a smaller objective, with or without missing rows.
        * `partial_fit` over blocks, or `merge` of models fitted apart, equals `fit` on all rows.

    References:
        Carroll 1968; Kettenring 1971 (MAXVAR). Van de Velden and Bijmolt 2006, "Generalized canonical correlation analysis of matrices
        with missing rows" (the masked objective).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, unpaired=True)

    solution_: BlockPencil | None
    shared_moments_: Moments | None

    def __init__(
        self,
        n_components: int | None = None,
        *,
        reg: float = 0.0,
        precision: Precision = "float64",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.n_components = n_components
        self.reg = reg
        self.precision = precision
        self.block_size = block_size

    @classmethod
    def _examples(cls) -> list[GeneralisedCCA]:
        return [cls(2), cls(1, reg=0.1)]

    @property
    def eigenvalues_(self) -> Float[np.ndarray, " k"]:
        """For each component lambda, largest first."""
        eigenvalues: np.ndarray = self._solved().eigenvalues
        return eigenvalues[: self.n_components]

    def latent(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """The common components G of each row, from the modalities it has: the minimiser of its part of the objective.

        On the training rows this is G itself.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        components = self._transform(self._check_known(data))
        present = np.stack([column.present for _, column in components.items()])
        counts = present.sum(axis=0)
        if (counts == 0).any():
            raise ModalityError(
                f"GeneralisedCCA needs at least one of {list(self.modalities_)} on every row; {int((counts == 0).sum())} of "
                f"{len(components)} rows have none (ids {components.ids[counts == 0][:3].tolist()}). Drop those rows."
            )
        total = np.zeros((len(components), len(self.eigenvalues_)))
        for _, column in components.items():
            total[column.present] += column.observed()
        latent: np.ndarray = total / counts[:, None] / (self.eigenvalues_ / len(self.modalities_))
        return latent

    def wilks_test(self) -> IndependenceTest:
        """Are the modalities independent of one another? One test of all components together; about normal data, complete, no ridge.

        Raises:
            ModalityError: fitted with a ridge, on missing rows, or on too few rows: use `permutation_test`.
        """
        seen, solution = self._seen, self._solved()
        return joint_wilks_test(self, seen, solution.ranks, reg=self.reg)

    # --- inside -----------------------------------------------------------------------------------------------

    def _begin(self, frame: Modalities) -> None:
        super()._begin(frame)
        self.shared_moments_ = None

    def _add(self, frame: Modalities, precision: Precision) -> None:
        """Moments of the rows as they are, and with each row divided by its number of modalities: K^-1 of the objective."""
        if self.moments_ is None:
            self.shared_moments_ = None
        counts = np.sum(list(frame.present.values()), axis=0)
        for count in np.unique(counts[counts > 0]).tolist():
            rows = frame if (counts == count).all() else frame[np.flatnonzero(counts == count)]
            new = moments(rows, precision=precision, block_size=self.block_size)
            shared = new.scaled(1 / count)
            self.moments_ = new if self.moments_ is None else self.moments_.merge(new)
            self.shared_moments_ = (
                shared if self.shared_moments_ is None else self.shared_moments_.merge(shared)
            )

    def _add_other(self, other: GeneralisedCCA) -> None:
        super()._add_other(other)
        assert self.shared_moments_ is not None
        assert other.shared_moments_ is not None
        self.shared_moments_ = self.shared_moments_.merge(other.shared_moments_)

    def _solve(self, seen: Moments) -> BlockPencil:
        self._check_rows(seen)
        self._check_linked(seen)
        assert self.shared_moments_ is not None
        means = np.concatenate([seen.mean(name) for name in seen.names])
        width = sum(seen.dims)
        A = self.shared_moments_.moved(means).products[:width, :width]
        rows = [seen.count(name) - 1 for name in seen.names]
        blocks = [
            n * ridge(seen.covariance(name), self.reg, self._mean_variance(seen, name))
            for n, name in zip(rows, seen.names, strict=True)
        ]
        pencil = block_pencil(A, blocks, n_components=self.n_components)
        largest = float(pencil.eigenvalues.max(initial=0.0))
        count = int((pencil.eigenvalues > NEGLIGIBLE * max(largest, NEGLIGIBLE)).sum())
        if self.n_components is None:
            count = min(count, self._agreeing(seen, pencil))
        values = pencil.eigenvalues[:count]
        scale = np.sqrt(sum(rows) * values)
        return replace(
            pencil,
            eigenvalues=values * len(rows),
            weights=tuple(w[:, :count] * scale for w in pencil.weights),
        )

    def _between(self, a: str, b: str) -> np.ndarray:
        """Of modalities that never occur together, what G explains: Cov(x_a, g) Cov(g, x_b), as if nothing else linked them."""
        seen = self._seen
        if seen.count(a, b) >= 2:
            return seen.covariance(a, b)
        weights = self._local_weights()
        loadings = [
            ridge(seen.covariance(name), self.reg, self._mean_variance(seen, name)) @ weights[name]
            for name in (a, b)
        ]
        return np.asarray(loadings[0] @ loadings[1].T)

    def _agreeing(self, seen: Moments, pencil: BlockPencil) -> int:
        """Leading components whose covariances between modalities, of those that occur together, add up to more than 0."""
        weights = dict(zip(seen.names, pencil.weights, strict=True))
        between, within = np.zeros(len(pencil.eigenvalues)), np.zeros(len(pencil.eigenvalues))
        for a in seen.names:
            for b in seen.names:
                if seen.count(a, b) >= 2:
                    part = np.einsum("ik,ik->k", weights[a], seen.covariance(a, b) @ weights[b])
                    if a == b:
                        within += part
                    else:
                        between += part
        disagreeing = np.flatnonzero(between <= NEGLIGIBLE * within)
        return int(disagreeing[0]) if len(disagreeing) else len(between)

    def _check_linked(self, seen: Moments) -> None:
        linked, todo = set(), [seen.names[0]]
        while todo:
            name = todo.pop()
            linked.add(name)
            todo += [b for b in seen.names if b not in linked and seen.count(name, b) >= 2]
        apart = [name for name in seen.names if name not in linked]
        if apart:
            raise ModalityError(
                f"GeneralisedCCA needs modalities linked by rows that have several of them: no row has one of {apart} together with one of "
                f"{sorted(linked)}. Pair rows with Modalities.join(..., on=ids), or drop {apart}."
            )

    def _with_weights(self, solution: BlockPencil, weights: tuple[np.ndarray, ...]) -> BlockPencil:
        return replace(solution, weights=weights)
