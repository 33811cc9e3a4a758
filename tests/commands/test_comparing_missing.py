"""Strategies for missing modalities, without a leak."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands.comparing_missing import (
    FILLED,
    compare_missing_strategies,
    hidden_copies,
    missing_strategies,
)
from polymodal.commands.comparing_models import Restricted
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities, Modality
from polymodal.evaluation.splits import honest_splits
from polymodal.fusion import EarlyFusion, LateFusion


@pytest.fixture
def made(rng):
    y = np.arange(90) % 3
    a, b = (np.eye(3)[y] + 0.5 * rng.normal(size=(90, 3)) for _ in range(2))
    return {"a": a, "b": b}, y


def test_values_of_hidden_cells_change_nothing(made):
    """Poison in every cell that will be hidden: each strategy gives the same scores, to the last bit."""
    arrays, y = made
    data = Modalities(arrays)
    splits = honest_splits(data, y, n_splits=1)
    (hidden,) = hidden_copies(data, [0.4], splits[0].seed).values()
    poisoned = {n: np.where(hidden[n].present[:, None], x, 1e9) for n, x in arrays.items()}
    assert sum(int((x == 1e9).any(axis=1).sum()) for x in poisoned.values()) > 40
    strategies = missing_strategies(data.names, "classification", epochs=1)
    found = [
        compare_missing_strategies(given, y, rates=[0.4], splits=splits, strategies=strategies)
        for given in (data, Modalities(poisoned))
    ]
    scores = [{m.name: (m.score, m.scores) for m in f.comparisons[0].models} for f in found]
    assert not [m.error for m in found[0].comparisons[0].models if m.error]
    assert set(scores[0]) == set(strategies)
    assert scores[0] == scores[1]


def test_what_each_strategy_costs(made):
    """Half the cells hidden: what is there beats one modality alone, which is blind on half the rows, and complete rows only."""
    arrays, y = made
    strategies = {
        "only a": Restricted(LateFusion(), only=("a",)),
        "only b": Restricted(LateFusion(), only=("b",)),
        "complete rows only": Restricted(EarlyFusion()),
        FILLED: EarlyFusion(),
        "what is there": LateFusion(),
    }
    found = compare_missing_strategies(arrays, y, rates=[0.0, 0.5], splits=3, strategies=strategies)
    whole, half = ({m.name: m.score.value for m in c.models} for c in found.comparisons)
    assert half["what is there"] > half["only a"] + 0.1
    assert half["what is there"] > half["complete rows only"] + 0.1
    assert whole["complete rows only"] == whole[FILLED]
    assert half["what is there"] < whole["what is there"]
    heads, rows = found.table()
    assert heads == ["strategy", "0% missing", "50% missing"]
    assert len(rows) == 5
    assert "before anything is learned" in str(found)
    assert found.to_dict()["rates"] == [0.0, 0.5]


def test_rows_keep_one_modality_and_shared_values_their_store(rng):
    picture = Modality(rng.normal(size=(10, 2)), np.repeat(np.arange(10), 3))
    data = Modalities({"picture": picture, "b": rng.normal(size=(30, 2))})
    (hidden,) = hidden_copies(data, [0.9]).values()
    assert np.logical_or.reduce(list(hidden.present.values())).all()
    assert hidden["picture"].store is picture.store


@pytest.mark.parametrize("rates", [[], [0.5, 0.2], [1.0], [-0.1, 0.5], [0.2, 0.2]])
def test_rates_that_make_no_sense(rng, rates):
    with pytest.raises(ConfigError, match="Rates of missing cells"):
        hidden_copies(Modalities({"a": rng.normal(size=(4, 1)), "b": rng.normal(size=(4, 1))}), rates)
