import numpy as np
import pytest

from polymodal import Modalities, Modality
from polymodal.core.errors import ModalityError
from polymodal.training.validation import hold_out


def test_share_and_partition(rng: np.random.Generator) -> None:
    data = Modalities({"x": rng.normal(size=(50, 2))})
    rows, held = hold_out(data, 0.2, None, 0)
    assert len(held) == 10
    assert sorted([*rows, *held]) == list(range(50))
    assert hold_out(data, 0.2, None, 0)[1].tolist() == held.tolist()
    assert hold_out(data, 0.2, None, 1)[1].tolist() != held.tolist()
    assert len(hold_out(data, 0.0, None, 0)[1]) == 0


def test_rows_that_share_a_value_stay_together(rng: np.random.Generator) -> None:
    image = Modality(rng.normal(size=(10, 2)), np.repeat(np.arange(10), 3))
    text = Modality(rng.normal(size=(30, 2)), np.where(np.arange(30) % 4 == 0, -1, np.arange(30)))
    rows, held = hold_out(Modalities({"image": image, "text": text}), 0.3, None, 0)
    assert not set(image.index[rows]) & set(image.index[held])
    assert len(held) == 9


def test_groups_are_kept_whole_and_checked(rng: np.random.Generator) -> None:
    data = Modalities({"x": rng.normal(size=(12, 2))})
    labels = np.array(list("aaabbbcccddd"))
    rows, held = hold_out(data, 0.25, labels, 0)
    assert not set(labels[rows]) & set(labels[held])
    with pytest.raises(ModalityError, match="12.*got 3"):
        hold_out(data, 0.25, [1, 2, 3], 0)
    with pytest.raises(ModalityError, match="two groups"):
        hold_out(data, 0.25, np.zeros(12), 0)


def test_rows_are_drawn_singly_where_one_value_ties_all_together(rng: np.random.Generator) -> None:
    data = Modalities(
        {"x": rng.normal(size=(10, 2)), "constant": Modality(np.ones((1, 1)), np.zeros(10, dtype=np.int64))}
    )
    assert len(hold_out(data, 0.2, None, 0)[1]) == 2
