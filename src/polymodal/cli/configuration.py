"""`fit` from a TOML file and options together: the file first, then what was said on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from polymodal.cli.answering import waiting
from polymodal.cli.printing import command
from polymodal.commands.capabilities import find_method, list_methods
from polymodal.commands.fitting import FitResult, HoldOut, fit_model, parameter_table
from polymodal.commands.sources import Source
from polymodal.config import build, read_config
from polymodal.core.errors import ConfigError, suggest

TABLES = ("data", "model", "hold_out", "output")


@dataclass(frozen=True)
class FitRequest:
    """All that `fit` needs, some of it perhaps still missing."""

    source: Source | None = None
    method: str | None = None
    output: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    split: str | None = None
    hold_out: float = 0.0
    group: str | None = None
    complete: bool = False
    overwrite: bool = False

    def run(self) -> FitResult:
        """Fit and save.

        Raises:
            ConfigError: something that is needed was not said.
        """
        if self.source is None or self.method is None or self.output is None:
            lacking = [
                name
                for name, value in (
                    ("DATA", self.source),
                    ("--method", self.method),
                    ("-o MODEL", self.output),
                )
                if value is None
            ]
            said = "DATA" if self.source is None else str(self.source.path)
            methods = f" Methods: {', '.join(c.name for c in list_methods())}." if self.method is None else ""
            raise ConfigError(
                f"fit needs {', '.join(lacking)} as well (or a configuration that says it). For example: "
                f"{command('fit', said, '--method', self.method or 'clip', '-o', self.output or 'model')}.{methods}"
            )
        settings = {**self.settings, **self.training}
        known = inspect.signature(find_method(self.method)).parameters
        if self.seed is not None and "random_state" in known:
            settings.setdefault("random_state", self.seed)
        parameters = parameter_table(self.method, settings)
        arguments: dict[str, Any] = {
            "method": self.method,
            "parameters": parameters,
            "hold_out": HoldOut(self.split, self.hold_out, self.group, self.seed or 0),
            "complete": self.complete,
            "overwrite": self.overwrite,
        }
        if "training" in known:
            return fit_model(self.source, self.output, **arguments)
        with waiting("Fitting"):
            return fit_model(self.source, self.output, **arguments)


def request_from(config: str | None, said: FitRequest) -> FitRequest:
    """The request of a configuration file, with what was said on the command line in place of what the file says.

    Raises:
        ConfigError: every problem of the file at once.
    """
    if config is None:
        return said
    table = read_config(config)
    problems = _unknown(table, TABLES, "the configuration")
    data, model = dict(table.get("data", {})), dict(table.get("model", {}))
    hold_out = dict(table.get("hold_out", {}))
    problems += _unknown(data, [f.name for f in fields(Source)], "[data]")
    problems += _unknown(hold_out, ("split", "share", "group", "seed", "complete"), "[hold_out]")
    try:
        build(model, "model")
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    method = model.pop("use", None)
    if "only" in data:
        data["only"] = tuple(data["only"])
    source = Source(**data) if "path" in data else None
    return replace(
        said,
        source=said.source or source,
        method=said.method or method,
        output=said.output or table.get("output"),
        settings={**model, **said.settings},
        split=said.split or hold_out.get("split"),
        hold_out=said.hold_out or float(hold_out.get("share", 0.0)),
        group=said.group or hold_out.get("group"),
        complete=said.complete or bool(hold_out.get("complete", False)),
    )


def _unknown(table: Mapping[str, Any], known: Any, where: str) -> list[str]:
    return [
        f"{where} has no {key!r}; it takes {list(known)}.{suggest(key, known)}"
        for key in table
        if key not in known
    ]
