"""Raw modalities made into one: channels in place, absent ones at their mean; tokens one after the other, marked."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal import Modalities, Ragged
from polymodal.core.errors import ModalityError
from polymodal.fusion._joining import (
    channel_means,
    check_channels,
    check_tokens,
    join_tokens,
    stack_channels,
)


def test_pictures_keep_their_type_and_absent_ones_are_the_mean(rng: np.random.Generator) -> None:
    data = Modalities(
        {
            "a": rng.integers(0, 255, (4, 3, 3)).astype(np.uint8),
            "b": rng.integers(0, 255, (4, 3, 3, 2)).astype(np.uint8),
        }
    ).without("b", [1])
    check_channels(data)
    means = channel_means(data)
    stacked = stack_channels(data, means).values()
    assert stacked.shape == (4, 3, 3, 3)
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked[..., 0], data["a"].values())
    np.testing.assert_array_equal(stacked[1, ..., 1:], means["b"].round())
    np.testing.assert_array_equal(stack_channels(data.select("a"), means).values()[..., :1], stacked[..., :1])


def test_sequences_are_stacked_step_by_step() -> None:
    data = Modalities(
        {
            "a": Ragged.of([np.ones((2, 1)), np.zeros((3, 1))]),
            "b": Ragged.of([np.full((2, 2), 5.0), np.ones((3, 2))]),
        }
    ).without("b", [1])
    stacked = stack_channels(data, channel_means(data)).store
    np.testing.assert_array_equal(stacked[0], [[1, 5, 5]] * 2)
    np.testing.assert_array_equal(stacked[1], [[0, 5, 5]] * 3)


def test_tokens_follow_each_other_in_the_order_of_names() -> None:
    data = Modalities({"b": np.array([[1.0, 2.0], [3.0, 4.0]]), "a": [np.zeros((2, 2)), None]}).assign(
        {"a": Ragged.of([np.zeros((2, 2)), np.ones((1, 2))])}
    )
    check_tokens(data)
    joined = join_tokens(data.without("a", [1]), ["a", "b"]).store
    np.testing.assert_array_equal(joined[0], [[0, 0, 1, 0], [0, 0, 1, 0], [1, 2, 0, 1]])
    np.testing.assert_array_equal(joined[1], [[3, 4, 0, 1]])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModalityError, match="'b'"):
        check_channels(Modalities({"a": np.zeros((2, 3, 3)), "b": ["x", "y"]}))
    with pytest.raises(ModalityError, match="'b'"):
        check_tokens(Modalities({"a": np.zeros((2, 3)), "b": ["x", "y"]}))
    lengths = Modalities(
        {"a": Ragged.of(list(np.zeros((2, 3, 1)))), "b": Ragged.of(list(np.zeros((2, 4, 1))))}
    )
    with pytest.raises(ModalityError, match="'b': 4.*id 0"):
        stack_channels(lengths, channel_means(lengths))
