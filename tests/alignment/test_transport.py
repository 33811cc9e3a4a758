"""Optimal transport: sorted differences, assignment, limits of the entropy and of the price of missing mass."""

from __future__ import annotations

import sys

import jaxtyping
import numpy as np
import pytest

from polymodal.alignment import Assignment, Transport, align, align_costs
from polymodal.core.errors import MissingDependencyError, ModalityError

pytest.importorskip("ot")


def clouds(rng, n=25, m=30):
    return rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1


def test_on_a_line_it_is_the_sorted_differences(rng):
    a, b = rng.normal(size=60), rng.exponential(size=60)
    assert align(a, b, Transport("cityblock")).cost == pytest.approx(np.abs(np.sort(a) - np.sort(b)).mean())
    assert align(a, b, "transport").cost == pytest.approx(((np.sort(a) - np.sort(b)) ** 2).mean())


def test_equal_sizes_are_assignment(rng):
    a, b = clouds(rng, 30, 30)
    moved, matched = align(a, b, Transport("euclidean")), align(a, b, Assignment())
    assert moved.cost == pytest.approx(matched.cost / 30)
    np.testing.assert_allclose(moved.coupling.toarray(), matched.coupling.toarray() / 30, atol=1e-15)
    assert moved.path.tolist() == matched.path.tolist()


def test_epsilon_to_zero_is_exact_and_the_weights_hold(rng):
    a, b = clouds(rng)
    weights = rng.dirichlet(np.ones(25)), rng.dirichlet(np.ones(30))
    exact = align(a, b, Transport(marginals=weights))
    gaps = []
    for epsilon in [1.0, 0.3, 0.1, 0.03]:
        smooth = align(a, b, Transport(epsilon=epsilon, marginals=weights, n_iter=20_000))
        np.testing.assert_allclose(smooth.coupling.sum(1), weights[0], atol=1e-8)
        np.testing.assert_allclose(smooth.coupling.sum(0), weights[1], atol=1e-8)
        gaps.append(smooth.normalised_cost - exact.cost)
    assert gaps == sorted(gaps, reverse=True)
    assert 0 <= gaps[-1] < 0.02
    np.testing.assert_allclose(exact.coupling.sum(1), weights[0], atol=1e-12)
    assert exact.coupling.nnz < 25 + 30
    assert exact.cost == pytest.approx(exact.normalised_cost)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_unbalanced_is_balanced_where_missing_mass_is_dear(rng, epsilon):
    a, b = clouds(rng)
    balanced = align(a, b, Transport(epsilon=epsilon))
    costs = [
        align(a, b, Transport(epsilon=epsilon, balance="unbalanced", strength=s, tol=1e-6))
        for s in [1.0, 10.0, 1e4]
    ]
    assert [c.cost for c in costs] == sorted(c.cost for c in costs)
    assert costs[-1].cost == pytest.approx(balanced.cost, rel=2e-3)
    assert costs[-1].cost <= balanced.cost + 1e-9
    assert costs[0].coupling.sum() < costs[1].coupling.sum() < costs[2].coupling.sum() + 1e-9


def test_unbalanced_exact_is_the_limit_of_entropic(rng):
    a, b = clouds(rng)
    exact = align(a, b, Transport(balance="unbalanced"))
    smooth = align(a, b, Transport(balance="unbalanced", epsilon=0.01, n_iter=20_000))
    assert smooth.normalised_cost == pytest.approx(exact.normalised_cost, rel=0.02)


