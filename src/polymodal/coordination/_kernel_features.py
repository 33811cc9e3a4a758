"""Kernels for correlation: their names and widths, and feature maps whose inner products are (nearly) the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.linalg import whitening
from polymodal.core.modalities import Modality
from polymodal.core.moments import Precision
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float
from polymodal.similarity._gram import gram
from polymodal.similarity.kernels import (
    RBF,
    Cosine,
    Euclidean,
    ExponentialDistance,
    ExponentialDot,
    Linear,
    Similarity,
)

KERNEL_NAMES = ("rbf", "linear", "cosine")


# --- kernels --------------------------------------------------------------------------------------------------


def kernel_of(name: str, kernel: Any) -> Similarity | None:
    """The kernel meant for one modality; None stands for an RBF kernel whose width is still to be found.

    Raises:
        ConfigError: anything but a kernel's name or an object with `pairwise`.
    """
    chosen = kernel
    if isinstance(kernel, Mapping):
        if name not in kernel:
            raise ConfigError(
                f"KernelCCA needs a kernel for every modality, got none for {name!r} in {sorted(kernel)}."
                f"{suggest(name, kernel)}"
            )
        chosen = kernel[name]
    if isinstance(chosen, str):
        if chosen not in KERNEL_NAMES:
            more = (
                " A Gram matrix cannot say how new rows compare to old ones: write an object with "
                "pairwise(a, b) instead."
                if chosen == "precomputed"
                else suggest(chosen, KERNEL_NAMES)
            )
            raise ConfigError(
                f"KernelCCA knows the kernels {list(KERNEL_NAMES)} by name, got {chosen!r} for {name!r}.{more}"
            )
        return {"rbf": None, "linear": Linear(), "cosine": Cosine()}[chosen]
    if isinstance(chosen, type) or not isinstance(chosen, Similarity):
        raise ConfigError(
            f"KernelCCA needs a kernel that compares all pairs, such as RBF(2.0) or Polynomial(2) of polymodal.similarity, "
            f"got {chosen!r} for {name!r}. Wrap a function of two arrays in an object with pairwise(a, b)."
        )
    return chosen


def check_positive(name: str, kernel: Similarity, K: Float[np.ndarray, "n n"]) -> None:
    """Refuse a kernel whose (centred) Gram matrix has a negative eigenvalue; looks at 200 rows.

    Raises:
        ConfigError: it has one.
    """
    values = np.linalg.eigvalsh(K[:200, :200])
    if values[0] < -1e-7 * max(values[-1], 0.0):
        raise ConfigError(
            f"KernelCCA needs a positive semi-definite kernel, but {kernel!r} has an eigenvalue of {values[0]:.2g} "
            f"(largest {values[-1]:.2g}) on rows of {name!r}. Take RBF, Linear, Cosine or a Polynomial with offset >= 0."
        )


# --- feature maps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RandomFourierFeatures:
    r"""$\phi(x) = m^{-1/2} (\cos F'x, \sin F'x)$: inner products approach a kernel of x - y as the features grow.

    Args:
        frequencies: F, (d, m), drawn from the kernel's spectral density; gives 2 m features.

    Relations:
        * |phi(x)| = 1.
        * phi(x)'phi(y) is an unbiased estimate of the kernel, with a standard error of at most 1 / sqrt(m).

    References:
        Rahimi and Recht 2007. Sutherland and Schneider 2015 (why cosine and sine).
    """

    frequencies: Float[np.ndarray, "d m"]

    @classmethod
    def draw(
        cls, kernel: Similarity, n_inputs: int, n_features: int, *, random_state: RandomState = None
    ) -> RandomFourierFeatures:
        """Frequencies for `RBF` (normal) or `ExponentialDistance` (Cauchy); an odd `n_features` is rounded up.

        Raises:
            ConfigError: a kernel of another kind.
        """
        rng = generator(random_state)
        normal = rng.standard_normal((n_inputs, (n_features + 1) // 2))
        if isinstance(kernel, RBF):
            return cls(normal / kernel.scale)
        if isinstance(kernel, ExponentialDistance):
            tails = np.abs(rng.standard_normal(normal.shape[1]))
            return cls(normal / tails / (2 * kernel.scale**2))
        raise ConfigError(
            f'Random Fourier features exist for RBF and ExponentialDistance, got {kernel!r}. Use method="nystroem".'
        )

    @property
    def n_features(self) -> int:
        """Twice the number of frequencies."""
        return 2 * int(self.frequencies.shape[1])

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Features of rows. O(n d m)."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        angles = np.asarray(x, dtype=dtype) @ self.frequencies.astype(dtype, copy=False)
        m = angles.shape[1]
        out = np.empty((len(angles), 2 * m), dtype=dtype)
        np.cos(angles, out=out[:, :m])
        np.sin(angles, out=out[:, m:])
        out *= dtype(1 / np.sqrt(m))
        return out


@dataclass(frozen=True, eq=False)
class NystroemFeatures:
    r"""$\phi(x) = W'k(L, x)$ with $WW' = k(L, L)^{-1}$: the kernel, projected onto the landmarks L. Exact between landmarks.

    Args:
        kernel: The kernel.
        landmarks: L, (m, d): rows of the data.
        matrix: W, (m, rank); None leaves the kernel values themselves.

    Relations:
        * phi(x)'phi(y) = k(x, y) whenever x or y is a landmark.

    References:
        Williams and Seeger 2000.
    """

    kernel: Similarity
    landmarks: Float[np.ndarray, "m d"]
    matrix: Float[np.ndarray, "m r"] | None = None

    @classmethod
    def at(cls, kernel: Similarity, landmarks: Float[np.ndarray, "m d"]) -> NystroemFeatures:
        """The map at given landmarks; landmarks that repeat are no harm. O(m^3)."""
        landmarks = np.array(landmarks, dtype=np.float64)
        return cls(kernel, landmarks, whitening(gram(kernel, landmarks, landmarks)).matrix)

    @property
    def n_features(self) -> int:
        """The rank of the landmarks' Gram matrix; without W, their number."""
        return int((self.landmarks.T if self.matrix is None else self.matrix).shape[1])

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Features of rows. O(n m (d + rank))."""
        values = gram(self.kernel, x, self.landmarks)
        return values if self.matrix is None else np.asarray(values @ self.matrix)


@dataclass(frozen=True, eq=False)
class MappedStore:
    """A store of features that are computed when rows are asked for: what lets them stream through `moments`."""

    store: Any
    feature_map: RandomFourierFeatures | NystroemFeatures
    precision: Precision = "float64"
    ndim: int = 2

    @property
    def shape(self) -> tuple[int, int]:
        """(values, features)."""
        return len(self.store), self.feature_map.n_features

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, rows: Any) -> Any:
        return self.feature_map(np.asarray(self.store[rows], dtype=self.precision))


def mapped(
    column: Modality,
    feature_map: RandomFourierFeatures | NystroemFeatures,
    precision: Precision = "float64",
) -> Modality:
    """A column of features that are never all in memory."""
    return Modality(MappedStore(column.store, feature_map, precision), column.index)


def has_unbounded_rank(kernel: Similarity) -> bool:
    """Whether the Gram matrix of any distinct rows has full rank: then, without ridge, everything correlates perfectly."""
    return isinstance(kernel, RBF | ExponentialDistance | ExponentialDot | Euclidean)


def check_varies(name: str, spread: float, size: float) -> None:
    """Refuse a modality whose features do not vary.

    Raises:
        ModalityError: their variance is rounding.
    """
    if not spread > 1e-12 * size:
        raise ModalityError(
            f"KernelCCA needs modalities that vary, but all rows of {name!r} look the same to its kernel. Drop it, or take another kernel."
        )
