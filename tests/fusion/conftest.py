"""What every layer of tokens promises, as one function for the tests of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from polymodal.fusion._tokens import TokenLayer

Named = dict[str, torch.Tensor]


def check(layer: TokenLayer, tokens: Named, present: Named, masks: Named, poison: float) -> None:
    """Values that are absent, or padding, change neither the output nor any gradient, not even as NaN."""
    everywhere = torch.ones(len(next(iter(tokens.values()))), dtype=torch.bool)
    there = {m: mask & present.get(m, everywhere)[:, None] for m, mask in masks.items()}
    results = []
    for value in (0.0, poison):
        leaves = {
            m: torch.where(there[m][..., None], x, torch.full_like(x, value)).requires_grad_()
            for m, x in tokens.items()
        }
        layer.zero_grad()
        out = layer(leaves, present, masks)
        out.square().sum().backward()
        of_weights = [p.grad.clone() for p in layer.parameters()]
        results.append([out, *of_weights, *(leaf.grad for leaf in leaves.values())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)
        assert clean.isfinite().all()


@pytest.fixture
def check_poison() -> Callable[..., None]:
    return check
