"""The public surface, read off `__all__`: there is no registry."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from polymodal.core.estimator import Estimator

SKINS = ("cli", "web")  # they have no public names: people call them otherwise

FAMILIES = ("fusion", "coordination", "fission", "encoders")


def public_packages() -> tuple[str, ...]:
    """The packages below `polymodal` that have public names, in alphabetical order."""
    found = (
        module.name
        for module in pkgutil.iter_modules(importlib.import_module("polymodal").__path__)
        if module.ispkg
    )
    return tuple(sorted(name for name in found if name not in SKINS))


def public_estimators() -> list[type[Estimator]]:
    """Every public estimator class, by family and name."""
    found: list[type[Estimator]] = []
    for package in FAMILIES:
        module = importlib.import_module(f"polymodal.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, Estimator) and not inspect.isabstract(value):
                found.append(value)
    return found
