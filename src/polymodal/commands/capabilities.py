"""The capability table: what each method needs and gives, read off its `requires` and its signature."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from polymodal.core.errors import ConfigError, suggest
from polymodal.core.estimator import Estimator
from polymodal.core.typing import Kind

FAMILIES = ("coordination", "fusion", "fission")


@dataclass(frozen=True)
class Capability:
    """One method.

    Args:
        name: What `fit --method` takes; capitals do not matter.
        family: coordination, fusion or fission.
        summary: Its first line of documentation.
        modalities: Fewest and most modalities; None is no limit.
        kinds: The kinds of value it takes by itself. `fit` turns others into vectors first.
        missing: Whether rows may lack modalities while fitting.
        unpaired: Whether it learns where no row has all modalities.
        target: Whether labels are refused, optional or required.
        trained: Whether it is trained in epochs (takes `training`), or solved in closed form.
        parameters: Name -> default, as written.
    """

    name: str
    family: str
    summary: str
    modalities: tuple[int, int | None]
    kinds: tuple[Kind, ...]
    missing: bool
    unpaired: bool
    target: str
    trained: bool
    parameters: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def list_methods(
    *,
    family: str | None = None,
    kind: str | None = None,
    missing: bool | None = None,
    target: bool | None = None,
) -> list[Capability]:
    """Every public method, those that fit the filters.

    Args:
        family: Only this family.
        kind: Only methods that take this kind of value by themselves.
        missing: Only methods that take rows with missing modalities (or only those that do not).
        target: Only methods that can learn from labels (or only those that cannot).

    Raises:
        ConfigError: a family or kind that does not exist.
    """
    kinds = ("vector", "grid", "sequence", "sound", "text")
    for value, known, what in ((family, FAMILIES, "family"), (kind, kinds, "kind")):
        if value is not None and value not in known:
            raise ConfigError(
                f"There is no {what} {value!r}; there are {list(known)}.{suggest(value, known)}"
            )
    return [
        c
        for c in map(_capability, _methods())
        if (family is None or c.family == family)
        and (kind is None or kind in c.kinds)
        and (missing is None or c.missing == missing)
        and (target is None or (c.target != "none") == target)
    ]


def find_method(name: str) -> type[Estimator]:
    """The class of a method by its name; capitals, hyphens and underscores do not matter.

    Raises:
        ConfigError: no such method; the nearest is suggested.
    """
    known = {_plain(cls.__name__): cls for cls in _methods()}
    if _plain(name) not in known:
        hint = suggest(_plain(name), known)
        nearest = f" Did you mean {known[hint.split(chr(39))[1]].__name__!r}?" if hint else ""
        raise ConfigError(
            f"There is no method {name!r}; there are {[c.__name__ for c in known.values()]}.{nearest}"
        )
    return known[_plain(name)]


def _methods() -> Sequence[type[Estimator]]:
    found: list[type[Estimator]] = []
    for family in FAMILIES:
        package = importlib.import_module(f"polymodal.{family}")
        values = (getattr(package, name) for name in package.__all__)
        found += [
            v for v in values if inspect.isclass(v) and issubclass(v, Estimator) and not inspect.isabstract(v)
        ]
    return found


def _plain(name: str) -> str:
    return name.rsplit(".", 1)[-1].replace("-", "").replace("_", "").lower()


def _capability(cls: type[Estimator]) -> Capability:
    needs = cls.requires
    signature = inspect.signature(cls).parameters
    return Capability(
        name=cls.__name__,
        family=cls.family,
        summary=(inspect.getdoc(cls) or "").splitlines()[0],
        modalities=(needs.min_modalities, needs.max_modalities),
        kinds=tuple(sorted(needs.kinds)),
        missing=needs.missing,
        unpaired=needs.unpaired,
        target=needs.target,
        trained="training" in signature,
        parameters={
            n: "required" if p.default is inspect.Parameter.empty else repr(p.default)
            for n, p in signature.items()
        },
    )
