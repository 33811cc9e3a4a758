"""The problems: mutual information and entropy of samples. The methods are objects given to them, the answer is `Information`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Shaped
from polymodal.information.answer import Bound, Information, Unit, per_unit
from polymodal.information.resampling import Bootstrap, Resampling, Subsampling


@dataclass(frozen=True)
class Estimate:
    """What a method returns, in nats: see `Information`."""

    nats: float
    bound: Bound = "estimate"
    limit: float = np.inf


@runtime_checkable
class MutualInformationMethod(Protocol):
    """How `mutual_information` is estimated: `Gaussian`, `KSG`, `Ross`, `Plugin`, or a learned one of `polymodal.interactions`."""

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """I(x; y), or I(x; y | given) where `given` is not None."""


@runtime_checkable
class EntropyMethod(Protocol):
    """How `entropy` is estimated: `Plugin`, `Gaussian` or `KozachenkoLeonenko`."""

    def entropy(self, x: Any, rng: np.random.Generator) -> Estimate:
        """H(x), or the differential entropy h(x)."""


def mutual_information(
    x: Shaped[np.ndarray, "..."],
    y: Shaped[np.ndarray, "..."],
    method: MutualInformationMethod,
    *,
    given: Shaped[np.ndarray, "..."] | None = None,
    unit: Unit = "nats",
    interval: Resampling | None = None,
    random_state: RandomState = 0,
) -> Information:
    r"""How much x says about y: $I(x; y) = KL(p(x, y)\,\|\,p(x)\, p(y))$, from samples.

    Args:
        x: (n,) or (n, d): one row a sample. Labels may be texts for `Plugin`.
        y: (n,) or (n, d_y), row by row with x.
        method: `Plugin()` for labels, `Gaussian()`, `KSG()` for numbers, `Ross()` for numbers and one label; or one that learns.
        given: (n,) or (n, d_z): what is known already; the answer is then I(x; y | given).
        unit: "nats" or "bits".
        interval: `Bootstrap()` or `Subsampling()`; None: no interval.
        random_state: Seed of the interval, and of methods that draw.

    Returns:
        The value, its unit, the method, on which side of the truth it lies and what it can never exceed. Estimates are not cut
        at zero: of independent modalities they scatter around it.

    Raises:
        ModalityError: fewer than two rows, different numbers of rows, NaN; a method that cannot do what was asked.

    Relations:
        * symmetric in x and y: `Plugin`, `Gaussian`, `KSG`.
        * equals H(x) + H(y) - H(x, y): `Plugin`, `Gaussian`.

    References: Cover and Thomas 2006, chapters 2 and 8.
    """
    columns = _columns({"x": x, "y": y} | ({} if given is None else {"given": given}))
    _refuse_bootstrap(method, interval)
    rng = generator(random_state)
    found = method.mutual_information(columns["x"], columns["y"], columns.get("given"), rng)
    quantity = "mutual information" if given is None else "conditional mutual information"

    def again(rows: np.ndarray) -> float:
        part = {name: column[rows] for name, column in columns.items()}
        return method.mutual_information(part["x"], part["y"], part.get("given"), rng).nats

    return _answer(found, quantity, method, unit, interval, len(columns["x"]), again, rng)


def entropy(
    x: Shaped[np.ndarray, "..."],
    method: EntropyMethod,
    *,
    unit: Unit = "nats",
    interval: Resampling | None = None,
    random_state: RandomState = 0,
) -> Information:
    r"""How uncertain x is, from samples: $H = -\sum p \log p$ of labels, $h = -\int p \log p$ of numbers.

    The differential entropy h of numbers depends on their unit of measurement and may be negative.

    Args:
        x: (n,) or (n, d): one row a sample.
        method: `Plugin()` for labels; `Gaussian()` or `KozachenkoLeonenko()` for numbers.
        unit: "nats" or "bits".
        interval: `Bootstrap()` or `Subsampling()`; None: no interval.
        random_state: Seed.

    Raises:
        ModalityError: fewer than two rows, NaN, or a method that cannot do what was asked.

    Relations:
        * numbers times c: h grows by d log |c|.
    """
    column = _columns({"x": x})["x"]
    _refuse_bootstrap(method, interval)
    rng = generator(random_state)
    found = method.entropy(column, rng)
    return _answer(
        found,
        "entropy",
        method,
        unit,
        interval,
        len(column),
        lambda rows: method.entropy(column[rows], rng).nats,
        rng,
    )


def conditional_entropy(
    x: Shaped[np.ndarray, "..."],
    given: Shaped[np.ndarray, "..."],
    method: EntropyMethod,
    *,
    unit: Unit = "nats",
    interval: Resampling | None = None,
    random_state: RandomState = 0,
) -> Information:
    r"""What remains uncertain of x when `given` is known: $H(x | z) = H(x, z) - H(z)$, from samples.

    Of labels it is at least zero. Of numbers (differential) it **may be negative**: knowing z may narrow x down to less than
    one unit of measurement.

    Args:
        x: (n,) or (n, d).
        given: (n,) or (n, d_z).
        method: `Plugin()`, `Gaussian()` or `KozachenkoLeonenko()`.
        unit: "nats" or "bits".
        interval: `Bootstrap()` or `Subsampling()`; None: no interval.
        random_state: Seed.

    Raises:
        ModalityError: fewer than two rows, different numbers of rows, NaN.

    Relations:
        * chain rule: H(x, z) = H(z) + H(x | z).
    """
    columns = _columns({"x": x, "given": given})
    _refuse_bootstrap(method, interval)
    rng = generator(random_state)

    def again(rows: np.ndarray) -> float:
        z = columns["given"][rows]
        return method.entropy(together(columns["x"][rows], z), rng).nats - method.entropy(z, rng).nats

    n = len(columns["x"])
    return _answer(
        Estimate(again(np.arange(n))), "conditional entropy", method, unit, interval, n, again, rng
    )


def together(*columns: np.ndarray) -> np.ndarray:
    """(n, d) of several (n, d_i)."""
    return np.concatenate(columns, axis=1)


def _answer(
    found: Estimate,
    quantity: str,
    method: object,
    unit: Unit,
    interval: Resampling | None,
    n: int,
    again: Any,
    rng: np.random.Generator,
) -> Information:
    scale = per_unit(unit)
    low = high = level = np.nan
    if interval is not None:
        (low, high), level = interval.around(np.array([found.nats]), again, n, rng)[0], interval.level
    return Information(
        found.nats / scale,
        unit,
        quantity,
        str(method),
        found.bound,
        low / scale,
        high / scale,
        level,
        found.limit / scale,
        n,
    )


def _columns(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """(n, d) each, checked."""
    found = {}
    for name, value in values.items():
        column = np.asarray(value)
        if column.ndim == 0 or len(column) < 2:
            raise ModalityError(f"{name} needs at least two rows, got shape {column.shape}.")
        column = column.reshape(len(column), -1)
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise ModalityError(
                f"{name} needs finite numbers, got NaN or infinity. Leave out the rows that lack it."
            )
        found[name] = column
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise ModalityError(f"Samples need one row each in {list(lengths)}, got {lengths}.")
    return found


def _refuse_bootstrap(method: object, interval: Resampling | None) -> None:
    if isinstance(interval, Bootstrap) and getattr(method, "needs_distinct_rows", False):
        raise ModalityError(
            f"{type(method).__name__} measures distances to neighbours, and a bootstrap repeats rows, whose distance is 0. "
            f"Use {Subsampling.__name__}()."
        )
