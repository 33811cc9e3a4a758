"""What all fusion layers promise: names, missing values, gradients; and what their estimators do with odd data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal import Modalities, Training
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import (
    BilinearFusion,
    BilinearLayer,
    GatedFusion,
    GatedLayer,
    LowRankFusion,
    LowRankLayer,
    MultiplicativeFusion,
    MultiplicativeLayer,
    PolynomialFusion,
    PolynomialLayer,
)
from polymodal.fusion._layer import Bounded, FusionLayer, check_count

DIMS = {"a": 2, "b": 3, "c": 2}
LAYERS = {
    "low rank": lambda dims: LowRankLayer(dims, 4, rank=2),
    "multiplicative": lambda dims: MultiplicativeLayer(dims, 4),
    "additive and multiplicative": lambda dims: MultiplicativeLayer(dims, 4, additive=True),
    "bilinear": lambda dims: BilinearLayer(dims, 4),
    "compact bilinear": lambda dims: BilinearLayer(dims, 4, sketch_size=6),
    "polynomial": lambda dims: PolynomialLayer(dims, 4, degree=3, rank=2),
    "gmu": lambda dims: GatedLayer(dims, 4),
    "softmax": lambda dims: GatedLayer(dims, 4, "softmax"),
    "reinforce": lambda dims: GatedLayer(dims, 4, "reinforce"),
    "gumbel": lambda dims: GatedLayer(dims, 4, "gumbel"),
}
METHODS = {
    "low rank": lambda **kw: LowRankFusion(3, embedding_dim=4, rank=2, **kw),
    "multiplicative": lambda **kw: MultiplicativeFusion(3, embedding_dim=4, additive=True, **kw),
    "bilinear": lambda **kw: BilinearFusion(3, embedding_dim=4, **kw),
    "compact bilinear": lambda **kw: BilinearFusion(3, embedding_dim=4, sketch_size=64, **kw),
    "polynomial": lambda **kw: PolynomialFusion(3, embedding_dim=4, rank=2, **kw),
    "gmu": lambda **kw: GatedFusion(3, embedding_dim=4, **kw),
    "softmax": lambda **kw: GatedFusion(3, embedding_dim=4, gate="softmax", **kw),
    "reinforce": lambda **kw: GatedFusion(3, embedding_dim=4, gate="reinforce", **kw),
    "gumbel": lambda **kw: GatedFusion(3, embedding_dim=4, gate="gumbel", **kw),
}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def drawn(name: str, dims: dict[str, int] = DIMS) -> FusionLayer:
    """A layer without zeros, as after training."""
    torch.manual_seed(2)
    layer = LAYERS[name](dims)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return layer.eval()


@pytest.mark.parametrize("name", LAYERS)
def test_every_weight_is_registered_and_learns(name: str) -> None:
    layer, x = drawn(name).train(), draws(8)
    present = {name: torch.arange(8) % 4 != place for place, name in enumerate(DIMS)}
    if isinstance(layer, GatedLayer):
        done = layer.run(x, present)
        (done.z.pow(2).sum() + done.log_prob.sum()).backward()  # the policy learns from its log-probability
    else:
        layer(x, present).pow(2).sum().backward()
    parameters = dict(layer.named_parameters())
    assert sum(p.numel() for p in parameters.values()) > 4 * sum(DIMS.values())  # nothing hides in a list
    for key, parameter in parameters.items():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("poison", [1e9, float("nan")])
def test_absent_values_change_neither_output_nor_gradient(name: str, poison: float) -> None:
    layer, x = drawn(name), draws()
    present = {"b": torch.tensor([True, False, True, False, True])}
    results = []
    for value in (0.0, poison):
        leaves = {key: v.clone() for key, v in x.items()}
        leaves["b"][~present["b"]] = value
        leaves = {key: v.requires_grad_() for key, v in leaves.items()}
        layer.zero_grad()
        out = layer(leaves, present)
        out.pow(2).sum().backward()
        gradients = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
        results.append([out, *gradients, *(v.grad for v in leaves.values())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("name", LAYERS)
def test_left_out_and_masked_are_the_same(name: str) -> None:
    layer, x = drawn(name), draws()
    masked = layer(x, {"b": torch.zeros(5, dtype=torch.bool)})
    assert torch.equal(masked, layer({"c": x["c"], "a": x["a"]}))
    assert not torch.allclose(masked, layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_rows_do_not_see_each_other_and_the_order_of_names_does_not_matter(name: str) -> None:
    layer, x = drawn(name), draws()
    whole = layer(x)
    assert whole.shape == (5, 4)
    torch.testing.assert_close(layer({key: v[3:4] for key, v in x.items()}), whole[3:4])
    other = drawn(name, dict(reversed(DIMS.items())))
    torch.testing.assert_close(other({key: x[key] for key in "cab"}), whole)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_the_inputs_are_right(name: str) -> None:
    layer = drawn(name).double()
    x = tuple(v.double().requires_grad_() for v in draws(2).values())
    assert torch.autograd.gradcheck(lambda a, b, c: layer({"a": a, "b": b, "c": c}), x)


@pytest.mark.parametrize("name", LAYERS)
def test_one_modality_is_enough(name: str) -> None:
    layer = drawn(name, {"a": 2})
    assert layer({"a": torch.randn(3, 2)}).shape == (3, 4)


@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_name_or_width_is_named(name: str) -> None:
    with pytest.raises(ModalityError, match="'d'"):
        drawn(name)({"d": torch.zeros(1, 2)})
    with pytest.raises(ModalityError, match="'b' needs shape"):
        drawn(name)({"b": torch.zeros(1, 2)})


def test_bounded_takes_the_hyperbolic_tangent() -> None:
    layer, x = drawn("low rank"), draws()
    torch.testing.assert_close(Bounded(layer)(x), layer({key: v.tanh() for key, v in x.items()}))
    huge = {key: v * 1e6 for key, v in x.items()}
    assert Bounded(layer)(huge).abs().max() < 1e3


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3"])
def test_a_count_is_a_whole_number(value: object) -> None:
    with pytest.raises(ConfigError, match="rank must be a whole number"):
        check_count("rank", value)


# --- estimators ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_modality_and_batches_of_one_work_and_one_class_is_refused(
    name: str, rng: np.random.Generator
) -> None:
    data = Modalities({"a": rng.normal(size=(6, 3)), "b": np.ones((6, 2))})
    model = METHODS[name](training=Training(max_epochs=2, batch_size=1), random_state=0)
    assert np.isfinite(model.fit(data, np.arange(6) % 2).predict_proba(data)).all()
    with pytest.raises(ModalityError, match="at least two classes"):
        model.fit(data, np.zeros(6, dtype=int))


@pytest.mark.parametrize("name", METHODS)
def test_quantities_and_labels(name: str, rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(20, 3)), "b": rng.normal(size=(20, 2))})
    model = METHODS[name](training=Training(max_epochs=2, batch_size=8), random_state=0)
    assert model.fit(data, rng.normal(size=(20, 2))).predict(data).shape == (20, 2)
    assert model.fit(data, rng.integers(2, size=(20, 3))).predict_proba(data).shape == (20, 3)


@pytest.mark.parametrize("name", METHODS)
def test_six_views_of_digits(name: str, real_data) -> None:
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.random.default_rng(0).permutation(2000)[:600]
    data = Modalities({view: file[view][rows].astype(np.float32) for view in ("fou", "kar", "mor", "zer")})
    y = file["label"][rows].astype(int)
    options = Training(max_epochs=8, batch_size=40, learning_rate=5e-3)
    model = METHODS[name](training=options, random_state=0).set_params(n_components=16, embedding_dim=16)
    model.fit(data[:400], y[:400])
    assert model.score(data[400:], y[400:]) > 0.8
    assert model.score(data[400:].select("fou", "kar"), y[400:]) > 0.6
