"""The compiler's wrapper."""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled


def test_a_compiled_function_gives_what_the_plain_one_does() -> None:
    def total(x):
        out = 0.0
        for value in x:
            out += value / 2
        return out

    x = np.arange(5.0)
    assert compiled()(total)(x) == total(x) == 5.0
    assert compiled({"nsz"})(total)(x) == 5.0


def test_where_nothing_can_be_written_kernels_are_compiled_all_the_same(monkeypatch) -> None:
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: (function, options)

    monkeypatch.setattr("numba.njit", njit)
    function, options = compiled({"nsz"})(len)
    assert function is len
    assert options == {"nogil": True, "error_model": "numpy", "fastmath": {"nsz"}}
