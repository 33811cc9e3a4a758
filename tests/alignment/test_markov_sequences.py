"""What is taken as sequences."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.alignment._markov_sequences import BLOCK, Sequences, sequences
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged


def test_one_array_is_one_sequence_and_a_list_holds_several():
    assert sequences(np.zeros((5, 2))).offsets.tolist() == [0, 5]
    assert sequences([0, 1, 2]).offsets.tolist() == [0, 3]
    assert sequences([np.zeros((5, 2)), np.zeros((3, 2))]).offsets.tolist() == [0, 5, 8]
    assert sequences(Ragged.of([np.zeros(4)], rate=50.0)).rate == 50.0


def test_streams_must_be_of_equal_lengths():
    with pytest.raises(ModalityError, match="'sound' has lengths \\[4\\]|'video' \\[5\\]"):
        sequences({"sound": np.zeros(4), "video": np.zeros((5, 2))})
    with pytest.raises(ModalityError, match="got an empty mapping"):
        sequences({})
    with pytest.raises(ModalityError, match="Sequences needed"):
        sequences([])


def test_a_row_that_lacks_a_modality_has_missing_frames():
    data = Modalities(
        {
            "a": Ragged.of([np.zeros((3, 1)), np.ones((2, 1)), np.ones((1, 1))]),
            "b": [np.ones((3, 2)), None, np.zeros((1, 2))],
        }
    )
    found = sequences(data)
    assert found.offsets.tolist() == [0, 3, 5, 6]
    assert np.isnan(found.frames["b"][3:5]).all()
    assert found.frames["b"][:3].min() == 1


def test_blocks_hold_whole_sequences():
    lengths = [BLOCK // 2, BLOCK // 2, 10, BLOCK + 5, 1]
    data = Sequences(np.arange(sum(lengths)), np.concatenate([[0], np.cumsum(lengths)]), 1.0)
    parts = list(data.blocks())
    assert [w.start for w, _, _ in parts] == [0, 2, 3, 4]
    np.testing.assert_array_equal(np.concatenate([p.frames for _, _, p in parts]), data.frames)
