"""Multimodal transformers: padding and absence never enter, unaligned sequences, what the streams are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import polymodal
from polymodal import AdditiveFusion, Modalities, Training
from polymodal.core import Modality, Ragged
from polymodal.core.errors import ConfigError
from polymodal.encoders import PointSetEncoder
from polymodal.fusion import MultimodalTransformer, MultimodalTransformerLayer
from polymodal.fusion.transformer import last_token
from polymodal.nn import masked_mean, sine_positions

DIMS = {"sight": 4, "sound": 3, "word": 2}
CASES = [("directional", "mean"), ("directional", "last"), ("joint", "mean")]
every_case = pytest.mark.parametrize(("mode", "pool"), CASES)


def layer_of(mode: str, pool: str = "mean", **options) -> MultimodalTransformerLayer:
    torch.manual_seed(2)
    return MultimodalTransformerLayer(DIMS, 2, mode, width=8, depth=1, heads=2, pool=pool, **options)


def draws() -> tuple[dict, dict, dict]:
    """Tokens, presence and masks: unequal lengths, an absent modality, a row without tokens of one."""
    torch.manual_seed(1)
    tokens = {m: torch.randn(3, t, d) for (m, d), t in zip(DIMS.items(), (5, 7, 3), strict=True)}
    lengths = {"sight": [5, 2, 1], "sound": [3, 7, 6], "word": [3, 1, 0]}
    masks = {m: torch.arange(x.shape[1]) < torch.tensor(lengths[m])[:, None] for m, x in tokens.items()}
    present = {"sound": torch.tensor([False, True, True]), "sight": torch.tensor([True, False, True])}
    return tokens, present, masks


@pytest.mark.parametrize("poison", [1e9, float("nan"), float("inf")])
@every_case
def test_what_is_absent_changes_neither_output_nor_gradient(
    mode: str, pool: str, poison: float, check_poison
) -> None:
    layer, (tokens, present, masks) = layer_of(mode, pool), draws()
    check_poison(layer, tokens, present, masks, poison)


@every_case
def test_a_row_does_not_depend_on_its_batch_or_its_padding(mode: str, pool: str) -> None:
    layer, (tokens, present, masks) = layer_of(mode, pool).eval(), draws()
    whole = layer(tokens, present, masks)
    for row in range(3):
        alone, there = ({m: x[row : row + 1] for m, x in given.items()} for given in (tokens, masks))
        has = {m: x[row : row + 1] for m, x in present.items()}
        torch.testing.assert_close(layer(alone, has, there)[0], whole[row], atol=1e-6, rtol=1e-5)
        longer = {m: torch.nn.functional.pad(x, (0, 0, 0, 9)) for m, x in alone.items()}
        wider = {m: torch.nn.functional.pad(mask, (0, 9)) for m, mask in there.items()}
        torch.testing.assert_close(layer(longer, has, wider)[0], whole[row], atol=1e-6, rtol=1e-5)
        short = {m: x[:, : max(1, int(there[m].sum()))] for m, x in alone.items()}
        cut = {m: mask[:, : short[m].shape[1]] for m, mask in there.items()}
        torch.testing.assert_close(layer(short, has, cut)[0], whole[row], atol=1e-6, rtol=1e-5)


@every_case
def test_an_absent_modality_is_one_that_is_not_given(mode: str, pool: str) -> None:
    layer, (tokens, _, _) = layer_of(mode, pool), draws()
    hidden = layer(tokens, {"word": torch.zeros(3, dtype=torch.bool)})
    torch.testing.assert_close(layer({m: tokens[m] for m in ("sight", "sound")}), hidden)
    for name in DIMS:
        assert layer({name: tokens[name]}).isfinite().all()


@every_case
def test_every_parameter_gets_a_gradient(mode: str, pool: str) -> None:
    layer, (tokens, present, masks) = layer_of(mode, pool, dropout=0.1), draws()
    layer(tokens, present, masks).square().sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


@every_case
def test_gradients_are_right(mode: str, pool: str) -> None:
    layer, (tokens, present, masks) = layer_of(mode, pool).double(), draws()
    x = tuple(v.double().requires_grad_() for v in tokens.values())
    assert torch.autograd.gradcheck(
        lambda *v: layer(dict(zip(DIMS, v, strict=True)), present, masks), x, fast_mode=True
    )


@every_case
def test_the_order_of_tokens_matters(mode: str, pool: str) -> None:
    layer, (tokens, _, _) = layer_of(mode, pool), draws()
    assert not torch.allclose(layer({**tokens, "sound": tokens["sound"].flip(1)}), layer(tokens), atol=1e-4)


def test_the_joint_mode_is_a_transformer_over_one_sequence_that_starts_with_cls() -> None:
    layer, (tokens, _, _) = layer_of("joint").eval(), draws()
    sequence = [layer.start.expand(3, 1, 8)]
    for place, (name, x) in enumerate(tokens.items()):
        positions = sine_positions(torch.arange(x.shape[1]).float(), 8)
        sequence.append(layer.enter[place](tokens[name]) + positions + layer.kinds[place])
    steps = torch.cat(sequence, dim=1)
    assert steps.shape == (3, 1 + 5 + 7 + 3, 8)
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).train()
    block = layer.blocks[0]
    theirs.load_state_dict(
        {
            **{f"self_attn.in_proj_{k}": v for k, v in block.mix.project.named_parameters()},
            **{f"self_attn.out_proj.{k}": v for k, v in block.mix.out.named_parameters()},
            **{f"linear1.{k}": v for k, v in block.step[0].named_parameters()},
            **{f"linear2.{k}": v for k, v in block.step[3].named_parameters()},
            **{f"norm1.{k}": v for k, v in block.norm_mix.named_parameters()},
            **{f"norm2.{k}": v for k, v in block.norm_step.named_parameters()},
        }
    )
    expected = layer.out(layer.norm(theirs(steps)[:, 0]))
    torch.testing.assert_close(layer(tokens), expected, atol=1e-5, rtol=1e-5)


def test_a_stream_asks_the_source_as_it_was_at_first() -> None:
    torch.manual_seed(0)
    layer = MultimodalTransformerLayer({"a": 3, "b": 2}, 2, width=8, depth=2, heads=2).eval()
    a, b = torch.randn(1, 4, 3), torch.randn(1, 6, 2)
    mask_a, mask_b = torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 6, dtype=torch.bool)
    x, y = (
        enter(v) + sine_positions(torch.arange(v.shape[1]).float(), 8)
        for enter, v in zip(layer.enter, (a, b), strict=True)
    )
    pooled = {}
    for name, target, mask, source, there, own in (
        ("a", layer.targets[0], mask_a, y, mask_b, x),
        ("b", layer.targets[1], mask_b, x, mask_a, y),
    ):
        first, second = target.streams[0]
        state = second(first(own, source, there), source, there)  # the same low-level source twice
        for block in target.memory:
            state = block(state, mask)
        pooled[name] = masked_mean(target.norm(state), mask)
    torch.testing.assert_close(layer({"a": a, "b": b}), layer.read(pooled))


def test_the_last_token_that_is_there() -> None:
    x = torch.arange(24.0).reshape(3, 4, 2)
    mask = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
    assert last_token(x, mask).tolist() == [[6.0, 7.0], [12.0, 13.0], [0.0, 0.0]]


@pytest.mark.parametrize("mode", ["directional", "joint"])
def test_one_modality_one_token_and_very_long_sequences(mode: str) -> None:
    alone = MultimodalTransformerLayer({"a": 3}, 2, mode, width=4, depth=1, heads=1)
    assert alone({"a": torch.randn(1, 1, 3)}).shape == (1, 2)
    two = MultimodalTransformerLayer({"a": 3, "b": 1}, 2, mode, width=4, depth=1, heads=1).eval()
    with torch.no_grad():
        out = two({"a": torch.randn(1, 3000, 3), "b": torch.randn(1, 7, 1)})
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "sideways"}, "mode must be one of"),
        ({"pool": "max"}, "pool must be one of"),
        ({"depth": 0}, "depth must be"),
        ({"heads": 3}, "3 heads and width 32"),
    ],
)
def test_refusals(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MultimodalTransformerLayer(DIMS, 2, **options)


# --- the estimator ------------------------------------------------------------------------------------------------


def paced(n: int, seed: int) -> tuple[Modalities, np.ndarray]:
    """A pulse comes early or late in a; b, at a rate of its own, is high in one half: y says whether it is high at the pulse."""
    rng = np.random.default_rng(seed)
    pulse, high = rng.integers(2, size=(2, n))
    a = [np.eye(2)[p][:, None] for p in pulse]
    b = [np.repeat(np.eye(2)[h], rng.integers(2, 5))[:, None] for h in high]
    data = Modalities({"a": Modality(Ragged.of(a), np.arange(n)), "b": Modality(Ragged.of(b), np.arange(n))})
    return data, (pulse == high).astype(int)


def options() -> dict:
    points = PointSetEncoder(width=8, depth=0, heads=1, frequencies=0)
    training = Training(max_epochs=30, batch_size=25, learning_rate=5e-3)
    return {
        "encoders": {"a": points, "b": points},
        "embedding_dim": 16,
        "training": training,
        "random_state": 0,
    }


@pytest.fixture(scope="module")
def solved() -> MultimodalTransformer:
    train, y = paced(200, seed=0)
    return MultimodalTransformer(8, depth=1, modality_dropout=0.0, **options()).fit(train, y)


def test_unaligned_sequences_at_different_rates(solved) -> None:
    test, y = paced(200, seed=1)
    assert solved.score(test, y) > 0.9


def test_a_sum_of_pooled_sequences_cannot() -> None:
    train, y = paced(200, seed=0)
    test, y_test = paced(200, seed=1)
    assert AdditiveFusion(8, modality_dropout=0.0, **options()).fit(train, y).score(test, y_test) < 0.65


def test_saved_and_loaded_it_says_the_same(solved, tmp_path) -> None:
    test, _ = paced(20, seed=2)
    again = polymodal.load(polymodal.save(solved, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(test), solved.predict_proba(test))
    alone = np.concatenate([solved.transform(test[[row]]) for row in range(3)])
    np.testing.assert_allclose(alone, solved.transform(test)[:3], atol=1e-5)


@pytest.mark.parametrize("mode", ["directional", "joint"])
@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(mode: str, task: str) -> None:
    data, y = paced(20, seed=0)
    target = y + 0.5 if task == "regression" else np.stack([y, 1 - y], axis=1)
    model = MultimodalTransformer(
        3, mode=mode, embedding_dim=6, depth=1, training=Training(max_epochs=1), random_state=0
    )
    assert model.fit(data, target).task_ == task
    assert model.predict(data).shape == target.shape
    assert model.module_.layer.mode == mode
