"""The closed-form half step: no other projections under the constraint agree better."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment._projections import Sequences, warps


def disagreement(ready, members, weights, scale):
    """The objective by its definition, offsets found by least squares."""
    blocks = [x @ w for x, w in zip(ready.frames, weights, strict=True)]
    times = max(at.max() for _, at in members) + 1
    cells = sum(len(at) for _, at in members)
    design, values, row = np.zeros((cells, len(blocks) + times)), [], 0
    for m, (rows, at) in enumerate(members):
        design[row + np.arange(len(at)), m] = 1
        design[row + np.arange(len(at)), len(blocks) + at] = 1
        values.append(blocks[m][rows])
        row += len(at)
    y = np.concatenate(values)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    penalty = sum(t * (w**2).sum() for t, w in zip(ready.penalties, weights, strict=True))
    return ((1 - ready.reg) / scale * (left**2).sum() + ready.reg * penalty) / (
        len(blocks) * weights[0].shape[1]
    )


@pytest.mark.parametrize("reg", [0.0, 0.2])
def test_closed_form_is_the_minimum(rng, reg):
    shapes = {"a": (20, 3), "b": (25, 4), "c": (18, 2)}
    ready = Sequences.of({name: rng.normal(size=shape) for name, shape in shapes.items()}, 2, reg)
    members = [
        (np.arange(n), np.sort(np.r_[np.arange(15), rng.integers(0, 15, n - 15)])) for n, _ in shapes.values()
    ]
    found = ready.agreeing(members, 2, 15.0)
    assert found.objective == pytest.approx(disagreement(ready, members, found.weights, 15.0))
    starts = np.concatenate([[0], np.cumsum([W.shape[1] for W in ready.whitenings])])
    for _ in range(30):
        Q = np.linalg.qr(rng.normal(size=(9, 2)))[0] * np.sqrt(3)
        other = [W @ Q[starts[m] : starts[m + 1]] for m, W in enumerate(ready.whitenings)]
        assert disagreement(ready, members, other, 15.0) >= found.objective


def test_starting_curves_lie_to_both_sides():
    assert warps(1) == [1.0]
    five = warps(5)
    assert len(set(five)) == 5
    assert five[0] == 1.0
    assert five[1] * five[2] == pytest.approx(1)
    assert five[3] * five[4] == pytest.approx(1)
