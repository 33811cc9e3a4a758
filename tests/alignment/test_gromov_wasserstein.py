"""Gromov-Wasserstein: a rotated cloud of another dimension, the objective by its definition, fused limits."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import GromovWasserstein, Transport, align
from polymodal.alignment.gromov_wasserstein import objective, profiles_apart
from polymodal.core.errors import ModalityError

pytest.importorskip("ot")


def rotated(rng, n=30, noise=0.0):
    """A cloud in three dimensions, and the same in five, turned, moved and shuffled."""
    x, order = rng.normal(size=(n, 3)), rng.permutation(n)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:3]
    return x, (x @ turn + 2)[order] + noise * rng.normal(size=(n, 5)), order


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_isometry_is_found_across_dimensions(rng, noise):
    for _ in range(3):
        a, b, order = rotated(rng, noise=noise)
        found = align(a, b, GromovWasserstein())
        assert (order[found.path[:, 1]] == found.path[:, 0]).all()
        assert found.cost == pytest.approx(0, abs=1e-12 if not noise else 0.01)


def test_by_name_and_with_entropy(rng):
    a, b, order = rotated(rng, 20)
    assert (order[align(a, b, "gromov_wasserstein").path[:, 1]] == np.arange(20)).all()
    smooth = align(a, b, GromovWasserstein(epsilon=0.05, n_starts=1))
    assert (order[smooth.path[:, 1]] == np.arange(20)).mean() > 0.9
    np.testing.assert_allclose(smooth.coupling.sum(0), 1 / 20, atol=1e-8)
    assert smooth.normalised_cost > 0


def test_the_objective_by_its_definition(rng):
    A, B = (np.abs(np.subtract.outer(x, x)) for x in (rng.normal(size=4), rng.normal(size=5)))
    plan, costs = rng.dirichlet(np.ones(20)).reshape(4, 5), rng.random((4, 5))
    by_hand = sum(
        (A[i, k] - B[j, m]) ** 2 * plan[i, j] * plan[k, m]
        for i in range(4) for k in range(4) for j in range(5) for m in range(5)
    )  # fmt: skip
    assert objective(plan, A, B) == pytest.approx(by_hand)
    assert objective(plan, A, B, costs, 0.3) == pytest.approx(0.3 * by_hand + 0.7 * (plan * costs).sum())


def test_profiles_are_equal_for_partners(rng):
    a, b, order = rotated(rng)
    A, B = (np.linalg.norm(x[:, None] - x, axis=-1) for x in (a, b))
    w = np.full(30, 1 / 30)
    apart = profiles_apart(A, B, w, w)
    np.testing.assert_allclose(apart[order, np.arange(30)], 0, atol=1e-20)
    assert apart.shape == (30, 30)
    assert profiles_apart(A[:7, :7], B, np.full(7, 1 / 7), w).shape == (7, 30)


def test_different_sizes_and_weights(rng):
    a = np.repeat(np.array([0.0, 1.0, 5.0]), [1, 2, 1])
    found = align(
        a, np.array([0.0, 1.0, 5.0]), GromovWasserstein(marginals=(np.full(4, 0.25), [0.25, 0.5, 0.25]))
    )
    assert found.cost == pytest.approx(0, abs=1e-12)
    assert found.path[:, 1].tolist() == [0, 1, 1, 2]


def test_fused_lets_features_decide_where_structure_cannot(rng):
    # an equilateral triangle: all matchings keep distances, the features tell them apart
    D = 1.0 - np.eye(3)
    costs = 1.0 - np.eye(3)[[1, 2, 0]]
    found = GromovWasserstein(alpha=0.5).align_structures(D, D, costs)
    assert found.path.tolist() == [[0, 1], [1, 2], [2, 0]]
    assert found.cost == pytest.approx(0, abs=1e-9)
    a, b = rng.normal(size=(12, 2)), rng.normal(size=(12, 2))
    fused = align(a, b, GromovWasserstein(alpha=1e-6, metric="sqeuclidean"))
    assert fused.cost == pytest.approx(align(a, b, Transport()).cost, rel=1e-3)


def test_units_do_not_matter_with_scale(rng):
    a, b, order = rotated(rng)
    found = align(a, 1000 * b, GromovWasserstein(scale=True))
    assert (order[found.path[:, 1]] == found.path[:, 0]).all()
    assert align(a, 1000 * b, GromovWasserstein(n_starts=1)).cost > 1e3


def test_what_is_refused(rng):
    a, b, _ = rotated(rng, 5)
    with pytest.raises(ModalityError, match="alpha in"):
        GromovWasserstein(alpha=0)
    with pytest.raises(ModalityError, match=r"Fused.*a \(5, 3\) and b \(5, 5\)"):
        align(a, b, GromovWasserstein(alpha=0.5))
    with pytest.raises(ModalityError, match="align_structures"):
        GromovWasserstein().align_costs(np.ones((3, 3)))
    with pytest.raises(ModalityError, match="within b must be a symmetric"):
        GromovWasserstein().align_structures(np.eye(3), np.arange(9.0).reshape(3, 3))
    with pytest.raises(ModalityError, match="costs were not given"):
        GromovWasserstein(alpha=0.5).align_structures(np.eye(3), np.eye(3))
    with pytest.raises(ModalityError, match="5 and 5 weights > 0"):
        align(a, b, GromovWasserstein(marginals=(np.ones(5), np.zeros(5))))
    with pytest.raises(ModalityError, match="within a, of 1000000"):
        align(np.zeros(10**6), np.zeros(3), GromovWasserstein())
    with pytest.raises(ModalityError, match="Sequence b holds NaN"):
        align(a, b * np.nan, GromovWasserstein())
    assert align([1.0], [[5.0, 5.0]], GromovWasserstein()).path.tolist() == [[0, 0]]
    assert align(np.ones(3), np.ones((3, 2)), GromovWasserstein()).cost == 0
