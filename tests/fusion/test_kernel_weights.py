from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from polymodal.core.errors import ConfigError
from polymodal.fusion import EasyMKL
from polymodal.fusion._kernel_weights import (
    alignment_maximising,
    alignments,
    easy_weights,
    equal_weights,
    independent_alignment,
    on_simplex,
)
from polymodal.similarity import RBF
from polymodal.similarity._gram import centred


def problem(rng, n=24, m=4):
    """Signs, and centred kernels of which the first tells most of them, the last nothing."""
    y = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    kernels = []
    for place in range(m):
        x = rng.standard_normal((n, 3))
        x[:, :1] += (m - 1 - place) / 2 * y
        kernels.append(centred(RBF(1.5).pairwise(x, x)))
    return kernels, y


def aligned(K, L):
    """Cortes et al. 2012, definition 1, with the centring written out."""
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    K, L = H @ K @ H, H @ L @ H
    return np.sum(K * L) / np.sqrt(np.sum(K * K) * np.sum(L * L))


def test_alignment_by_hand():
    """Two rows of each class; kernels of the class itself and of another split, at right angles to it."""
    y = np.array([1.0, 1, -1, -1])
    z = np.array([1.0, -1, 1, -1])
    kernels = [np.outer(y, y), np.outer(y, y) + np.outer(z, z)]
    inner, norms = alignments(kernels, y[:, None])
    np.testing.assert_allclose(inner, [16, 16])  # <yy', yy'> = (y'y)^2
    np.testing.assert_allclose(norms, [4, np.sqrt(32)])
    np.testing.assert_allclose(  # alignments 1 and 1 / sqrt 2
        independent_alignment(kernels, y[:, None]).weights, np.array([1, 2**-0.5]) / (1 + 2**-0.5)
    )
    best = alignment_maximising(kernels, y[:, None])
    np.testing.assert_allclose(best.weights, [1, 0], atol=1e-12)
    np.testing.assert_allclose(best.objective, 1.0)


def test_independent_alignment_is_each_kernels_own(rng):
    kernels, y = problem(rng)
    own = np.array([aligned(K, y @ y.T) for K in kernels])
    np.testing.assert_allclose(independent_alignment(kernels, y).weights, own / own.sum())
    assert (np.diff(own[:3]) < 0).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_no_other_combination_aligns_better(rng, outputs):
    kernels, y = problem(rng)
    Y = y if outputs == 1 else np.hstack([y, rng.standard_normal((len(y), 2))])
    best = alignment_maximising(kernels, Y)
    target = Y @ Y.T

    def value(w):
        return aligned(sum(x * K for x, K in zip(w, kernels, strict=True)), target)

    np.testing.assert_allclose(best.objective, value(best.weights))
    found = minimize(
        lambda w: -value(w),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(best.weights, found.x, atol=1e-4)
    assert best.objective >= -found.fun - 1e-12


def test_where_no_weight_would_be_negative_it_is_the_closed_form(rng):
    """Cortes et al. 2012, proposition 8: M^-1 a."""
    kernels, y = problem(rng, m=2)
    inner, _ = alignments(kernels, y)
    M = np.array([[np.sum(K * L) for L in kernels] for K in kernels])
    closed = np.linalg.solve(M, inner)
    assert (closed > 0).all()
    np.testing.assert_allclose(alignment_maximising(kernels, y).weights, closed / closed.sum())


def test_a_kernel_given_twice(rng):
    kernels, y = problem(rng)
    once, twice = alignment_maximising(kernels, y), alignment_maximising([*kernels, kernels[0]], y)
    joined = twice.weights[:4] + np.array([twice.weights[4], 0, 0, 0])
    np.testing.assert_allclose(joined, once.weights, atol=1e-8)


def test_units_do_not_move_the_answer(rng):
    kernels, y = problem(rng)
    scaled = [1e6 * kernels[0], 1e-6 * kernels[1], *kernels[2:]]
    plain, moved = alignment_maximising(kernels, y), alignment_maximising(scaled, y)
    back = moved.weights * [1e6, 1e-6, 1, 1]
    np.testing.assert_allclose(back / back.sum(), plain.weights, atol=1e-8)


def test_kernels_that_say_nothing(rng):
    kernels, y = problem(rng, m=3)
    flat = np.zeros_like(kernels[0])
    np.testing.assert_allclose(equal_weights([kernels[0], flat, kernels[1]], y).weights, [0.5, 0, 0.5])
    for method in (independent_alignment, alignment_maximising, easy_weights):
        assert method([kernels[0], flat], y).weights.tolist() == [1.0, 0.0]
        np.testing.assert_allclose(method([flat, flat], y).weights, [0.5, 0.5])
    np.testing.assert_allclose(on_simplex(np.zeros(4)), 0.25)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), m=st.integers(1, 6), outputs=st.integers(1, 3))
