"""How `polymodal align` is told to align."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polymodal.core.errors import ConfigError

WORD_MODELS: Mapping[str, tuple[str, str]] = {
    "hmm": ("hmm_words", "HMMWordAligner"),
    "ibm1": ("ibm", "IBM1"),
    "ibm2": ("ibm", "IBM2"),
}
NORMALISE = ("each", "both", "none")
FEW_PAIRS = 100


@dataclass(frozen=True)
class AlignSettings:
    """How to align.

    Args:
        parameters: Of the method, by name: metric, step, gamma, n_components, ...
        window: How far a path may stray from the straight line between the corners: frames of b ("50"), or seconds ("0.5s").
        normalise: "each": every feature of a, and of b, has mean 0 and deviation 1 (the bands of recordings one deviation for all).
            "both": the same over a and b together, which keeps a difference between them. "none". None is "each".
        rule: For texts: how both directions are joined, see `symmetrise`; "forward": one direction alone.
        train: Two files of sentence pairs to learn words from, besides a and b.
        tolerance: What counts as right against a truth: seconds (frames where there is no rate) for time warping, frames otherwise.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    window: str | None = None
    normalise: str | None = None
    rule: str = "grow-diag-final-and"
    train: tuple[str | Path, str | Path] | None = None
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.normalise is not None and self.normalise not in NORMALISE:
            raise ConfigError(f"--normalise is one of {list(NORMALISE)}, got {self.normalise!r}.")
        if not self.tolerance >= 0:
            raise ConfigError(f"--tolerance is at least 0, got {self.tolerance:g}.")
