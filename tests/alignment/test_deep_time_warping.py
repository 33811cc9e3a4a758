"""Deep canonical time warping: features that are even functions of the other modality's, where no linear map can help."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import CanonicalTimeWarping, DeepTimeWarping
from polymodal.alignment.deep_time_warping import _line
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError
from polymodal.evaluation.alignment import path_error


def planted(rng, n_pairs, mix_a, mix_b):
    """Linear mixtures of a curve beside cosines of it (even, so uncorrelated with it), each with two features of noise; true pairs."""
    out = []
    for _ in range(n_pairs):
        n, m = rng.integers(60, 90), rng.integers(70, 100)
        speeds, phases = rng.uniform(0.5, 2.0, (3, 2)), rng.uniform(0, 2 * np.pi, (3, 2))
        u = np.linspace(0, 1, m) ** np.exp(rng.uniform(-0.5, 0.5))
        z_a, z_b = (
            np.sin(2 * np.pi * speeds * t[:, None, None] + phases).sum(1) / 1.2
            for t in (np.linspace(0, 1, n), u)
        )
        a, b = z_a @ mix_a, np.cos(1.5 * z_b @ mix_b)
        a, b = (np.c_[x + 0.05 * rng.normal(size=x.shape), rng.normal(size=(len(x), 2))] for x in (a, b))
        out.append((a, b, np.stack([np.rint(u * (n - 1)).astype(int), np.arange(m)], axis=1)))
    return out


def mean_error(align, pairs):
    return np.mean([path_error(align(a, b).path, truth).mean for a, b, truth in pairs])


class Line:
    def __init__(self, path):
        self.path = path


def test_finds_what_no_linear_map_shows(rng):
    mix = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    train, new = planted(rng, 8, *mix), planted(rng, 4, *mix)
    warp = DeepTimeWarping(random_state=0).fit([(a, b) for a, b, _ in train])
    learned = np.mean(
        [path_error(f.path, t).mean for f, (_, _, t) in zip(warp.alignments, train, strict=True)]
    )
    linear = mean_error(CanonicalTimeWarping(2).align, new)
    uniform = mean_error(lambda a, b: Line(_line(len(a), len(b))), new)
    held_out = mean_error(warp.align, new)
    assert learned < 4
    assert held_out < 4
    assert linear > 2 * held_out
    assert uniform > 1.3 * held_out
    assert warp.correlations.min() > 0.97
    assert len(warp.history) == 10
    assert warp.history[-1] < warp.history[0]
    again = warp.align(train[0][0], train[0][1])
    np.testing.assert_array_equal(again.path, warp.alignments[0].path)


def small(rng):
    t = np.linspace(0, 1, 30)[:, None]
    return np.c_[t, np.sin(6 * t)], np.c_[np.cos(5 * t), t**2, rng.normal(size=(30, 1))]


QUICK = DeepTimeWarping(2, width=8, n_iter=2, n_steps=3, random_state=0)


def test_repeatable_and_free_of_units(rng):
    a, b = small(rng)
    one, same = QUICK.fit([(a, b)]), QUICK.fit([(a, b)])
    np.testing.assert_array_equal(one.alignments[0].path, same.alignments[0].path)
    np.testing.assert_array_equal(one.project_a(a), same.project_a(a))
    scaled = QUICK.fit([(1000 * a + 5, b * np.array([1, 0.01, 3.0]))])
    np.testing.assert_allclose(scaled.project_a(1000 * a + 5), one.project_a(a), atol=1e-3)
    z = one.project_a(a)
    assert z.shape == (30, 2)
    timed = QUICK.align(Ragged.of([a], rate=10.0), Ragged.of([b], rate=10.0))
    assert timed.times()[-1].tolist() == [2.9, 2.9]
    assert "of 1 pairs" in repr(one)
    np.testing.assert_array_equal(one.align(a, b).path, one.alignments[0].path)


def test_what_is_refused(rng):
    a, b = small(rng)
    for bad in ([], [(a,)]):
        with pytest.raises(ModalityError, match="list of pairs"):
            QUICK.fit(bad)
    with pytest.raises(ModalityError, match="b of pair 1 holds NaN"):
        QUICK.fit([(a, b), (a, b * np.nan)])
    with pytest.raises(ModalityError, match=r"All sequences b .*\[2, 3\]"):
        QUICK.fit([(a, b), (a, b[:, :2])])
    with pytest.raises(ModalityError, match="frames of a are equal"):
        QUICK.fit([(np.ones((5, 2)), b)])
    with pytest.raises(ModalityError, match="2 features in a, got 3"):
        QUICK.fit([(a, b)]).align(b, b)
    with pytest.raises(ModalityError, match="costs to DTW"):
        QUICK.fit([(a, b)]).align_costs(np.ones((2, 2)))
    with pytest.raises(ModalityError, match="of at least 1"):
        DeepTimeWarping(n_iter=0)
    one_frame = QUICK.fit([(a, b), (a[:1], b)]).alignments[1]
    assert one_frame.path.shape == (30, 2)  # it goes with all