def test_weights_are_on_the_simplex(seed, m, outputs):
    rng = np.random.default_rng(seed)
    kernels = [centred(x @ x.T) * 10.0 ** rng.integers(-3, 2) for x in rng.standard_normal((m, 12, 2))]
    Y = np.where(rng.random((12, outputs)) > 0.5, 1.0, -1.0)
    for method in (equal_weights, independent_alignment, alignment_maximising, easy_weights):
        weights = method(kernels, Y).weights
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(), 1)


# --- EasyMKL ---------------------------------------------------------------------------------------------------


def direct(kernels, y, reg):
    """EasyMKL's problem given to a general solver."""
    y = y[:, 0]
    Q = (1 - reg) * sum(kernels) * np.outer(y, y) + reg * np.eye(len(y))
    positive = y > 0
    start = np.where(positive, 1 / positive.sum(), 1 / (~positive).sum())
    found = minimize(
        lambda g: g @ Q @ g,
        start,
        jac=lambda g: 2 * Q @ g,
        bounds=[(0, 1)] * len(y),
        constraints=[
            {"type": "eq", "fun": lambda g: g[positive].sum() - 1, "jac": lambda g: positive.astype(float)},
            {
                "type": "eq",
                "fun": lambda g: g[~positive].sum() - 1,
                "jac": lambda g: (~positive).astype(float),
            },
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    signed = found.x * y
    raw = np.array([signed @ K @ signed for K in kernels])
    return raw / raw.sum(), found.fun


@pytest.mark.parametrize("reg", [0.02, 0.2, 0.9])
def test_easy_weights_solve_their_quadratic_problem(rng, reg):
    kernels, y = problem(rng)
    kernels[0] = kernels[0] * 3
    expected, objective = direct(kernels, y, reg)
    found = easy_weights(kernels, y, reg=reg)
    np.testing.assert_allclose(found.weights, expected, atol=1e-4)
    np.testing.assert_allclose(found.objective, objective, rtol=1e-5)


def test_at_reg_one_weights_are_distances_of_class_means(rng):
    kernels, y = problem(rng, n=21)
    share = np.where(y > 0, 1 / (y > 0).sum(), -1 / (y < 0).sum())[:, 0]
    raw = np.array([share @ K @ share for K in kernels])
    np.testing.assert_allclose(easy_weights(kernels, y, reg=1.0).weights, raw / raw.sum())
    near = easy_weights(kernels, y, reg=1 - 1e-9).weights
    np.testing.assert_allclose(near, raw / raw.sum(), atol=1e-5)


def test_distances_of_several_classes_add_up(rng):
    kernels, y = problem(rng)
    other = np.where(rng.random(y.shape) > 0.5, 1.0, -1.0)
    one, two, both = (easy_weights(kernels, Y) for Y in (y, other, np.hstack([y, other])))
    constant = easy_weights(kernels, np.hstack([y, np.ones_like(y)]))
    np.testing.assert_allclose(constant.weights, one.weights)
    np.testing.assert_allclose(both.objective, one.objective + two.objective)
    assert (np.minimum(one.weights, two.weights) - 1e-9 <= both.weights).all()
    assert (both.weights <= np.maximum(one.weights, two.weights) + 1e-9).all()


@pytest.mark.parametrize("reg", [0.05, 0.3])
def test_easy_weights_equal_mklpy(rng, reg):
    pytest.importorskip("MKLpy")
    import torch
    from MKLpy.algorithms import EasyMKL as Theirs

    kernels, y = problem(rng, n=40)
    theirs = Theirs(lam=reg, solver="cvxopt").combine_kernels(
        [torch.tensor(K) for K in kernels], torch.tensor(y[:, 0])
    )
    np.testing.assert_allclose(easy_weights(kernels, y, reg=reg).weights, theirs.weights, atol=1e-4)


def test_easy_mkl_needs_a_regularised_problem():
    for reg in (0.0, -1.0, 1.5):
        with pytest.raises(ConfigError, match="0 < reg <= 1"):
            EasyMKL(reg)
