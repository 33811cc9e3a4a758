from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal import Modalities, Modality
from polymodal.core.errors import ConfigError
from polymodal.objectives import info_nce_reference
from polymodal.training import Batch, Embedded, EmbeddingLoss, Training, make_batch, train
from polymodal.training.gradient_cache import cached_loss, take_rows

CPU = torch.device("cpu")


class Pair(nn.Module):
    """Two encoders with dropout and batch statistics, and a temperature that only the comparison uses."""

    def __init__(self, dropout: float, statistics: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(8) if statistics else nn.Identity()
        self.left = nn.Sequential(nn.Linear(4, 8), norm, nn.GELU(), nn.Dropout(dropout), nn.Linear(8, 5))
        self.right = nn.Linear(3, 5)
        self.scale = nn.Parameter(torch.tensor(2.0))


def embed(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    columns = batch.columns
    left: Any = module.left(columns["left"].values)  # type: ignore[operator]
    right: Any = module.right(columns["right"].values)  # type: ignore[operator]
    if not len(right):  # a chunk without any
        return {"left": left[columns["left"].index], "right": left.new_zeros(len(batch), 5)}
    return {"left": left[columns["left"].index], "right": right[columns["right"].index.clamp(min=0)]}


def compare(module: nn.Module, rows: Embedded) -> Tensor:
    both = rows.present["right"]
    a, b = rows.vectors["left"][both], rows.vectors["right"][both]
    return info_nce_reference(a, b, temperature=1 / module.scale, normalize=False)  # type: ignore[operator]


LOSS = EmbeddingLoss(embed, compare)


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values))


def problem(rng: np.random.Generator) -> tuple[Modalities, Batch]:
    data = Modalities(
        {
            "left": Modality(rng.normal(size=(11, 4)), np.arange(22) // 2),
            "right": rng.normal(size=(22, 3)),
        }
    ).without("right", [3, 9, 10])
    return data, make_batch(data, np.arange(22), {"left": tensor, "right": tensor})


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def in_chunks(module: nn.Module, batch: Batch, size: int) -> float:
    value, finish = cached_loss(LOSS, module, batch, chunk_size=size, device=CPU, precision=nullcontext)
    value.backward()
    finish()
    return value.item()


@pytest.mark.parametrize("size", [1, 5, 7, 21, 22, 50])
def test_the_gradient_is_that_of_the_whole_batch(rng: np.random.Generator, size: int) -> None:
    _, batch = problem(rng)
    torch.manual_seed(0)
    whole = Pair(0.0).double()
    parts = copy.deepcopy(whole)
    value = LOSS(whole, batch)
    value.backward()
    assert in_chunks(parts, batch, size) == pytest.approx(value.item(), rel=1e-14)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, rtol=1e-12, atol=1e-14)


def test_dropout_draws_the_same_numbers_in_both_passes(rng: np.random.Generator) -> None:
    """The truth: the same chunks with all their graphs kept, and one backward."""
    _, batch = problem(rng)
    torch.manual_seed(0)
    whole = Pair(0.4).double()
    parts = copy.deepcopy(whole)
    torch.manual_seed(1)
    pieces = [embed(whole, take_rows(batch, rows)) for rows in torch.arange(22).split(6)]
    vectors = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    value = compare(whole, Embedded(vectors, batch.present, batch.rows))
    value.backward()
    after = torch.rand(3)
    torch.manual_seed(1)
    assert in_chunks(parts, batch, 6) == pytest.approx(value.item(), rel=1e-14)
    assert torch.equal(torch.rand(3), after)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, rtol=1e-12, atol=1e-14)
    torch.manual_seed(2)
    other = copy.deepcopy(whole)
    other.zero_grad()
    assert in_chunks(other, batch, 6) != pytest.approx(value.item(), rel=1e-6)


def test_batch_statistics_move_once_per_chunk(rng: np.random.Generator) -> None:
    _, batch = problem(rng)
    module = Pair(0.0, statistics=True).double()
    in_chunks(module, batch, 11)
    assert module.left[1].num_batches_tracked.item() == 2  # type: ignore[union-attr]


def test_chunks_hold_only_the_values_that_they_use(rng: np.random.Generator) -> None:
    _, batch = problem(rng)
    part = take_rows(batch, torch.tensor([2, 3, 4]))
    assert len(part.columns["left"].values) == 2  # rows 2 and 3 share one
    assert part.columns["left"].index.tolist() == [0, 0, 1]
    assert part.columns["right"].present.tolist() == [True, False, True]
    assert len(take_rows(batch, torch.tensor([3])).columns["right"].values) == 0
    texts = {"tokens": torch.arange(6).reshape(3, 2), "mask": torch.ones(3, 2)}
    column = type(batch.columns["left"])(texts, torch.tensor([2, 0]), torch.tensor([True, True]))
    one = take_rows(Batch({"text": column}, torch.arange(2)), torch.tensor([0])).columns["text"]
    assert one.values["tokens"].tolist() == [[4, 5]]  # type: ignore[call-overload]


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_training_in_chunks_equals_training_whole(rng: np.random.Generator, validation: float) -> None:
    data, _ = problem(rng)
    fits = []
    for chunk in (None, 3):
        torch.manual_seed(0)
        module = Pair(0.0).double()
        options = Training(
            max_epochs=3,
            batch_size=11,
            device="cpu",
            progress=False,
            chunk_size=chunk,
            validation=validation,
        )
        collates = {"left": tensor, "right": tensor}
        history = train(module, LOSS, data, collates=collates, options=options, random_state=0)
        fits.append((history, module))
    np.testing.assert_allclose(fits[1][0].loss, fits[0][0].loss, rtol=1e-10)
    np.testing.assert_allclose(fits[1][0].validation_loss, fits[0][0].validation_loss, rtol=1e-10)
    for p, q in zip(fits[1][1].parameters(), fits[0][1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-8, atol=1e-10)


def test_a_loss_that_is_not_made_of_vectors_is_refused(rng: np.random.Generator) -> None:
    data, _ = problem(rng)
    with pytest.raises(ConfigError, match=r"chunk_size=4.*Pair is trained otherwise"):
        train(
            Pair(0.0),
            lambda module, batch: functional.mse_loss(module.scale, module.scale),
            data,
            collates={"left": tensor, "right": tensor},
            options=Training(chunk_size=4),
            random_state=0,
        )
    with pytest.raises(ConfigError, match="chunk_size to be a whole number of at least 1, got 0"):
        Training(chunk_size=0)
