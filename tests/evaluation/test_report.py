"""The report: distinct values asked once, positives by row, identity and group."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.evaluation import retrieval_report


def test_a_perfect_space() -> None:
    report = retrieval_report({"image": np.eye(5), "text": 2 * np.eye(5)})
    scores = report["text", "image"]
    assert scores.recall[1].value == scores.any_hit[1].value == scores.mean_average_precision.value == 1
    assert (scores.median_rank.value, scores.n_queries, scores.n_candidates) == (1, 5, 5)
    assert json.loads(json.dumps(report.to_dict()))["scores"][0]["query"] == "image"
    assert "| image -> text | 5 | 5 | 1.000 [1.000, 1.000]" in str(report)


def test_chance_at_constant_vectors() -> None:
    report = retrieval_report({"image": np.ones((10, 3)), "text": np.ones((10, 3))})
    assert report["image", "text"].n_queries == 1  # equal vectors are one value, which every row holds

    images = Modality(np.ones((10, 3)), np.arange(10))
    source = Modalities({"image": np.arange(10.0), "text": np.arange(10.0)})
    told = retrieval_report(Modalities({"image": images, "text": images}), source=source)
    assert told["image", "text"].recall[1].value == pytest.approx(0.1)
    assert told["image", "text"].median_rank.value == 5.5


def test_five_captions_of_one_picture_are_five_candidates_and_one_query() -> None:
    pictures = np.eye(2)
    captions = np.array([[1, 0.1], [1, 0.2], [0.2, 1], [0.1, 1]])
    data = Modalities({"image": Modality(pictures, np.array([0, 0, 1, 1])), "text": captions})
    report = retrieval_report(data, ks=(1, 2))
    image = report["image", "text"]
    assert (image.n_queries, image.n_candidates) == (2, 4)
    assert (image.any_hit[1].value, image.recall[1].value, image.recall[2].value) == (1, 0.5, 1)
    text = report["text", "image"]
    assert (text.n_queries, text.n_candidates, text.recall[1].value) == (4, 2, 1)


def test_source_says_what_is_distinct() -> None:
    source = Modalities({"image": np.arange(4.0), "text": ["a", "a", "b", "b"]})
    embedded = Modalities({"image": np.eye(4), "text": np.array([[1.0, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2)})
    report = retrieval_report(embedded, source=source)
    assert report["image", "text"].n_candidates == 2
    assert report["text", "image"].recall[5].value == 1
    assert report["text", "image"].any_hit[1].value == 1


def test_groups_make_more_relevant_and_missing_rows_are_left_out() -> None:
    image = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    data = Modalities({"image": image, "text": [np.array([1.0, 0]), None, None, np.array([0.1, 0.9])]})
    alone = retrieval_report(data)
    assert (alone["image", "text"].n_queries, alone["image", "text"].n_candidates) == (2, 2)
    grouped = retrieval_report(data, groups=["a", "a", "b", "b"])
    assert grouped["image", "text"].n_queries == 4
    assert grouped["image", "text"].recall[1].value == 1
    assert grouped["text", "image"].recall[1].value == 0.5


def test_unpaired_modalities_pair_by_group_only() -> None:
    data = Modalities.join(
        {"image": np.eye(3), "text": np.eye(3)}, on={"image": [0, 1, 2], "text": [3, 4, 5]}
    )
    with pytest.raises(ModalityError, match="Modalities.join"):
        retrieval_report(data)
    report = retrieval_report(data, groups=["x", "y", "z"] * 2, metric="euclidean")
    assert report["text", "image"].recall[1].value == 1


def test_bad_input() -> None:
    with pytest.raises(ModalityError, match="at least two modalities.*image"):
        retrieval_report({"image": np.eye(3)})
    with pytest.raises(ModalityError, match="one space.*text"):
        retrieval_report({"image": np.eye(3), "text": ["a", "b", "c"]})
    with pytest.raises(ModalityError, match="source needs"):
        retrieval_report({"a": np.eye(3), "b": np.eye(3)}, source=Modalities({"a": np.eye(3)}))
    with pytest.raises(ModalityError, match="one label per row"):
        retrieval_report({"a": np.eye(3), "b": np.eye(3)}, groups=[1])
    with pytest.raises(ModalityError, match="'a' -> 'c'"):
        retrieval_report({"a": np.eye(3), "b": np.eye(3)})["a", "c"]
