"""Transformers over patches and tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from polymodal.encoders import ImageDimensions, TextDimensions
from polymodal.encoders.clip_towers import (
    CLIPBlocks,
    CLIPText,
    JointAttention,
    QuickGELU,
    image_body,
    projection,
)

SMALL = ImageDimensions(16, 2, 2, 16, patch=8)
TEXT = TextDimensions(16, layers=2, heads=2, context=8, vocabulary=20)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_quick_gelu_with_and_without_gradients() -> None:
    x = torch.randn(5, 3, requires_grad=True)
    expected = x * torch.sigmoid(1.702 * x)
    torch.testing.assert_close(QuickGELU()(x), expected)
    kept = x.detach().clone()
    torch.testing.assert_close(QuickGELU()(kept), expected.detach())
    torch.testing.assert_close(kept, x.detach())


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torch(causal) -> None:
    ours, theirs = JointAttention(12, 3, causal=causal), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    torch.nn.init.normal_(ours.in_proj_weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 12)
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    expected = theirs(x, x, x, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x), expected)
    step = torch.tensor([3, 1])
    torch.testing.assert_close(ours.at(x, step), expected[torch.arange(2), step])


@pytest.mark.parametrize("causal", [False, True])
def test_relations_one_step_equals_that_of_all(causal) -> None:
    blocks = CLIPBlocks(TEXT, causal=causal)
    x, step = torch.randn(3, 6, 16), torch.tensor([0, 5, 2])
    whole = x
    for block in blocks.resblocks:
        whole = block(whole)
    torch.testing.assert_close(blocks.at(x, step), whole[torch.arange(3), step])


def test_what_stands_behind_the_end_never_enters() -> None:
    text = CLIPText(TEXT).eval()
    ids, end = torch.randint(0, 20, (2, 8)), torch.tensor([3, 5])
    other = torch.where(torch.arange(8) > end[:, None], (ids + 7) % 20, ids)
    torch.testing.assert_close(text(ids, end), text(other, end))
    torch.testing.assert_close(text(ids[:1], end[:1]), text(ids, end)[:1], atol=1e-6, rtol=1e-5)


def test_picture_is_read_patch_by_patch() -> None:
    body = image_body(SMALL).eval()
    pixels = torch.randn(1, 3, 16, 16)
    first = pixels[:, :, :8, :8].flatten()
    expected = functional.linear(first, body.conv1.weight.flatten(1))
    torch.testing.assert_close(body.conv1(pixels)[0, :, 0, 0], expected, atol=1e-5, rtol=1e-5)
    assert body(pixels).shape == (1, 16)


def test_projection_of_a_residual_network_has_a_bias() -> None:
    assert projection(SMALL, 4).bias is None
    assert projection(ImageDimensions(4, (1, 1, 1, 1), 2, 32), 4).bias is not None
