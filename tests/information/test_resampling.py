"""`Bootstrap` and `Subsampling`."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.information import Bootstrap, Subsampling


def mean_of(x: np.ndarray):
    return lambda rows: x[rows].mean()


@pytest.mark.parametrize("method", [Bootstrap(2000), Subsampling(0.5, 2000), Subsampling(0.2, 2000)])
def test_the_width_for_a_mean(rng: np.random.Generator, method: Bootstrap | Subsampling) -> None:
    x = rng.normal(size=400)
    ((low, high),) = method.around(np.array([x.mean()]), mean_of(x), 400, rng)
    assert high - low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.1)
    assert low < x.mean() < high


def test_several_values_at_once(rng: np.random.Generator) -> None:
    x = rng.normal(size=100)
    ends = Bootstrap(50).around(
        np.array([x.mean(), 5.0]), lambda rows: np.array([x[rows].mean(), 5.0]), 100, rng
    )
    assert ends[1] == (5.0, 5.0)


def test_what_resampling_adds_is_taken_out(rng: np.random.Generator) -> None:
    x = rng.normal(size=100)
    ends = Bootstrap(50).around(np.array([0.0]), lambda rows: x[rows].mean() + 7, 100, rng)
    assert ends[0][0] < 0 < ends[0][1]


def test_infinite_values(rng: np.random.Generator) -> None:
    always = Bootstrap(5).around(np.array([np.inf]), lambda rows: np.inf, 10, rng)
    assert always == [(np.inf, np.inf)]
    sometimes = Bootstrap(20).around(np.array([1.0]), lambda rows: np.inf if 0 in rows else 1.0, 10, rng)
    assert sometimes == [(-np.inf, np.inf)]


def test_refusals(rng: np.random.Generator) -> None:
    with pytest.raises(ModalityError, match=r"share in \(0, 1\), got 1"):
        Subsampling(1.0)
    with pytest.raises(ModalityError, match="n_resamples >= 2"):
        Bootstrap(1)
    with pytest.raises(ModalityError, match="0 < level < 1"):
        Bootstrap(level=1.0)
    with pytest.raises(ModalityError, match="a share of 0.1 of 10 rows is 1"):
        Subsampling(0.1).around(np.array([0.0]), mean_of(np.zeros(10)), 10, rng)
