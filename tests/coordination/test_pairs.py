"""Which modalities meet, and how well they find each other."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination._pairs import chosen_pairs, retrieval_score, row_groups
from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.training.validation import hold_out


def test_pairs() -> None:
    assert chosen_pairs(["b", "a", "c"], "all") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert chosen_pairs(["b", "a", "c"], "b") == [("b", "a"), ("b", "c")]
    with pytest.raises(ModalityError, match="Did you mean 'image'"):
        chosen_pairs(["image", "text"], "imge")


def test_retrieval_score_by_hand() -> None:
    eye, codes = np.eye(3), np.arange(3)
    assert retrieval_score(eye, eye, codes, codes) == 1.0
    # every vector points at the next one's partner: its own is tied second of three, expected 1/2 (1/2 + 1/3)
    assert retrieval_score(eye, eye[[1, 2, 0]], codes, codes) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_retrieval_score_counts_each_thing_once_and_every_caption_as_right() -> None:
    pictures = np.eye(2)[[0, 0, 1]]
    captions = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert retrieval_score(pictures, captions, np.array([0, 0, 1]), np.arange(3)) == 1.0
    swapped = captions[[0, 2, 1]]  # one caption of picture 0 lies at picture 1
    there = 1.0 / 2 + (1 / 2) / 2  # picture 0 finds a caption first; picture 1 finds its own second
    back = (1 + 1 / 2 + 1 / 2) / 3
    assert retrieval_score(pictures, swapped, np.array([0, 0, 1]), np.arange(3)) == pytest.approx(
        (there + back) / 2
    )


def test_held_out_rows_share_nothing_with_training_rows() -> None:
    values = np.arange(40.0)[:, None]
    data = Modalities({"left": values // 4, "right": values}, ids=np.arange(40) // 4 * 10)
    codes = {name: column.identity for name, column in data.items()}
    groups = row_groups(data, codes, 0.25)
    train, held = hold_out(data, 0.25, groups, 0)
    assert len(held) >= 10
    assert not set(data["left"].identity[train]) & set(data["left"].identity[held])
    assert (
        row_groups(data.assign({"left": values // 20}), codes | {"left": np.arange(40) // 20}, 0.25) is None
    )
