"""Gram matrices of several kernels over the same rows, of which some lack a modality; and the functions that they span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Int
from polymodal.fusion._kernel_choice import check_positive
from polymodal.similarity._gram import gram
from polymodal.similarity.kernels import Similarity

Normalise = Literal["variance", "cosine", "none"]
KEPT_BYTES = 2**30  # Gram matrices are kept up to here; beyond, each is computed whenever it is needed
NO_SPREAD = 1e-12  # a variance below this share of the mean square is rounding


@dataclass(frozen=True, eq=False)
class Member:
    """One kernel of one modality over the training rows.

    Args:
        modality: The modality's name.
        label: The kernel's.
        kernel: The kernel; None: precomputed.
        values: Distinct values (u, d); of a precomputed kernel, its matrix (u, u).
        index: Which value each training row uses; -1: none.
    """

    modality: str
    label: str
    kernel: Similarity | None
    values: Float[np.ndarray, "u d"]
    index: Int[np.ndarray, " n"]

    @property
    def shares(self) -> Float[np.ndarray, " u"]:
        """Share of the rows that have this modality which use each value."""
        counts = np.bincount(self.index[self.index >= 0], minlength=len(self.values))
        return np.asarray(counts / counts.sum())


@dataclass(frozen=True, eq=False)
class Centre:
    """What makes new kernel values those of the training rows: the mean feature vector, and the unit of length.

    Args:
        means: Mean kernel value of each training value with the rows that have the modality.
        mean: Mean of those.
        scale: Squared length that becomes 1; 0 where the kernel does not vary.
    """

    means: Float[np.ndarray, " u"]
    mean: float
    scale: float


def kernel_values(
    member: Member, a: Float[np.ndarray, "n d"], normalise: Normalise
) -> Float[np.ndarray, "n u"]:
    """Between other values and those of the member, not centred. Of a precomputed kernel `a` holds them."""
    return between(member.kernel, a, member.values, normalise, np.arange(len(member.values)))


def between(
    kernel: Similarity | None,
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "m d2"],
    normalise: Normalise,
    columns: Int[np.ndarray, " m"],
) -> Float[np.ndarray, "n m"]:
    """k(a, b), or its cosine. Of a precomputed kernel `a` holds it, at `columns`."""
    if kernel is None:
        return np.asarray(a[:, columns], dtype=np.float64)
    K = gram(kernel, a, b)
    if normalise == "cosine":
        K *= _reciprocal_length(kernel, a)[:, None] * _reciprocal_length(kernel, b)
    return K


def _reciprocal_length(kernel: Similarity, a: np.ndarray) -> np.ndarray:
    squares = np.asarray(kernel(a, a), dtype=np.float64)
    return np.divide(1.0, np.sqrt(np.maximum(squares, 0)), out=np.zeros_like(squares), where=squares > 0)


class Grams:
    r"""The centred Gram matrices $\bar K_m$ (n, n), one after the other: kept where they fit, else computed when asked for.

    $\bar k(x, z) = \langle \phi(x) - \mu, \phi(z) - \mu \rangle / s$ with the mean feature vector $\mu$ of the rows that have the
    modality, and s their variance where `normalise` is "variance". A row without the modality counts as $\mu$: its row and column are 0.

    Args:
        members: The kernels.
        normalise: "variance", "cosine" (before centring) or "none".

    Relations:
        * every matrix is positive semi-definite, and its rows sum to 0.
        * "variance": its trace is the number of rows that have the modality.
    """

    def __init__(self, members: Sequence[Member], normalise: Normalise) -> None:
        self.members = list(members)
        self.normalise = normalise
        self._centres: dict[int, Centre] = {}
        self._kept: dict[int, np.ndarray] = {}
        n = len(self.members[0].index)
        self._keep = len(self.members) * 8 * n * n <= KEPT_BYTES

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, place: int) -> np.ndarray:
        """The centred Gram matrix of the member at `place`."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        if place in self._kept:
            return self._kept[place]
        K = self._compute(place)
        if self._keep:
            self._kept[place] = K
        return K

    def centre(self, place: int) -> Centre:
        """What centres and scales new values of the member at `place`."""
        if place not in self._centres:
            self._compute(place)
        return self._centres[place]

    def _compute(self, place: int) -> np.ndarray:
        member = self.members[place]
        K = kernel_values(member, member.values, self.normalise)
        if not np.isfinite(K).all():
            raise ModalityError(
                f"Kernel {member.label!r} of modality {member.modality!r} must be finite, got NaN or infinity. Standardise the modality, "
                "or take another kernel."
            )
        shares = member.shares
        size = float(shares @ np.abs(np.diag(K)))
        means = K @ shares
        mean = float(shares @ means)
        K -= means
        K -= means[:, None] - mean
        K += K.T.copy()  # symmetric to the last bit
        K *= 0.5
        spread = float(shares @ np.diag(K))
        if abs(spread) <= NO_SPREAD * size:
            K[:] = 0.0
            spread = 0.0
        elif place not in self._centres and not type(member.kernel).__module__.startswith("polymodal."):
            check_positive(member.modality, member.label, K)
        scale = spread if self.normalise == "variance" or not spread else 1.0
        self._centres[place] = Centre(means, mean, scale)
        if scale:
            K /= scale
        return _expand(K, member.index)


