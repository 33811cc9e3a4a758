from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.interactions._design_checks import as_numbers, as_response, check_rank, is_separated


def _with_intercept(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x])


def test_separation_is_found_whether_complete_or_not() -> None:
    x = np.array([1.0, 2, 3, 4, 5, 6])
    assert is_separated(_with_intercept(x), np.array([0.0, 0, 0, 1, 1, 1]))
    assert is_separated(
        _with_intercept(np.array([1.0, 2, 3, 3, 5, 6])), np.array([0.0, 0, 0, 1, 1, 1])
    )  # a tie at the border
    assert not is_separated(_with_intercept(x), np.array([0.0, 0, 1, 0, 1, 1]))


def test_separation_does_not_depend_on_the_unit() -> None:
    x = np.array([1.0, 2, 3, 4, 5, 6])
    for scale in (1e-6, 1e6):
        assert is_separated(_with_intercept(scale * x), np.array([0.0, 0, 0, 1, 1, 1]))
        assert not is_separated(_with_intercept(scale * x), np.array([0.0, 1, 0, 1, 0, 1]))


def test_a_cell_of_a_table_with_one_class_separates() -> None:
    a, b = np.tile([0.0, 1, 0, 1], 10), np.tile([0.0, 0, 1, 1], 10)
    y = np.where((a == 1) & (b == 1), 1.0, np.arange(40) // 4 % 2)
    assert is_separated(np.column_stack([np.ones(40), a, b, a * b]), y)
    assert not is_separated(np.column_stack([np.ones(40), a, b]), np.arange(40) // 4 % 2)


def test_what_the_checks_say() -> None:
    names = ("a", "b", "y")
    x = np.arange(6.0)
    with pytest.raises(ModalityError, match="'a' and 'b' say the same"):
        check_rank(_with_intercept(np.column_stack([x, 1 - 2 * x])), names)
    check_rank(_with_intercept(np.column_stack([x, x**2])), names)
    with pytest.raises(ModalityError, match="'a' is constant"):
        as_numbers("a", np.ones(4))
    codes, event = as_response("y", np.array(["no", "yes", "no"]), "logistic")
    assert (codes.tolist(), event) == ([0, 1, 0], "yes")
