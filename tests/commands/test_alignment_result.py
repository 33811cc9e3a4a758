"""An alignment in short."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.alignment import DTW, Alignment
from polymodal.commands.alignment_result import Pair, match_columns, summarise, weights
from polymodal.commands.alignment_sources import Signal


def frames(n, seconds=None):
    rate = None if seconds is None else 1 / (seconds[1] - seconds[0])
    return Signal("x", "numbers", np.zeros((n, 1)), ("x",), seconds, rate)


def test_weights_are_those_of_the_coupling():
    coupling = np.array([[0.5, 0.25], [0.0, 1.0]])
    found = Alignment.of_coupling(coupling, DTW(), cost=0.0, path=np.array([[0, 1], [1, 0], [1, 1], [0, 0]]))
    assert weights(found).tolist() == [0.25, 0.0, 1.0, 0.5]
    empty = Alignment.of_coupling(np.zeros((2, 2)), DTW(), cost=0.0, path=np.array([[0, 1]]))
    assert weights(empty).tolist() == [0.0]


def test_columns_say_seconds_where_there_are_any():
    found = Alignment.of_path(np.array([[0, 1], [2, 3]]), (3, 4), DTW(), cost=1.0)
    columns = match_columns(Pair(found, frames(3, np.array([1.0, 1.5, 2.0])), frames(4)))
    assert columns == {"index_a": [0, 2], "index_b": [1, 3], "seconds_a": [1.0, 2.0], "weight": [1.0, 1.0]}
    words = match_columns(Pair(found, ["p", "q", "r"], ["s", "t", "u", "v"], 7))
    assert list(zip(*words.values(), strict=True)) == [(7, 0, 1, "p", "t", 1.0), (7, 2, 3, "r", "v", 1.0)]


def test_the_tempo_is_the_slope_of_the_matches():
    path = np.stack([np.arange(5), 2 * np.arange(5)], axis=1)
    found = Alignment.of_path(path, (5, 9), DTW(), cost=2.0)
    in_frames = summarise([Pair(found, frames(5), frames(9))], ("a", "b"), "dtw", "DTW()", {}, [])
    assert in_frames.tempo == pytest.approx(2.0)
    assert in_frames.coverage_b == pytest.approx(5 / 9)
    timed = Pair(found, frames(5, np.arange(5) / 10), frames(9, np.arange(9) / 5))
    assert summarise([timed], ("a", "b"), "dtw", "DTW()", {}, []).tempo == pytest.approx(4.0)
    assert summarise([timed], ("a", "b"), "transport", "T()", {}, []).tempo is None


def test_first_and_last_matches_are_told_once():
    for n in (1, 4, 6, 50):
        found = Alignment.of_path(np.stack([np.arange(n)] * 2, axis=1), (n, n), DTW(), cost=0.0)
        short = summarise(
            [Pair(found, frames(n), frames(n))], ("a", "b"), "dtw", "DTW()", {"mean": 0.5}, ["n"]
        )
        told = [row["index_a"] for row in (*short.first, *short.last)]
        assert told == ([*range(n)] if n <= 6 else [0, 1, 2, n - 3, n - 2, n - 1])
        assert short.n_matches == n
        plain = json.loads(json.dumps(short.to_dict()))
        assert plain["error"] == {"mean": 0.5}
        assert "pairs" not in plain


def test_no_match_at_all():
    found = Alignment.of_path(np.zeros((0, 2), dtype=np.int64), (3, 3), DTW(), cost=0.0)
    short = summarise([Pair(found, frames(3), frames(3))], ("a", "b"), "mutual_neighbours", "M()", {}, [])
    assert short.first == short.last == ()
    assert short.coverage_a == 0.0
