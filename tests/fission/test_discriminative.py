from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import DiscriminativeFission
from polymodal.training import Training

SMALL = {name: MLPEncoder(width=32) for name in "ab"}


def r2(part: np.ndarray, factor: np.ndarray) -> float:
    """Of a linear fit on the first half, on the second."""
    half = len(part) // 2
    return float(LinearRegression().fit(part[:half], factor[:half]).score(part[half:], factor[half:]))


def planted(nonlinearity=None):
    dataset, truth = make_shared_private(900, nonlinearity=nonlinearity, random_state=0)
    y = 1 * (truth.shared[:, 0] > 0) + 2 * (truth.private["a"][:, 0] > 0)
    factors = {"shared": truth.shared, **truth.private}
    return dataset.data, y, factors


@pytest.mark.parametrize("nonlinearity", [None, "tanh"])
def test_each_part_finds_its_planted_factors(nonlinearity) -> None:
    data, y, factors = planted(nonlinearity)
    training = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)
    model = DiscriminativeFission(4, n_private=2, encoders=SMALL, training=training, random_state=0)
    model.fit(data[:500], y[:500])
    parts = model.transform(data[500:])
    found = {(p, f): r2(parts[p].values(), x[500:]) for p in parts.names for f, x in factors.items()}
    assert model.score(data[500:], y[500:]) > 0.85
    assert found["shared", "shared"] > 0.75
    assert found["a", "a"] > 0.5
    assert found["b", "b"] > 0.3
    wrong = {pair: value for pair, value in found.items() if pair[0] != pair[1]}
    assert max(wrong.values()) < 0.2, wrong


def test_without_reconstruction_labels_alone_drive_the_private_parts() -> None:
    """y tells of the first private factor of a: the second, which no label needs, is lost without reconstruction."""
    data, y, factors = planted()
    training = Training(max_epochs=12, batch_size=50, learning_rate=5e-3, progress=False)
    model = DiscriminativeFission(
        4, n_private=2, encoders=SMALL, training=training, reconstruction=0, random_state=0
    ).fit(data[:500], y[:500])
    part = model.transform(data[500:])["a"].values()
    needed, useless = (r2(part, factors["a"][500:, [k]]) for k in (0, 1))
    assert needed > 0.6
    assert useless < 0.2


@pytest.fixture
def small(rng: np.random.Generator):
    x = rng.normal(size=(40, 3))
    data = Modalities({"b": x @ rng.normal(size=(3, 4)), "a": x})
    model = DiscriminativeFission._examples()[0]
    y = np.where(x[:, 0] > 0, "yes", "no")
    return model.fit(data, y), data, y


def test_probabilities_and_classes(small) -> None:
    model, data, y = small
    probability = model.predict_proba(data)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert model.classes_.tolist() == ["no", "yes"]
    assert (model.predict(data) == model.classes_[probability.argmax(1)]).all()
    np.testing.assert_allclose(
        model.decision_function(data), np.log(probability[:, 1] / probability[:, 0]), atol=1e-6
    )
    assert model.score(data, y) == np.mean(model.predict(data) == y)
    assert model.predict(data.select("a")).shape == (40,)
    assert model.predict(data[:0]).shape == (0,)
    assert np.isfinite(cross_val_score(DiscriminativeFission._examples()[0], data, y, cv=2)).all()


def test_a_private_part_needs_no_other_modality(small) -> None:
    model, data, _ = small
    alone, all_ = model.transform(data.select("a")), model.transform(data)
    np.testing.assert_allclose(alone["a"].values(), all_["a"].values(), atol=1e-6)


def test_texts_are_separated_but_not_reconstructed(rng: np.random.Generator) -> None:
    words = [f"word{i % 5} again" for i in range(20)]
    data = Modalities({"text": words, "number": rng.normal(size=(20, 2))})
    model = DiscriminativeFission._examples()[0].fit(data, np.arange(20) % 2)
    assert model.module_.decoders.names == ("number",)
    assert model.transform(data)["text"].shape == (3,)


def test_weights_of_zero_leave_no_network() -> None:
    assert not list(DiscriminativeFission._examples()[1].fit(*_tiny()).module_.decoders.parameters())
    plain = DiscriminativeFission._examples()[1].set_params(difference=0).fit(*_tiny())
    assert not list(plain.module_.overlap.parameters())


def _tiny():
    x = np.random.default_rng(0).normal(size=(20, 2))
    return Modalities({"a": x, "b": -x}), (x[:, 0] > 0).astype(int)


def test_quantities_are_predicted_from_parts_that_are_told_apart() -> None:
    dataset, truth = make_shared_private(900, random_state=0)
    y = 50 + 10 * (truth.shared[:, 0] + truth.private["a"][:, 0])
    training = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)
    model = DiscriminativeFission(4, n_private=2, encoders=SMALL, training=training, random_state=0)
    model.fit(dataset.data[:500], y[:500])
    assert model.task_ == "regression"
    assert model.score(dataset.data[500:], y[500:]) > 0.85
    assert not hasattr(model, "predict_proba")
    parts = model.transform(dataset.data[500:])
    assert r2(parts["shared"].values(), truth.shared[500:]) > 0.7
    assert r2(parts["a"].values(), truth.private["a"][500:]) > 0.7
    assert r2(parts["b"].values(), truth.private["a"][500:]) < 0.1


def test_several_labels_at_once() -> None:
    data, codes, _ = planted()
    y = np.stack([codes % 2, codes // 2], axis=1)
    training = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)
    model = DiscriminativeFission(4, n_private=2, encoders=SMALL, training=training, random_state=0)
    model.fit(data[:500], y[:500])
    assert model.task_ == "multilabel"
    assert (model.predict(data[500:]) == y[500:]).mean(axis=0).min() > 0.85


def test_refusals(small) -> None:
    model, data, _ = small
    with pytest.raises(ModalityError, match="at least two classes"):
        DiscriminativeFission._examples()[0].fit(data, np.zeros(40, dtype=int))
    with pytest.raises(ModalityError, match="needs at least one of"):
        model.predict(data.without("a", [3]).without("b", [3]))
    with pytest.raises(ModalityError, match=r"Pass score\(data, y\)"):
        model.score(data)
    assert torch.is_grad_enabled()
