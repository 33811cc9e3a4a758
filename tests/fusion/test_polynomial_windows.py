"""Stacked windows: one window is a plain polynomial, two layers are the same by hand, and what they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import polymodal
from polymodal import Modalities, Ragged, Training
from polymodal.core.errors import ConfigError
from polymodal.fusion import (
    PolynomialLayer,
    PolynomialWindows,
    WindowedPolynomialFusion,
    WindowedPolynomialLayer,
)
from polymodal.fusion.polynomial_windows import spread_steps

DIMS = {"ear": 2, "eye": 3}
TINY = Training(max_epochs=2, batch_size=16)


def tokens(n: int = 5, t: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, t, dim) for name, dim in DIMS.items()}


def test_one_window_equals_a_polynomial_layer() -> None:
    torch.manual_seed(0)
    layer = WindowedPolynomialLayer(DIMS, 3, degree=3, rank=2, windows=PolynomialWindows(steps=4, layers=()))
    plain = PolynomialLayer({name: 4 * dim for name, dim in DIMS.items()}, 3, degree=3, rank=2)
    plain.load_state_dict(layer.layers[0][0].state_dict())
    x = tokens()
    present = {"eye": torch.tensor([True, False, True, True, False])}
    flat = {name: value.flatten(1) for name, value in x.items()}
    torch.testing.assert_close(layer(x, present), plain(flat, present))


def test_two_layers_with_pairs_of_modalities_equal_the_layers_by_hand() -> None:
    torch.manual_seed(0)
    dims = {**DIMS, "skin": 1}
    layer = WindowedPolynomialLayer(dims, 3, 2, 2, PolynomialWindows(steps=4, layers=((2, 1),), modalities=2))
    assert [len(groups) for groups in layer.layers] == [3, 1]
    x = {**tokens(), "skin": torch.randn(5, 4, 1)}
    pairs = [("ear", "eye"), ("ear", "skin"), ("eye", "skin")]
    above = {}
    for g, (pair, polynomial) in enumerate(zip(pairs, layer.layers[0], strict=True)):
        assert tuple(polynomial.dims) == pair
        windows = [polynomial({name: x[name][:, t : t + 2].flatten(1) for name in pair}) for t in range(3)]
        above[str(g)] = torch.cat(windows, dim=1).tanh()
    torch.testing.assert_close(layer(x), layer.layers[1][0](above))


def test_streams_are_spread_over_the_steps() -> None:
    x = torch.arange(12.0).reshape(2, 6, 1)
    mask = torch.tensor([[True] * 6, [False, True, True, False, False, False]])
    assert spread_steps(x, mask, 3)[:, :, 0].tolist() == [[1, 3, 5], [7, 8, 8]]
    assert torch.equal(spread_steps(x, torch.ones(2, 6, dtype=torch.bool), 6), x)
    assert spread_steps(x, torch.zeros(2, 6, dtype=torch.bool), 4).abs().sum() == 0
    assert spread_steps(x[:, :1], mask[:, :1], 3)[0, :, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("poison", [1e9, float("nan")])
def test_absent_values_never_enter_and_every_parameter_learns(poison: float) -> None:
    present = {"ear": torch.tensor([True, False, True, True, False])}
    masks = {"eye": torch.tensor([[True, True, False, False]] * 5)}
    found = []
    for value in (0.0, poison):
        torch.manual_seed(0)
        layer, x = (
            WindowedPolynomialLayer(DIMS, 3, 2, 2, PolynomialWindows(4, ((2, 2),), modalities=1)),
            tokens(),
        )
        x["ear"][~present["ear"]] = value
        x["eye"][~masks["eye"]] = value
        out = layer(x, present, masks)
        out.square().sum().backward()
        found.append((out, [p.grad for p in layer.parameters()]))
    assert torch.equal(found[0][0], found[1][0])
    for clean, poisoned in zip(found[0][1], found[1][1], strict=True):
        assert torch.equal(clean, poisoned)
        assert clean.abs().sum() > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"steps": 8, "layers": ((3, 2),)},
        {"steps": 4, "layers": ((2, 3),)},
        {"steps": 4, "layers": ((2, 2), (3, 1))},
        {"modalities": 0},
    ],
)
def test_windows_that_leave_steps_over_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="steps|modalities"):
        PolynomialWindows(**settings)


def test_counts() -> None:
    assert PolynomialWindows().counts() == [8, 4, 2]
    assert PolynomialWindows(7, ((3, 2), (3, 1))).counts() == [7, 3, 1]


def agreement(rng: np.random.Generator, n: int = 300) -> tuple[Modalities, np.ndarray]:
    y = rng.integers(0, 2, size=n)
    first = rng.choice([-1.0, 1.0], size=(n, 4, 1))
    second = np.where(y[:, None, None] == 1, first, -first)
    return Modalities({"flag": Ragged.of(list(first)), "horn": Ragged.of(list(second))}), y


def test_degree_two_sees_what_coincides_and_degree_one_does_not(rng: np.random.Generator, tmp_path) -> None:
    data, y = agreement(rng)
    train, test = slice(0, 200), slice(200, 300)
    quick = Training(max_epochs=15, batch_size=40, learning_rate=1e-2)
    common = {"modality_dropout": 0.0, "training": quick, "random_state": 0}
    stacked = WindowedPolynomialFusion(6, windows=PolynomialWindows(4, ((2, 2),)), **common).fit(
        data[train], y[train]
    )
    assert stacked.score(data[test], y[test]) > 0.95
    additive = WindowedPolynomialFusion(6, degree=1, windows=PolynomialWindows(4, ()), **common)
    assert (
        additive.fit(data[train], y[train]).score(data[test], y[test]) < 0.8
    )  # a sum gets three of four cells
    again = polymodal.load(polymodal.save(stacked, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(data), stacked.transform(data))
    assert again.windows == stacked.windows


def test_every_kind_of_data_joins(rng: np.random.Generator) -> None:
    data = Modalities(
        {
            "film": Ragged.of([rng.normal(size=(k % 4, 3, 3)) for k in range(20)]),
            "note": ["red bird", "", None, "a blue bird sings"] * 5,
            "age": rng.normal(size=(20, 2)),
        }
    )
    for y in (rng.normal(size=20), rng.integers(0, 2, size=(20, 3))):
        model = WindowedPolynomialFusion(4, rank=2, training=TINY, random_state=0).fit(data, y)
        z = model.transform(data)
        np.testing.assert_allclose(model.transform(data[[5]]), z[[5]], atol=1e-5)
        assert model.predict(data).shape == y.shape
