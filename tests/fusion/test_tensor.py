"""Tensor fusion: all products, contracted exactly; an absent modality drops out of each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal import AdditiveFusion, Modalities, TensorFusion, Training
from polymodal.core.errors import ModalityError
from polymodal.fusion import AdditiveLayer, TensorLayer, outer_product, tensor_contract
from polymodal.fusion.tensor import _best_cut

DIMS = {"a": 2, "b": 3, "c": 2}


def draws(n: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, dim) for name, dim in DIMS.items()}


def random_layer(dims: dict[str, int] = DIMS, k: int = 2) -> TensorLayer:
    torch.manual_seed(2)
    layer = TensorLayer(dims, k)
    with torch.no_grad():
        layer.weight.normal_()
    return layer


def test_flattening_is_row_major() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0, 7.0]])
    assert outer_product([a, b]).tolist() == [[3, 5, 7, 6, 10, 14]]
    np.testing.assert_array_equal(outer_product([a, b])[0], np.kron(a[0], b[0]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), k=st.integers(1, 6), seed=st.integers(0, 99)
)
def test_contraction_equals_the_full_product(sizes: list[int], k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(4, p, generator=generator, dtype=torch.float64) for p in sizes]
    weight = torch.randn(k, *sizes, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(tensor_contract(vectors, weight), outer_product(vectors) @ weight.flatten(1).T)


def test_every_cut_is_taken_where_it_pays() -> None:
    assert _best_cut([50, 50], 64) == 0  # few numbers in the product: form it
    assert _best_cut([50, 50, 50], 8) == 1
    assert _best_cut([4, 4, 4, 200], 2) in (1, 2, 3)


def test_one_product_has_the_value_of_its_definition() -> None:
    layer = TensorLayer({"a": 1, "b": 1}, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[5.0, 3.0], [2.0, 1.0]]]))  # ab, a, b, 1
    out = layer({"a": torch.tensor([[10.0]]), "b": torch.tensor([[100.0]])})
    assert out.item() == 5 * 1000 + 3 * 10 + 2 * 100 + 1


def test_without_products_it_is_additive() -> None:
    layer, additive, x = TensorLayer(DIMS, 3), AdditiveLayer(DIMS, 3), draws()
    with torch.no_grad():
        layer.weight.zero_()
        for axis, (name, dim) in enumerate(DIMS.items()):
            place = [slice(dim) if i == axis else d for i, d in enumerate(DIMS.values())]
            layer.weight[(slice(None), *place)] = additive.weights[list(DIMS).index(name)]
        layer.weight[(slice(None), *DIMS.values())] = additive.bias
    torch.testing.assert_close(layer(x), additive(x))
    present = {"b": torch.tensor([True, False, True, True, False])}
    torch.testing.assert_close(layer(x, present), additive(x, present))


def test_a_new_layer_has_no_products() -> None:
    x = draws()
    layer = TensorLayer(DIMS, 3)
    one = layer(x) - layer({"a": x["a"] * 0, "b": x["b"], "c": x["c"]})
    two = layer({"a": x["a"], "b": x["b"] * 9, "c": x["c"]}) - layer(
        {"a": x["a"] * 0, "b": x["b"] * 9, "c": x["c"]}
    )
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_contains_all_uni_bi_and_trimodal_products() -> None:
    layer, x = random_layer(), draws(40)
    one = [torch.nn.functional.pad(v, (0, 1), value=1.0) for v in x.values()]
    terms = torch.einsum("ni,nj,nk->nijk", *one).flatten(1).double()
    assert torch.linalg.matrix_rank(terms) == 36  # 2+3+2 single, 6+4+6 double, 12 triple and 1 constant
    torch.testing.assert_close(
        layer(x), (terms @ layer.weight.flatten(1).T.double()).float(), rtol=1e-4, atol=1e-4
    )


def test_an_absent_modality_leaves_the_layer_without_it() -> None:
    layer, x = random_layer(), draws()
    smaller = TensorLayer({"a": 2, "c": 2}, 2)
    with torch.no_grad():
        smaller.weight.copy_(layer.weight[:, :, DIMS["b"]])  # its slice at the appended 1
    expected = smaller({"a": x["a"], "c": x["c"]})
    torch.testing.assert_close(layer({"a": x["a"], "c": x["c"]}), expected)
    torch.testing.assert_close(layer(x, {"b": torch.zeros(5, dtype=torch.bool)}), expected)


@pytest.mark.parametrize("poison", [1e9, float("nan")])
def test_absent_values_change_neither_output_nor_gradient(poison: float) -> None:
    layer, x = random_layer(), draws()
    present = {"b": torch.tensor([True, False, True, False, True])}
    results = []
    for value in (0.0, poison):
        leaves = {name: v.clone() for name, v in x.items()}
        leaves["b"][~present["b"]] = value
        leaves = {name: v.requires_grad_() for name, v in leaves.items()}
        layer.zero_grad()
        out = layer(leaves, present)
        out.pow(2).sum().backward()
        results.append([out, layer.weight.grad.clone(), *(v.grad for v in leaves.values())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_gradients_are_right() -> None:
    layer = random_layer().double()
    x = tuple(v.double().requires_grad_() for v in draws(2).values())
    assert torch.autograd.gradcheck(lambda a, b, c: layer({"a": a, "b": b, "c": c}), x)


def test_too_large_a_tensor_is_refused_with_a_size_that_fits() -> None:
    with pytest.raises(ModalityError, match="embedding_dim=44"):
        TensorLayer(dict.fromkeys(["image", "text", "sound", "touch"], 128), 32)
    assert TensorFusion()._embedding_dim(2) == 16
    assert (TensorFusion()._embedding_dim(6) + 1) ** 6 * 32 <= 2**20


def test_learns_the_product_that_additive_fusion_cannot(rng: np.random.Generator) -> None:
    a, b = rng.choice([-1.0, 1.0], size=(2, 300, 1))
    data, y = Modalities({"words": a, "voice": b}), (a * b)[:, 0].astype(int)
    options = Training(max_epochs=15, batch_size=50, learning_rate=1e-2)
    tensor = TensorFusion(4, training=options, random_state=0).fit(data, y)
    additive = AdditiveFusion(4, training=options, random_state=0).fit(data, y)
    assert tensor.score(data, y) == 1.0
    assert additive.score(data, y) < 0.8  # a sum of one term each gets at most three of the four cells
    assert tensor.score(data.select("words"), y) == pytest.approx(0.5, abs=0.1)
