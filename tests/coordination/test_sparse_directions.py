from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.coordination._sparse_directions import l1_bounded, sparse_directions


@settings(max_examples=60)
@given(
    values=st.lists(st.integers(-6, 6), min_size=1, max_size=12),
    share=st.floats(0.0, 1.0),
)
def test_the_bounded_direction_is_feasible_and_optimal(values, share):
    a = np.array(values, dtype=float)
    bound = 1 + share * (np.sqrt(len(a)) - 1)
    w = l1_bounded(a, bound)
    assert np.linalg.norm(w) <= 1 + 1e-9
    assert np.abs(w).sum() <= bound * (1 + 1e-7)
    assert (w * a >= 0).all()
    # duality: a'w is the support function min_t bound max|a - t| ... = min over thresholds t of |S(a, t)|_2 + t bound
    thresholds = np.linspace(0, np.abs(a).max(), 2001)
    dual = min(np.linalg.norm(np.maximum(np.abs(a) - t, 0)) + t * bound for t in thresholds)
    assert a @ w == pytest.approx(dual, abs=2e-4 * max(1.0, np.abs(a).max()))


def test_ties_and_ends():
    np.testing.assert_allclose(l1_bounded(np.array([3.0, -4.0]), 2.0), [0.6, -0.8])
    np.testing.assert_allclose(l1_bounded(np.array([3.0, -4.0]), 1.0), [0.0, -1.0], atol=1e-7)
    np.testing.assert_allclose(l1_bounded(np.array([2.0, 2.0, 1.0]), 1.0), [0.5, 0.5, 0.0], atol=1e-9)
    np.testing.assert_array_equal(l1_bounded(np.zeros(3), 1.5), np.zeros(3))
    w = l1_bounded(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), 1.5)
    assert np.linalg.norm(w) == pytest.approx(1)
    assert np.abs(w).sum() == pytest.approx(1.5)


def test_the_objective_never_falls(rng):
    views = [rng.standard_normal((50, d)) for d in (30, 20, 120)]
    views = [x - x.mean(axis=0) for x in views]
    for bounds in ([2.0, 2.0, 3.0], [1.0, 4.0, 1.5]):
        found = sparse_directions(views, bounds, n_components=4)
        assert found.converged
        for history in found.objectives:
            assert (np.diff(history) >= -1e-12 * history[-1]).all()
        for w, bound in zip(found.weights, bounds, strict=True):
            assert (np.linalg.norm(w, axis=0) <= 1 + 1e-9).all()
            assert (np.abs(w).sum(axis=0) <= bound + 1e-7).all()


def test_without_bounds_two_modalities_give_singular_vectors(rng):
    a, b = rng.standard_normal((40, 6)), rng.standard_normal((40, 5))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    found = sparse_directions([a, b], [np.sqrt(6), np.sqrt(5)], n_components=3, tol=1e-14)
    U, s, Vt = np.linalg.svd(a.T @ b / 39)
    np.testing.assert_allclose(found.covariances, s[:3], atol=1e-8)
    np.testing.assert_allclose(abs(found.weights[0]), abs(U[:, :3]), atol=1e-5)
    np.testing.assert_allclose(abs(found.weights[1]), abs(Vt[:3].T), atol=1e-5)


def test_deflation_takes_a_component_out(rng):
    views = [rng.standard_normal((30, d)) for d in (5, 4, 3)]
    views = [x - x.mean(axis=0) for x in views]
    found = sparse_directions(views, [2.0, 1.5, 1.5], n_components=2)
    first, second = ([w[:, k] for w in found.weights] for k in (0, 1))
    total = 0.0
    for m, other in ((0, 1), (0, 2), (1, 2)):
        S = views[m].T @ views[other] / 29
        S = S - (first[m] @ S @ first[other]) * np.outer(first[m], first[other])
        total += second[m] @ S @ second[other]
    assert total == pytest.approx(found.covariances[1])


def test_few_rounds_are_said_to_be_too_few(rng):
    views = [rng.standard_normal((30, 20)) for _ in range(2)]
    assert not sparse_directions(views, [2.0, 2.0], n_components=1, max_iter=1).converged
