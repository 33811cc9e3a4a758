"""Names first, modules when they are used: what keeps `import polymodal` under half a second."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def attach(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package whose public names load on first use.

    Args:
        package: The package's `__name__`.
        names: Public name -> the module below (or beside) `package` that defines it; `""` after the dot
            of a relative path means the package itself.

    Relations:
        * the names a package declares are the names `from package import *` gives (tested).
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{names[name]}"), name)

    def __dir__() -> list[str]:  # noqa: N807
        return sorted(names)

    return __getattr__, __dir__, sorted(names)
