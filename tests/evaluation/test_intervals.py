"""Bootstrap intervals: closed forms, parity with scipy, clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from polymodal.core.errors import ModalityError
from polymodal.evaluation import bootstrap_interval, intervals


def test_equal_values_have_no_width() -> None:
    found = bootstrap_interval(np.full(20, 0.3))
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(found.high) == pytest.approx(0.3)


def test_a_mean_has_the_width_the_normal_law_gives(rng: np.random.Generator) -> None:
    x = rng.normal(size=2000)
    found = bootstrap_interval(x, n_resamples=4000)
    half = norm.ppf(0.975) * x.std() / np.sqrt(len(x))
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_parity_with_scipy(statistic: str, rng: np.random.Generator) -> None:
    x = rng.exponential(size=60)
    theirs = bootstrap((x,), getattr(np, statistic), method="percentile", n_resamples=4000, rng=1)
    ours = bootstrap_interval(x, statistic=statistic, n_resamples=4000)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05)
    assert ours.value == getattr(np, statistic)(x)


def test_the_weighted_median_is_the_median_of_the_sample(rng: np.random.Generator) -> None:
    x = np.sort(rng.normal(size=7))
    counts = rng.integers(0, 3, size=(20, 7))
    counts[:, 0] += 1
    expected = [np.median(np.repeat(x, c)) for c in counts]
    np.testing.assert_allclose(intervals._weighted_median(x, counts), expected)


def test_groups_widen_and_own_groups_change_nothing(rng: np.random.Generator) -> None:
    per_group = rng.normal(size=10)
    x = np.repeat(per_group, 20)
    alone = bootstrap_interval(x)
    clustered = bootstrap_interval(x, groups=np.repeat(np.arange(10), 20))
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)
    assert bootstrap_interval(x, groups=[f"g{i:03}" for i in range(200)]) == alone


def test_nan_is_left_out_and_seeds_repeat(rng: np.random.Generator) -> None:
    x = rng.normal(size=30)
    assert bootstrap_interval(np.append(x, np.nan), random_state=3) == bootstrap_interval(x, random_state=3)
    assert bootstrap_interval(x, random_state=3) != bootstrap_interval(x, random_state=4)
    assert str(bootstrap_interval(np.ones(3))) == "1.000 [1.000, 1.000]"


def test_blocks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rng.normal(size=30)
    whole = bootstrap_interval(x)
    monkeypatch.setattr(intervals, "_BLOCK", 600)
    assert bootstrap_interval(x).high == pytest.approx(whole.high)


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="at least one value"):
        bootstrap_interval(np.array([np.nan]))
    with pytest.raises(ModalityError, match="one label per value"):
        bootstrap_interval(np.ones(3), groups=[1, 2])
    with pytest.raises(ModalityError, match="level"):
        bootstrap_interval(np.ones(3), level=95.0)
