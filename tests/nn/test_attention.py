import numpy as np
import pytest
import torch
from torch import nn

from polymodal.core.errors import ConfigError
from polymodal.nn import Attention, MeanMixer, TransformerBlock
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
