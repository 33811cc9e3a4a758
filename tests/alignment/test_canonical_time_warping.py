"""Canonical time warping: planted mixtures of one warped curve, a descent that is one, and CCA where there is nothing to warp."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Alignment, CanonicalTimeWarping, SakoeChiba, align
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError
from polymodal.core.linalg import canonical_pairs
from polymodal.evaluation.alignment import path_error


def latent(t):
    return np.stack([np.sin(3 * np.pi * t) + t, np.cos(4.6 * np.pi * t + 1)], axis=1)


def planted(rng, n=100, m=130, noise=0.05, gamma=1.6):
    """Five and eight mixtures of one curve at two speeds, each beside two features of loud noise; and the true pairs."""
    u = np.linspace(0, 1, m) ** gamma
    u = u + 0.04 * np.sin(2 * np.pi * u)
    a, b = latent(np.linspace(0, 1, n)) @ rng.normal(size=(2, 5)), latent(u) @ rng.normal(size=(2, 8))
    a = np.c_[a + noise * rng.normal(size=a.shape), 3 * rng.normal(size=(n, 2))]
    b = np.c_[b + noise * rng.normal(size=b.shape), 3 * rng.normal(size=(m, 2))]
    return a, b, np.stack([np.rint(u * (n - 1)).astype(int), np.arange(m)], axis=1)


def principal(x):
    x = (x - x.mean(0)) / x.std(0)
    U, s, _ = np.linalg.svd(x, full_matrices=False)
    return U[:, :2] * s[:2]


def test_finds_the_planted_warp_where_plain_warping_and_uniform_time_do_not(rng):
    for _ in range(3):
        a, b, truth = planted(rng)
        result = CanonicalTimeWarping(2).fit(a, b)
        error = path_error(result.alignment.path, truth).mean
        plain = path_error(DTW().align(principal(a), principal(b)).path, truth).mean
        line = np.unique(np.rint(np.linspace([0, 0], [99, 129], 500)).astype(int), axis=0)
        assert error < 1.0
        assert plain > 4 * error
        assert path_error(line, truth).mean > 10 * error
        assert result.objective < 0.02
        assert result.converged
        assert result.alignment.length_a == 100
        assert result.alignment.length_b == 130


def test_the_objective_never_rises_in_either_half_step(rng):
    for reg in [0.0, 1e-3, 0.3]:
        a, b = rng.normal(size=(40, 3)).cumsum(0), rng.normal(size=(55, 4)).cumsum(0)
        result = CanonicalTimeWarping(2, reg=reg).fit(a, b)
        assert len(result.history) >= 2
        assert result.converged
        assert np.diff(result.history).max() <= 1e-12
        assert result.objective == result.history[-1] == min(result.objectives) == result.alignment.cost


def test_the_objective_is_what_the_formula_says(rng):
    a, b = rng.normal(size=(30, 3)).cumsum(0), rng.normal(size=(36, 4)).cumsum(0)
    reg, k = 0.1, 2
    result = CanonicalTimeWarping(k, reg=reg).fit(a, b)
    u, v = result.project_a(a), result.project_b(b)
    i, j = result.alignment.path.T
    S_a, S_b = np.cov(a.T, bias=True), np.cov(b.T, bias=True)
    t_a, t_b = np.trace(S_a) / 3, np.trace(S_b) / 4
    R_a, R_b = (1 - reg) * S_a + reg * t_a * np.eye(3), (1 - reg) * S_b + reg * t_b * np.eye(4)
    W_a, W_b = result.weights_a, result.weights_b
    np.testing.assert_allclose(W_a.T @ R_a @ W_a + W_b.T @ R_b @ W_b, 2 * np.eye(k), atol=1e-10)
    by_hand = (1 - reg) / 36 * ((u[i] - v[j]) ** 2).sum() + reg * (
        t_a * (W_a**2).sum() + t_b * (W_b**2).sum()
    )
    assert result.objective == pytest.approx(by_hand / (2 * k), rel=1e-9)
    assert result.alignment.normalised_cost == pytest.approx(((u[i] - v[j]) ** 2).sum(1).mean())


@pytest.mark.parametrize("reg", [0.0, 0.2])
def test_on_the_diagonal_it_is_cca(rng, reg):
    shared = rng.normal(size=(200, 2))
    a = np.c_[shared + rng.normal(size=(200, 2)), rng.normal(size=(200, 2))]
    b = np.c_[shared + rng.normal(size=(200, 2)), rng.normal(size=(200, 1))]
    result = CanonicalTimeWarping(2, reg=reg, window=SakoeChiba(0)).fit(a, b)
    S = np.cov(np.c_[a, b].T, bias=True)
    truth = canonical_pairs(S[:4, :4], S[4:, 4:], S[:4, 4:], reg=reg)
    np.testing.assert_allclose(result.weights_a, truth.weights_a[:, :2], atol=1e-9)
    np.testing.assert_allclose(result.weights_b, truth.weights_b[:, :2], atol=1e-9)
    assert result.objective == pytest.approx(1 - (1 - reg) * truth.singular_values[:2].mean())


def test_affine_maps_of_the_features_do_not_change_the_path(rng):
    a, b, _ = planted(rng, 50, 60)
    method = CanonicalTimeWarping(2, reg=0.0)
    mixed = a @ rng.normal(size=(7, 7)) + rng.normal(size=7)
    first, second = method.fit(a, b), method.fit(mixed, 1e3 * b)
    np.testing.assert_array_equal(first.alignment.path, second.alignment.path)
    assert second.objective == pytest.approx(first.objective, rel=1e-6)


def test_symmetric(rng):
    a, b, _ = planted(rng, 50, 60)
    there, back = CanonicalTimeWarping(2).fit(a, b), CanonicalTimeWarping(2).fit(b, a)
    assert back.objective == pytest.approx(there.objective, rel=1e-9)
    given = CanonicalTimeWarping(2, initial=there.alignment.inverse()).fit(b, a)
    assert given.objective == pytest.approx(there.objective, rel=1e-9)
    assert given.alignment.path[:, ::-1].tolist() == there.alignment.path.tolist()


def test_equal_curves_agree_wholly_and_rates_give_seconds():
    t = np.linspace(0, 1, 60)
    found = align(
        Ragged.of([latent(t)], rate=10.0),
        Ragged.of([-2 * latent(t)], rate=10.0),
        CanonicalTimeWarping(2, reg=0.0),
    )
    assert found.cost == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(found.path[:, 0], found.path[:, 1])
    assert found.times()[-1].tolist() == [5.9, 5.9]
    assert align(latent(t), latent(t), "ctw").cost < 1e-2
    assert align(t, t**2, CanonicalTimeWarping(1)).cost < 0.01


def test_what_cannot_be_warped_is_said():
    good = latent(np.linspace(0, 1, 20))
    with pytest.raises(ModalityError, match="b of shape \\(1, 2\\) is one frame"):
        CanonicalTimeWarping().fit(good, good[:1])
    with pytest.raises(ModalityError, match="a of shape \\(20, 2\\) is constant"):
        CanonicalTimeWarping().fit(np.full((20, 2), 1 / 3), good)
    with pytest.raises(ModalityError, match="n_components=3.*a of shape .* has 2"):
        CanonicalTimeWarping(3, reg=0.0).fit(good, good)
    with pytest.raises(ModalityError, match="Sequence b holds NaN"):
        CanonicalTimeWarping().fit(good, np.where(good > 0.9, np.nan, good))
    with pytest.raises(ModalityError, match="costs to DTW"):
        CanonicalTimeWarping().align_costs(np.ones((3, 3)))
    with pytest.raises(ModalityError, match="reg in"):
        CanonicalTimeWarping(reg=1.0)
    with pytest.raises(ModalityError, match="at least 1 start"):
        CanonicalTimeWarping(initial=0)
    other = Alignment.of_path(np.zeros((1, 2), int), (1, 1), DTW(), cost=0.0)
    with pytest.raises(ModalityError, match="initial alignment is of 1 and 1"):
        CanonicalTimeWarping(initial=other).fit(good, good)
    with pytest.raises(ModalityError, match="2 features in a, got 3"):
        CanonicalTimeWarping().fit(good, good).project_a(np.ones((4, 3)))


def test_plain_warping_of_unlike_features_names_this_method():
    with pytest.raises(ModalityError, match="canonical time warping"):
        align(np.ones((3, 2)), np.ones((3, 4)))
