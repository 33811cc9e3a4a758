"""TOML -> objects. A configuration names public classes and their arguments; it is checked whole before anything is built, and is not code.

[data]
path = "photos"
modalities = { text = ["caption", "tags"] }

[model]
use = "CLIP"                     # a public class of polymodal
n_components = 64
[model.training]                 # the class of a parameter called `training` is known
max_epochs = 5
[model.encoders.image]
use = "ConvEncoder"
width = 24
"""

from __future__ import annotations

import importlib
import inspect
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from polymodal.core.errors import ConfigError, PolymodalError, suggest

PACKAGES = ("fusion", "coordination", "fission", "encoders", "training", "alignment")
"""The packages whose public classes a configuration may name."""
IMPLIED = {"training": "polymodal.training.Training"}
"""Parameters whose class need not be named."""


def read_config(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked.

    Raises:
        ConfigError: no such file, or not TOML, with the line.
    """
    place = Path(path)
    try:
        return tomllib.loads(place.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"The configuration {place} does not exist. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {place} is not TOML: {error}.") from None
    except OSError as error:
        raise ConfigError(f"The configuration {place} cannot be read ({error}).") from None


def build(table: Mapping[str, Any], place: str = "model") -> Any:
    """The object that a table describes.

    Args:
        table: `use` names a public class, the other keys are its arguments; tables within it are objects in turn where they
            have a `use`, and plain mappings otherwise.
        place: The table's name, for messages.

    Raises:
        ConfigError: every problem of the whole table at once: unknown classes and arguments (with the nearest name), missing
            arguments, values of a wrong type, and what the classes themselves refuse.

    Examples:
        >>> build({"use": "CCA", "n_components": 3})
        CCA(n_components=3)
    """
    problems: list[str] = []
    built = _build(table, place, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return built


def find_class(name: str) -> type | None:
    """A public class by its name, `CCA`, or by its place, `polymodal.CCA` or `polymodal.coordination.CCA`."""
    return _classes().get(name.removeprefix("polymodal.").rsplit(".", 1)[-1]) if _is_ours(name) else None


def nearest_class(name: str) -> str:
    """` Did you mean 'CCA'?`, or nothing. Capitals do not matter."""
    short = name.rsplit(".", 1)[-1]
    lower = {known.lower(): known for known in _classes()}
    hint = suggest(short.lower(), lower)
    return "" if not hint else f" Did you mean {lower[hint.split(chr(39))[1]]!r}?"


def _is_ours(name: str) -> bool:
    parts = name.split(".")
    if len(parts) == 1:
        return True
    return parts[0] == "polymodal" and (len(parts) == 2 or (len(parts) == 3 and parts[1] in PACKAGES))


def _classes() -> dict[str, type]:
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(f"polymodal.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and not inspect.isabstract(value):
                found[name] = value
    return found


def _build(table: Mapping[str, Any], place: str, problems: list[str]) -> Any:
    name = table.get("use")
    if not isinstance(name, str):
        problems.append(
            f'[{place}] needs use = "CLASS", the name of a public class such as "CLIP", got {name!r}.'
        )
        return None
    cls = find_class(name)
    if cls is None:
        problems.append(f"[{place}] use = {name!r} is not a public class of polymodal.{nearest_class(name)}")
        return None
    before = len(problems)
    known = inspect.signature(cls).parameters
    hints = _hints(cls)
    arguments = {}
    for key, value in table.items():
        if key == "use":
            continue
        if key not in known:
            problems.append(
                f"[{place}] {cls.__name__} has no argument {key!r}; it has {list(known)}.{suggest(key, known)}"
            )
            continue
        arguments[key] = _value(key, value, f"{place}.{key}", problems)
        if key in hints and not isinstance(value, Mapping) and not _fits(arguments[key], hints[key]):
            problems.append(f"[{place}] {key} needs {_wording(hints[key])}, got {value!r}.")
    empty = inspect.Parameter.empty
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    lacking = [
        k for k, p in known.items() if p.default is empty and p.kind not in variable and k not in table
    ]
    if lacking:
        problems.append(f"[{place}] {cls.__name__} needs {lacking} as well.")
    if len(problems) > before:
        return None
    try:
        return cls(**arguments)
    except PolymodalError as error:
        problems.append(f"[{place}] {error}")
        return None


def _value(key: str, value: Any, place: str, problems: list[str]) -> Any:
    if isinstance(value, Mapping):
        if key in IMPLIED and "use" not in value:
            return _build({"use": IMPLIED[key], **value}, place, problems)
        if "use" in value:
            return _build(value, place, problems)
        return {k: _value(k, v, f"{place}.{k}", problems) for k, v in value.items()}
    return value


# --- types ----------------------------------------------------------------------------------------------------


def _hints(cls: type) -> dict[str, Any]:
    """Types of the arguments, where they can be known without importing more."""
    try:
        return typing.get_type_hints(cls.__init__)
    except (NameError, TypeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a TOML value can be of this type; true where the type says more than TOML could."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if origin is Literal:
        return value in typing.get_args(hint)
    if hint in (int, float, str, bool):
        if isinstance(value, bool):
            return hint is bool
        return isinstance(value, int | float) if hint is float else isinstance(value, hint)
    if hint is type(None):
        return value is None
    if origin in (list, tuple, set, frozenset) or (inspect.isclass(origin) and issubclass(origin, Mapping)):
        return (
            isinstance(value, Mapping)
            if inspect.isclass(origin) and issubclass(origin, Mapping)
            else isinstance(value, list)
        )
    plain = isinstance(value, int | float | str | bool | list)
    return not (plain and inspect.isclass(hint) and hint is not object)


def _wording(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_wording(part) for part in typing.get_args(hint) if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))