@pytest.mark.parametrize("strength", [0.5, 2.0, 50.0])
def test_unbalanced_exact_is_no_worse_than_pot(rng, strength):
    ot = pytest.importorskip("ot")
    x, y = np.r_[rng.normal(size=(15, 2)), rng.normal(size=(3, 2)) + 6], rng.normal(size=(20, 2))
    p, q, costs = np.full(18, 1 / 18), np.full(20, 1 / 20), ((x[:, None] - y) ** 2).sum(-1)
    found = align(x, y, Transport(balance="unbalanced", strength=strength))
    plan = ot.unbalanced.mm_unbalanced(p, q, costs, strength, numItermax=10_000, stopThr=1e-14)

    def kl(u, v):
        return (u * np.log(np.maximum(u, 1e-300) / v) - u + v).sum()

    theirs = (plan * costs).sum() + strength * (kl(plan.sum(1), p) + kl(plan.sum(0), q))
    assert found.cost <= theirs * (1 + 1e-5)
    assert found.cost == pytest.approx(theirs, rel=0.02)  # its steps are slow where missing mass is dear
    assert found.coupling.nnz < 18 + 20


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_partial(rng, epsilon):
    ot = pytest.importorskip("ot")
    a, b = clouds(rng)
    whole = align(a, b, Transport(epsilon=epsilon, balance="partial", mass=1.0, n_iter=20_000))
    balanced = align(a, b, Transport(epsilon=epsilon, n_iter=20_000))
    np.testing.assert_allclose(whole.coupling.toarray(), balanced.coupling.toarray(), atol=1e-8)
    half = align(a, b, Transport(epsilon=epsilon, balance="partial", mass=0.5, n_iter=20_000))
    assert half.coupling.sum() == pytest.approx(0.5, abs=1e-8)
    assert (half.coupling.sum(1) <= 1 / 25 + 1e-8).all()
    assert (half.coupling.sum(0) <= 1 / 30 + 1e-8).all()
    assert half.normalised_cost < whole.normalised_cost
    if not epsilon:
        costs = ((a[:, None] - b) ** 2).sum(-1)
        theirs = ot.partial.partial_wasserstein(np.full(25, 1 / 25), np.full(30, 1 / 30), costs, m=0.5)
        assert half.cost == pytest.approx((theirs * costs).sum())


def test_outliers_stay_at_home(rng):
    a = np.r_[np.zeros(8), 100.0, 101.0]
    b = np.zeros(10)
    # 1e4 a unit of weight to carry, 2 to leave: less than exp(-1000) of it goes
    found = align(a, b, Transport(balance="unbalanced", strength=2.0, epsilon=0.1))
    assert found.coupling[[8, 9]].sum() == 0
    part = align(a, b, Transport(balance="partial", mass=0.8))
    assert part.cost == pytest.approx(0, abs=1e-9)
    assert set(part.path[:, 0].tolist()) == set(range(8))


def test_costs_of_ones_own(rng):
    costs = rng.normal(size=(6, 8))  # may be negative
    exact = align_costs(costs, Transport())
    assert align_costs(costs + 5, Transport()).cost == pytest.approx(exact.cost + 5)
    part = align_costs(costs, Transport(balance="partial", mass=1.0))
    assert part.cost == pytest.approx(exact.cost)


def test_one_element_and_constant_ones():
    found = align([2.0], [[1.0], [4.0]], Transport())
    assert found.coupling.toarray().tolist() == [[0.5, 0.5]]
    assert found.cost == 2.5
    same = align(np.ones(4), np.ones(3), Transport(epsilon=0.1))
    np.testing.assert_allclose(same.coupling.toarray(), 1 / 12)


def test_what_is_refused(rng):
    a, b = clouds(rng, 4, 5)
    with pytest.raises((ModalityError, jaxtyping.TypeCheckError), match="balance"):
        Transport(balance="half")
    with pytest.raises(ModalityError, match="mass for balance='partial'"):
        Transport(mass=0.5)
    with pytest.raises(ModalityError, match="mass for balance='partial'"):
        Transport(balance="partial")
    with pytest.raises(ModalityError, match="epsilon >= 0"):
        Transport(epsilon=-1)
    with pytest.raises(ModalityError, match="at most the smaller sum of weights, 1; got mass=1.5"):
        align(a, b, Transport(balance="partial", mass=1.5))
    with pytest.raises(ModalityError, match="a has 4 and b 5"):
        align(a, b, Transport(marginals=(np.ones(4), np.ones(5))))
    with pytest.raises(ModalityError, match="each of the 5 elements of b"):
        align(a, b, Transport(marginals=(np.ones(4), -np.ones(5))))
    with pytest.raises(ModalityError, match="GromovWasserstein matches"):
        align(a, np.ones((5, 3)), Transport())
    with pytest.raises(ModalityError, match="Sequence a holds NaN"):
        align(a * np.nan, b, Transport())
    with pytest.raises(ModalityError, match="2 infinite"):
        align_costs(np.array([[np.inf, np.inf], [1.0, 2.0]]), Transport())
    with pytest.raises(ModalityError, match="elements would take"):
        align(np.zeros(10**6), np.zeros(10**6), Transport())


def test_without_pot_the_extra_is_named(rng, monkeypatch):
    a, b = clouds(rng, 4, 5)
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(MissingDependencyError, match=r"polymodal\[transport\]"):
        align(a, b, Transport())
    align(a, b, Transport(epsilon=0.5))  # does without
