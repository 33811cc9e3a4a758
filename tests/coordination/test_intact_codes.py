from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.coordination._intact_codes import (
    fit_intact_space,
    infer_codes,
    intact_objective,
    squared_residuals,
)


def planted(rng, n=60, dims=(4, 5, 3), k=2, noise=0.05, missing=0.2):
    z = rng.standard_normal((n, k))
    views = [
        z @ rng.standard_normal((k, d)) / np.sqrt(k * d) + noise * rng.standard_normal((n, d)) for d in dims
    ]
    present = rng.random((n, len(dims))) > missing
    present[np.arange(n), rng.integers(len(dims), size=n)] = True
    return [np.where(present[:, [m]], view, 0.0) for m, view in enumerate(views)], present, z


def test_the_objective_as_written_by_hand():
    from polymodal.coordination._intact_codes import Intact

    views, present = (
        [np.array([[3.0], [0.0]]), np.array([[1.0], [2.0]])],
        np.array([[True, False], [True, True]]),
    )
    found = Intact(
        np.array([[1.0], [2.0]]),
        [np.ones((1, 1)), np.zeros((1, 1))],
        [np.zeros(1), np.ones(1)],
        np.array([2.0, 1.0]),
        np.zeros(0),
    )
    # residuals: 3 - 1 = 2 and 0 - 2 = -2 under c = 2; row 1 of the second: 2 - 1 = 1 under c = 1
    assert squared_residuals(views, present, found.codes, found.maps, found.offsets).tolist() == [
        [4, 0],
        [4, 1],
    ]
    loss = (np.log(2) + np.log(2) + np.log(2)) / 3
    assert intact_objective(views, present, found, reg=0.1) == pytest.approx(loss + 0.1 * (1 + (1 + 4) / 2))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([None, 0.3, 3.0]),
    reg=st.sampled_from([1e-4, 1e-2, 0.3]),
)
def test_the_objective_never_rises(seed, scale, reg):
    rng = np.random.default_rng(seed)
    views, present, _ = planted(rng)
    views[0][::7] += 20 * present[::7, :1]
    found = fit_intact_space(views, present, 2, reg=reg, scale=scale, max_iter=60, tol=0.0)
    assert (np.diff(found.objective) <= 1e-12).all()
    assert intact_objective(views, present, found, reg=reg) == pytest.approx(found.objective[-1], abs=1e-10)


def packed(found):
    return np.concatenate([found.codes.ravel(), *(W.ravel() for W in found.maps), *found.offsets])


def unpacked(found, v):
    parts, at = [], 0
    for like in (found.codes, *found.maps, *found.offsets):
        parts.append(v[at : at + like.size].reshape(like.shape))
        at += like.size
    M = len(found.maps)
    return replace(found, codes=parts[0], maps=parts[1 : M + 1], offsets=parts[M + 1 :])


def test_the_gradient_is_zero_at_the_end(rng):
    views, present, _ = planted(rng, n=30)
    found = fit_intact_space(views, present, 2, reg=0.01, max_iter=500, tol=0.0)
    v, step = packed(found), 1e-5
    value = lambda v: intact_objective(views, present, unpacked(found, v), reg=0.01)  # noqa: E731
    gradient = np.array([(value(v + e) - value(v - e)) / (2 * step) for e in step * np.eye(len(v))])
    start = v + 0.1
    away = np.array([(value(start + e) - value(start - e)) / (2 * step) for e in step * np.eye(len(v))])
    assert np.abs(gradient).max() < 1e-5 * np.abs(away).max()


def test_another_optimiser_finds_nothing_better_nearby(rng):
    from scipy.optimize import minimize

    views, present, _ = planted(rng, n=15, dims=(3, 2))
    found = fit_intact_space(views, present, 1, reg=0.01, max_iter=500, tol=0.0)
    value = lambda v: intact_objective(views, present, unpacked(found, v), reg=0.01)  # noqa: E731
    v = packed(found)
    peer = minimize(
        value,
        v + 0.02 * rng.standard_normal(len(v)),
        method="L-BFGS-B",
        options={"maxiter": 300, "maxfun": 10**5},
    )
    assert peer.fun == pytest.approx(found.objective[-1], rel=1e-4)


def test_large_scale_is_principal_components(rng):
    views, present, _ = planted(rng, missing=0.0, noise=0.3)
    found = fit_intact_space(views, present, 2, reg=1e-12, scale=1e4, max_iter=500, tol=1e-15)
    side_by_side = np.hstack(views)
    _, _, Vt = np.linalg.svd(side_by_side - side_by_side.mean(axis=0), full_matrices=False)
    Q, _ = np.linalg.qr(np.vstack(found.maps))
    cosines = np.linalg.svd(Q.T @ Vt[:2].T, compute_uv=False)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-4)


def test_codes_of_rows_do_not_depend_on_each_other(rng):
    views, present, _ = planted(rng)
    found = fit_intact_space(views, present, 2, reg=0.01)
    rest = (found.maps, found.offsets, found.scales)
    whole = infer_codes(views, present, *rest, ridge=0.02)
    some = infer_codes([view[5:8] for view in views], present[5:8], *rest, ridge=0.02)
    np.testing.assert_allclose(whole[5:8], some, atol=1e-12)
    assert infer_codes([view[:0] for view in views], present[:0], *rest, ridge=0.02).shape == (0, 2)


def test_a_code_is_the_best_over_a_grid():
    """One number, two modalities that contradict each other: the wrong one is left alone."""
    maps, offsets, scales = (
        [np.ones((1, 1)), np.ones((2, 1))],
        [np.zeros(1), np.zeros(2)],
        np.array([0.1, 0.1]),
    )
    views, present = [np.array([[5.0]]), np.array([[1.0, 1.05]])], np.ones((1, 2), dtype=bool)
    code = infer_codes(views, present, maps, offsets, scales, ridge=0.01)[0, 0]
    grid = np.linspace(-1, 7, 80_001)
    cost = (
        np.log1p((5 - grid) ** 2 / 0.01)
        + np.log1p(((1 - grid) ** 2 + (1.05 - grid) ** 2) / 0.01)
        + 0.01 * grid**2
    )
    assert code == pytest.approx(grid[cost.argmin()], abs=1e-3)


def test_exact_data_do_not_drive_the_scale_to_zero(rng):
    views, present, _z = planted(rng, noise=0.0, missing=0.0)
    found = fit_intact_space(views, present, 2, reg=1e-6)
    assert (found.scales >= 1e-3).all()
    assert np.isfinite(found.codes).all()
