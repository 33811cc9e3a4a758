"""Similarities between vectors. Each is a small object: called on (n, d) and (n, d) it compares row by row, `pairwise` compares all.

Larger always means more alike. numpy arrays give numpy arrays; torch tensors give tensors on their device, with gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.typing import Num


@runtime_checkable
class Similarity(Protocol):
    """g(z_a, z_b)."""

    def __call__(self, a: Num[Any, "n d"], b: Num[Any, "n_b d_b"]) -> Num[Any, " n"]:
        """Row i of a with row i of b."""

    def pairwise(self, a: Num[Any, "n d"], b: Num[Any, "m d_b"]) -> Num[Any, "n m"]:
        """Every row of a with every row of b."""


class _OfInner(ABC):
    """A function of the inner product."""

    @abstractmethod
    def _of(self, inner: Any) -> Any:
        """Similarity of an inner product."""

    def __call__(self, a: Num[Any, "n d"], b: Num[Any, "n_b d_b"]) -> Num[Any, " n"]:
        """Row i of a with row i of b."""
        a, b = _alike(a, b, rows=True)
        return self._of((a * b).sum(-1))

    def pairwise(self, a: Num[Any, "n d"], b: Num[Any, "m d_b"]) -> Num[Any, "n m"]:
        """Every row of a with every row of b."""
        a, b = _alike(a, b, rows=False)
        return self._of(a @ b.T)


class _OfDistance(ABC):
    """A function of the Euclidean distance."""

    @abstractmethod
    def _of(self, distance: Any) -> Any:
        """Similarity of a distance."""

    def __call__(self, a: Num[Any, "n d"], b: Num[Any, "n_b d_b"]) -> Num[Any, " n"]:
        """Row i of a with row i of b."""
        a, b = _alike(a, b, rows=True)
        return self._of(_norm(a - b))

    def pairwise(self, a: Num[Any, "n d"], b: Num[Any, "m d_b"]) -> Num[Any, "n m"]:
        """Every row of a with every row of b. O(n m d), by differences: exact also between near neighbours."""
        a, b = _alike(a, b, rows=False)
        if _is_torch(a):
            import torch

            return self._of(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"))
        from scipy.spatial.distance import cdist

        return self._of(cdist(a, b))


@dataclass(frozen=True)
class Cosine(_OfInner):
    r"""Cosine of the angle, $\langle a, b \rangle / (\|a\| \|b\|)$, within -1..1. A zero vector has cosine 0 with everything.

    Args:
        centre: Subtract each vector's own mean first: the cosine is then Pearson's correlation of the two vectors.

    Relations:
        * unchanged when either vector is multiplied by a positive number.
        * centre=True equals `numpy.corrcoef` of the two vectors.
    """

    centre: bool = False

    def _of(self, inner: Any) -> Any:
        return inner

    def __call__(self, a: Num[Any, "n d"], b: Num[Any, "n_b d_b"]) -> Num[Any, " n"]:
        """Row i of a with row i of b."""
        return super().__call__(self._unit(a), self._unit(b))

    def pairwise(self, a: Num[Any, "n d"], b: Num[Any, "m d_b"]) -> Num[Any, "n m"]:
        """Every row of a with every row of b."""
        return super().pairwise(self._unit(a), self._unit(b))

    def _unit(self, x: Any) -> Any:
        x = _floating(x)
        if self.centre:
            x = x - x.mean(-1)[:, None]
        norm = _norm(x)[:, None]
        return x / (norm + (norm == 0))


@dataclass(frozen=True)
class Linear(_OfInner):
    r"""Inner product $\langle a, b \rangle$.

    Relations:
        * equals `Cosine` on vectors of length 1, and `Polynomial(degree=1, offset=0)`.
    """

    def _of(self, inner: Any) -> Any:
        return inner


@dataclass(frozen=True)
class Polynomial(_OfInner):
    r"""$(\gamma \langle a, b \rangle + c)^p$.

    Args:
        degree: p >= 1.
        gain: gamma > 0.
        offset: c >= 0; 0 leaves only products of exactly p features.

    Relations:
        * degree 2, offset 0: the inner product of all pairwise products of features.
    """

    degree: int = 3
    gain: float = 1.0
    offset: float = 1.0

    def __post_init__(self) -> None:
        if self.degree < 1 or self.gain <= 0 or self.offset < 0:
            raise ConfigError(f"Polynomial needs degree >= 1, gain > 0 and offset >= 0, got {self}.")

    def _of(self, inner: Any) -> Any:
        return (self.gain * inner + self.offset) ** self.degree


@dataclass(frozen=True)
class ExponentialDot(_OfInner):
    r"""$\exp(\langle a, b \rangle / s)$: the "exponential kernel" of the inner product, as in a softmax.

    Args:
        scale: s > 0.

    Relations:
        * on vectors of length 1 equals `RBF(sqrt(s))` times e^(1/s).
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def _of(self, inner: Any) -> Any:
        return _exp(inner / self.scale)


@dataclass(frozen=True)
class ExponentialDistance(_OfDistance):
    r"""$\exp(-\|a - b\| / (2 \sigma^2))$: the "exponential kernel" of the distance, within 0..1; the distance is not squared.

    Args:
        scale: sigma > 0.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def _of(self, distance: Any) -> Any:
        return _exp(-distance / (2 * self.scale**2))


@dataclass(frozen=True)
class RBF(_OfDistance):
    r"""$\exp(-\|a - b\|^2 / (2 \sigma^2))$, within 0..1.

    Args:
        scale: sigma > 0. (scikit-learn's gamma is 1 / (2 sigma^2).)

    Relations:
        * all pairs of one set: a positive definite matrix with ones on its diagonal.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_scale(self)

    def _of(self, distance: Any) -> Any:
        return _exp(-(distance**2) / (2 * self.scale**2))


@dataclass(frozen=True)
class Euclidean(_OfDistance):
    r"""Negative Euclidean distance $-\|a - b\|$, at most 0, so that larger means more alike here too.

    Relations:
        * on vectors of length 1: -sqrt(2 - 2 cosine), hence the same ranking.
    """

    def _of(self, distance: Any) -> Any:
        return -distance


def _is_torch(x: Any) -> bool:
    return type(x).__module__.split(".")[0] == "torch"


def _floating(x: Any) -> Any:
    if _is_torch(x):
        return x if x.is_floating_point() else x.double()
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _alike(a: Any, b: Any, *, rows: bool) -> tuple[Any, Any]:
    a, b = _floating(a), _floating(b)
    if a.shape[-1] != b.shape[-1] or (rows and len(a) != len(b)):
        need = "as many rows and features" if rows else "as many features"
        raise ModalityError(
            f"A similarity needs {need} on both sides, got shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    return a, b


def _norm(x: Any) -> Any:
    if _is_torch(x):
        import torch

        return torch.linalg.vector_norm(x, dim=-1)  # its gradient at 0 is 0, not NaN
    return np.linalg.norm(x, axis=-1)


def _exp(x: Any) -> Any:
    return x.exp() if _is_torch(x) else np.exp(x)


def _check_scale(kernel: Any) -> None:
    if not kernel.scale > 0:
        raise ConfigError(f"{type(kernel).__name__} needs scale > 0, got {kernel.scale}.")
