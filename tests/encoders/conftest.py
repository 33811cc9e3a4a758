"""What every encoder promises, as one function for the tests of each."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.core import Modality
from polymodal.encoders import Encoder, EncoderModule
from polymodal.training import seeded


def take(batch: Any, rows: Any) -> Any:
    return {k: v[rows] for k, v in batch.items()} if isinstance(batch, Mapping) else batch[rows]


def check(recipe: Any, modality: Modality, dim: int = 5) -> EncoderModule:
    assert isinstance(recipe, Encoder)
    assert dataclasses.is_dataclass(recipe)
    settings = json.loads(json.dumps(recipe.prepare(modality), allow_nan=False))
    with seeded(0):
        module = recipe.build(settings, dim)
    with seeded(0):
        again = recipe.build(settings, dim)
    for (name, p), q in zip(module.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(p, q), name
    n = len(modality.store)
    assert n >= 3
    batch = module.collate(modality.store[np.arange(n)])
    parts = batch.values() if isinstance(batch, Mapping) else [batch]
    assert all(len(part) == n and part.device.type == "cpu" for part in parts)

    module.train()
    out = module(batch)
    assert out.shape == (n, dim)
    (out * torch.linspace(-1, 1, dim)).square().sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, f"{name} gets no gradient"
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0, f"{name} gets a zero gradient"

    module.eval()
    with torch.no_grad():
        out = module(batch)
        for i in (0, n - 1):
            alone = module(module.collate(modality.store[np.array([i])]))
            torch.testing.assert_close(alone, out[i : i + 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(module(take(batch, [2, 0])), out[[2, 0]], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(copy.deepcopy(module)(batch), out)
    check_tokens(recipe, settings, modality, dim)
    return module


def check_tokens(recipe: Any, settings: dict[str, Any], modality: Modality, dim: int) -> None:
    """Tokens have the width asked for and do not depend on the batch; every layer that is kept trains."""
    with seeded(0):
        module = recipe.build(settings, dim)
    module.keep_tokens()
    n = len(modality.store)
    batch = module.collate(modality.store[np.arange(n)])
    module.train()
    tokens, mask = module.tokens(batch)
    assert tokens.shape == (*mask.shape, dim)
    assert mask.dtype == torch.bool
    weights = torch.linspace(-1, 1, dim) * torch.linspace(1, 2, mask.shape[1])[:, None]
    (tokens * weights).masked_fill(~mask[..., None], 0.0).square().sum().backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, f"{name} gets no gradient from the tokens"
        assert p.grad.isfinite().all(), name
    module.eval()
    with torch.no_grad():
        tokens, mask = module.tokens(batch)
        for i in (0, n - 1):
            alone, here = module.tokens(module.collate(modality.store[np.array([i])]))
            assert here.sum() == mask[i].sum()
            torch.testing.assert_close(alone[here], tokens[i][mask[i]], rtol=1e-4, atol=1e-5)


@pytest.fixture
def check_encoder() -> Callable[..., EncoderModule]:
    return check
