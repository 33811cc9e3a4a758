"""`Training`: every option of the loop in one object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polymodal.core.errors import ConfigError


@dataclass(frozen=True)
class Training:
    """How a learned method is trained; passed as `training=Training(...)`.

    Args:
        max_epochs: Passes over the rows.
        batch_size: Rows of one step, over all processes together. An epoch is cut into steps of nearly equal size, at
            most this, so no row is dropped and no step is tiny.
        chunk_size: Rows of one process that are encoded at once, or None for the whole step. The gradient is still that of
            the whole step, for one more pass forward: for steps that do not fit in memory. Methods that compare rows only.
        learning_rate: Largest step size of AdamW.
        weight_decay: Decay of AdamW, on matrices and kernels only (no bias, no normalisation).
        warmup: Share of all steps in which the learning rate rises from 0, in [0, 1).
        schedule: After the warm-up: "cosine" falls to 0, "constant" stays.
        clip_norm: Largest norm of the gradient, or None.
        validation: Share of the rows held out to measure the loss on, in [0, 1). Rows that share a value stay together.
        patience: Epochs without a better validation loss before training stops; the best weights come back. Needs `validation`.
        precision: "auto" is bfloat16 on a CUDA device that has it, otherwise float32.
        device: "auto" (CUDA, then Apple's MPS, then the CPU), or a name torch knows, such as "cuda:1".
        checkpoint: Folder for checkpoints; if it holds one of the same training, that one is continued, exactly.
        checkpoint_every: Epochs between checkpoints.
        progress: Whether to show a bar on the standard error stream; None does on a terminal only.

    Raises:
        ConfigError: an option out of range, by name.
    """

    max_epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float | None = 1.0
    validation: float = 0.0
    patience: int | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    checkpoint: str | Path | None = None
    checkpoint_every: int = 1
    progress: bool | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        problems = [p for p in (*self._whole_numbers(), *self._ranges(), *self._names()) if p]
        if problems:
            raise ConfigError("Training needs " + "; and ".join(problems) + ".")

    def _whole_numbers(self) -> list[str]:
        found = {
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "checkpoint_every": self.checkpoint_every,
        }
        found |= {
            name: value
            for name, value in {"patience": self.patience, "chunk_size": self.chunk_size}.items()
            if value is not None
        }
        return [
            f"{name} to be a whole number of at least 1, got {v!r}"
            for name, v in found.items()
            if not _is_count(v)
        ]

    def _ranges(self) -> list[str]:
        found = []
        if not _is_number(self.learning_rate) or self.learning_rate <= 0:
            found.append(f"learning_rate > 0, got {self.learning_rate!r} (1e-3 is a good start)")
        if not _is_number(self.weight_decay) or self.weight_decay < 0:
            found.append(f"weight_decay >= 0, got {self.weight_decay!r}")
        for name, share in {"warmup": self.warmup, "validation": self.validation}.items():
            if not _is_number(share) or not 0 <= share < 1:
                found.append(f"{name} to be a share in [0, 1), got {share!r}")
        if self.clip_norm is not None and (not _is_number(self.clip_norm) or self.clip_norm <= 0):
            found.append(f"clip_norm > 0 or None, got {self.clip_norm!r}")
        if self.patience is not None and self.validation == 0:
            found.append(
                "validation > 0 when patience is given (patience counts epochs without a better validation loss)"
            )
        return found

    def _names(self) -> list[str]:
        choices: dict[str, tuple[Any, tuple[str, ...]]] = {
            "schedule": (self.schedule, ("cosine", "constant")),
            "precision": (self.precision, ("auto", "float32", "bfloat16")),
        }
        return [
            f"{name} to be one of {list(allowed)}, got {v!r}"
            for name, (v, allowed) in choices.items()
            if v not in allowed
        ]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
