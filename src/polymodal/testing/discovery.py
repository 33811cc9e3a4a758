"""The public surface, read off `__all__`: there is no registry."""

from __future__ import annotations

import importlib
import inspect

from polymodal.core.estimator import Estimator

FAMILIES = ("fusion", "coordination", "fission", "encoders")


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
