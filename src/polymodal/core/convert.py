"""What users hold -> (store, index). The only place that knows about other libraries' containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.files import Files
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts

NaNPolicy = Literal["raise", "missing"]
LARGEST = 1e100
"""Numbers beyond are refused: their products would leave float64, and a result would be silently not a number."""
_BLOCK = 1 << 22  # numbers looked at together when searching for NaN: keeps the mask small for memory maps


def as_column(name: str, values: Any, nan: NaNPolicy = "raise") -> tuple[Any, np.ndarray]:
    """Turn what a user holds into a store and an index.

    Numbers of shape (n,) become (n, 1) vectors. A list of equally long 1-d arrays is n vectors, of equally
    shaped arrays with more axes n grids; arrays whose first axis differs are a `Ragged`.
    """
    values = _from_other_libraries(values)
    if isinstance(values, Ragged | Texts | Files):
        if isinstance(values, Ragged):
            _refuse_non_finite(name, values.values)
        return values, np.arange(len(values))
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise ModalityError(
            f"Modality {name!r} needs one value per row (an array or a list), got {type(values).__name__}."
        )
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return _from_array(name, values, nan)
    if isinstance(values, np.ndarray) and values.dtype.kind in "Mmc":
        raise ModalityError(
            f"Modality {name!r} needs numbers, texts or files, got an array of {values.dtype}. Convert it first."
        )
    return _from_list(name, list(values), nan)


def _from_array(name: str, values: np.ndarray, nan: NaNPolicy) -> tuple[np.ndarray, np.ndarray]:
    if values.ndim == 0:
        raise ModalityError(f"Modality {name!r} needs one value per row, got a single number.")
    if values.ndim == 1:
        values = values[:, None]
    if 0 in values.shape[1:]:
        raise ModalityError(f"Modality {name!r} needs at least one feature, got shape {values.shape}.")
    index = np.arange(len(values))
    bad = _rows_not_finite(values)
    if not bad.any():
        return values, index
    infinite = _rows_not_finite(values[bad], only_infinite=True)
    if nan == "missing" and not infinite.any():
        return values, np.where(bad, -1, index)
    what = f"infinite values (or beyond {LARGEST:g})" if infinite.any() else "NaN"
    mend = (
        "Remove or clip them, or choose another unit."
        if infinite.any()
        else ('If those rows lack this modality say Modalities(..., nan="missing"); otherwise impute them.')
    )
    rows = np.flatnonzero(bad)
    raise ModalityError(
        f"Modality {name!r} needs finite numbers, got {what} in {len(rows)} of {len(values)} rows (first: {rows[:3].tolist()}). {mend}"
    )


def _from_list(name: str, values: list[Any], nan: NaNPolicy) -> tuple[Any, np.ndarray]:
    present = np.array([not _is_none(v) for v in values], dtype=bool)
    kept = [v for v in values if not _is_none(v)]
    index = np.where(present, np.cumsum(present) - 1, -1).astype(np.int64)
    if not kept:
        return np.empty((0, 1)), index
    if all(isinstance(v, str) for v in kept):
        return Texts(kept), index
    if all(isinstance(v, Path) for v in kept):
        return Files(kept), index
    kinds = {"text" if isinstance(v, str) else "path" if isinstance(v, Path) else "number" for v in kept}
    if len(kinds) > 1:
        raise ModalityError(
            f"Modality {name!r} needs values of one kind, got {sorted(kinds)} mixed in one list."
        )
    store, inner = _stack(name, kept, nan)
    return store, np.where(index >= 0, inner[np.maximum(index, 0)], -1)


def _stack(name: str, kept: Sequence[Any], nan: NaNPolicy) -> tuple[Any, np.ndarray]:
    try:
        arrays = [np.asarray(v) for v in kept]
    except ValueError as error:
        raise ModalityError(
            f"Modality {name!r} needs numbers, texts or paths in each row ({error})."
        ) from None
    wrong = next((a for a in arrays if a.dtype.kind not in "biuf"), None)
    if wrong is not None:
        raise ModalityError(
            f"Modality {name!r} needs numbers, texts or paths in each row, got {str(wrong)[:60]!r}."
        )
    if len({a.shape for a in arrays}) == 1:
        return _from_array(name, np.stack(arrays), nan)
    if len({a.ndim for a in arrays}) > 1 or len({a.shape[1:] for a in arrays}) > 1:
        shapes = sorted({a.shape for a in arrays})[:4]
        raise ModalityError(
            f"Modality {name!r} needs values whose shapes agree but for the first axis, got {shapes}."
        )
    ragged = Ragged.of(arrays)
    _refuse_non_finite(name, ragged.values)
    return ragged, np.arange(len(arrays))


def _is_none(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
    )


def _rows_not_finite(values: np.ndarray, *, only_infinite: bool = False) -> np.ndarray:
    if values.dtype.kind != "f":
        return np.zeros(len(values), dtype=bool)
    step = max(1, _BLOCK // max(1, int(np.prod(values.shape[1:]))))
    axes = tuple(range(1, values.ndim))
    largest = min(LARGEST, float(np.finfo(values.dtype).max))
    blocks = [values[i : i + step] for i in range(0, len(values), step)]

    def test(block: np.ndarray) -> np.ndarray:
        size = np.abs(block)
        wrong: np.ndarray = (
            size > largest if only_infinite else ~(size <= largest)
        )  # NaN is not below anything
        return wrong

    return np.concatenate([test(block).any(axis=axes) for block in blocks] or [np.zeros(0, dtype=bool)])


def _refuse_non_finite(name: str, steps: np.ndarray) -> None:
    bad = _rows_not_finite(steps.reshape(len(steps), -1)) if steps.size else np.zeros(0, dtype=bool)
    if bad.any():
        raise ModalityError(
            f"Modality {name!r} needs finite numbers, got NaN or infinity in {int(bad.sum())} of its {len(steps)} steps. "
            "Cut or interpolate those steps; put None for a sequence that is missing."
        )


def _from_other_libraries(values: Any) -> Any:
    """By what they can do, not by import: pandas, Arrow, torch, memory maps."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise ModalityError(
            "Sparse matrices are not a store yet. Use .toarray(), or TruncatedSVD to make them small."
        )
    module = type(values).__module__.split(".")[0]
    if module == "pyarrow":
        return _from_arrow(values)
    if module == "pandas":
        frame = values.to_numpy()
        return (
            list(frame)
            if frame.dtype == object and frame.ndim == 1
            else frame
            if frame.dtype != object
            else values.to_numpy(dtype=float)
        )
    if module == "torch":
        return values.detach().cpu().numpy()
    return values


def _from_arrow(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return Texts(column) if not column.null_count else column.to_pylist()
    if pa.types.is_nested(column.type) or column.null_count:
        return [None if v is None else v if isinstance(v, str) else np.asarray(v) for v in column.to_pylist()]
    return column.to_numpy()
