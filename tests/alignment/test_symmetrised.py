"""Two directions made one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.alignment import IBM1, HMMWordAligner, Symmetrised, symmetrise
from polymodal.alignment.symmetrised import RULES
from polymodal.core.errors import ModalityError, NotFittedError

GERMAN = ["das Haus", "das Buch", "ein Buch", "das Haus ist klein"]
ENGLISH = ["the house", "the book", "a book", "the house is small"]
links = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12).map(
    lambda s: np.array(sorted(s), dtype=np.int64).reshape(-1, 2)
)


def pairs(found: np.ndarray) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in found}


@given(links, links)
def test_the_rules_lie_within_each_other(forward: np.ndarray, backward: np.ndarray) -> None:
    found = {rule: pairs(symmetrise(forward, backward, rule)) for rule in RULES}
    assert found["intersection"] == pairs(forward) & pairs(backward)
    assert found["union"] == pairs(forward) | pairs(backward)
    for final in ("grow-diag-final-and", "grow-diag-final"):
        for small, large in itertools.pairwise(["intersection", "grow-diag", final, "union"]):
            assert found[small] <= found[large]
    for rule in RULES:
        assert pairs(symmetrise(forward, forward, rule)) == pairs(forward)


def test_grow_diag_by_hand() -> None:
    forward = np.array([[0, 0], [1, 1], [3, 3], [5, 0]])
    backward = np.array([[0, 0], [1, 2], [3, 3], [4, 5]])
    both = {(0, 0), (3, 3)}
    assert pairs(symmetrise(forward, backward, "intersection")) == both
    # (1, 1) touches (0, 0); (1, 2) touches (1, 1) and its word of b is still free; (5, 0) and (4, 5) touch nothing
    grown = both | {(1, 1), (1, 2)}
    assert pairs(symmetrise(forward, backward, "grow-diag")) == grown
    # of the rest: (5, 0) has a free word of a only, (4, 5) two free words
    assert pairs(symmetrise(forward, backward, "grow-diag-final-and")) == grown | {(4, 5)}
    assert pairs(symmetrise(forward, backward, "grow-diag-final")) == grown | {(4, 5), (5, 0)}


@pytest.mark.parametrize("model", [IBM1(8), HMMWordAligner(4)])
def test_the_model_of_both_directions(model: IBM1 | HMMWordAligner) -> None:
    both = Symmetrised(model, "intersection").fit(GERMAN, ENGLISH)
    found = both.align("das Haus ist klein", "the house is small")
    assert [0, 0] in found.path.tolist()
    assert [1, 1] in found.path.tolist()
    forward = both.forward_.align("das Haus", "the house")
    backward = both.backward_.align("the house", "das Haus")
    joined = both.align("das Haus", "the house")
    np.testing.assert_array_equal(
        joined.path, symmetrise(forward.path, backward.path[:, ::-1], "intersection")
    )
    np.testing.assert_allclose(
        joined.coupling.toarray() ** 2, forward.coupling.toarray() * backward.coupling.toarray().T
    )
    assert joined.cost == pytest.approx(forward.cost + backward.cost)
    costs = np.array([[0.1, 5.0], [4.0, 0.2]])
    assert both.align_costs(costs).path.tolist() == [[0, 0], [1, 1]]
    assert not hasattr(model, "t_")  # it was copied


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(ModalityError, match="knows the rules"):
        symmetrise(np.zeros((0, 2), int), np.zeros((0, 2), int), "grow")
    with pytest.raises(ModalityError, match="knows the rules"):
        Symmetrised(IBM1(), "both").fit(GERMAN, ENGLISH)
    with pytest.raises(NotFittedError):
        Symmetrised(IBM1()).align("a", "b")
    with pytest.raises(ModalityError, match="learns its own copies"):
        Symmetrised(IBM1().fit(GERMAN, ENGLISH)).align("a", "b")
