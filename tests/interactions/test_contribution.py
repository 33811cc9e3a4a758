from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fusion import LateFusion
from polymodal.interactions import ModalityContribution, modality_contribution
from polymodal.interactions.contribution import shapley


class Formula:
    """A model that is a function of vectors."""

    def __init__(self, function: Any, names: str) -> None:
        self.function, self.names = function, names

    def predict(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.function(*(data[name].values()[:, 0] for name in self.names)))


def _ask(function: Any, names: str, rng: np.random.Generator, **settings: Any) -> ModalityContribution:
    data = Modalities({name: rng.normal(size=(300, 1)) for name in names})
    model = Formula(function, names)
    return modality_contribution(model, data, model.predict(data), n_resamples=100, **settings)


def test_the_glove_game() -> None:
    """One left glove and two right ones: 2/3, 1/6, 1/6 (a textbook value)."""
    subsets = [frozenset(s) for s in ("", "l", "r", "s", "lr", "ls", "rs", "lrs")]
    values = {s: np.array([float("l" in s and bool(s & {"r", "s"}))]) for s in subsets}
    assert [shapley(values, name, ("l", "r", "s"))[0] for name in "lrs"] == pytest.approx(
        [2 / 3, 1 / 6, 1 / 6]
    )


@given(st.integers(1, 4), st.integers(0, 2**31))
def test_shares_of_any_game_sum_to_its_worth(players: int, seed: int) -> None:
    names = tuple("abcd"[:players])
    subsets = [frozenset(s) for k in range(players + 1) for s in combinations(names, k)]
    values = dict(zip(subsets, np.random.default_rng(seed).normal(size=(len(subsets), 2)), strict=True))
    total = sum(shapley(values, name, names) for name in names)
    np.testing.assert_allclose(total, values[frozenset(names)] - values[frozenset()], atol=1e-12)


def test_shares_sum_to_what_the_modalities_bring(rng: np.random.Generator) -> None:
    found = _ask(lambda a, b, c: a + 2 * b * c, "abc", rng)
    assert sum(share.value for share in found.shares.values()) == pytest.approx(
        found.score.value - found.baseline.value, abs=1e-12
    )
    assert len(found.values) == 8
    assert found.missing == "permute"
    assert "taken from another row" in found.sentence()


def test_linear_shares_are_the_variances(rng: np.random.Generator) -> None:
    """f = a + 2 b on independent unit normals: R2 of a subset is 1 - 2 (variance taken away) / 5."""
    found = _ask(lambda a, b: a + 2 * b, "ab", rng, n_draws=40)
    assert found.shares["a"].value == pytest.approx(2 / 5, abs=0.08)
    assert found.shares["b"].value == pytest.approx(8 / 5, abs=0.15)
    assert found.shares["a"].low < found.shares["a"].value < found.shares["a"].high


def test_a_modality_without_use_has_no_share_and_equals_share_alike(rng: np.random.Generator) -> None:
    found = _ask(lambda a, b, c: a + 0 * b, "abc", rng)
    assert [(found.shares[k].value, found.shares[k].low, found.shares[k].high) for k in "bc"] == [
        (0, 0, 0)
    ] * 2
    twin = rng.normal(size=(80, 1))
    y = np.where(twin[:, 0] > 0, "up", "down")
    data = Modalities({"a": twin, "b": twin.copy(), "noise": rng.normal(size=(80, 1))})
    model = LateFusion("product").fit(data, y)
    shared = modality_contribution(model, data, y, n_resamples=50)
    assert shared.shares["a"].value == shared.shares["b"].value > 0.1
    assert shared.without["a"].value == pytest.approx(shared.score.value, abs=0.05)  # the twin stands in
    assert abs(shared.shares["noise"].value) < 0.1


def test_absence_asks_the_model_without_the_modality(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(60, 2)), "b": rng.normal(size=(60, 2))})
    y = (data["a"].values()[:, 0] + 0.3 * data["b"].values()[:, 0] > 0).astype(int)
    model = LateFusion().fit(data, y)
    found = modality_contribution(model, data, y, n_resamples=50)
    assert found.missing == "absent"
    assert found.alone["a"].value == model.score(data.select("a"), y)
    assert found.baseline.value == max(np.bincount(y)) / 60
    swapped = modality_contribution(model, data.select("b", "a"), y, n_resamples=50)
    assert swapped.shares == found.shares
    permuted = modality_contribution(model, data, y, n_resamples=50, missing="permute")
    assert permuted.alone["a"].value != found.alone["a"].value


def test_a_modality_that_equals_the_label_takes_it_all(rng: np.random.Generator) -> None:
    y = np.arange(80) % 2
    data = Modalities({"answer": y[:, None].astype(float), "noise": rng.normal(size=(80, 3))})
    found = modality_contribution(LateFusion("product").fit(data, y), data, y, n_resamples=50)
    assert found.alone["answer"].value == 1
    assert found.shares["answer"].value > 0.4


def test_the_picture_has_a_bar_for_each_modality(rng: np.random.Generator) -> None:
    import matplotlib.pyplot as plt

    ax = _ask(lambda a, b: a + b, "ab", rng).plot(plt.figure().gca())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    plt.close("all")


def test_bad_input_is_named(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(10, 1)), np.arange(10) % 2
    model = Formula(lambda a: (a > 0).astype(int), "a")
    with pytest.raises(ModalityError, match="at most 10 modalities"):
        modality_contribution(model, {f"m{k}": x for k in range(11)}, y)
    with pytest.raises(ModalityError, match="n_draws >= 1"):
        modality_contribution(model, {"a": x}, y, n_draws=0)
    with pytest.raises(ModalityError, match="target that varies"):
        modality_contribution(model, {"a": x}, np.zeros(10))
    one = modality_contribution(model, {"a": x}, y, n_resamples=20)
    assert one.shares["a"].value == pytest.approx(one.score.value - one.baseline.value)


def test_clothing_reviews_are_in_the_text(real_data: Path) -> None:
    import csv

    with (real_data / "clothing_reviews" / "val.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["Review Text"]][:900]
    words = ("love", "great", "perfect", "disappoint", "return", "unfortunately", "cheap", "wanted", "but")
    text = np.array([[r["Review Text"].lower().count(w) for w in words] for r in rows], dtype=float)
    table = np.array([[float(r["Age"]), float(r["Positive Feedback Count"])] for r in rows])
    y = np.array([float(r["Rating"]) for r in rows])
    data = Modalities({"text": text, "table": table})
    model = LateFusion("stacking", cv=3).fit(data[:600], y[:600])
    found = modality_contribution(model, data[600:], y[600:], n_resamples=200)
    assert found.shares["text"].low > 0.05
    assert abs(found.shares["table"].value) < 0.03
