"""What an estimator needs, as sentences."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.core import Requirements
from polymodal.core.errors import ModalityError


@pytest.fixture
def data() -> Modalities:
    return Modalities({"a": np.zeros((3, 2)), "t": ["x", None, "y"]})


@pytest.mark.parametrize(
    ("requires", "y", "words"),
    [
        (Requirements(min_modalities=3), None, r"at least 3 modalities, got 2: \['a', 't'\]"),
        (Requirements(min_modalities=1, max_modalities=1), None, "exactly 1 modalities"),
        (Requirements(kinds=frozenset({"vector"})), None, r"\{'t': 'text'\}"),
        (Requirements(missing=False), None, r"missing rows: \{'a': 0, 't': 1\}"),
        (Requirements(min_rows=9), None, "at least 9 rows, got 3"),
        (Requirements(target="required"), None, "needs a target"),
        (Requirements(), np.zeros(3), "without a target"),
        (Requirements(target="optional"), np.zeros(4), "3 rows, 4 targets"),
    ],
)
def test_every_problem_is_a_sentence(data: Modalities, requires, y, words) -> None:
    with pytest.raises(ModalityError, match=words):
        requires.check("Method", data, y)


def test_all_problems_at_once(data: Modalities) -> None:
    assert len(Requirements(min_modalities=3, missing=False, target="required").problems(data)) == 3


def test_nothing_to_say(data: Modalities) -> None:
    assert Requirements().problems(data) == []


def test_a_modality_that_every_row_lacks() -> None:
    data = Modalities({"a": np.zeros((2, 1)), "b": [None, None]})
    assert "lack ['b']" in Requirements().problems(data)[0]


def test_unpaired() -> None:
    data = Modalities({"a": [1.0, None], "b": [None, 1.0]})
    assert "every modality, got none" in Requirements().problems(data)[0]
    assert Requirements(unpaired=True).problems(data) == []


def test_sequences_of_one_length_are_told_from_grids() -> None:
    needs = Requirements(min_modalities=1, kinds=frozenset({"sequence"}))
    with pytest.raises(ModalityError, match=r"polymodal\.Ragged\.of"):
        needs.check("Method", Modalities({"steps": np.zeros((3, 4, 2))}))
