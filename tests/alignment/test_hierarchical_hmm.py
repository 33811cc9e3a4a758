"""Hierarchies against their flat chain, worked out by hand, and against the network with exits."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Gaussian, HiddenMarkovModel, HierarchicalHMM, LeftToRight, Level
from polymodal.core.errors import ModalityError


def level(rng, n, top=False):
    rows = rng.dirichlet(np.ones(n + (not top)), size=n)
    return Level(rng.dirichlet(np.ones(n)), np.hstack([rows, np.zeros((n, 1))]) if top else rows)


def emission(j):
    return Gaussian(means=3.0 * np.arange(j)[:, None], covariances=np.ones((j, 1)))


def test_flat_chain_of_two_levels_by_hand():
    """Two states, of two leaves and of one; the numbers are multiplied out."""
    levels = {
        (): Level(np.array([0.6, 0.4]), np.array([[0.3, 0.7, 0.0], [1.0, 0.0, 0.0]])),
        (0,): Level(np.array([0.8, 0.2]), np.array([[0.5, 0.4, 0.1], [0.0, 0.6, 0.4]])),
        (1,): Level(np.array([1.0]), np.array([[0.9, 0.1]])),
    }
    flat = HierarchicalHMM.of(levels, emission(3)).flat()
    np.testing.assert_allclose(flat.chain_.start, [0.48, 0.12, 0.4])
    np.testing.assert_allclose(
        flat.chain_.transitions,
        [
            [0.5 + 0.1 * 0.3 * 0.8, 0.4 + 0.1 * 0.3 * 0.2, 0.1 * 0.7],
            [0.4 * 0.3 * 0.8, 0.6 + 0.4 * 0.3 * 0.2, 0.4 * 0.7],
            [0.1 * 0.8, 0.1 * 0.2, 0.9],
        ],
    )


def test_equal_to_its_flat_model_and_to_every_path(rng, every_state_path):
    levels = {(): level(rng, 2, top=True), (0,): level(rng, 2), (1,): level(rng, 1)}
    model = HierarchicalHMM.of(levels, emission(3))
    x = rng.normal(size=(5, 1)) * 4
    flat = model.flat()
    total, posteriors, _, best, _ = every_state_path(
        flat.chain_.start, flat.chain_.transitions, model.emission_.log_likelihood(x)
    )
    assert model.score(x) == pytest.approx(total) == pytest.approx(flat.score(x))
    assert tuple(model.predict(x)[0]) == best
    assert model.levels(x)[0].tolist() == [model.leaves[s].tolist() for s in best]
    np.testing.assert_allclose(model.level_posteriors(x, 2).values, posteriors, atol=1e-12)
    top = np.stack([posteriors[:, :2].sum(1), posteriors[:, 2]], axis=1)
    np.testing.assert_allclose(model.level_posteriors(x, 1).values, top, atol=1e-12)


def test_one_level_is_a_hidden_markov_model(rng):
    x, begun = rng.normal(size=(60, 1)) * 4, emission(3)
    tree = HierarchicalHMM(3, emission=begun, max_iter=6, tol=0).fit(x)
    plain = HiddenMarkovModel(3, emission=begun, max_iter=6, tol=0).fit(x)
    np.testing.assert_allclose(tree.history_, plain.history_)


def test_a_fit_never_loses(rng):
    x = [np.repeat(rng.normal(size=(10, 1)) * 3, 5, axis=0) + rng.normal(size=(50, 1)) for _ in range(3)]
    for tree in ((2, 2), ((2, 1), (1, 2))):
        model = HierarchicalHMM(tree, prior=0.2, random_state=0, max_iter=25, tol=0).fit(x)
        assert np.diff(model.history_).min() > -1e-7


def test_two_levels_are_recovered(rng):
    """Two regimes: one plays 0 3 in turn, the other 6 9; regimes last fifty frames, notes five."""
    regime = np.repeat(np.arange(20) % 2, 50)
    note = np.tile(np.repeat([0, 1], 5), 100)
    x = (6.0 * regime + 3.0 * note + 0.5 * rng.normal(size=1000))[:, None]
    model = HierarchicalHMM((2, 2), random_state=0).fit(x)
    found = model.levels(x)[0]
    agree = (found[:, 0] == regime).mean()
    assert max(agree, 1 - agree) > 0.98


def test_left_to_right_below_is_left_at_its_end_only(rng):
    model = HierarchicalHMM(
        (3, 2), topologies=[LeftToRight(circular=True), LeftToRight()], random_state=0, max_iter=5
    )
    model.fit(rng.normal(size=(80, 2)))
    assert model.levels_[(0,)].transitions[:2, -1].tolist() == [0, 0]
    assert model.levels_[(0,)].transitions[2, -1] > 0
    assert model.levels_[()].transitions[:, -1].tolist() == [0, 0]


def test_wrong_trees_are_refused(rng):
    with pytest.raises(ModalityError, match="leaves of one depth"):
        HierarchicalHMM((2, (2, 2))).fit(np.zeros((4, 1)))
    with pytest.raises(ModalityError, match="at least one child"):
        HierarchicalHMM((2, 0)).fit(np.zeros((4, 1)))
    with pytest.raises(ModalityError, match="3 leaves, the emission parameters for 2"):
        HierarchicalHMM.of({(): level(rng, 2, True), (0,): level(rng, 2), (1,): level(rng, 1)}, emission(2))
    with pytest.raises(ModalityError, match=r"exit\) being 0 at the top"):
        HierarchicalHMM.of({(): level(rng, 2)}, emission(2))
    with pytest.raises(ModalityError, match="2 levels, got 1 topologies"):
        HierarchicalHMM((2, 2), topologies=[LeftToRight()]).fit(np.zeros((4, 1)))
    with pytest.raises(ModalityError, match="levels 1 to 1, got 2"):
        HierarchicalHMM.of({(): level(rng, 2, True)}, emission(2)).level_posteriors(np.zeros((4, 1)), 2)
