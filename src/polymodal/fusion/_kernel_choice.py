"""Which kernels a modality gets: names, kernel objects, lists and labelled mappings of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.typing import Float
from polymodal.similarity._gram import median_width
from polymodal.similarity.kernels import RBF, Cosine, Linear, Polynomial, Similarity

KERNEL_NAMES = ("rbf", "linear", "polynomial", "cosine", "precomputed")
WIDTH_ROWS = 1000  # whose median distance is the width of an RBF kernel
SYMMETRY = 1e-6  # largest asymmetry, against the largest entry: the rounding of float32
POSITIVITY = 1e-6  # most negative eigenvalue that passes, against the trace


@dataclass(frozen=True)
class MedianRBF:
    """An RBF kernel whose width is a multiple of the median distance between training rows. Several make a range of widths.

    Args:
        factor: Width over median distance, > 0. Below 1 more local, above 1 smoother.

    Relations:
        * factor=1 is the kernel "rbf".
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ConfigError(f"MedianRBF needs factor > 0, got {self.factor}.")


def kernel_choices(name: str, kernels: Any) -> dict[str, Any]:
    """Label -> kernel name, `MedianRBF` or kernel object, of one modality.

    Raises:
        ConfigError: anything else, no kernel, or "precomputed" beside others.
    """
    chosen = kernels
    if isinstance(kernels, Mapping):
        if name not in kernels:
            raise ConfigError(
                f"MultipleKernelFusion needs kernels for every modality, got none for {name!r} in {sorted(kernels)}."
                f"{suggest(name, kernels)}"
            )
        chosen = kernels[name]
    if chosen is None:
        chosen = "rbf"
    if isinstance(chosen, Mapping):
        labelled = {str(label): kernel for label, kernel in chosen.items()}
    else:
        several = list(chosen) if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]
        labelled = _label(several)
    for kernel in labelled.values():
        _check_choice(name, kernel)
    if not labelled or ("precomputed" in labelled.values() and len(labelled) > 1):
        raise ConfigError(
            f'MultipleKernelFusion needs one or more kernels of vectors, or "precomputed" alone, for {name!r}; got {list(labelled)}.'
        )
    return labelled


def settle(choice: Any, values: Float[np.ndarray, "u d"], rng: np.random.Generator) -> Similarity:
    """The kernel itself, with the width or gain that depends on the training values."""
    if isinstance(choice, str | MedianRBF):
        if choice == "rbf" or isinstance(choice, MedianRBF):
            factor = choice.factor if isinstance(choice, MedianRBF) else 1.0
            some = values if len(values) <= WIDTH_ROWS else values[rng.choice(len(values), WIDTH_ROWS, False)]
            return RBF(factor * (median_width(some) or 1.0))
        if choice == "polynomial":
            return Polynomial(3, gain=1 / values.shape[1])
        return {"linear": Linear(), "cosine": Cosine()}[choice]
    kernel: Similarity = choice
    return kernel


def check_precomputed(name: str, store: Any) -> None:
    """Refuse what is no Gram matrix of the stored values.

    Raises:
        ModalityError: it is not square, or not symmetric.
    """
    shape = np.shape(store)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ModalityError(
            f"A precomputed kernel of modality {name!r} needs a square matrix with a row and a column per stored value, got {shape}. "
            "Give the whole matrix and choose rows with data[rows]: the columns of those rows are found by themselves."
        )
    K = np.asarray(store, dtype=np.float64)
    gap, size = float(np.abs(K - K.T).max(initial=0.0)), float(np.abs(K).max(initial=0.0))
    if gap > SYMMETRY * size:
        raise ModalityError(
            f"A precomputed kernel of modality {name!r} needs k(i, j) = k(j, i), but entries differ by up to {gap:.3g} "
            f"(largest {size:.3g}). Give (K + K.T) / 2 if that is what you mean."
        )


def check_positive(name: str, label: str, centred: Float[np.ndarray, "u u"]) -> None:
    """Refuse a kernel whose centred Gram matrix has a negative eigenvalue beyond rounding. O(u^3 / 3), by Cholesky.

    Raises:
        ModalityError: it has one.
    """
    shift = POSITIVITY * float(np.trace(centred))
    try:
        np.linalg.cholesky(centred + (shift + 1e-300) * np.eye(len(centred)))
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(centred)[0]
        raise ModalityError(
            f"Kernel {label!r} of modality {name!r} must be positive semi-definite, but its centred Gram matrix has an eigenvalue of "
            f"{lowest:.3g} (trace {np.trace(centred):.3g}). Cut its negative eigenvalues, or take another kernel."
        ) from None


def _label(kernels: Sequence[Any]) -> dict[str, Any]:
    labelled: dict[str, Any] = {}
    for kernel in kernels:
        plain = kernel if isinstance(kernel, str) else repr(kernel)
        if " at 0x" in plain:
            plain = type(kernel).__name__
        label, count = plain, 1
        while label in labelled:
            count += 1
            label = f"{plain} ({count})"
        labelled[label] = kernel
    return labelled


def _check_choice(name: str, kernel: Any) -> None:
    if isinstance(kernel, str):
        if kernel not in KERNEL_NAMES:
            raise ConfigError(
                f"MultipleKernelFusion knows the kernels {list(KERNEL_NAMES)} by name, got {kernel!r} for {name!r}."
                f"{suggest(kernel, KERNEL_NAMES)}"
            )
    elif isinstance(kernel, type) or not isinstance(kernel, Similarity | MedianRBF):
        raise ConfigError(
            f"MultipleKernelFusion needs kernels such as MedianRBF(0.5), RBF(2.0) or Polynomial(2) of polymodal.similarity, got "
            f"{kernel!r} for {name!r}. Wrap a function of two arrays in an object with pairwise(a, b)."
        )
