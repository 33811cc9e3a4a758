"""Which moves a path may make."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, StepPattern, align_costs
from polymodal.core.errors import ModalityError


def test_slope_limit_one_is_the_table_of_sakoe_and_chiba():
    steps = set(StepPattern.slope_limited(1).steps)
    assert steps == {((1, 1, 2.0),), ((1, 1, 2.0), (0, 1, 1.0)), ((1, 1, 2.0), (1, 0, 1.0))}
    aside = set(StepPattern.slope_limited(2, symmetric=False).steps)
    assert ((1, 1, 2 / 3), (1, 1, 2 / 3), (0, 1, 2 / 3)) in aside
    assert (
        (1, 1, 1.0),
        (1, 1, 1.0),
        (1, 0, 1.0),
    ) in aside
    half = StepPattern.slope_limited(0.5)
    assert len(half.steps) == 5
    assert half.slopes == (1 / 3, 3)


def test_no_limit_is_symmetric2(rng):
    assert StepPattern.slope_limited(0) == StepPattern.symmetric2()
    costs = rng.random((6, 8))
    every = [align_costs(costs, DTW(step=StepPattern.slope_limited(p))).cost for p in (0, 0.5, 1)]
    assert every == sorted(every)


def test_weights_of_every_symmetric_path_add_up_to_the_lengths(rng):
    for step in ("symmetric2", "symmetric_p05", "symmetric_p1", "symmetric_p2"):
        found = align_costs(np.ones((12, 13)), DTW(step=step))
        assert found.cost == 12 + 13 - 1
        assert found.normalised_cost == 24 / 25
    for step in ("asymmetric", "asymmetric_p1"):
        assert align_costs(np.ones((12, 13)), DTW(step=step)).normalised_cost == 1.0


def test_largest_jump(rng):
    costs = rng.random((6, 9))
    path = align_costs(costs, DTW(step=StepPattern.asymmetric(largest_jump=3))).path
    assert path[:, 0].tolist() == list(range(6))
    assert np.diff(path[:, 1]).max() <= 3
    straight = align_costs(rng.random((6, 6)), DTW(step=StepPattern.asymmetric(largest_jump=1)))
    assert straight.path[:, 0].tolist() == list(range(6))
    assert np.diff(straight.path[:, 1]).max() <= 1


def test_patterns_that_cannot_be_are_refused():
    for steps in [((),), (((0, 2, 1.0),),), (((1, 0, -1.0),),), (((0, 0, 1.0),),)]:
        with pytest.raises(ModalityError, match="moves"):
            StepPattern(steps)
    with pytest.raises(ModalityError, match="1/k or a whole number"):
        StepPattern.slope_limited(1.5)
    with pytest.raises(ModalityError, match="largest_jump"):
        StepPattern.asymmetric(0)
