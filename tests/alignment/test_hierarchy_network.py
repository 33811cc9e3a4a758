"""A hierarchy written with a node for every level's state and exit is the same model."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Gaussian, HierarchicalHMM, Level


def level(rng, n, top=False):
    rows = rng.dirichlet(np.ones(n + (not top)), size=n)
    return Level(rng.dirichlet(np.ones(n)), np.hstack([rows, np.zeros((n, 1))]) if top else rows)


TREES = [
    {(): 3},
    {(): 2, (0,): 2, (1,): 3},
    {(): 2, (0,): 1, (1,): 2, (0, 0): 2, (1, 0): 1, (1, 1): 2},
]


@pytest.mark.parametrize("tree", TREES, ids=["one level", "two levels", "three levels"])
def test_same_likelihood_and_level_posteriors(rng, tree):
    levels = {path: level(rng, n, top=not path) for path, n in tree.items()}
    depth = max(map(len, tree))
    leaves = sum(n for path, n in tree.items() if len(path) == depth)
    emission = Gaussian(means=3.0 * np.arange(leaves)[:, None], covariances=np.ones((leaves, 1)))
    model = HierarchicalHMM.of(levels, emission)
    network = model.as_network()
    x = [rng.normal(size=(12, 1)) * 4 + 3, rng.normal(size=(7, 1)) * 4]
    np.testing.assert_allclose(network.log_likelihood({"frames": x}), model.log_likelihood(x))
    top = network.posteriors({"frames": x})["level 1"].values
    np.testing.assert_allclose(top, model.level_posteriors(x, 1).values, atol=1e-10)
