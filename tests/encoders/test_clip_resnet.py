"""The residual network, beside its published formula."""

from __future__ import annotations

import torch
from torch.nn import functional

from polymodal.encoders import ImageDimensions
from polymodal.encoders.clip_resnet import AttentionPool2d, Bottleneck, CLIPResNet
from polymodal.encoders.clip_towers import projection

TINY = ImageDimensions(4, (1, 2, 1, 1), heads=2, resolution=64)


def test_attention_pooling_equals_the_published_formula() -> None:
    torch.manual_seed(0)
    pool, last = AttentionPool2d(2, 8, 2), torch.nn.Linear(8, 5)
    x = torch.randn(3, 8, 2, 2)
    steps = x.flatten(2).permute(2, 0, 1)
    steps = torch.cat([steps.mean(0, keepdim=True), steps], 0) + pool.positional_embedding[:, None]
    bias = torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias])
    expected, _ = functional.multi_head_attention_forward(
        steps[:1], steps, steps, 8, 2, None, bias, None, None, False, 0.0, last.weight, last.bias,
        need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    torch.testing.assert_close(last(pool(x)), expected[0], atol=1e-6, rtol=1e-5)


def test_a_fresh_block_is_its_shortcut() -> None:
    torch.manual_seed(0)
    block, x = Bottleneck(8, 2, 1).eval(), torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(block(x), x.relu())


def test_published_names_and_every_weight_learns() -> None:
    torch.manual_seed(0)
    body, head = CLIPResNet(TINY).train(), projection(TINY, 3)
    names = set(body.state_dict())
    assert {
        "conv3.weight",
        "layer1.0.downsample.0.weight",
        "layer2.1.bn3.running_var",
        "attnpool.k_proj.bias",
    } <= names
    assert "layer2.1.downsample.0.weight" not in names
    for module in body.modules():
        if isinstance(module, Bottleneck):
            torch.nn.init.ones_(module.bn3.weight)
    out = head(body(torch.randn(4, 3, 64, 64)))
    assert out.shape == (4, 3)
    out.square().sum().backward()
    assert all(p.grad is not None for p in body.parameters())
    assert all(
        p.grad.abs().max() > 0 for name, p in body.named_parameters() if name != "attnpool.k_proj.bias"
    )
