"""Bilinear fusion: pairs of features, in full or sketched; the sketch keeps inner products in the mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from polymodal import AdditiveFusion, Modalities, Training
from polymodal.core.errors import ConfigError
from polymodal.fusion import (
    BilinearFusion,
    BilinearLayer,
    TensorLayer,
    count_sketch,
    outer_product,
    tensor_sketch,
)

DIMS = {"a": 2, "b": 3, "c": 2}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def drawn(layer: BilinearLayer) -> BilinearLayer:
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


# --- all products -------------------------------------------------------------------------------------------------------


def test_row_major_flattening_goes_with_a_before_b_and_column_major_with_b_before_a() -> None:
    layer = drawn(BilinearLayer({"a": 2, "b": 3}, 1))
    W = layer.products[0].detach().numpy()[0]
    a, b = np.array([2.0, 3.0], "f"), np.array([5.0, 7.0, 11.0], "f")
    with torch.no_grad():
        layer.linear.weight.zero_()
        layer.linear.bias.zero_()
    value = layer({"a": torch.from_numpy(a)[None], "b": torch.from_numpy(b)[None]}).item()
    assert value == pytest.approx(a @ W @ b, rel=1e-5)
    assert value == pytest.approx(W.flatten("C") @ np.kron(a, b), rel=1e-5)
    assert value == pytest.approx(W.flatten("F") @ np.kron(b, a), rel=1e-5)


def test_of_two_modalities_it_is_the_tensor_layer() -> None:
    dims, x = {"a": 2, "b": 3}, draws()
    layer, tensor = drawn(BilinearLayer(dims, 4)), TensorLayer(dims, 4)
    with torch.no_grad():
        tensor.weight[:, :2, :3] = layer.products[0]
        tensor.weight[:, :2, 3], tensor.weight[:, 2, :3] = layer.linear.weight.split([2, 3], dim=1)
        tensor.weight[:, 2, 3] = layer.linear.bias
    present = {"b": torch.tensor([True, False, True, True, False])}
    two = {"a": x["a"], "b": x["b"]}
    torch.testing.assert_close(layer(two, present), tensor(two, present))


def test_of_three_modalities_the_product_of_three_is_not_in_it() -> None:
    layer = drawn(BilinearLayer(DIMS, 1)).double()
    x = {name: v.double() for name, v in draws().items()}
    corners = [
        (-1) ** sum(keep) * layer({name: v * k for (name, v), k in zip(x.items(), keep, strict=True)})
        for keep in itertools.product((0, 1), repeat=3)
    ]
    torch.testing.assert_close(sum(corners), torch.zeros(5, 1, dtype=torch.float64))


# --- the sketch ---------------------------------------------------------------------------------------------------------


def test_a_count_sketch_adds_signed_features() -> None:
    x, places, signs = (
        torch.tensor([[2.0, 3.0, 5.0]]),
        torch.tensor([1, 0, 1]),
        torch.tensor([1.0, -1.0, -1.0]),
    )
    assert count_sketch(x, places, signs, 3).tolist() == [[-3, -3, 0]]
    assert count_sketch(x.to(torch.bfloat16), places, signs, 3).dtype == torch.float32


@pytest.mark.parametrize("size", [4, 5])
def test_a_tensor_sketch_is_the_count_sketch_of_the_outer_product(size: int) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(3, 4), torch.randn(3, 6)
    h, g = torch.randint(size, (4,)), torch.randint(size, (6,))
    s, t = torch.randint(2, (4,)) * 2.0 - 1, torch.randint(2, (6,)) * 2.0 - 1
    sketched = tensor_sketch([count_sketch(a, h, s, size), count_sketch(b, g, t, size)])
    places, signs = ((h[:, None] + g) % size).flatten(), (s[:, None] * t).flatten()
    torch.testing.assert_close(sketched, count_sketch(outer_product([a, b]), places, signs, size))


def test_the_inner_product_of_sketches_is_unbiased_over_all_hash_functions() -> None:
    """Every hash and sign function of two features, for two factors: 256 in all, the mean is exact."""
    torch.manual_seed(0)
    a, b, c, d = torch.randn(4, 1, 2, dtype=torch.float64)
    functions = [
        (torch.tensor(h), torch.tensor(s, dtype=torch.float64))
        for h in itertools.product((0, 1), repeat=2)
        for s in itertools.product((-1, 1), repeat=2)
    ]
    found = [
        (
            tensor_sketch([count_sketch(a, *f, 2), count_sketch(b, *g, 2)])
            * tensor_sketch([count_sketch(c, *f, 2), count_sketch(d, *g, 2)])
        ).sum()
        for f, g in itertools.product(functions, repeat=2)
    ]
    torch.testing.assert_close(torch.stack(found).mean(), (a * c).sum() * (b * d).sum())


def test_the_inner_product_of_sketches_is_unbiased_and_its_error_falls_with_the_size() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, c, d = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    truth, spread = (a @ c) * (b @ d), {}
    for size in (16, 256):
        found = []
        for _ in range(800):
            h, g = torch.randint(size, (2, 8), generator=generator)
            s, t = torch.randint(2, (2, 8), generator=generator) * 2.0 - 1
            first = count_sketch(torch.stack([a, c]), h, s, size)
            second = count_sketch(torch.stack([b, d]), g, t, size)
            one, other = tensor_sketch([first, second])
            found.append(one @ other)
        values = torch.stack(found)
        assert abs(values.mean() - truth) < 4 * values.std() / 800**0.5
        spread[size] = values.std()
    assert 2.5 < spread[16] / spread[256] < 6.5  # a variance that falls as 1 / size: 4


def test_sketched_it_is_bilinear_with_shared_coefficients() -> None:
    torch.manual_seed(0)
    dims, x = {"a": 2, "b": 3}, draws()
    compact, full = drawn(BilinearLayer(dims, 4, sketch_size=5)), BilinearLayer(dims, 4)
    h, g = compact.places.split([2, 3])
    s, t = compact.signs.split([2, 3])
    with torch.no_grad():
        full.linear.load_state_dict(compact.linear.state_dict())
        full.products[0].copy_(compact.products[0][:, (h[:, None] + g) % 5] * (s[:, None] * t))
    two = {"a": x["a"], "b": x["b"]}
    torch.testing.assert_close(compact(two), full(two))


def test_the_sketch_is_kept_with_the_weights() -> None:
    torch.manual_seed(0)
    layer, x = drawn(BilinearLayer(DIMS, 4, sketch_size=5)), draws()
    other = BilinearLayer(DIMS, 4, sketch_size=5)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))
    assert sum(p.numel() for p in layer.parameters()) == 4 * (7 + 1) + 3 * 4 * 5


# --- the estimator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 64])
def test_learns_the_product_that_additive_fusion_cannot(size: int | None, rng: np.random.Generator) -> None:
    a, b = rng.choice([-1.0, 1.0], size=(2, 300, 1))
    data, y = Modalities({"words": a, "voice": b}), (a * b)[:, 0].astype(int)
    options = Training(max_epochs=12, batch_size=50, learning_rate=1e-2)
    model = BilinearFusion(4, sketch_size=size, training=options, random_state=0).fit(data, y)
    assert model.score(data, y) == 1.0
    short = Training(max_epochs=5, batch_size=50, learning_rate=1e-2)
    assert AdditiveFusion(4, training=short, random_state=0).fit(data, y).score(data, y) < 0.8


def test_a_product_of_three_is_beyond_it() -> None:
    cube = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    signs = np.repeat(cube, 25, axis=0)
    data = Modalities({name: signs[:, [i]] for i, name in enumerate(DIMS)})
    options = Training(max_epochs=8, batch_size=50, learning_rate=1e-2)
    model = BilinearFusion(4, modality_dropout=0.0, training=options, random_state=0)
    assert model.fit(data, signs.prod(axis=1).astype(int)).score(data, signs.prod(axis=1).astype(int)) < 0.9


def test_a_sketch_without_length_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="sketch_size must be a whole number of at least 1, got 0"):
        BilinearFusion(sketch_size=0).fit({"a": rng.normal(size=(8, 2))}, np.arange(8) % 2)