def _expand(K: np.ndarray, index: np.ndarray) -> np.ndarray:
    """From values to rows; 0 on rows that use none."""
    n, rows = len(index), np.flatnonzero(index >= 0)
    if len(rows) == n:
        return K if np.array_equal(index, np.arange(n)) else K[np.ix_(index, index)]
    out = np.zeros((n, n))
    out[np.ix_(rows, rows)] = K[np.ix_(index[rows], index[rows])]
    return out


@dataclass(frozen=True, eq=False)
class Expansion:
    r"""One modality's part of the decision: $f(x) = \sum_l \big( \sum_i c_{l,i}\, k_l(x, x_i) + b_l \big)$ over its kernels l.

    Args:
        values: The training values that count, (k, d).
        columns: Where they stand among all stored values: the columns of a precomputed kernel.
        kernels: Label -> kernel of weight > 0; None: precomputed.
        coefficients: Label -> c, (k, outputs).
        constants: Label -> b, (outputs,).
    """

    values: Float[np.ndarray, "k d"]
    columns: Int[np.ndarray, " k"]
    kernels: dict[str, Similarity | None] = field(default_factory=dict)
    coefficients: dict[str, np.ndarray] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, a: Float[np.ndarray, "n d"], normalise: Normalise) -> Float[np.ndarray, "n o"]:
        """The part of rows that have the modality."""
        total = np.zeros((len(a), len(next(iter(self.constants.values())))))
        for label, kernel in self.kernels.items():
            K = between(kernel, a, self.values, normalise, self.columns)
            total += K @ self.coefficients[label] + self.constants[label]
        return total


def expand_modality(
    grams: Grams, places: Sequence[int], weights: Float[np.ndarray, " m"], duals: Float[np.ndarray, "n o"]
) -> Expansion | None:
    """The function that the members at `places`, of one modality, contribute; None where all of them have weight 0.

    Centring is multiplied out: with coefficients beta of the values, s their sum and p the values' shares,
    sum_i beta_i kbar(x, x_i) = k(x, .)(beta - s p) - means'beta + s mean. Where every row has the modality s is 0, and only support
    vectors count.
    """
    used = [place for place in places if weights[place] > 0 and grams.centre(place).scale > 0]
    if not used:
        return None
    first = grams.members[used[0]]
    beta = np.zeros((len(first.values), duals.shape[1]))
    has = first.index >= 0
    np.add.at(beta, first.index[has], duals[has])
    total = beta.sum(axis=0)
    total[np.abs(total) <= 1e-9 * np.abs(beta).sum(axis=0)] = 0.0  # rounding would make every row count
    plain = beta - np.outer(first.shares, total)
    kept = np.flatnonzero(np.abs(plain).max(axis=1) > 0)
    values = first.values[kept] if first.kernel is not None else np.zeros((len(kept), 0))
    found = Expansion(values, kept)
    for place in used:
        member, centre = grams.members[place], grams.centre(place)
        unit = weights[place] / centre.scale
        found.kernels[member.label] = member.kernel
        found.coefficients[member.label] = unit * plain[kept]
        found.constants[member.label] = unit * (total * centre.mean - centre.means @ beta)
    return found
