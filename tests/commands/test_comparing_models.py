"""Which models take part."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from polymodal.commands.comparing_models import PLAIN, SINGLE, OnCode, Restricted, choose_models, slug
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets import drop_modalities
from polymodal.fusion import EarlyFusion, LateFusion, MultipleKernelFusion


@pytest.fixture
def made(rng):
    y = np.arange(60) % 3
    a, b = (np.eye(3)[y] + 0.4 * rng.normal(size=(60, 3)) for _ in range(2))
    return Modalities({"a": a, "b": b}), y


def test_references_are_always_there(made):
    found = choose_models(made[0], "classification", methods=("late-product",))
    assert list(found.models) == ["only a", "only b", PLAIN, "late-product"]
    assert found.references == {SINGLE: ["only a", "only b"], PLAIN: [PLAIN]}


def test_every_fusion_that_fits_is_found(made):
    names = set(choose_models(made[0], "classification").models)
    assert {"late-mean", "late-stacking", "tensor", "low-rank", "gated", "multiple-kernel", "mopoe"} <= names
    assert "late-vote" not in choose_models(made[0], "regression").models
    assert any(
        "channel-exchange is left out" in note for note in choose_models(made[0], "classification").notes
    )


def test_names_in_several_spellings(made):
    for given in ("LowRankFusion", "low_rank", "low-rank", "low-rank-fusion"):
        assert "low-rank" in choose_models(made[0], "classification", methods=(given,)).models
    late = choose_models(made[0], "classification", methods=("late",)).models
    assert sum(name.startswith("late") for name in late) == 5
    with pytest.raises(ConfigError, match="Did you mean 'tensor'"):
        choose_models(made[0], "classification", methods=("tensr",))
    with pytest.raises(ConfigError, match="at least two modalities"):
        choose_models(made[0].select("a"), "classification")
    assert [slug(n) for n in ("LowRankFusion", "JMVAE", "MultimodalAutoencoder")] == [
        "low-rank", "jmvae", "multimodal-autoencoder",
    ]  # fmt: skip


def test_epochs_and_task_reach_the_methods(made):
    models = choose_models(made[0], "classification", methods=("gated",), epochs=3).models
    assert models["gated"].training.max_epochs == 3
    assert models["gated"].task == "classification"
    assert choose_models(made[0], "classification", quick=True).models["gated"].training.max_epochs == 10


def test_a_model_of_one_modality_says_the_prior_where_it_lacks_it(made):
    data, y = made
    y = np.where(y == 2, 1, y)
    some = data.without("a", np.arange(10))
    model = Restricted(LateFusion(), only=("a",)).fit(some, y)
    np.testing.assert_array_equal(model.predict(some)[:10], 1)
    np.testing.assert_allclose(model.predict_proba(some)[:10], np.tile([1 / 3, 2 / 3], (10, 1)))
    alone = LateFusion().fit(data.select("a")[10:], y[10:])
    np.testing.assert_allclose(model.predict_proba(some)[10:], alone.predict_proba(data.select("a")[10:]))
    quantity = Restricted(LateFusion(), only=("a",)).fit(some, y.astype(float))
    np.testing.assert_allclose(quantity.predict(some)[:10], y.mean())
    assert not hasattr(Restricted(LateFusion(task="regression")), "predict_proba")
    kernel = Restricted(MultipleKernelFusion(), only=("a",)).fit(some, y)
    assert not hasattr(kernel, "predict_proba")
    margins = kernel.decision_function(some)
    np.testing.assert_allclose(margins[:10], margins[10:].mean())
    np.testing.assert_array_equal(margins[10:] > 0, kernel.predict(some)[10:] == 1)
    labels = Restricted(LateFusion(), only=("a",)).fit(some, np.c_[y, y])
    np.testing.assert_array_equal(labels.predict(some)[:10], 1)


def test_complete_rows_only(made):
    data, y = made
    holes = drop_modalities(data, 0.4, random_state=0)
    whole = holes["a"].present & holes["b"].present
    model = clone(Restricted(EarlyFusion())).fit(holes, y)
    direct = EarlyFusion().fit(data[whole], y[whole])
    np.testing.assert_array_equal(model.predict(holes)[whole], direct.predict(data[whole]))
    with pytest.raises(ModalityError, match=r"all of \['a', 'b'\]"):
        Restricted(EarlyFusion()).fit(data.without("a"), y)


def test_a_linear_model_on_a_code(made):
    data, y = made
    model = OnCode(Halves()).fit(data, y)
    assert np.mean(model.predict(data) == y) > 0.8
    assert model.predict_proba(data).shape == (60, 3)


class Halves:
    """A 'representation': both modalities added."""

    def get_params(self, deep=False):
        return {}

    def fit(self, data):
        return self

    def transform(self, data):
        return sum(np.asarray(data[name].values()) for name in ("a", "b"))
