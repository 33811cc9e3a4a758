"""The second model of stacking."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.fusion._stacking import centred_logs, stack_classes, stack_quantities


def test_centred_logs_are_zero_for_an_even_answer() -> None:
    np.testing.assert_allclose(centred_logs(np.full((2, 4), 0.25)), 0, atol=1e-12)
    np.testing.assert_allclose(centred_logs(np.array([0.9, 0.1])), [np.log(9) / 2, -np.log(9) / 2])


def test_quantities_recover_the_weights_of_a_sum(rng: np.random.Generator) -> None:
    members = rng.normal(size=(50, 2))
    y = 2.0 + 0.25 * members[:, 0] + 0.75 * members[:, 1]
    np.testing.assert_allclose(stack_quantities(members, y, np.array([[4.0, 8.0]])), [9.0])


def test_a_member_that_is_wrong_gets_no_negative_weight(rng: np.random.Generator) -> None:
    y = rng.normal(size=60)
    got = stack_quantities(np.stack([-y, y], axis=1), y, np.array([[100.0, 1.0]]))
    assert got[0] == pytest.approx(1.0, abs=1e-9)


def test_nothing_to_learn_from_gives_none() -> None:
    assert stack_quantities(np.ones((2, 1)), np.ones(2), np.ones((1, 1))) is None
    even = np.full((4, 1, 2), 0.5)
    assert stack_classes(even, np.zeros(4), even, np.array([0.5, 0.5])) is None
