"""What two modalities say of a target: redundancy, what is unique to each, synergy. `BROJA`, `Imin` and `MMI` define the redundancy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Num
from polymodal.information.answer import Decomposition, Unit, per_unit
from polymodal.information.counts import codes_of, table_of
from polymodal.information.resampling import Resampling
from polymodal.information.tables import checked, joint_entropy, mutual

_PROMISED_GAP = 1e-6


@runtime_checkable
class Redundancy(Protocol):
    """A definition of redundancy; the other parts follow from it."""

    def redundancy(self, table: Any) -> tuple[float, float]:
        """Redundancy in nats, and how far the optimum may be below or above it."""


@dataclass(frozen=True)
class Parts:
    """Nats: (redundancy, unique to the first, unique to the second, synergy, total), and the gap."""

    values: Float[np.ndarray, " 5"]
    gap: float


@runtime_checkable
class Reduction(Protocol):
    """Turns modalities that are no labels into a decomposition: `Clustered`, `Predicted`."""

    def study(self, a: Any, b: Any, y: Any, rng: np.random.Generator) -> tuple[Parts, Callable[[Any], Parts]]:
        """The parts, and a function that gives those of some of the rows, for intervals."""


@dataclass(frozen=True)
class BROJA:
    r"""Redundancy is what the pairs (X1, Y) and (X2, Y) alone force the sources to share (Bertschinger, Rauh, Olbrich, Jost, Ay).

    $$ R = I(X_1; Y) + I(X_2; Y) - \min_{q} I_q(X_1, X_2; Y), \quad q(x_1, y) = p(x_1, y),\ q(x_2, y) = p(x_2, y) $$

    A convex programme, solved on its dual with a certified gap: all parts are within `gap` of the optimum, and none is
    negative.

    Args:
        tol: The gap at which to stop, in nats.

    Warns:
        ConvergenceWarning: the gap stayed above 1e-6 nats, which happens where conditional probabilities of 1e-9 stand beside large ones.

    Relations:
        * swapping the sources swaps the unique parts.
        * unique to X1 is 0 when Y - X2 - X1 (X1 is a blurred X2).
        * R is at most MMI's, and I_min's is at most MMI's too.

    References: Bertschinger et al. 2014; Makkeh, Theis and Vicente 2018 (the programme as a cone programme).

    Complexity:
        O(((I + J) K)^3) a Newton step, some 10 to 40 steps; 30 x 30 x 4 in .03 s.
    """

    tol: float = 1e-8

    def redundancy(self, table: Float[np.ndarray, "i j k"]) -> tuple[float, float]:
        """Redundancy in nats and the certified gap."""
        from polymodal.information._broja import least_joint_information, value_of

        a, b = table.sum(1), table.sum(0)
        one, other = mutual(a), mutual(b)
        seen = table.sum((0, 1)) > 0
        a, b = a[a.sum(1) > 0][:, seen], b[b.sum(1) > 0][:, seen]
        found = least_joint_information(a, b, tol=self.tol)
        h_y = joint_entropy(a.sum(0))
        # p itself has the marginals, and the optimum is never above I1 + I2 nor below either: all true bounds
        joint = max(min(h_y + found.value, h_y + value_of(table), one + other), one, other)
        if found.gap > _PROMISED_GAP:
            warnings.warn(
                f"BROJA stopped at a gap of {found.gap:.1e} nats; the parts are certain to that.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return one + other - joint, found.gap


@dataclass(frozen=True)
class Imin:
    r"""Williams and Beer 2010: $R = \sum_y p(y) \min_i \sum_{x_i} p(x_i|y) \log \frac{p(y|x_i)}{p(y)}$.

    It compares how much each source says of each outcome, not what it says: two independent bits that are copied into Y count as one
    bit of redundancy.

    Relations:
        * COPY: 1 bit redundant, 1 bit synergistic, where BROJA finds two unique bits.
        * at most `MMI`'s redundancy.
    """

    def redundancy(self, table: Float[np.ndarray, "i j k"]) -> tuple[float, float]:
        """Redundancy in nats."""
        specific = np.minimum(_specific(table.sum(1)), _specific(table.sum(0)))
        return float(table.sum((0, 1)) @ specific), 0.0


@dataclass(frozen=True)
class MMI:
    r"""The smaller mutual information: $R = \min_i I(X_i; Y)$. The largest redundancy any of these definitions can give.

    The weaker source never has anything of its own. For normal numbers with one target it equals BROJA (Barrett 2015).

    Relations:
        * one of the unique parts is 0.
    """

    def redundancy(self, table: Float[np.ndarray, "i j k"]) -> tuple[float, float]:
        """Redundancy in nats."""
        return min(mutual(table.sum(1)), mutual(table.sum(0))), 0.0


def decompose_table(
    table: Num[np.ndarray, "i j k"],
    method: Redundancy | None = None,
    *,
    names: tuple[str, str] = ("first", "second"),
    unit: Unit = "nats",
) -> Decomposition:
    r"""Decompose I(Y; X1, X2) of given probabilities p(x1, x2, y).

    $$ R + U_1 = I(X_1; Y), \quad R + U_2 = I(X_2; Y), \quad R + U_1 + U_2 + S = I(X_1, X_2; Y) $$

    Args:
        table: Joint probabilities, the target on the last axis.
        method: `BROJA()` (None), `Imin()` or `MMI()`.
        names: Of the two sources.
        unit: "nats" or "bits".

    Raises:
        ModalityError: negative probabilities, a sum that is not one, or equal names.

    Relations:
        * AND: .311, 0, 0, .5 bits. XOR: 0, 0, 0, 1. COPY: 0, 1, 1, 0 (BROJA). RDN: 1, 0, 0, 0.
    """
    chosen = BROJA() if method is None else method
    return _answer(parts_of(checked(table), chosen), names, unit, str(chosen))


def decompose(
    sources: Mapping[str, Any] | Modalities,
    y: Any,
    method: Redundancy | Reduction | None = None,
    *,
    unit: Unit = "nats",
    interval: Resampling | None = None,
    random_state: RandomState = 0,
) -> Decomposition:
    """Decompose what two modalities say of a label into redundancy, unique parts and synergy, from samples.

    Args:
        sources: Two modalities. Rows that lack either are left out.
        y: (n,) one label a row.
        method: For modalities that are labels `BROJA()` (None), `Imin()`, `MMI()`, on shares of rows, which find a little of
            everything by chance; for vectors `Clustered()` or `Predicted()`, which take that out.
        unit: "nats" or "bits".
        interval: `Subsampling()` or `Bootstrap()`; None: no intervals. That of a part whose truth is at its border, 0, is too narrow.
        random_state: Seed.

    Raises:
        ModalityError: not two modalities, another number of labels than rows, a label or modality whose every row differs.

    Relations:
        * one class: all parts are 0.
        * identical modalities: all is redundant.
        * modalities in another order: the same parts by name.
    """
    names, (a, b), target = _rows(sources, y)
    chosen = BROJA() if method is None else method
    rng = generator(random_state)
    study = (
        _labels_study(a, b, target, chosen, names)
        if isinstance(chosen, Redundancy)
        else chosen.study(a, b, target, rng)
    )
    parts, again = study
    found: dict[str, tuple[float, float]] = {}
    if interval is not None:
        ends = interval.around(parts.values, lambda rows: again(rows).values, len(target), rng)
        scale = per_unit(unit)
        keys = ("redundancy", *names, "synergy", "total")
        found = {key: (low / scale, high / scale) for key, (low, high) in zip(keys, ends, strict=True)}
    level = np.nan if interval is None else interval.level
    return _answer(parts, names, unit, str(chosen), found, level, len(target))


def parts_of(table: Float[np.ndarray, "i j k"], method: Redundancy) -> Parts:
    """The five numbers of a checked table, in nats."""
    redundancy, gap = method.redundancy(table)
    one, other = mutual(table.sum(1)), mutual(table.sum(0))
    total = mutual(table.reshape(-1, table.shape[2]))
    return Parts(parts_from(redundancy, one, other, total), gap)


def parts_from(redundancy: float, one: float, other: float, total: float) -> Float[np.ndarray, " 5"]:
    """All parts from the redundancy and three mutual informations; the consistency equations hold by construction."""
    return np.array(
        [redundancy, one - redundancy, other - redundancy, total - one - other + redundancy, total]
    )


def _labels_study(
    a: np.ndarray, b: np.ndarray, y: np.ndarray, method: Redundancy, names: tuple[str, str]
) -> tuple[Parts, Callable[[Any], Parts]]:
    codes = [codes_of(column) for column in (a, b, y)]
    for name, column in zip((*names, "y"), codes, strict=True):
        if len(column) > 2 and column.max() + 1 == len(column):
            raise ModalityError(
                f"{type(method).__name__} needs values of {name!r} that repeat, but all {len(column)} rows differ. "
                "Use Clustered() or Predicted()."
            )

    def again(rows: Any) -> Parts:
        return parts_of(table_of(*(column[rows] for column in codes)), method)

    return again(slice(None)), again


def _rows(sources: Any, y: Any) -> tuple[tuple[str, str], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The two names in alphabetical order, the values of complete rows, and their labels."""
    data = Modalities.of(sources)
    if len(data.names) != 2:
        raise ModalityError(
            f"decompose needs two modalities, got {len(data.names)}: {list(data.names)}. Choose with data.select(a, b)."
        )
    target = np.asarray(y)
    if target.shape != (len(data),):
        raise ModalityError(f"decompose needs one label a row: {len(data)}, got y of shape {target.shape}.")
    names = sorted(data.names)
    kept = np.logical_and(*(data.present[name] for name in names))
    if kept.sum() < 2:
        raise ModalityError(
            f"decompose needs two rows that have both {names[0]!r} and {names[1]!r}, got {kept.sum()}."
        )
    part = data[np.flatnonzero(kept)]
    columns = []
    for name in names:
        modality = part[name]
        if modality.kind not in ("vector", "grid", "text"):
            raise ModalityError(
                f"decompose needs vectors or labels, but {name!r} is a {modality.kind}. Encode it first."
            )
        values = modality.values()
        columns.append(np.asarray(list(values) if modality.kind == "text" else values).reshape(len(part), -1))
    return (names[0], names[1]), (columns[0], columns[1]), target[kept]


def _specific(pair: np.ndarray) -> np.ndarray:
    """sum_x p(x|y) log p(y|x)/p(y) for each y; 0 for a y that does not occur."""
    p_x, p_y = pair.sum(1, keepdims=True), pair.sum(0, keepdims=True)
    product = p_x * p_y
    ratio = np.divide(pair, product, out=np.ones_like(pair), where=pair > 0)
    weighted = (pair * np.log(ratio)).sum(0)
    return np.asarray(np.divide(weighted, p_y[0], out=np.zeros_like(weighted), where=p_y[0] > 0))


def _answer(
    parts: Parts,
    names: tuple[str, str],
    unit: Unit,
    method: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    level: float = np.nan,
    n: int = 0,
) -> Decomposition:
    if names[0] == names[1] or {"redundancy", "synergy", "total"} & set(names):
        raise ModalityError(
            f"The sources need two names of their own, other than those of the parts; got {names}."
        )
    redundancy, first, second, synergy, total = (parts.values / per_unit(unit)).tolist()
    return Decomposition(
        redundancy,
        {names[0]: first, names[1]: second},
        synergy,
        total,
        unit,
        method,
        parts.gap / per_unit(unit),
        dict(intervals or {}),
        float(level),
        n,
    )
