"""The page holds everything, stands alone, and cannot be broken by names."""

import re

import pytest

from polymodal import Modalities
from polymodal.commands.diagnosing import Effort, diagnose
from polymodal.commands.diagnosis_report import report_of
from polymodal.datasets.dataset import Dataset


@pytest.fixture(scope="module")
def page(planted):
    dataset = planted("unique").dataset
    data = Modalities({"<b>a": dataset.data["a"], "b": dataset.data["b"]})
    effort = Effort(steps=10, permutations=19, resamples=10, folds=2)
    return str(report_of(diagnose(Dataset(data, dataset.metadata, name="odd & even"), "y", effort=effort)))


def test_every_section_is_there(page):
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads == [
        "Recommendation",
        "What was understood",
        "Each modality alone, and simple fusions",
        "Pairs: redundant, unique, synergistic",
        "Interaction (I1, I2)",
        "Information and correlation (I3)",
        "What the fusion uses (I5), and what it does without",
        "What these data cannot tell",
        "How this was done",
    ]
    assert page.count("<img") == 4


def test_nothing_is_fetched_and_names_are_escaped(page):
    assert "http" not in re.sub(r'src="data:[^"]*"', "", page)
    assert "<b>a" not in page
    assert "&lt;b&gt;a" in page
    assert "odd &amp; even" in page
    assert len(page) < 400_000
