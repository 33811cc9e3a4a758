from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets import make_shared_private
from polymodal.encoders import ConvEncoder, MLPEncoder, TextTransformerEncoder
from polymodal.fission import AdversarialAutoencoder, FactorisedFission, PrivateVAE
from polymodal.fission._generative import cross_errors, squared_errors
from polymodal.training import Training, make_batch


@pytest.fixture(scope="module")
def fitted():
    data, truth = make_shared_private(300, n_shared=1, n_private=1, random_state=0)
    training = Training(max_epochs=40, batch_size=100, learning_rate=2e-2, device="cpu", progress=False)
    encoders = {name: MLPEncoder(depth=0) for name in "ab"}
    return (
        data.data,
        truth,
        PrivateVAE(1, n_private=1, encoders=encoders, training=training, random_state=0).fit(data.data),
    )


def test_generated_from_the_other_modality_is_its_shared_part(fitted):
    data, truth, model = fitted
    made = model.generate(data.select("a"), target="b")
    wanted = truth.shared @ truth.shared_loadings["b"]
    assert np.corrcoef(made.ravel(), wanted.ravel())[0, 1] > 0.9
    own = model.generate(data, target="b")
    assert 1 - ((own - data["b"].values()) ** 2).sum() / (data["b"].values() ** 2).sum() > 0.9
    assert model._explained(data) > 0.9


def test_one_part_from_another_row(fitted):
    """x_b is linear in both factors, so a swapped part moves it by exactly the difference of that part."""
    data, truth, model = fitted
    rows = np.roll(np.arange(300), 1)
    swapped = model.recombine(data, part="b", rows=rows)
    moved = truth.shared @ truth.shared_loadings["b"] + truth.private["b"][rows] @ truth.private_loadings["b"]
    assert np.corrcoef(swapped["b"].values().ravel(), moved.ravel())[0, 1] > 0.95
    np.testing.assert_array_equal(swapped["a"].values(), model.generate(data, target="a"))
    shared = model.recombine(data, part="shared", rows=rows)
    moved = truth.shared[rows] @ truth.shared_loadings["a"] + truth.private["a"] @ truth.private_loadings["a"]
    assert np.corrcoef(shared["a"].values().ravel(), moved.ravel())[0, 1] > 0.95


def test_own_rows_change_nothing(fitted):
    data, _, model = fitted
    kept = model.recombine(data, part="shared", rows=np.arange(300))
    for name in "ab":
        np.testing.assert_array_equal(kept[name].values(), model.generate(data, target=name))


def test_absent_rows_add_no_error(fitted):
    data, _, model = fitted
    frame = Modalities(dict(data.items())).without("a", [0])[np.arange(5)]
    batch = make_batch(frame, np.arange(5), model.module_.towers.collates)
    shared, private = torch.zeros(5, 1), torch.zeros(5, 1)
    with torch.no_grad():
        errors = squared_errors(model.module_, "a", shared, private, batch.columns["a"])
    assert float(errors[0]) == 0
    assert bool((errors[1:] > 0).all())


def test_cross_errors_are_means_over_what_is_there(fitted):
    data, _, model = fitted
    batch = make_batch(data, np.arange(5), model.module_.towers.collates)
    with torch.no_grad():
        zeros = {name: torch.zeros(5, 1) for name in "ab"}
        plain = cross_errors(model.module_, batch.columns, zeros["a"], zeros, zeros, cross=0.0)
        both = cross_errors(model.module_, batch.columns, zeros["a"], zeros, zeros, cross=2.0)
    assert float(both) == pytest.approx(3 * float(plain))


def test_refusals(fitted, rng):
    data, _, model = fitted
    with pytest.raises(ModalityError, match="'c'"):
        model.generate(data, target="c")
    with pytest.raises(ModalityError, match="'c'"):
        model.recombine(data, part="c", rows=np.arange(300))
    with pytest.raises(ModalityError, match="each of 300 rows"):
        model.recombine(data, part="a", rows=[0])
    with pytest.raises(ModalityError, match="1 of 2 rows have none"):
        model.generate(data[[0, 1]].without("a", [0]).without("b", [0]), target="a")


def test_a_digit_in_the_hand_of_another_picture():
    """Two pictures of one digit by different hands: the digit is shared, the hand is private."""
    pictures, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    pairs = np.concatenate([np.flatnonzero(labels == c)[:170].reshape(-1, 2) for c in (0, 1, 4, 7)])
    pairs = rng.permutation(pairs)
    y, cut = labels[pairs[:, 0]], 260
    data = Modalities({name: pictures[pairs[:, i]].reshape(-1, 8, 8) for i, name in enumerate("ab")})
    training = Training(max_epochs=15, batch_size=50, learning_rate=5e-3, device="cpu", progress=False)
    encoders = {name: ConvEncoder(width=8) for name in "ab"}
    model = FactorisedFission(8, n_private=6, encoders=encoders, training=training, random_state=0)
    model.fit(data[:cut], y[:cut])
    judge = LogisticRegression(max_iter=2000).fit(pictures[pairs[:cut, 0]], y[:cut])
    test, truth = data[cut:], y[cut:]
    rows = rng.permutation(len(test))
    swapped = model.recombine(test, part="shared", rows=rows)["a"].values().reshape(len(test), -1)
    assert np.mean(judge.predict(swapped) == truth[rows]) > 0.9
    restyled = model.recombine(test, part="a", rows=rows)["a"].values().reshape(len(test), -1)
    assert np.mean(judge.predict(restyled) == truth) > 0.9
    assert model._explained(test) > 0.5


@pytest.mark.parametrize("method", [PrivateVAE, AdversarialAutoencoder])
def test_pictures_of_bytes_come_back_in_their_units(method, rng):
    x = rng.normal(size=(40, 3))
    pictures = np.clip(120 + 40 * x[:, :1, None, None] + np.zeros((40, 6, 6, 3)), 0, 255).astype(np.uint8)
    training = Training(max_epochs=8, batch_size=20, learning_rate=1e-2, device="cpu", progress=False)
    model = method(
        2, n_private=1, encoders={"p": ConvEncoder(width=4)}, training=training, random_state=0
    ).fit({"p": pictures, "v": x})
    made = model.generate({"v": x}, target="p")
    assert made.shape == (40, 6, 6, 3)
    assert 60 < made.mean() < 180
    assert np.isfinite(model.score({"p": pictures, "v": x}))


def test_what_cannot_be_made_again_is_named(rng):
    data = Modalities({"a": rng.normal(size=(10, 2)), "b": rng.normal(size=(10, 2))})
    model = PrivateVAE(encoders={"a": TextTransformerEncoder()})
    with pytest.raises(ModalityError, match="'a'"):
        model.fit(data)
