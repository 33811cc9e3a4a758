"""The taxonomy of responses on a measured scale: contrasts of means, tests against a margin, and the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float
from polymodal.evaluation.intervals import Interval

DRAWS = 2000
Zone = Literal["same", "more", "less", "unclear"]


@dataclass(frozen=True)
class Decision:
    """Label, what is known of redundancy, shares of labels over resamples, effects, reason and margin."""

    label: str
    redundant: bool | None
    probabilities: dict[str, float]
    effects: dict[str, Interval]
    why: str
    margin: float


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of condition means, its standard error and its degrees of freedom (Welch, Satterthwaite)."""

    estimate: float
    error: float
    df: float

    def zone(self, margin: float, level: float) -> Zone:
        """Within the margin, beyond it to one side, or neither can be shown (one-sided tests at 1 - level)."""
        low, high = self.interval(2 * level - 1)
        if -margin <= low and high <= margin:
            return "same"
        return "more" if low > margin else "less" if high < -margin else "unclear"

    def interval(self, level: float) -> tuple[float, float]:
        """Of Student's law."""
        from scipy import stats

        width = float(stats.t.ppf((1 + level) / 2, self.df)) * self.error
        return self.estimate - width, self.estimate + width


def classify_measurements(
    conditions: Mapping[str, Any], margin: float | None, level: float, rng: np.random.Generator
) -> Decision:
    """Decide by tests; resample replicates within conditions for the shares of labels."""
    samples = {name: _sample(name, values) for name, values in conditions.items()}
    if margin is None:
        spread = sum(float(((x - x.mean()) ** 2).sum()) for x in samples.values())
        margin = 0.5 * float(np.sqrt(spread / sum(len(x) - 1 for x in samples.values())))
    a, b, _ = list(samples)[:3]
    contrasts = _contrasts(samples, a, b)
    label, redundant, why = _decide(contrasts, margin, level, (a, b))
    means = {name: x[rng.integers(len(x), size=(DRAWS, len(x)))].mean(axis=1) for name, x in samples.items()}
    base = means.get("neither", np.zeros(DRAWS))
    rows = np.stack([means[a] - base, means[b] - base, means["both"] - base], axis=1)
    labels, counts = np.unique([best_label(x, y, z, margin) for x, y, z in rows.tolist()], return_counts=True)
    shares = {str(name): float(count) / DRAWS for name, count in zip(labels, counts, strict=True)}
    effects = {name: Interval(c.estimate, *c.interval(level), level) for name, c in contrasts.items()}
    return Decision(label, redundant, shares, effects, why, margin)


def best_label(alpha: float, beta: float, gamma: float, margin: float) -> str:
    """The label that effects of this size have, known exactly."""
    if abs(alpha - beta) <= margin:
        reference = (alpha + beta) / 2
        if abs(reference) <= margin:
            return "no response" if abs(gamma) <= margin else "emergence"
        gain = (gamma - reference) * np.sign(reference)
        return "equivalence" if abs(gain) <= margin else "enhancement" if gain > 0 else "depression"
    signs = {np.sign(effect) for effect in (alpha, beta) if abs(effect) > margin}
    if abs(gamma) > margin and np.sign(gamma) not in signs:
        return "emergence"
    distances = {"dominance": min(abs(gamma - alpha), abs(gamma - beta))}
    if min(abs(alpha), abs(beta)) > margin:
        distances["independence"] = abs(gamma - alpha - beta)
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] <= margin else "modulation"


def _contrasts(samples: Mapping[str, np.ndarray], a: str, b: str) -> dict[str, Contrast]:
    has = "neither" in samples
    base = {"neither": -1.0} if has else {}
    less = " - neither" if has else ""
    weights: dict[str, dict[str, float]] = {
        f"{a}{less}": {a: 1.0, **base},
        f"{b}{less}": {b: 1.0, **base},
        f"both{less}": {"both": 1.0, **base},
        f"{a} - {b}": {a: 1.0, b: -1.0},
        f"mean of {a} and {b}{less}": {a: 0.5, b: 0.5, **base},
        f"both - mean of {a} and {b}": {"both": 1.0, a: -0.5, b: -0.5},
        f"both - {a}": {"both": 1.0, a: -1.0},
        f"both - {b}": {"both": 1.0, b: -1.0},
        f"both - sum of {a} and {b}": {"both": 1.0, a: -1.0, b: -1.0, **({"neither": 1.0} if has else {})},
    }
    return {name: _contrast(samples, w) for name, w in weights.items()}


