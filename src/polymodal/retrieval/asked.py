"""What people ask with: one value or several, paths or arrays, as a batch of values of one modality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.estimator import Spec
from polymodal.core.files import Files, ImageReader


def as_batch(value: Any, spec: Spec) -> Any:
    """One value becomes a batch of one; a batch stays."""
    if isinstance(value, str | Path):
        return [value] if spec.kind == "text" else _paths([value], spec)
    if (
        isinstance(value, Sequence)
        and value
        and all(isinstance(v, str | Path) for v in value)
        and spec.kind != "text"
    ):
        return _paths(value, spec)
    if isinstance(value, np.ndarray | list) and spec.kind in ("vector", "grid", "sequence", "sound"):
        single = {"vector": 1, "sequence": 2, "sound": 1, "grid": max(2, len(spec.shape))}[spec.kind]
        axes = np.ndim(value) if isinstance(value, np.ndarray) or not _ragged(value) else 0
        if axes == single and (spec.kind != "vector" or spec.shape != (1,) or len(value) == 1):
            return [np.asarray(value)]
    return value


def _paths(paths: Sequence[str | Path], spec: Spec) -> Any:
    """Files to be read; pictures at the size that the model was fitted on."""
    if spec.kind == "grid" and len(spec.shape) == 3 and spec.shape[2] == 3:
        return Files(paths, ImageReader((spec.shape[0], spec.shape[1])))
    return [Path(path) for path in paths]


def _ragged(values: list[Any]) -> bool:
    """A list of arrays, of values that may be missing, or of unequal lengths: a batch."""
    return (
        any(v is None or isinstance(v, np.ndarray) for v in values) or len({np.shape(v) for v in values}) > 1
    )
