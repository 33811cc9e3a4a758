"""True pairs from tables."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import DTW, Alignment
from polymodal.commands.alignment_result import Pair
from polymodal.commands.alignment_sources import Signal
from polymodal.commands.alignment_truth import compare, read_truth
from polymodal.core.errors import ConfigError, DataError


def pair_of(path, lengths, rate=None):
    """Frames without features worth a look, aligned by `path`."""
    sides = [
        Signal(
            name, "numbers", np.zeros((n, 1)), ("x",), None if rate is None else 5 + np.arange(n) / rate, rate
        )
        for name, n in zip("ab", lengths, strict=True)
    ]
    return Pair(Alignment.of_path(np.array(path), lengths, DTW(), cost=0.0), *sides)


def table(tmp_path, text):
    place = tmp_path / "truth.csv"
    place.write_text(text, encoding="utf-8")
    return place


def test_distances_in_seconds_and_in_frames(tmp_path):
    path = [[0, 0], [1, 2], [2, 2], [3, 3]]
    truth = table(tmp_path, "index_a,index_b\n0,0\n1,1\n2,2\n3,3\n")
    notes = []
    frames = pair_of(path, (4, 4))
    found = compare([frames], read_truth(truth, [frames]), True, 0.5, notes)
    assert found == {"mean": 0.25, "median": 0.0, "worst": 1.0, "within": 0.75}
    assert "in frames of b" in notes[0]
    timed = pair_of(path, (4, 4), rate=10.0)
    assert compare([timed], read_truth(truth, [timed]), True, 0.5, notes)["worst"] == pytest.approx(0.1)
    assert "in seconds of b" in notes[1]


def test_seconds_are_the_nearest_frames(tmp_path):
    pair = pair_of([[0, 0]], (4, 4), rate=10.0)  # frames at 5.0, 5.1, 5.2, 5.3
    truth = read_truth(table(tmp_path, "seconds_a,seconds_b\n5.04,5.06\n4,9\n"), [pair])
    assert truth.pairs.tolist() == [[0, 1], [0, 3]]
    assert truth.sure.all()
    with pytest.raises(ConfigError, match="a has no time of its own"):
        read_truth(table(tmp_path, "seconds_a,seconds_b\n1,1\n"), [pair_of([[0, 0]], (4, 4))])


def test_a_matching_counts_pairs(tmp_path):
    pair = pair_of([[0, 0], [1, 3]], (4, 4))
    truth = read_truth(table(tmp_path, "index_a,index_b\n0,0\n1,1\n2,2\n"), [pair])
    assert compare([pair], truth, False, 0, []) == pytest.approx(
        {"precision": 0.5, "recall": 1 / 3, "f1": 0.4}
    )


def test_possible_links_are_not_missed(tmp_path):
    alignment = Alignment.of_path(np.array([[0, 0], [1, 1]]), (2, 2), DTW(), cost=0.0)
    pair = Pair(alignment, ["a", "b"], ["c", "d"], 3)
    truth = read_truth(table(tmp_path, "index_a,index_b,sure\n0,0,true\n0,1,false\n"), [pair])
    assert truth.sentences.tolist() == [3, 3]
    # |A and S| = 1, |A and P| = 1, |A| = 2, |S| = 1
    assert compare([pair], truth, False, 0, []) == pytest.approx(
        {"aer": 1 / 3, "precision": 0.5, "recall": 1.0}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x,y\n1,2\n", "needs columns index_a and index_b"),
        ("index_a,index_b\n0.5,1\n", "needs whole numbers, got 0.5"),
        ("index_a,index_b\n0,1\n,2\n", "empty cell or NaN in data row 2"),
        ("index_a,index_b\none,1\n", "needs numbers"),
        ("index_a,index_b\n0,1\n4,1\n", "data row 2 names elements 4 of a and 1 of b, which have 4 and 4"),
        ("index_a,index_b\n-1,1\n", "count from 0"),
        ("index_a,index_b\n", "no rows"),
    ],
)
def test_a_truth_that_cannot_be_used_is_said(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read_truth(table(tmp_path, text), [pair_of([[0, 0]], (4, 4))])
    with pytest.raises(DataError, match="does not exist"):
        read_truth(tmp_path / "no.csv", [pair_of([[0, 0]], (4, 4))])
