"""What the functions of this package answer: `Information` and `Decomposition`, and how nats become bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polymodal.core.errors import ModalityError

Unit = Literal["nats", "bits"]
Bound = Literal["exact", "estimate", "lower", "upper"]


def per_unit(unit: str) -> float:
    """How many nats one `unit` has: 1, or ln 2.

    Raises:
        ModalityError: another unit.
    """
    if unit not in ("nats", "bits"):
        raise ModalityError(f"unit needs to be 'nats' or 'bits', got {unit!r}.")
    return 1.0 if unit == "nats" else math.log(2)


@dataclass(frozen=True)
class Information:
    """One quantity of information, in the unit it names.

    Args:
        value: The estimate.
        unit: "nats" or "bits".
        quantity: What was asked: "entropy", "mutual information", ...
        method: How it was found.
        bound: "exact" (computed from given probabilities), "estimate", or on which side of the truth the method lies on
            average: "lower" or "upper".
        low: Lower end of the interval; NaN where none was asked, `value` where it is exact.
        high: Upper end.
        level: Share of intervals that should hold the truth; NaN where there is none.
        limit: What this method can never exceed on this input (log of the batch for InfoNCE, the smaller entropy for
            counts); infinite where there is no such limit.
        n: Rows used; 0 for given probabilities.

    Attributes:
        nats: The value in nats.
        bits: The value in bits.
    """

    value: float
    unit: Unit
    quantity: str
    method: str
    bound: Bound = "estimate"
    low: float = math.nan
    high: float = math.nan
    level: float = math.nan
    limit: float = math.inf
    n: int = 0

    @property
    def nats(self) -> float:
        """The value in nats."""
        return self.value * per_unit(self.unit)

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.nats / math.log(2)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        sign = {"lower": ">= ", "upper": "<= "}.get(self.bound, "")
        between = "" if math.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]"
        limit = "" if math.isinf(self.limit) else f", never above {self.limit:.3f}"
        return f"{self.quantity} {sign}{self.value:.3f} {self.unit}{between} ({self.method}{limit})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None where a number does not exist."""
        return {key: _plain(getattr(self, key)) for key in self.__dataclass_fields__}


@dataclass(frozen=True)
class Decomposition:
    """What two sources say of a target: both (redundancy), one alone (unique), only together (synergy).

    Redundancy + unique = the source's own mutual information with the target, and all four add up to `total`; both hold
    by construction, to rounding.

    Args:
        redundancy: What either source says.
        unique: Name -> what only this source says.
        synergy: What only both together say.
        total: I(target; both sources).
        unit: "nats" or "bits".
        method: How it was found.
        gap: BROJA: each part is at most this far from the optimum, which the dual certifies; 0 for closed forms. It says
            nothing of sampling error.
        intervals: Part ("redundancy", "synergy", "total", or a source's name) -> (low, high); empty where none was asked.
        level: Level of the intervals; NaN where there are none.
        n: Rows used; 0 for given probabilities.

    Relations:
        * redundancy + unique[name] = I(target; name).
        * redundancy + sum of unique + synergy = total.
    """

    redundancy: float
    unique: Mapping[str, float]
    synergy: float
    total: float
    unit: Unit
    method: str
    gap: float = 0.0
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    level: float = math.nan
    n: int = 0

    @property
    def parts(self) -> dict[str, float]:
        """Name of each of the four parts -> its value."""
        return {
            "redundancy": self.redundancy,
            **{f"unique {name}": value for name, value in self.unique.items()},
            "synergy": self.synergy,
        }

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in self.parts.items())
        return f"{parts}; total {self.total:.3f} {self.unit} ({self.method})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = {key: _plain(getattr(self, key)) for key in self.__dataclass_fields__}
        return found | {
            "unique": dict(self.unique),
            "intervals": {k: list(v) for k, v in self.intervals.items()},
        }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
