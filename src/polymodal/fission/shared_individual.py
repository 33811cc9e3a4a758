"""Shared and private linear factors of several modalities (the JIVE model), with modalities missing on any row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError, suggest
from polymodal.core.estimator import Fission
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.fission.factors import factor_scores, fit_factors
from polymodal.fission.ranks import choose_ranks


@dataclass(frozen=True, eq=False)
class Decomposition:
    """One modality taken apart, on the rows that have it: mean + shared + private + residual is the data."""

    mean: Float[np.ndarray, " d"]
    shared: Float[np.ndarray, "n d"]
    private: Float[np.ndarray, "n d"]
    residual: Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Shares:
    """Shares of one modality's variance over the training rows. They add up to 1; all are 0 where it does not vary."""

    shared: float
    private: float
    residual: float


class SharedIndividual(Fission):
    r"""What modalities share and what each has alone, by linear factors.

    $$ x_m = \mu_m + W_m's + V_m'p_m + e_m $$

    s is one vector a row, common to all modalities; $p_m$ belongs to modality m and is uncorrelated with s. `transform` gives `"shared"`
    and one private part under each given modality's own name, by least squares from whichever modalities a row has, so a single modality
    is enough. Rows may lack modalities in training too. Any number of modalities from two.
    `score` is the share of variance that shared and private parts explain together, averaged over the modalities given.

    Args:
        n_shared: Shared factors; None counts them by permutation (`choose_ranks`).
        n_private: Private factors of every modality, or name -> number; None counts them.
        scale: "modality" divides each modality by its total standard deviation, so that none counts more for having more features or
            larger units; "none" takes the values as they are.
        max_iter: Most rounds of least squares.
        tol: Stop when a round explains less than this share of the variance more.
        random_state: Seed of the permutations; not used when both numbers are given.

    Attributes:
        loadings_: Name -> `Loadings`, in scaled units.
        scales_: Name -> what each modality was divided by.
        explained_: Name -> `Shares` of the training variance.
        n_iter_: Rounds taken.

    Raises:
        ModalityError: a modality called "shared", or more factors than a modality has features or rows less one.

    Relations:
        * mean + shared + private + residual = data (`decompose`).
        * on the training rows private scores are uncorrelated with shared ones.
        * n_private = 0: principal components of the (scaled) modalities side by side.
        * n_shared = 0: principal components of each modality.
        * without noise, the planted spaces exactly.

    References:
        Lock, Hoadley, Marron and Nobel 2013, "Joint and individual variation explained (JIVE)". Feng et al. 2018 (the start).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, min_rows=3)

    def __init__(
        self,
        n_shared: int | None = 1,
        *,
        n_private: int | Mapping[str, int] | None = 1,
        scale: Literal["modality", "none"] = "modality",
        max_iter: int = 1000,
        tol: float = 1e-7,
        random_state: int | None = 0,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.scale = scale
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[SharedIndividual]:
        return [cls(1, n_private=1), cls(2, n_private=0)]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        names = sorted(data.names)
        if "shared" in names:
            raise ModalityError(
                'SharedIndividual gives its shared part the name "shared", got a modality of that name. Rename it.'
            )
        n_shared, n_private = self._ranks(data.select(*names))
        self._check_ranks(data, n_shared, n_private)
        self.scales_ = {name: self._scale_of(data[name].observed()) for name in names}
        blocks, present = self._blocks(data, names)
        loadings, self.n_iter_ = fit_factors(
            blocks,
            present,
            n_shared,
            [n_private[name] for name in names],
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if self.n_iter_ > self.max_iter:
            warnings.warn(
                f"SharedIndividual stopped after max_iter={self.max_iter} rounds while still improving. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.loadings_ = dict(zip(names, loadings, strict=True))
        self.explained_ = {name: _shares(part) for name, part in self.decompose(data).items()}

    def decompose(self, data: Modalities | Mapping[str, Any]) -> dict[str, Decomposition]:
        """Each given modality as mean + shared + private + residual, in its own units, on the rows that have it."""
        frame = self._check_known(data)
        names = sorted(frame.names)
        blocks, present = self._blocks(frame, names)
        shared, private = factor_scores(blocks, present, [self.loadings_[name] for name in names])
        parts = {}
        for m, name in enumerate(names):
            rows, part, unit = present[:, m], self.loadings_[name], self.scales_[name]
            common, alone = shared[rows] @ part.shared * unit, private[m][rows] @ part.private * unit
            values = np.asarray(frame[name].observed(), dtype=np.float64)
            mean = part.mean * unit
            parts[name] = Decomposition(mean, common, alone, values - mean - common - alone)
        return {name: parts[name] for name in frame.names}

    def reconstruct(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """Every fitted modality from what `data` has: a given one from its shared and private parts, an absent one from the shared part.

        Rows that have no modality at all stay missing.
        """
        frame = self._check_known(data)
        names = sorted(frame.names)
        blocks, present = self._blocks(frame, names)
        shared, private = factor_scores(blocks, present, [self.loadings_[name] for name in names])
        known = np.asarray(present.any(axis=1))
        columns = {}
        for name in self.modalities_:
            part = self.loadings_[name]
            values = part.mean + shared @ part.shared
            if name in frame:
                values += private[names.index(name)] @ part.private
            columns[name] = _column(values * self.scales_[name], known)
        return Modalities(columns, ids=frame.ids)

    def _transform(self, data: Modalities) -> Modalities:
        names = sorted(data.names)
        blocks, present = self._blocks(data, names)
        shared, private = factor_scores(blocks, present, [self.loadings_[name] for name in names])
        columns = {"shared": _column(shared, np.asarray(present.any(axis=1)))}
        for name in data.names:
            m = names.index(name)
            columns[name] = _column(private[m], present[:, m])
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        kept = [name for name, column in data.items() if column.present.any()]
        return float(
            np.mean(
                [1 - _shares(part).residual for name, part in self.decompose(data).items() if name in kept]
            )
        )

    # --- inside -----------------------------------------------------------------------------------------------

    def _blocks(self, data: Modalities, names: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Scaled values with zeros on absent rows (set, not multiplied), and presence."""
        blocks = []
        for name in names:
            column = data[name]
            block = np.zeros((len(data), *self.modalities_[name].shape))
            if column.present.any():
                block[column.present] = np.asarray(column.observed(), dtype=np.float64) / self.scales_[name]
            blocks.append(block)
        return blocks, np.stack([data[name].present for name in names], axis=1)

    def _scale_of(self, values: np.ndarray) -> float:
        spread = float(np.sqrt(np.asarray(values, dtype=np.float64).var(axis=0).sum()))
        return spread if self.scale == "modality" and spread > 0 else 1.0

    def _ranks(self, data: Modalities) -> tuple[int, dict[str, int]]:
        if self.scale not in ("modality", "none"):
            raise ConfigError(f'SharedIndividual needs scale "modality" or "none", got {self.scale!r}.')
        counted = (
            choose_ranks(data, random_state=self.random_state)
            if None in (self.n_shared, self.n_private)
            else None
        )
        n_shared = self.n_shared if self.n_shared is not None else counted.n_shared  # type: ignore[union-attr]
        if self.n_private is None:
            assert counted is not None
            left = {name: counted.n_private[name] + counted.n_shared - n_shared for name in data.names}
            return n_shared, {name: max(0, number) for name, number in left.items()}
        if isinstance(self.n_private, Mapping):
            wrong = sorted(set(self.n_private) ^ set(data.names))
            if wrong:
                raise ModalityError(
                    f"n_private needs one number for each of {list(data.names)}, got {dict(self.n_private)}.{suggest(wrong[0], data.names)}"
                )
            return n_shared, dict(self.n_private)
        return n_shared, dict.fromkeys(data.names, self.n_private)

    def _check_ranks(self, data: Modalities, n_shared: int, n_private: Mapping[str, int]) -> None:
        if n_shared < 0 or min(n_private.values()) < 0 or not n_shared + max(n_private.values()):
            raise ModalityError(
                f"SharedIndividual needs some factors, got n_shared={n_shared} and n_private={dict(n_private)}. "
                "Where they were counted (None), none is more than chance: give the numbers."
            )
        for name, private in n_private.items():
            rows, features = int(data[name].present.sum()), data[name].shape[0]
            if n_shared + private > min(rows - 1, features):
                raise ModalityError(
                    f"SharedIndividual needs n_shared + n_private <= features and < rows; modality {name!r} has {features} features on "
                    f"{rows} rows, got {n_shared} + {private}. Lower n_shared, or give n_private as a number for each modality."
                )


def _column(values: np.ndarray, present: np.ndarray) -> Modality:
    return Modality(values, np.where(present, np.arange(len(values)), -1))


def _shares(part: Decomposition) -> Shares:
    pieces = [float((x**2).sum()) for x in (part.shared, part.private, part.residual)]
    whole = part.shared + part.private + part.residual
    total = float((whole**2).sum())
    if total <= 1e-24 * len(whole) * float((part.mean**2).sum()):
        return Shares(0.0, 0.0, 0.0)  # nothing but the rounding of the mean
    return Shares(pieces[0] / total, pieces[1] / total, pieces[2] / total)
