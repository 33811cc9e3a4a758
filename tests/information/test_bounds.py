"""Bounds of mutual information given scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.information import (
    club_upper_bound,
    donsker_varadhan_lower_bound,
    gaussian_mutual_information,
    infonce_lower_bound,
    nwj_lower_bound,
)

RHO = 0.8
seeds = st.integers(0, 10**6)


def log_ratio(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(y|x)/p(y) and log p(y|x) of two normal numbers, for all pairs."""
    x = rng.normal(size=n)
    y = RHO * x + np.sqrt(1 - RHO**2) * rng.normal(size=n)
    log_p = -0.5 * (y[None] - RHO * x[:, None]) ** 2 / (1 - RHO**2) - 0.5 * np.log(2 * np.pi * (1 - RHO**2))
    return log_p + 0.5 * y[None] ** 2 + 0.5 * np.log(2 * np.pi), log_p


def test_the_best_critic_reaches_the_truth(rng: np.random.Generator) -> None:
    truth = gaussian_mutual_information(RHO)
    drawn = [log_ratio(rng, 400) for _ in range(30)]
    assert np.mean([donsker_varadhan_lower_bound(f).value for f, _ in drawn]) == pytest.approx(
        truth, abs=0.03
    )
    assert np.mean([nwj_lower_bound(f + 1).value for f, _ in drawn]) == pytest.approx(truth, abs=0.03)
    assert np.mean([infonce_lower_bound(f).value for f, _ in drawn]) == pytest.approx(truth, abs=0.03)
    upper = np.mean([club_upper_bound(p).value for _, p in drawn])
    assert upper == pytest.approx(RHO**2 / (1 - RHO**2), abs=0.1)  # not tight: 1.78 where the truth is .51
    assert upper > truth


@given(seeds)
def test_relations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s = rng.normal(size=(6, 6)) * 2
    dv, nwj, nce = donsker_varadhan_lower_bound(s), nwj_lower_bound(s), infonce_lower_bound(s)
    assert dv.value >= nwj.value - 1e-12
    assert donsker_varadhan_lower_bound(s + 3).value == pytest.approx(dv.value)
    off = s[~np.eye(6, dtype=bool)]
    shifted = s + 1 - np.log(np.exp(off).mean())
    assert nwj_lower_bound(shifted).value == pytest.approx(dv.value)
    assert nce.value <= nce.limit == pytest.approx(np.log(6))
    assert infonce_lower_bound(s + rng.normal(size=(6, 1))).value == pytest.approx(nce.value)
    assert club_upper_bound(s + rng.normal(size=(1, 6))).value == pytest.approx(club_upper_bound(s).value)


def test_infonce_is_log_n_minus_the_loss(rng: np.random.Generator) -> None:
    s = rng.normal(size=(9, 9))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(s), torch.arange(9)).item()
    assert infonce_lower_bound(s).value == pytest.approx(np.log(9) - loss)
    assert infonce_lower_bound(np.zeros((9, 9))).value == pytest.approx(0)
    sure = infonce_lower_bound(1000 * np.eye(8), unit="bits")
    assert sure.value == pytest.approx(3)
    assert sure.limit == pytest.approx(3)


def test_the_direction_is_in_the_answer() -> None:
    s = np.zeros((3, 3))
    assert {f(s).bound for f in (donsker_varadhan_lower_bound, nwj_lower_bound, infonce_lower_bound)} == {
        "lower"
    }
    assert club_upper_bound(s).bound == "upper"


def test_large_scores_do_not_overflow() -> None:
    s = np.array([[900.0, 800.0], [800.0, 900.0]])
    assert donsker_varadhan_lower_bound(s).value == pytest.approx(100)
    assert infonce_lower_bound(s).value == pytest.approx(np.log(2))


def test_refusals() -> None:
    with pytest.raises(ModalityError, match="at least two rows"):
        nwj_lower_bound(np.ones((1, 1)))
    with pytest.raises(ModalityError, match="finite scores"):
        club_upper_bound(np.array([[1.0, np.nan], [0.0, 0.0]]))
