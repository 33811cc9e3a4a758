"""Cross-modal attention: the formula, what is masked, what it finds that means cannot."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch

import polymodal
from polymodal import AdditiveFusion, Modalities, Training
from polymodal.core import Modality, Ragged, Texts
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import PointSetEncoder
from polymodal.fusion import CrossAttentionFusion, CrossAttentionLayer, cross_attention, plot_attention
from polymodal.training import make_batch

DIMS = {"sight": 4, "sound": 3, "word": 2}


def draws(n: int = 3, lengths: tuple[int, ...] = (5, 4, 3)) -> tuple[dict, dict, dict]:
    """Tokens, presence and masks with holes of every sort: padding, an absent modality, a row without tokens."""
    torch.manual_seed(1)
    tokens = {m: torch.randn(n, t, d) for (m, d), t in zip(DIMS.items(), lengths, strict=True)}
    masks = {m: torch.rand(n, t) < 0.7 for m, t in zip(DIMS, lengths, strict=True)}
    masks["sight"][:, 0] = masks["sound"][1:, :2] = masks["word"][:2, 1:] = True
    masks["word"][2] = False  # there, and without any token
    present = {"sound": torch.arange(n) != 0, "sight": torch.arange(n) != 1}
    return tokens, present, masks


# --- the function -------------------------------------------------------------------------------------------------


def by_hand(a, b, weight, a_mask, b_mask):
    """One item in numpy, token by token, over the places that are there."""
    out_a, weights = np.zeros((len(a), b.shape[1])), np.zeros((len(a), len(b)))
    there = np.flatnonzero(b_mask)
    for i in np.flatnonzero(a_mask):
        if len(there):
            e = np.array([a[i] @ weight @ b[j] for j in there])
            share = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
            weights[i, there] = share
            out_a[i] = sum(s * b[j] for s, j in zip(share, there, strict=True))
    return out_a, weights


def test_equals_the_formula_token_by_token() -> None:
    tokens, _, masks = draws()
    a, b, weight = tokens["sight"].double(), tokens["word"].double(), torch.randn(4, 2).double()
    found = cross_attention(a, b, weight, masks["sight"], masks["word"])
    for u in range(3):
        x, y = a[u].numpy(), b[u].numpy()
        of_a, a_to_b = by_hand(x, y, weight.numpy(), masks["sight"][u].numpy(), masks["word"][u].numpy())
        of_b, b_to_a = by_hand(y, x, weight.numpy().T, masks["word"][u].numpy(), masks["sight"][u].numpy())
        for ours, truth in zip(found, (of_a, of_b, a_to_b, b_to_a), strict=True):
            np.testing.assert_allclose(ours[u].numpy(), truth, atol=1e-12)
    assert (found.a[2] == 0).all()  # nothing of b to look at: zeros, not NaN
    assert (found.a_to_b[2] == 0).all()


def test_orthogonal_tokens_find_their_match() -> None:
    order = torch.tensor([2, 0, 3, 1])
    a = torch.eye(4)[None]
    found = cross_attention(a, a[:, order], 10 * torch.eye(4))
    right = np.exp(10) / (np.exp(10) + 3)
    assert found.a_to_b.argmax(-1)[0].tolist() == order.argsort().tolist()
    torch.testing.assert_close(found.a_to_b.amax(-1), torch.full((1, 4), float(right)))
    torch.testing.assert_close(found.a, a, atol=2e-4, rtol=0)
    torch.testing.assert_close(found.b, a[:, order], atol=2e-4, rtol=0)


def test_the_order_of_the_others_tokens_changes_nothing_taken() -> None:
    tokens, _, _ = draws()
    a, b, weight = tokens["sight"], tokens["sound"], torch.randn(4, 3)
    plain, turned = cross_attention(a, b, weight), cross_attention(a, b.flip(1), weight)
    torch.testing.assert_close(turned.a, plain.a)
    torch.testing.assert_close(turned.a_to_b, plain.a_to_b.flip(2))
    torch.testing.assert_close(turned.b, plain.b.flip(1))


def test_exchanging_the_sides_exchanges_the_results() -> None:
    tokens, _, masks = draws()
    a, b, weight = tokens["sight"], tokens["sound"], torch.randn(4, 3)
    there = cross_attention(a, b, weight, masks["sight"], masks["sound"])
    back = cross_attention(b, a, weight.T, masks["sound"], masks["sight"])
    for one, other in zip(there, (back.b, back.a, back.b_to_a, back.a_to_b), strict=True):
        torch.testing.assert_close(one, other)


def test_one_token_is_taken_whole() -> None:
    tokens, _, _ = draws()
    found = cross_attention(tokens["sight"], tokens["sound"][:, :1], torch.randn(4, 3))
    torch.testing.assert_close(found.a, tokens["sound"][:, :1].expand(-1, 5, -1))
    assert (found.a_to_b == 1).all()


def test_equals_one_head_of_torchs_attention() -> None:
    theirs = torch.nn.MultiheadAttention(4, 1, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight[8:] = torch.eye(4)
        theirs.out_proj.weight.copy_(torch.eye(4))
    q, k = theirs.in_proj_weight[:4], theirs.in_proj_weight[4:8]
    a, b = torch.randn(2, 5, 4), torch.randn(2, 7, 4)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    taken, weights = theirs(a, b, b, key_padding_mask=~mask)
    ours = cross_attention(a, b, q.T @ k / 2, b_mask=mask)
    torch.testing.assert_close(ours.a, taken)
    torch.testing.assert_close(ours.a_to_b, weights)


def test_large_scores_stay_finite() -> None:
    a = 1e4 * torch.eye(3)[None]
    found = cross_attention(a, a, torch.eye(3))
    assert torch.equal(found.a_to_b[0], torch.eye(3))
    assert found.a.isfinite().all()


def test_gradients_are_right() -> None:
    tokens, _, masks = draws()
    a, b = (tokens[m].double().requires_grad_() for m in ("sight", "word"))
    weight = torch.randn(4, 2).double().requires_grad_()

    def attend(*given):
        return tuple(cross_attention(*given, masks["sight"], masks["word"]))

    assert torch.autograd.gradcheck(attend, (a, b, weight))


# --- the layer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [1e9, float("nan"), float("inf")])
def test_what_is_absent_changes_neither_output_nor_gradient(poison: float, check_poison) -> None:
    layer, (tokens, present, masks) = CrossAttentionLayer(DIMS, 2, width=6), draws()
    check_poison(layer, tokens, present, masks, poison)


def test_a_row_does_not_depend_on_its_batch_or_its_padding() -> None:
    layer, (tokens, present, masks) = CrossAttentionLayer(DIMS, 2, width=6).eval(), draws()
    whole = layer(tokens, present, masks)
    for row in range(3):
        alone = {m: x[row : row + 1] for m, x in tokens.items()}
        given = {m: has[row : row + 1] for m, has in present.items()}
        there = {m: mask[row : row + 1] for m, mask in masks.items()}
        torch.testing.assert_close(layer(alone, given, there)[0], whole[row], atol=1e-6, rtol=1e-5)
        longer = {m: torch.nn.functional.pad(x, (0, 0, 0, 9)) for m, x in alone.items()}
        wider = {m: torch.nn.functional.pad(mask, (0, 9)) for m, mask in there.items()}
        torch.testing.assert_close(layer(longer, given, wider)[0], whole[row], atol=1e-6, rtol=1e-5)


def test_an_absent_modality_is_one_that_is_not_given() -> None:
    layer, (tokens, _, _) = CrossAttentionLayer(DIMS, 2, width=6), draws()
    hidden = layer(tokens, {"word": torch.zeros(3, dtype=torch.bool)})
    torch.testing.assert_close(layer({m: tokens[m] for m in ("sight", "sound")}), hidden)


def test_one_token_each_is_one_layer_on_all_of_them() -> None:
    layer, (tokens, _, _) = CrossAttentionLayer({"a": 4, "b": 3}, 2, width=6), draws()
    a, b = tokens["sight"][:, :1], tokens["sound"][:, :1]
    h_a = layer.norms[0](layer.own[0](a[:, 0]) + layer.taken[0](b[:, 0]))
    h_b = layer.norms[1](layer.own[1](b[:, 0]) + layer.taken[1](a[:, 0]))
    gelu = torch.nn.functional.gelu
    torch.testing.assert_close(layer({"a": a, "b": b}), layer.read({"a": gelu(h_a), "b": gelu(h_b)}))


def test_the_order_of_tokens_does_not_matter() -> None:
    layer, (tokens, _, _) = CrossAttentionLayer(DIMS, 2, width=6), draws()
    torch.testing.assert_close(layer({**tokens, "sound": tokens["sound"].flip(1)}), layer(tokens))


def test_every_parameter_gets_a_gradient_where_there_are_several_tokens() -> None:
    layer, (tokens, present, masks) = CrossAttentionLayer(DIMS, 2, width=6), draws()
    layer(tokens, present, masks).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_the_layers_gradients_are_right() -> None:
    layer, (tokens, present, masks) = CrossAttentionLayer(DIMS, 2, width=3).double(), draws()
    x = tuple(v.double().requires_grad_() for v in tokens.values())
    assert torch.autograd.gradcheck(lambda *v: layer(dict(zip(DIMS, v, strict=True)), present, masks), x)


def test_attention_of_the_layer_names_both_directions() -> None:
    layer, (tokens, present, masks) = CrossAttentionLayer(DIMS, 2, width=6), draws()
    found = layer.attention(tokens, present, masks)
    assert set(found) == {(m, k) for m in DIMS for k in DIMS if m != k}
    assert found["sight", "word"].shape == (3, 5, 3)
    sums = found["sight", "word"].sum(2)
    expected = (masks["sight"] & present["sight"][:, None] & masks["word"].any(1)[:, None]).float()
    torch.testing.assert_close(sums, expected)
    assert (found["sound", "word"][0] == 0).all()  # the row lacks sound


def test_wrong_widths_are_refused() -> None:
    with pytest.raises(ConfigError, match="width"):
        CrossAttentionLayer(DIMS, 2, width=0)


# --- the estimator ------------------------------------------------------------------------------------------------


def matched(rng: np.random.Generator, n: int, keys: int = 4) -> tuple[Modalities, np.ndarray]:
    """One token of a is marked; y is the value of that token of b which has the same key. Lengths and orders differ."""
    a, b, y = [], [], []
    for _ in range(n):
        m = int(rng.integers(2, keys + 1))
        in_a, in_b = rng.permutation(keys)[:m], rng.permutation(keys)
        value = (rng.permutation(keys) < keys // 2).astype(float)
        marked = rng.integers(m)
        a.append(np.column_stack([np.eye(keys)[in_a], np.arange(m) == marked]))
        b.append(np.column_stack([np.eye(keys)[in_b], value[in_b]]))
        y.append(int(value[in_a[marked]]))
    rows = np.arange(n)
    return Modalities({"a": Modality(Ragged.of(a), rows), "b": Modality(Ragged.of(b), rows)}), np.array(y)


def recipes() -> dict[str, PointSetEncoder]:
    """Each point on its own: what goes with what is left to the fusion."""
    return {name: PointSetEncoder(width=16, depth=0, heads=1, frequencies=0) for name in "ab"}


@pytest.fixture(scope="module")
def solved() -> tuple[CrossAttentionFusion, Modalities, np.ndarray]:
    draws_ = np.random.default_rng(0)
    train, y = matched(draws_, 400)
    options = Training(max_epochs=30, batch_size=40, learning_rate=1e-2)
    model = CrossAttentionFusion(
        8,
        encoders=recipes(),
        embedding_dim=16,
        width=32,
        modality_dropout=0.0,
        training=options,
        random_state=0,
    )
    return model.fit(train, y), *matched(draws_, 200)


def test_learns_which_token_goes_with_which(solved) -> None:
    model, test, y = solved
    assert model.score(test, y) > 0.9


def test_sums_of_pooled_modalities_cannot(rng) -> None:
    train, y = matched(rng, 250)
    test, y_test = matched(rng, 200)
    options = Training(max_epochs=30, batch_size=25, learning_rate=1e-2)
    model = AdditiveFusion(8, encoders=recipes(), modality_dropout=0.0, training=options, random_state=0)
    assert model.fit(train, y).score(test, y_test) < 0.65


def test_attention_of_each_row(solved) -> None:
    model, test, _ = solved
    rows = test[:20].without("b", [3])
    found = model.attention(rows)
    assert set(found) == {("a", "b"), ("b", "a")}
    lengths = test["a"].store.lengths
    for i, matrix in enumerate(found["a", "b"]):
        assert matrix.shape == (lengths[i], 0 if i == 3 else 4)
        np.testing.assert_allclose(matrix.sum(axis=1), 0.0 if i == 3 else 1.0, atol=1e-5)
        np.testing.assert_allclose(found["b", "a"][i].sum(axis=1), 1.0, atol=1e-5)
    network = model.module_
    with torch.no_grad():
        tokens, masks, _ = network.towers(make_batch(test, np.array([5]), network.towers.collates).columns)
        truth = cross_attention(tokens["a"], tokens["b"], network.layer.weights[0], masks["a"], masks["b"])
    np.testing.assert_allclose(found["a", "b"][5], truth.a_to_b[0], atol=1e-5)
    np.testing.assert_allclose(found["b", "a"][5], truth.b_to_a[0], atol=1e-5)
    assert found["a", "b"][5].max() > 0.3  # it has learned to choose
    one = model.attention(rows[[5]])
    np.testing.assert_allclose(one["a", "b"][0], found["a", "b"][5], atol=1e-5)
    assert model.attention(rows.select("a")) == {}


def test_saved_and_loaded_it_says_the_same(solved, tmp_path) -> None:
    model, test, _ = solved
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(test), model.predict_proba(test))
    np.testing.assert_array_equal(
        again.attention(test[:1])["a", "b"][0], model.attention(test[:1])["a", "b"][0]
    )


def test_rows_that_share_a_value_and_an_empty_text(rng) -> None:
    texts = Modality(Texts(["one red dog", "", "a cat"]), np.array([0, 0, 1, 2, -1, 2]))
    data = Modalities({"text": texts, "picture": rng.integers(0, 255, (6, 8, 8), dtype=np.uint8)})
    options = Training(max_epochs=1, batch_size=6)
    model = CrossAttentionFusion(3, embedding_dim=4, width=4, training=options, random_state=0)
    model.fit(data, np.array([0, 1, 0, 1, 0, 1]))
    found = model.attention(data)["text", "picture"]
    assert [m.shape for m in found] == [(3, 16), (3, 16), (0, 16), (2, 16), (0, 16), (2, 16)]
    only_empty = model.transform(data.select("text")[[2]])
    assert np.isfinite(only_empty).all()


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(task: str, rng) -> None:
    data, y = matched(rng, 40)
    target = y + 0.5 if task == "regression" else np.stack([y, 1 - y], axis=1)
    model = CrossAttentionFusion(3, embedding_dim=4, width=4, training=Training(max_epochs=1), random_state=0)
    assert model.fit(data, target).task_ == task
    assert model.predict(data).shape == target.shape


def test_plot() -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    ax = plt.figure().gca()
    drawn = plot_attention(np.full((2, 3), 1 / 3), ["a", "b"], ["x", "y", "z"], ax)
    assert [t.get_text() for t in drawn.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in drawn.get_xticklabels()] == ["x", "y", "z"]
    np.testing.assert_allclose(drawn.images[0].get_array(), 1 / 3)
    with pytest.raises(ModalityError, match="2 rows and 3 columns"):
        plot_attention(np.ones((2, 3)), ["a"])
    plt.close("all")
