"""The best linear prediction of one modality from the components of others, whichever of them a row has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.linalg import whitening
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float


def coefficients(
    S_zz: Float[np.ndarray, "k k"], S_zx: Float[np.ndarray, "k d"], *, n_rows: int | None = None
) -> Float[np.ndarray, "k d"]:
    r"""Least squares $B = S_{zz}^+ S_{zx}$ of x on z.

    Args:
        S_zz: Covariance of the predictors, perhaps singular.
        S_zx: Their covariance with what is predicted.
        n_rows: The fewest rows behind an entry of S_zz, where its entries come from different rows. Directions of z whose variance is below
            the error that this makes, sqrt(k / n_rows) of the predictors' own, then count as zero: dividing by it would be dividing by
            chance.

    Relations:
        * as n_rows grows, ordinary least squares.
    """
    if n_rows is None:
        W = whitening(S_zz).matrix
        return np.asarray(W @ (W.T @ S_zx))
    spread = np.sqrt(np.diag(S_zz))
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    values, vectors = np.linalg.eigh(S_zz * inverse * inverse[:, None])
    kept = values > np.sqrt(len(values) / max(n_rows, 1))
    kept[-1] = values[-1] > 0
    W = vectors[:, kept] / np.sqrt(values[kept]) * inverse[:, None]
    return np.asarray(W @ (W.T @ S_zx))


def predict_rows(
    components: Modalities,
    target: str,
    mean: Float[np.ndarray, " d"],
    coefficients_of: Callable[[Sequence[str]], Mapping[str, np.ndarray]],
) -> Float[np.ndarray, "n d"]:
    """Mean + sum of components @ coefficients, where each row takes the coefficients of the sources that it has.

    Args:
        components: What `transform` gave; the target's own are not used.
        target: The modality that is predicted.
        mean: Its mean.
        coefficients_of: Sources -> for each of them its (k, d) coefficients; asked once for each set of sources that occurs.

    Raises:
        ModalityError: a row that has no source.
    """
    sources = [name for name in components.names if name != target]
    out = np.repeat(mean[None], len(components), axis=0)
    present = np.stack([components[name].present for name in sources], axis=1)
    nothing = ~present.any(axis=1)
    if nothing.any():
        ids = components.ids[nothing][:3].tolist()
        raise ModalityError(
            f"Predicting {target!r} needs at least one of {sources} on every row; {int(nothing.sum())} of {len(components)} rows have "
            f"none (ids {ids}). Drop those rows."
        )
    patterns, pattern_of_row = np.unique(present, axis=0, return_inverse=True)
    for p, pattern in enumerate(patterns):
        rows = np.flatnonzero(pattern_of_row.ravel() == p)
        having = [name for name, has in zip(sources, pattern, strict=True) if has]
        for name, B in coefficients_of(having).items():
            column = components[name]
            out[rows] += column.store[column.index[rows]] @ B
    return out


def check_target_name(target: str, given: Sequence[str], fitted: Sequence[str]) -> None:
    """Raise unless `target` was fitted and `given` holds another modality to predict it from."""
    if target not in fitted:
        raise ModalityError(
            f"Unknown target {target!r}; fitted on {list(fitted)}.{suggest(target, list(fitted))}"
        )
    if not any(name != target for name in given):
        raise ModalityError(
            f"Predicting {target!r} needs another of {list(fitted)} in the data, got {list(given)}."
        )
