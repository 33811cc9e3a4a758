import numpy as np

from polymodal.interactions._categories import best_labels, typical

FLEE, CALL = frozenset({"flee"}), frozenset({"call"})


def test_the_typical_response_is_the_commonest() -> None:
    assert typical(np.array([0.2, 0.5, 0.3]), [FLEE, CALL, frozenset()]) == CALL


def test_a_response_that_contains_the_other_is_dominance_not_independence() -> None:
    patterns = [FLEE, FLEE | CALL]
    shares = {"a": np.array([[1.0, 0]]), "b": np.array([[0, 1.0]]), "both": np.array([[0, 1.0]])}
    assert best_labels(shares, patterns, 0.2).tolist() == ["dominance"]
