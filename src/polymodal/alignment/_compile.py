"""How the package's loops are compiled: once, at first use, kept on disk where that can be written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any


def compiled(fastmath: Iterable[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: numba's compiler, free of the interpreter's lock, with numpy's errors.

    Args:
        fastmath: What the compiler may assume, of LLVM's flags ("nsz", "contract", "reassoc", ...).
    """
    import numba

    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}

    def decorate(function: Callable[..., Any]) -> Any:
        bare = inspect.unwrap(
            function
        )  # without a check of shapes wrapped around every function, as under test
        try:
            return numba.njit(cache=True, **options)(bare)
        except RuntimeError:  # neither the package's folder nor the user's can be written
            return numba.njit(**options)(bare)

    return decorate
