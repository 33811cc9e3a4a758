from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.coordination._contrast import MAX_SCALE, STARTS, ContrastiveModule, contrastive_loss
from polymodal.core import Modalities
from polymodal.encoders.vector import MLPEncoder
from polymodal.nn.towers import Towers
from polymodal.objectives import sigmoid_loss_reference
from polymodal.training.batches import Batch, make_batch

PAIRS = [("left", "right")]


def module_and_batch(
    data: Modalities, temperature: float = 0.07, bias: float | None = None
) -> tuple[ContrastiveModule, Batch]:
    torch.manual_seed(0)
    encoders = {
        name: MLPEncoder(width=8).build(MLPEncoder().prepare(column), 4) for name, column in data.items()
    }
    module = ContrastiveModule(Towers(encoders), temperature, bias)
    return module, make_batch(data, np.arange(len(data)), module.towers.collates)


def pairs_of(rng: np.random.Generator, n: int) -> Modalities:
    return Modalities({"left": rng.normal(size=(n, 8)), "right": rng.normal(size=(n, 6))})


def test_log_inverse_temperature_starts_at_ln_1_over_007_and_is_clipped_at_100(
    rng: np.random.Generator,
) -> None:
    assert ContrastiveModule(Towers({})).log_scale.item() == pytest.approx(math.log(1 / 0.07), rel=1e-6)
    data = pairs_of(rng, 8)
    module, batch = module_and_batch(data, temperature=1e-4)
    contrastive_loss(data, PAIRS)(module, batch).backward()
    assert module.log_scale.exp().item() == pytest.approx(MAX_SCALE, rel=1e-5)
    assert module.log_scale.grad is not None
    assert (
        module.log_scale.grad.item() > 0
    )  # random vectors: the scale is too high, and the gradient still says so


def test_softmax_is_the_mean_of_row_and_column_cross_entropy(rng: np.random.Generator) -> None:
    data = pairs_of(rng, 12)
    module, batch = module_and_batch(data)
    vectors, _ = module(batch.columns)
    logits = vectors["left"] @ vectors["right"].T / 0.07
    rows = torch.arange(12)
    expected = (
        torch.nn.functional.cross_entropy(logits, rows) + torch.nn.functional.cross_entropy(logits.T, rows)
    ) / 2
    assert contrastive_loss(data, PAIRS)(module, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_sigmoid_starts_at_scale_10_and_bias_minus_10(rng: np.random.Generator) -> None:
    start = STARTS["sigmoid"]
    data = pairs_of(rng, 12)
    module, batch = module_and_batch(data, start.temperature, start.bias)
    assert module.log_scale.item() == pytest.approx(math.log(10))
    vectors, _ = module(batch.columns)
    expected = sigmoid_loss_reference(vectors["left"], vectors["right"], scale=10.0, bias=-10.0)
    assert contrastive_loss(data, PAIRS)(module, batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("bias", [None, -10.0])
def test_a_batch_without_a_pair_has_a_zero_gradient(rng: np.random.Generator, bias: float | None) -> None:
    data = pairs_of(rng, 4).without("left", [0, 1]).without("right", [2, 3])
    module, batch = module_and_batch(data, bias=bias)
    loss = contrastive_loss(data, PAIRS)(module, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
