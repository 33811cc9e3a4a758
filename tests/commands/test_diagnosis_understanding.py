"""What can be used, what the target is, what belongs together."""

import numpy as np
import pytest

from polymodal import Modalities
from polymodal.commands.diagnosis_understanding import understand
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.datasets.dataset import Dataset


def made(rng, n=60, **columns):
    y = np.array(["no", "yes"])[np.arange(n) % 2]
    data = {"a": rng.normal(size=(n, 2)), "b": rng.normal(size=(n, 2))} | columns.pop("data", {})
    return Dataset(Modalities(data), {"y": y, **columns})


def test_classes_folds_and_facts(rng):
    question, facts = understand(made(rng), "y")
    assert facts.classes == {"no": 30, "yes": 30}
    assert (facts.rows, facts.used, facts.units, facts.task) == (60, 60, 60, "classification")
    assert [(m.name, m.shape, m.missing, m.distinct) for m in facts.modalities] == [
        ("a", (2,), 0, 60),
        ("b", (2,), 0, 60),
    ]
    for fold in range(5):  # every class in its share
        assert (question.y[question.folds == fold] == "yes").sum() == 6


def test_quantities_are_cut_into_four_for_what_needs_classes(rng):
    question, facts = understand(made(rng, y=rng.normal(size=60)), "y")
    assert facts.task == "regression"
    assert np.bincount(question.labels()).tolist() == [15, 15, 15, 15]


def test_rows_without_target_or_modality_are_left_out(rng):
    dataset = made(rng, y=np.array(["", *["no", "yes"] * 29, "yes"]))
    a = dataset.data["a"]
    lacking = Modality(a.store, np.where(np.arange(60) == 5, -1, a.index))
    _, facts = understand(Dataset(dataset.data.assign({"a": lacking}), dataset.metadata), "y")
    assert facts.used == 58
    assert "1 rows without a target" in facts.notes[0]
    assert "1 rows lack a modality" in facts.notes[1]


def test_groups_and_equal_values_stay_together(rng):
    who = np.repeat(np.arange(20), 3)
    values = rng.normal(size=(60, 8))
    values[59] = values[0]  # the last person shares a value with the first
    question, facts = understand(made(rng, data={"a": values}, who=who), "y", group="who")
    assert facts.units == 19
    assert question.groups[59] == question.groups[0]
    assert all(len(np.unique(question.folds[question.groups == g])) == 1 for g in range(19))


def test_a_few_numbers_or_a_word_may_be_equal_by_chance(rng):
    ages = rng.integers(20, 30, size=(60, 1)).astype(float)
    _, facts = understand(made(rng, data={"age": ages, "kind": ["cat", "dog"] * 30}), "y")
    assert facts.units == 60
    assert facts.notes == ()


def test_a_value_on_many_rows_does_not_tie_all_together(rng):
    kinds = np.repeat(np.eye(6)[:3], 20, axis=0)
    _, facts = understand(made(rng, data={"kind": kinds}), "y")
    assert facts.units == 60
    assert any("Equal values of kind" in note for note in facts.notes)


def test_whole_groups_are_sampled(rng):
    question, facts = understand(made(rng, who=np.repeat(np.arange(20), 3)), "y", group="who", max_rows=31)
    assert facts.used == 30
    assert np.bincount(question.groups).tolist() == [3] * 10


def test_oddities(rng):
    a = rng.normal(size=(60, 6))
    y = np.array([1.0, 2.0])[np.arange(60) % 2]
    a[1] = a[0]
    b = np.array(a)
    answer = np.c_[rng.normal(size=60), 10 - 3 * y]
    answer[1, 0] = answer[0, 0]
    dataset = made(rng, data={"a": a, "b": b, "same": np.ones((60, 1)), "answer": answer})
    _, facts = understand(dataset, "y")
    assert facts.constant == ("same",)
    assert facts.identical == (("a", "b"),)
    assert facts.answers == {"answer": "column 1"}
    assert (facts.duplicates, facts.conflicts) == (0, 0)
    pair = Dataset(dataset.data.select("a", "b"), dataset.metadata)
    assert understand(pair, "y")[1].duplicates == 1
    assert understand(pair, "y")[1].conflicts == 1


def test_a_quantity_in_other_units_is_the_answer(rng):
    y = rng.normal(size=60)
    _, facts = understand(made(rng, y=y, data={"b": np.c_[rng.normal(size=60), 32 - 1.8 * y]}), "y")
    assert facts.answers == {"b": "column 1"}


def test_texts_that_name_the_class_are_the_answer(rng):
    texts = ["nein", "ja"] * 30
    _, facts = understand(made(rng, data={"text": texts}), "y")
    assert facts.answers == {"text": "the text"}


def test_rare_classes_are_left_out(rng):
    y = np.array(["p"] * 30 + ["q"] * 27 + ["rare"] * 3)
    _, facts = understand(made(rng, y=y), "y")
    assert facts.classes == {"p": 30, "q": 27}
    assert any("1 of 3 classes are left out (3 rows)" in note for note in facts.notes)


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({"y": np.array(["one"] * 60)}, {}, "has one value .one. on all 60 rows"),
        ({"y": np.array(["one", *["two"] * 59])}, {}, "Two classes with two rows"),
        ({}, {"group": "nobody"}, "no metadata column 'nobody'"),
        ({"who": np.zeros(60)}, {"group": "who"}, "one group"),
        ({}, {"task": "regression"}, "holds texts"),
    ],
)
def test_refusals_are_sentences(rng, columns, options, says):
    with pytest.raises(ConfigError, match=says):
        understand(made(rng, **columns), "y", **options)


def test_nothing_to_learn_from(rng):
    with pytest.raises(ModalityError, match="Every modality is constant"):
        understand(made(rng, data={"a": np.ones((60, 2)), "b": np.ones((60, 1))}), "y")
    index = np.arange(60)
    halves = {"a": np.where(index < 30, index, -1), "b": np.where(index < 30, -1, index)}
    data = Modalities({name: Modality(rng.normal(size=(60, 2)), place) for name, place in halves.items()})
    with pytest.raises(ModalityError, match="Two rows with every modality"):
        understand(Dataset(data, {"y": np.array(["p", "q"] * 30)}), "y")
