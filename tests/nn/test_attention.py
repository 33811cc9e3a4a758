import numpy as np
import pytest
import torch
from torch import nn

from polymodal.core.errors import ConfigError
from polymodal.nn import Attention, CrossBlock, MeanMixer, TransformerBlock, masked_softmax
from polymodal.nn.attention import trim

MASK = torch.tensor([[True, True, True, False], [True] * 4, [False] * 4])


@pytest.fixture
def steps(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(3, 4, 8)).astype(np.float32))


def test_equals_torchs_multi_head_attention(steps: torch.Tensor) -> None:
    ours, theirs = Attention(8, heads=2), nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": ours.project.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    expected = theirs(steps[:2], steps[:2], steps[:2], key_padding_mask=~MASK[:2], need_weights=False)[0]
    torch.testing.assert_close(ours(steps, MASK)[0, :3], expected[0, :3])
    torch.testing.assert_close(ours(steps, MASK)[1], expected[1])


@pytest.mark.parametrize("mixer", [None, MeanMixer])
@pytest.mark.parametrize("poison", [1e9, torch.nan])
def test_padding_never_enters(steps: torch.Tensor, poison: float, mixer: type[nn.Module] | None) -> None:
    block = TransformerBlock(8, heads=2, mixer=mixer and mixer(8)).eval()
    clean, poisoned = block(steps, MASK), block(steps.masked_fill(~MASK[..., None], poison), MASK)
    torch.testing.assert_close(poisoned[MASK], clean[MASK], rtol=0, atol=0)
    torch.testing.assert_close(clean[:1, :3], block(steps[:1, :3], MASK[:1, :3]), rtol=1e-5, atol=1e-6)
    assert clean.isfinite().all()


def test_every_parameter_learns(steps: torch.Tensor) -> None:
    block = TransformerBlock(8, heads=2, dropout=0.1)
    block(steps, MASK)[MASK].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="3 heads and width 8"):
        Attention(8, heads=3)


def test_trim() -> None:
    assert trim(MASK) == 4
    assert trim(MASK[:1]) == 3
    assert trim(MASK[2:]) == 1
    assert trim(MASK[:0]) == 0


def test_attention_to_a_source_equals_torchs(steps: torch.Tensor, rng: np.random.Generator) -> None:
    ours, theirs = Attention(8, heads=2), nn.MultiheadAttention(8, 2, batch_first=True)
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    theirs.load_state_dict(dict(zip(names, ours.parameters(), strict=True)))
    queries = torch.from_numpy(rng.normal(size=(2, 6, 8)).astype(np.float32))
    expected = theirs(queries, steps[:2], steps[:2], key_padding_mask=~MASK[:2], need_weights=False)[0]
    torch.testing.assert_close(ours(queries, MASK[:2], steps[:2]), expected)
    torch.testing.assert_close(ours(steps, torch.ones_like(MASK), steps), ours(steps, torch.ones_like(MASK)))


@pytest.mark.parametrize("poison", [1e9, torch.nan])
def test_padding_of_a_source_never_enters(steps: torch.Tensor, poison: float) -> None:
    block, x = CrossBlock(8, heads=2).eval(), torch.randn(3, 5, 8)
    results = []
    for value in (0.0, poison):
        source = steps.masked_fill(~MASK[..., None], value).requires_grad_()
        block.zero_grad()
        out = block(x, source, MASK)
        out.square().sum().backward()
        results.append([out, source.grad, *(p.grad.clone() for p in block.parameters())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)
        assert clean.isfinite().all()
    alone = block(x[:1], steps[:1, :3], MASK[:1, :3])
    torch.testing.assert_close(results[0][0][:1], alone, rtol=1e-5, atol=1e-6)
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())


def test_a_source_without_steps_says_the_same_to_everyone() -> None:
    block, nothing = CrossBlock(8, heads=2), torch.zeros(2, 4, dtype=torch.bool)
    mixed = block.mix(torch.randn(2, 3, 8), nothing, torch.randn(2, 4, 8))
    torch.testing.assert_close(mixed, mixed[:1, :1].expand_as(mixed))


def test_masked_softmax() -> None:
    mask = torch.tensor([[True, True, False], [False] * 3])
    found = masked_softmax(torch.tensor([[1e30, 1e30, torch.nan], [1.0, 2.0, 3.0]]), mask)
    assert found.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
