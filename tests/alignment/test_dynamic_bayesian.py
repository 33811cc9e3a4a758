"""Networks of two slices against the sum over all values of all nodes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.alignment import Categorical, DynamicBayesianNetwork, Gaussian, Node, Observation
from polymodal.core.errors import ModalityError


def table(rng, *shape):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


@pytest.fixture
def network(rng):
    """a -> b within a slice, a and b -> a, b -> c; c has parents a, and b of before; x seen through (c, a)."""
    return DynamicBayesianNetwork(
        [
            Node("c", 2, table(rng, 3, 2, 2), parents=("a",), previous=("b",), initial=table(rng, 2, 2)),
            Node("a", 2, table(rng, 3, 2, 2), previous=("b", "a"), initial=table(rng, 2)),
            Node("b", 3, table(rng, 2, 3), parents=("a",)),
        ],
        [Observation("x", ("c", "a"), Categorical(probabilities=table(rng, 4, 2)))],
    )


def every_value(network, x):
    """Probability of every assignment of c, a, b over all slices, together with x."""
    c, a, b = network.nodes
    p = network.observations[0].emission.probabilities
    found = {}
    slices = list(itertools.product(range(2), range(2), range(3)))
    for path in itertools.product(slices, repeat=len(x)):
        total = 1.0
        for t, (vc, va, vb) in enumerate(path):
            if t == 0:
                total *= a.initial[va] * c.initial[va, vc]
            else:
                _, pa, pb = path[t - 1]
                total *= a.table[pb, pa, va] * c.table[pb, va, vc]
            total *= b.table[va, vb] * (p[vc * 2 + va, x[t]] if x[t] >= 0 else 1)
        found[path] = total
    return found


def test_likelihood_marginals_and_best_values_equal_enumeration(network):
    x = np.array([1, -1, 0])
    every = every_value(network, x)
    total = sum(every.values())
    assert network.log_likelihood({"x": x})[0] == pytest.approx(np.log(total), rel=1e-12)
    posteriors = network.posteriors({"x": x})
    for i, node in enumerate(network.nodes):
        truth = np.zeros((3, node.n_states))
        for path, p in every.items():
            for t in range(3):
                truth[t, path[t][i]] += p / total
        np.testing.assert_allclose(posteriors[node.name].values, truth, atol=1e-12)
    best = max(every, key=every.get)
    found = network.viterbi({"x": x})
    assert [tuple(int(found[n].states[0][t]) for n in ("c", "a", "b")) for t in range(3)] == list(best)
    assert found["a"].log_probability[0] == pytest.approx(np.log(every[best]))


def test_seen_nodes_are_clamped(network):
    x, b = np.array([1, 0, 0]), np.array([2, -1, 0])
    every = every_value(network, x)
    truth = sum(p for path, p in every.items() if path[0][2] == 2 and path[2][2] == 0)
    assert network.log_likelihood({"x": x, "b": b})[0] == pytest.approx(np.log(truth))
    assert network.posteriors({"x": x, "b": b})["b"].values[0].tolist() == [0, 0, 1]


def test_nodes_without_common_edges_are_separate_models(rng):
    def part(name):
        node = Node(name, 2, table(rng, 2, 2), previous=(name,), initial=table(rng, 2))
        emission = Gaussian(means=rng.normal(size=(2, 1)), covariances=np.ones((2, 1)))
        return node, Observation(f"seen {name}", (name,), emission)

    (a, seen_a), (b, seen_b) = part("a"), part("b")
    x, y = rng.normal(size=(20, 1)), rng.normal(size=(20, 1))
    both = DynamicBayesianNetwork([a, b], [seen_a, seen_b]).log_likelihood({"seen a": x, "seen b": y})
    one = DynamicBayesianNetwork([a], [seen_a]).log_likelihood({"seen a": x})
    other = DynamicBayesianNetwork([b], [seen_b]).log_likelihood({"seen b": y})
    np.testing.assert_allclose(both, one + other)


def test_samples_have_the_marginals(network):
    drawn = network.sample(4000, 0)
    assert sorted(drawn) == ["a", "b", "c", "x"]
    counts = np.bincount(drawn["b"][drawn["a"] == 1], minlength=3)
    np.testing.assert_allclose(counts / counts.sum(), network.nodes[2].table[1], atol=0.03)


def test_wrong_networks_are_refused(rng, network):
    with pytest.raises(ModalityError, match="cycle: "):
        DynamicBayesianNetwork(
            [Node("a", 2, table(rng, 2, 2), ("b",)), Node("b", 2, table(rng, 2, 2), ("a",))]
        )
    with pytest.raises(ModalityError, match="unknown parent 'q'"):
        DynamicBayesianNetwork([Node("a", 2, table(rng, 2, 2), ("q",))])
    with pytest.raises(ModalityError, match=r"'a' needs table of shape \(2,\)"):
        DynamicBayesianNetwork([Node("a", 2, table(rng, 2, 2))])
    with pytest.raises(ModalityError, match="needs initial"):
        DynamicBayesianNetwork([Node("a", 2, table(rng, 2, 2), previous=("a",))])
    with pytest.raises(ModalityError, match="last axis sums to 1"):
        DynamicBayesianNetwork([Node("a", 2, np.ones(2))])
    with pytest.raises(ModalityError, match="joint states"):
        DynamicBayesianNetwork([Node(str(i), 10, table(rng, 10)) for i in range(4)])
    with pytest.raises(ModalityError, match=r"Unknown names \['y'\]"):
        network.log_likelihood({"y": np.zeros(2, dtype=int)})
    with pytest.raises(ModalityError, match="Node 'b' takes whole numbers"):
        network.log_likelihood({"b": np.array([5])})
