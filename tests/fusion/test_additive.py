"""Additive fusion: equal to early linear fusion, without interactions, blind to what is absent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from polymodal import AdditiveFusion, Modalities, Training
from polymodal.encoders import MLPEncoder
from polymodal.fusion import AdditiveLayer

DIMS = {"sight": 4, "sound": 3}


def draws(n: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def test_equals_one_linear_layer_on_the_concatenation() -> None:
    layer, x = AdditiveLayer(DIMS, 2), draws()
    weight = torch.cat(list(layer.weights), dim=1)
    early = torch.cat([x["sight"], x["sound"]], dim=1) @ weight.T + layer.bias
    torch.testing.assert_close(layer(x), early)


def test_represents_least_squares_exactly(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(50, 4)), rng.normal(size=(50, 3))
    y = a[:, 0] - 2 * b[:, 1] + 0.1 * rng.normal(size=50)
    layer = AdditiveLayer(DIMS, 1).double()
    x = {"sight": torch.from_numpy(a), "sound": torch.from_numpy(b)}
    optimizer = torch.optim.LBFGS(
        layer.parameters(),
        max_iter=200,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=0,
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = ((layer(x)[:, 0] - torch.from_numpy(y)) ** 2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    truth = LinearRegression().fit(np.hstack([a, b]), y).predict(np.hstack([a, b]))
    np.testing.assert_allclose(layer(x)[:, 0].detach().numpy(), truth, atol=1e-5)


def test_has_no_interactions() -> None:
    layer, x, other = AdditiveLayer(DIMS, 2), draws(), torch.randn(6, 4)
    effect = [
        layer({"sight": x["sight"], "sound": s}) - layer({"sight": other, "sound": s})
        for s in (x["sound"], x["sound"] * 7)
    ]
    torch.testing.assert_close(effect[0], effect[1], rtol=1e-4, atol=1e-5)


def test_an_absent_modality_adds_its_constant() -> None:
    layer, x = AdditiveLayer(DIMS, 2), draws()
    with torch.no_grad():
        layer.absences[1].copy_(torch.tensor([3.0, -1.0]))
    alone = x["sight"] @ layer.weights[0].T + layer.bias + torch.tensor([3.0, -1.0])
    torch.testing.assert_close(layer({"sight": x["sight"]}), alone)
    gone = {"sound": torch.zeros(6, dtype=torch.bool)}
    torch.testing.assert_close(layer(x, gone), alone)


@pytest.mark.parametrize("poison", [1e9, float("nan"), float("inf")])
def test_absent_values_change_neither_output_nor_gradient(poison: float) -> None:
    layer, x = AdditiveLayer(DIMS, 2), draws()
    present = {"sound": torch.tensor([True, False, True, False, True, True])}
    results = []
    for value in (0.0, poison):
        given = {name: v.clone() for name, v in x.items()}
        given["sound"][~present["sound"]] = value
        leaves = {name: v.requires_grad_() for name, v in given.items()}
        layer.zero_grad()
        out = layer(leaves, present)
        out.pow(2).sum().backward()
        results.append(
            [out, *(p.grad.clone() for p in layer.parameters()), *(v.grad for v in leaves.values())]
        )
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_gradients_are_right() -> None:
    layer = AdditiveLayer(DIMS, 2).double()
    x = tuple(v.double().requires_grad_() for v in draws(3).values())
    present = {"sound": torch.tensor([True, False, True])}
    assert torch.autograd.gradcheck(lambda a, b: layer({"sight": a, "sound": b}, present), x)


def toy(rng: np.random.Generator, n: int = 80) -> tuple[Modalities, np.ndarray]:
    hidden = rng.normal(size=(n, 2))
    a = hidden @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(n, 4))
    b = hidden @ rng.normal(size=(2, 3)) + 0.3 * rng.normal(size=(n, 3))
    return Modalities({"sight": a, "sound": b}), hidden[:, 0]


FAST = Training(max_epochs=30, batch_size=20, learning_rate=1e-2)


def test_the_three_tasks(rng: np.random.Generator) -> None:
    data, y = toy(rng)
    words = np.where(y > 0, "high", "low")
    model = AdditiveFusion(4, training=FAST, random_state=0).fit(data, words)
    assert model.score(data, words) > 0.9
    assert set(model.predict(data)) <= {"high", "low"}
    assert list(model.classes_) == ["high", "low"]
    np.testing.assert_allclose(model.predict_proba(data).sum(axis=1), 1.0)
    numbers = AdditiveFusion(4, training=FAST, random_state=0).fit(data, 50 + 10 * y)
    assert numbers.score(data, 50 + 10 * y) > 0.8
    assert numbers.predict(data).shape == (80,)
    assert not hasattr(numbers, "predict_proba")
    labels = np.stack([y > 0, y > 0.5], axis=1).astype(int)
    many = AdditiveFusion(4, training=FAST, random_state=0).fit(data, labels)
    assert many.task_ == "multilabel"
    assert many.predict(data).shape == (80, 2)
    assert many.score(data, labels) > 0.7


def test_never_absent_in_training_means_its_mean_contribution(rng: np.random.Generator) -> None:
    data, y = toy(rng)
    linear = {name: MLPEncoder(depth=0) for name in data}
    model = AdditiveFusion(3, encoders=linear, modality_dropout=0.0, training=FAST, random_state=0).fit(
        data, y
    )
    both, alone = model.transform(data), model.transform(data.select("sight"))
    # the constant is the mean of the other's terms, so the means over the training rows agree
    np.testing.assert_allclose(both.mean(axis=0), alone.mean(axis=0), atol=1e-4)


def test_fits_one_modality_alone_and_rows_that_lack_some(rng: np.random.Generator) -> None:
    data, y = toy(rng)
    alone = AdditiveFusion(3, training=FAST, random_state=0).fit(data.select("sound"), y)
    assert np.isfinite(alone.score(data.select("sound"), y))
    holes = data.without("sound", slice(0, 20)).without("sight", slice(20, 40))
    assert AdditiveFusion(3, training=FAST, random_state=0).fit(holes, y).transform(holes).shape == (80, 3)


def test_refusals(rng: np.random.Generator) -> None:
    data, y = toy(rng)
    nothing = data.without("sound", [0]).without("sight", [0])
    with pytest.raises(ValueError, match="sight"):
        AdditiveFusion(2, training=FAST).fit(nothing, y)
    with pytest.raises(ValueError, match="target"):
        AdditiveFusion(2).fit(data)
    with pytest.raises(ValueError, match="modality_dropout"):
        AdditiveFusion(2, modality_dropout=2.0).fit(data, y)
    with pytest.raises(ValueError, match="n_components"):
        AdditiveFusion(0).fit(data, y)
