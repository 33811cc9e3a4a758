"""Mutual and soft nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import (
    MutualNeighbours,
    SoftNeighbours,
    align,
    align_costs,
    cycle_consistent,
    mutual_neighbours,
    neighbours,
    soft_neighbours,
)
from polymodal.alignment.answer import Alignment
from polymodal.core.errors import ModalityError


def test_by_hand():
    costs = np.array([[1.0, 2.0, 9.0], [0.5, 3.0, 9.0]])
    assert mutual_neighbours(costs).tolist() == [[1, 0]]  # 0 prefers column 0, which prefers 1
    found = align_costs(costs, MutualNeighbours())
    assert found.cost == 0.5
    assert found.coupling.toarray().tolist() == [[0, 0, 0], [1, 0, 0]]
    assert align_costs(-costs, MutualNeighbours(largest=True)).path.tolist() == [[1, 0]]


@pytest.mark.parametrize("block", [2**22, 100])
def test_in_blocks_as_from_the_matrix(rng, monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    a, b = rng.normal(size=(37, 3)), rng.normal(size=(29, 3))
    costs = np.linalg.norm(a[:, None] - b, axis=-1)
    found = align(a, b, "mutual_neighbours")
    assert found.path.tolist() == mutual_neighbours(costs).tolist()
    assert found.cost == pytest.approx(costs[found.path[:, 0], found.path[:, 1]].sum())
    assert 1 <= len(found) <= 29
    assert len(set(found.path[:, 1].tolist())) == len(found)
    assert sorted(align(b, a, MutualNeighbours()).path[:, ::-1].tolist()) == found.path.tolist()


def test_they_are_the_two_cycles(rng):
    costs = rng.random((12, 15))
    forth, back = costs.argmin(1), costs.argmin(0)
    ring = [
        Alignment.of_path(np.stack([np.arange(12), forth], 1), (12, 15), MutualNeighbours(), cost=0.0),
        Alignment.of_path(np.stack([np.arange(15), back], 1), (15, 12), MutualNeighbours(), cost=0.0),
    ]
    np.testing.assert_array_equal(cycle_consistent(ring), mutual_neighbours(costs))


def test_soft_by_hand_and_in_the_limits(rng):
    costs = np.array([[0.0, np.log(3.0)], [5.0, 5.0]])
    np.testing.assert_allclose(soft_neighbours(costs), [[0.75, 0.25], [0.5, 0.5]])
    costs = rng.random((6, 9))
    cold, warm = soft_neighbours(costs, temperature=1e-4), soft_neighbours(costs, temperature=1e6)
    np.testing.assert_array_equal(cold.argmax(1), costs.argmin(1))
    np.testing.assert_allclose(cold.max(1), 1, atol=1e-6)
    np.testing.assert_allclose(warm, 1 / 9, atol=1e-6)
    found = align(rng.normal(size=(5, 2)), rng.normal(size=(7, 2)), SoftNeighbours(0.5))
    np.testing.assert_allclose(found.coupling.sum(1), 1)
    forbidden = align_costs(np.array([[1.0, np.inf], [2.0, 2.0]]), SoftNeighbours())
    np.testing.assert_allclose(forbidden.coupling.toarray(), [[1, 0], [0.5, 0.5]])
    assert forbidden.cost == 3.0


def test_what_is_refused():
    with pytest.raises(ModalityError, match=r"Elements \[1\] of a have only infinite costs"):
        soft_neighbours(np.array([[1.0, 2.0], [np.inf, np.inf]]))
    assert len(align_costs(np.full((2, 2), np.inf), MutualNeighbours())) == 0
    with pytest.raises(ModalityError, match="temperature > 0"):
        SoftNeighbours(0.0)
    with pytest.raises(ModalityError, match="takes scores"):
        align([1.0], [2.0], MutualNeighbours(largest=True))
    with pytest.raises(ModalityError, match="MutualNeighbours compares elements"):
        align(np.ones((3, 2)), np.ones((3, 4)), MutualNeighbours())
    with pytest.raises(ModalityError, match="elements would take"):
        align(np.zeros(10**6), np.zeros(10**6), SoftNeighbours())
    with pytest.raises(ModalityError, match="Sequence a holds NaN"):
        align([np.nan], [1.0], MutualNeighbours())
    assert align(np.ones(3), np.ones(2), MutualNeighbours()).path.tolist() == [[0, 0]]
