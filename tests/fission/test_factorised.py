from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import FactorisedFission, part_scores
from polymodal.fission.factorised import factorised_loss
from polymodal.objectives import maximum_mean_discrepancy
from polymodal.training import Training, make_batch

ENCODERS = {name: MLPEncoder(width=32) for name in "ab"}


@pytest.fixture(scope="module")
def fitted():
    """The label is the sign of the shared factor; private factors are unrelated to it."""
    data, truth = make_shared_private(300, n_shared=1, n_private=1, random_state=0)
    y = np.where(truth.shared[:, 0] > 0, "high", "low")
    training = Training(max_epochs=30, batch_size=100, learning_rate=1e-2, device="cpu", progress=False)
    model = FactorisedFission(2, n_private=1, encoders=ENCODERS, training=training, random_state=0)
    return data.data, truth, y, model.fit(data.data, y)


def test_factors_are_in_their_places(fitted):
    data, truth, y, model = fitted
    assert model.score(data, y) > 0.95
    found = part_scores(model.transform(data), {"shared": truth.shared, **truth.private}, method="neighbours")
    assert found["shared", "shared"] > 0.8
    assert min(found["a", "a"], found["b", "b"]) > 0.6
    assert max(found["a", "shared"], found["b", "shared"]) < 0.35


def test_data_with_the_shared_part_of_another_row_are_of_its_class(fitted):
    data, truth, y, model = fitted
    rows = np.random.default_rng(0).permutation(300)
    made = model.recombine(data, part="shared", rows=rows)
    assert np.mean(model.predict(made) == y[rows]) > 0.9
    # private parts keep the class, and bring along what they make of the modality
    kept = model.recombine(data, part="a", rows=rows)
    assert np.mean(model.predict(kept) == y) > 0.9
    moved = truth.private["a"][rows] @ truth.private_loadings["a"]
    without = kept["a"].values() - truth.shared @ truth.shared_loadings["a"]
    assert np.corrcoef(without.ravel(), moved.ravel())[0, 1] > 0.7


def test_one_modality_is_enough(fitted):
    data, _, y, model = fitted
    assert model.score(data.select("a"), y) > 0.85
    assert model.generate(data.select("a"), target="b").shape == (300, 12)


def test_prediction_reads_the_shared_part_alone(fitted):
    data, _, _, model = fitted
    shared = torch.as_tensor(model.transform(data)["shared"].values())
    with torch.no_grad():
        logits = model.module_.outputs(shared).numpy()
    np.testing.assert_allclose(model.decision_function(data), logits[:, 1] - logits[:, 0], atol=1e-4)
    proba = model.predict_proba(data)
    np.testing.assert_array_equal(model.predict(data), model.classes_[proba.argmax(axis=1)])


def test_the_loss_is_the_sum_of_its_terms(fitted):
    data, _, _, model = fitted
    module = model.module_
    batch = make_batch(data, np.arange(20), module.towers.collates, target=torch.zeros(300, dtype=torch.long))
    with torch.no_grad():
        shared, private, _ = module.factors(batch.columns)
        task = torch.nn.functional.cross_entropy(module.outputs(shared), torch.zeros(20, dtype=torch.long))
        torch.testing.assert_close(
            factorised_loss(module, batch, "classification", reconstruction=0.0, matching=0.0), task
        )
        rebuilt = sum(
            (module.read_out(n, shared, private[n]) - batch.columns[n].values[batch.columns[n].index])
            .square()
            .mean()
            for n in "ab"
        )
        more = factorised_loss(module, batch, "classification", reconstruction=2.0, matching=0.0)
        torch.testing.assert_close(more, task + 2 * rebuilt)
        torch.manual_seed(0)
        matched = factorised_loss(module, batch, "classification", reconstruction=0.0, matching=3.0)
        torch.manual_seed(0)
        factors = torch.cat([shared, private["a"], private["b"]], dim=1)
        noise = [torch.randn_like(t) for t in (private["a"], private["b"], factors)][-1]
        torch.testing.assert_close(matched, task + 3 * maximum_mean_discrepancy(factors, noise))


def test_rows_without_anything_are_refused(fitted):
    data, _, y, model = fitted
    with pytest.raises(ModalityError, match="1 of 2 rows have none"):
        model.predict(Modalities(dict(data.items()))[[0, 1]].without("a", [0]).without("b", [0]))
    with pytest.raises(ModalityError, match="target"):
        model.score(data)
    with pytest.raises(ModalityError, match="at least two classes"):
        FactorisedFission().fit(data, np.zeros(300, dtype=int))
    with pytest.raises(ConfigError, match="matching"):
        FactorisedFission(matching=-1.0).fit(data, y)


def test_quantities_are_read_from_the_label_factor() -> None:
    dataset, truth = make_shared_private(600, random_state=0)
    y = 5 + 2 * truth.shared[:, 0]
    training = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)
    model = FactorisedFission(4, n_private=2, training=training, random_state=0)
    model.fit(dataset.data[:400], y[:400])
    assert model.task_ == "regression"
    assert model.score(dataset.data[400:], y[400:]) > 0.8
