"""One-to-one matching: against every matching, rectangular, with forbidden pairs and with elements left alone."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from polymodal.alignment import Assignment, align, align_costs
from polymodal.core.errors import ModalityError


def test_by_hand():
    found = align_costs(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]]), Assignment())
    assert found.path.tolist() == [[0, 1], [1, 0], [2, 2]]
    assert found.cost == 5.0
    assert found.normalised_cost == pytest.approx(5 / 3)
    assert found.coupling.toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (1, 4)])
def test_the_least_of_all_matchings(rng, shape):
    costs = rng.normal(size=shape)
    n, m = min(shape), max(shape)
    table = costs if shape[0] <= shape[1] else costs.T
    truth = min(sum(table[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(m), n))
    found = align_costs(costs, Assignment())
    assert found.cost == pytest.approx(truth)
    assert len(found) == n
    assert align_costs(-costs, Assignment(maximize=True)).path.tolist() == found.path.tolist()


def test_a_permutation_is_found(rng):
    a, order = rng.normal(size=(50, 3)), rng.permutation(50)
    found = align(a, a[order] + 1e-3 * rng.normal(size=(50, 3)), "assignment")
    assert (order[found.path[:, 1]] == found.path[:, 0]).all()


def test_forbidden_pairs():
    costs = np.array([[1.0, np.inf, 9.0], [1.0, 5.0, np.inf]])
    assert align_costs(costs, Assignment()).path.tolist() == [[0, 0], [1, 1]]
    blocked = np.array([[1.0, np.inf, np.inf], [2.0, np.inf, np.inf]])
    with pytest.raises(ModalityError, match=r"elements \[1\] of a|elements \[0\] of a"):
        align_costs(blocked, Assignment())
    with pytest.raises(ModalityError, match=r"2 by 3 elements: elements \[0, 1\] of a"):
        align_costs(np.full((2, 3), np.inf), Assignment())
    with pytest.raises(ModalityError, match=r"elements \[0\] of b"):
        align_costs(np.array([[np.inf, 1.0], [np.inf, 2.0], [np.inf, 3.0]]), Assignment())
    assert align_costs(blocked, Assignment(max_cost=10.0)).path.tolist() == [[0, 0]]
    assert len(align_costs(np.full((2, 3), np.inf), Assignment(max_cost=1.0))) == 0
    scores = np.array([[1.0, -np.inf], [3.0, 2.0]])
    assert align_costs(scores, Assignment(maximize=True)).cost == 3.0


def test_elements_left_alone(rng):
    costs = np.array([[1.0, 8.0], [8.0, 9.0]])
    assert align_costs(costs, Assignment(max_cost=5.0)).path.tolist() == [[0, 0]]
    assert align_costs(costs, Assignment(max_cost=20.0)).cost == align_costs(costs, Assignment()).cost
    assert align_costs(9 - costs, Assignment(maximize=True, max_cost=5.0)).path.tolist() == [[0, 0]]
    costs = rng.random((12, 15))
    counts = [len(align_costs(costs, Assignment(max_cost=limit))) for limit in [0.0, 0.05, 0.2, 0.5, np.inf]]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 12


def test_what_is_refused():
    with pytest.raises(ModalityError, match="takes scores"):
        align([1.0], [2.0], Assignment(maximize=True))
    with pytest.raises(ModalityError, match="minus infinity"):
        align_costs(np.array([[1.0, -np.inf]]), Assignment())
    with pytest.raises(ModalityError, match="Sequence b holds NaN"):
        align([1.0, 2.0], [np.nan, 1.0], Assignment())
    with pytest.raises(ModalityError, match="elements would take"):
        align(np.zeros(10**6), np.zeros(10**6), Assignment())
    assert align([1.0], [2.0], Assignment()).path.tolist() == [[0, 0]]