def _contrast(samples: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Contrast:
    estimate = sum(w * float(samples[name].mean()) for name, w in weights.items())
    parts = [
        (w**2 * float(samples[name].var(ddof=1)) / len(samples[name]), len(samples[name]) - 1)
        for name, w in weights.items()
    ]
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / df for part, df in parts)
    return Contrast(estimate, float(np.sqrt(variance)), variance**2 / spread if spread > 0 else float("inf"))


def _decide(
    contrasts: Mapping[str, Contrast], margin: float, level: float, names: tuple[str, str]
) -> tuple[str, bool | None, str]:
    zones = [contrast.zone(margin, level) for contrast in contrasts.values()]
    alpha, beta, gamma, difference, reference, gain, over_a, over_b, over_sum = zones
    a, b = names
    if difference == "unclear":
        return (
            "undecided",
            None,
            f"whether {a} and {b} alone get the same response (within {margin:.3g}) is not clear",
        )
    if difference == "same":
        return _decide_redundant(reference, gamma, gain, margin, names)
    signs = {alpha, beta} & {"more", "less"}
    if gamma in ("more", "less") and gamma not in signs:
        if "unclear" in (alpha, beta):
            return "undecided", False, f"whether {a} or {b} alone gets any response is not clear"
        return "emergence", False, f"the response to both has a sign that those to {a} and {b} have not"
    candidates = {f"that to {a}": over_a, f"that to {b}": over_b}
    if "same" not in (alpha, beta):
        candidates["the sum of both"] = over_sum
    same = [what for what, zone in candidates.items() if zone == "same"]
    unclear = [what for what, zone in candidates.items() if zone == "unclear"]
    if len(same) + len(unclear) > 1 or unclear:
        return (
            "undecided",
            False,
            f"whether the response to both equals {' or '.join(same + unclear)} is not clear",
        )
    if not same:
        return (
            "modulation",
            False,
            f"the response to both equals neither {' nor '.join(candidates)} (within {margin:.3g})",
        )
    label = "independence" if same[0] == "the sum of both" else "dominance"
    return label, False, f"the response to both equals {same[0]} within {margin:.3g}"


def _decide_redundant(
    reference: Zone, gamma: Zone, gain: Zone, margin: float, names: tuple[str, str]
) -> tuple[str, bool | None, str]:
    a, b = names
    if reference == "unclear":
        return (
            "undecided",
            None,
            f"whether {a} and {b} alone get any response (beyond {margin:.3g}) is not clear",
        )
    if reference == "same":
        if gamma == "unclear":
            return (
                "undecided",
                None,
                f"{a} and {b} alone get no response, and whether both get one is not clear",
            )
        none = gamma == "same"
        return (
            ("no response" if none else "emergence"),
            None if none else False,
            f"{a} and {b} alone get no response beyond {margin:.3g}",
        )
    if gain == "unclear":
        return (
            "undecided",
            True,
            f"whether the response to both is that to {a} and {b} (within {margin:.3g}) is not clear",
        )
    if gain == "same":
        return "equivalence", True, f"all three are the same within {margin:.3g}"
    stronger = gain == reference
    label = "enhancement" if stronger else "depression"
    return label, True, f"{a} and {b} are the same within {margin:.3g}, both differ by more"


def _sample(name: str, values: Any) -> Float[np.ndarray, " n"]:
    x = np.asarray(values)
    if x.dtype.kind not in "biuf" or x.ndim != 1:
        raise ModalityError(
            f"Responses to {name!r} need one number a replicate, got {x.dtype} of shape {x.shape}. Labels: kind='categorical'."
        )
    if len(x) < 2 or not np.isfinite(x).all():
        raise ModalityError(
            f"Responses to {name!r} need at least 2 replicates, all of them numbers; got {x[:5].tolist()}."
        )
    return np.asarray(x, dtype=np.float64)
