"""`Clustered` and `Predicted`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from polymodal.core.errors import ModalityError
from polymodal.information import Clustered, Predicted, Subsampling, decompose
from polymodal.information.reduced import cluster_codes

LINEAR = Predicted(LogisticRegression(), n_folds=3, n_permutations=5)


def worlds(rng: np.random.Generator, n: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Two well separated blobs stand for each bit."""
    bits = rng.integers(2, size=(2, n))

    def blob(bit: np.ndarray) -> np.ndarray:
        return np.c_[6 * bit, -6 * bit] + rng.normal(size=(n, 2))

    return {
        "redundancy": (blob(bits[0]), blob(bits[0]), bits[0]),
        "unique a": (blob(bits[0]), blob(bits[1]), bits[0]),
        "synergy": (blob(bits[0]), blob(bits[1]), bits[0] ^ bits[1]),
        "nothing": (blob(bits[0]), blob(bits[1]), rng.integers(2, size=n)),
    }


@pytest.mark.parametrize("world", ["redundancy", "unique a", "synergy", "nothing"])
def test_clusters_find_what_is_there_and_nothing_else(rng: np.random.Generator, world: str) -> None:
    a, b, y = worlds(rng, 600)[world]
    found = decompose({"a": a, "b": b}, y, Clustered(n_clusters=4, n_permutations=8), unit="bits")
    for name, value in found.parts.items():
        assert value == pytest.approx(1.0 if name == world else 0.0, abs=0.06), found
    assert sum(found.parts.values()) == pytest.approx(found.total, abs=1e-9)


@pytest.mark.parametrize("world", ["redundancy", "unique a", "nothing"])
def test_predictions_find_it_too(rng: np.random.Generator, world: str) -> None:
    a, b, y = worlds(rng, 500)[world]
    found = decompose({"a": a, "b": b}, y, LINEAR, unit="bits")
    for name, value in found.parts.items():
        assert value == pytest.approx(1.0 if name == world else 0.0, abs=0.08), found


def test_more_than_two_labels(rng: np.random.Generator) -> None:
    y = rng.integers(3, size=450)
    words = np.array(["no", "yes", "so"])[y]
    a, b = (np.eye(3)[y] * 6 + rng.normal(size=(450, 3)) for _ in range(2))
    for method in (Clustered(4, n_permutations=3), LINEAR):
        found = decompose({"a": a, "b": b}, words, method, unit="bits")
        assert found.redundancy == pytest.approx(np.log2(3), abs=0.12)


def test_synergy_needs_a_model_that_can_see_it(rng: np.random.Generator) -> None:
    a, b, y = worlds(rng, 600)["synergy"]
    linear = decompose({"a": a, "b": b}, y, LINEAR, unit="bits")
    trees = decompose({"a": a, "b": b}, y, Predicted(n_folds=3, n_permutations=5), unit="bits")
    assert linear.synergy < 0.1
    assert trees.synergy > 0.9


def test_intervals(rng: np.random.Generator) -> None:
    a, b, y = worlds(rng, 400)["nothing"]
    found = decompose(
        {"a": a, "b": b}, y, Clustered(4, n_permutations=8), interval=Subsampling(n_resamples=20)
    )
    low, high = found.intervals["total"]
    assert low < 0 < high
    assert found.level == 0.95


def test_identical_and_constant_modalities(rng: np.random.Generator) -> None:
    a, _, y = worlds(rng, 300)["unique a"]
    same = decompose(
        {"a": a, "b": a}, y, Predicted(LogisticRegression(), n_folds=3, n_permutations=3), unit="bits"
    )
    assert same.redundancy > 0.9
    constant = decompose({"a": a, "b": np.ones((300, 2))}, y, Clustered(4, n_permutations=3), unit="bits")
    assert constant.unique["b"] == pytest.approx(0, abs=1e-6)
    assert constant.unique["a"] > 0.9
    one_class = decompose({"a": a, "b": a}, np.zeros(300, dtype=int), Predicted())
    assert one_class.total == pytest.approx(0, abs=1e-12)


def test_without_permutations_chance_stays(rng: np.random.Generator) -> None:
    a, b, y = worlds(rng, 100)["nothing"]
    plain = decompose({"a": a, "b": b}, y, Clustered(6, n_permutations=0))
    corrected = decompose({"a": a, "b": b}, y, Clustered(6, n_permutations=10))
    assert plain.total > corrected.total + 0.1


def test_few_values_are_their_own_clusters(rng: np.random.Generator) -> None:
    assert cluster_codes(np.array([[3], [1], [3], [1]]), 3, rng).tolist() == [1, 0, 1, 0]
    words = np.array([["cat"], ["dog"], ["cat"], ["dog"]])
    assert cluster_codes(words, 2, rng).tolist() == [0, 1, 0, 1]


def test_refusals(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 30, 2))
    y = rng.integers(2, size=30)
    with pytest.raises(ModalityError, match="40 clusters for 30 rows"):
        decompose({"a": a, "b": b}, y, Clustered(40))
    with pytest.raises(ModalityError, match="all 30 rows differ. Cut it into classes"):
        decompose({"a": a, "b": b}, rng.normal(size=30), Clustered())
    with pytest.raises(ModalityError, match="at least 5 rows of each label"):
        decompose({"a": a, "b": b}, np.r_[np.zeros(28, dtype=int), 1, 1], Predicted())
    texts = [f"text {i}" for i in range(30)]
    with pytest.raises(ModalityError, match="Encode them first"):
        decompose({"a": a, "b": texts}, y, Predicted())
    with pytest.raises(ModalityError, match=r"Texts with more values \(30\)"):
        decompose({"a": a, "b": texts}, y, Clustered())


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_groups_are_never_on_both_sides_of_a_fold():
    """Ten near copies of each row: with copies on both sides trees find what is not there."""
    draws = np.random.default_rng(0)
    who = np.repeat(np.arange(30), 10)
    a, b = (draws.normal(size=(30, 3))[who] + 1e-3 * draws.normal(size=(300, 3)) for _ in "ab")
    y = draws.integers(2, size=30)[who]
    split, whole = (
        decompose({"a": a, "b": b}, y, Predicted(n_folds=3, n_permutations=3, groups=g)).total
        for g in (None, who)
    )
    assert split > 0.5
    assert whole < 0.2
    with pytest.raises(ModalityError, match="one group for each of the 300 rows"):
        decompose({"a": a, "b": b}, y, Predicted(groups=who[:5]))
