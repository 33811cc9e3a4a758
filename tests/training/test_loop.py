import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from polymodal import Modalities
from polymodal.core.errors import ModalityError, StoreError
from polymodal.training import Batch, DivergenceError, Training, train
from polymodal.training.loop import _optimizer, learning_rate_at

QUICK = Training(max_epochs=4, batch_size=16, learning_rate=0.05, device="cpu")


def fit(
    problem: Any, options: Training = QUICK, *, dropout: float = 0.3, random_state: Any = 0, **more: Any
) -> Any:
    module = problem.module(dropout=dropout)
    history = train(
        module,
        problem.loss,
        problem.data,
        **{**problem.arguments(), **more},
        options=options,
        random_state=random_state,
    )
    return module, history


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_it_finds_the_line(problem: Any) -> None:
    module, history = fit(
        problem, dataclasses.replace(QUICK, max_epochs=60, learning_rate=0.1, weight_decay=0.0), dropout=0.0
    )
    np.testing.assert_allclose(module.layer.weight[0].detach(), problem.truth, atol=1e-3)
    assert history.loss[-1] < 1e-5 < history.loss[0]
    assert history.epochs == len(history.learning_rate) == 60
    assert history.validation_loss == ()
    assert history.device == "cpu"
    assert not module.training


def test_same_seed_same_weights_and_torchs_state_is_left(problem: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, _ = fit(problem)
    assert torch.equal(torch.rand(2), expected)
    assert same(first, fit(problem)[0])
    assert not same(first, fit(problem, random_state=1)[0])


class Stop(Exception):
    pass


@pytest.mark.parametrize("extra", [{}, {"validation": 0.2, "patience": 2}])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    problem: Any, tmp_path: Path, extra: dict[str, Any]
) -> None:
    options = dataclasses.replace(QUICK, max_epochs=5, checkpoint=tmp_path, **extra)
    whole, history = fit(problem, dataclasses.replace(options, checkpoint=None))
    steps = []

    def interrupted(module: nn.Module, batch: Batch) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 14:  # inside the third epoch or later
            raise Stop
        return problem.loss(module, batch)

    with pytest.raises(Stop):
        train(
            problem.module(dropout=0.3),
            interrupted,
            problem.data,
            **problem.arguments(),
            options=options,
            random_state=0,
        )
    resumed, later = fit(problem, options)
    assert same(whole, resumed)
    assert later.loss == history.loss
    assert later.validation_loss == history.validation_loss
    again, _ = fit(problem, options)  # nothing left to do
    assert same(whole, again)


def test_a_fresh_seed_is_taken_from_the_checkpoint(problem: Any, tmp_path: Path) -> None:
    options = dataclasses.replace(QUICK, checkpoint=tmp_path)
    first, _ = fit(problem, options, random_state=None)
    assert same(first, fit(problem, options, random_state=None)[0])


def test_a_checkpoint_of_another_training_is_refused(problem: Any, tmp_path: Path) -> None:
    options = dataclasses.replace(QUICK, checkpoint=tmp_path)
    fit(problem, options)
    with pytest.raises(StoreError, match="seed was 0, is 1"):
        fit(problem, options, random_state=1)
    with pytest.raises(StoreError, match="batch_size was 16, is 8"):
        fit(problem, dataclasses.replace(options, batch_size=8))


def test_early_stopping_takes_the_best_weights_back(problem: Any) -> None:
    kept: list[torch.Tensor] = []
    scripted = iter([3.0, 1.0, 2.0, 2.5])

    def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
        if module.training:
            return problem.loss(module, batch)
        kept.append(module.layer.weight.clone())
        return torch.tensor(next(scripted))

    module = problem.module()
    options = dataclasses.replace(QUICK, max_epochs=10, validation=0.2, patience=2)
    history = train(module, loss, problem.data, **problem.arguments(), options=options, random_state=0)
    assert history.validation_loss == (3.0, 1.0, 2.0, 2.5)
    assert history.best_epoch == 2
    assert history.stopped_early
    assert torch.equal(module.layer.weight, kept[1])


def test_held_out_rows_are_never_trained_on(problem: Any) -> None:
    seen: dict[bool, set[int]] = {True: set(), False: set()}

    def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
        seen[module.training] |= set(batch.rows.tolist())
        return problem.loss(module, batch)

    options = dataclasses.replace(QUICK, validation=0.25)
    groups = np.arange(60) // 5
    train(
        problem.module(),
        loss,
        problem.data,
        **problem.arguments(),
        options=options,
        random_state=0,
        groups=groups,
    )
    assert len(seen[True]) == 45
    assert not {r // 5 for r in seen[True]} & {r // 5 for r in seen[False]}


def test_a_loss_that_is_not_finite_is_a_sentence(problem: Any) -> None:
    target = np.where(np.arange(60) == 20, np.inf, problem.target).astype(np.float32)
    with pytest.raises(
        DivergenceError, match=r"inf in epoch 1, step \d of 4, at learning rate .*learning_rate=0.005"
    ):
        fit(problem, target=torch.from_numpy(target))


def test_learning_rate_by_hand() -> None:
    cosine = Training(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate_at(i, 10, cosine) for i in range(10)]
    np.testing.assert_allclose(
        rates, [1 / 3, 2 / 3, *(0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8))]
    )
    constant = Training(learning_rate=0.3, warmup=0.0, schedule="constant")
    assert {learning_rate_at(i, 10, constant) for i in range(10)} == {0.3}
    assert learning_rate_at(0, 1, Training()) > 0


def test_decay_on_matrices_only_and_frozen_parameters_stay() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    net[2].requires_grad_(False)
    groups = _optimizer(net, Training(weight_decay=0.5), torch.device("cpu")).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.5), (3, 0.0)]


def test_the_step_is_adamws(problem: Any) -> None:
    options = Training(
        max_epochs=1,
        batch_size=60,
        learning_rate=0.1,
        warmup=0.0,
        schedule="constant",
        clip_norm=0.5,
        device="cpu",
    )
    module, _ = fit(problem, options, dropout=0.0)
    plain = problem.module()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.0)
    x, y = torch.from_numpy(problem.data["x"].store.astype(np.float32)), torch.from_numpy(problem.target)
    (plain.layer(x)[:, 0] - y).square().mean().backward()
    nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
    with torch.no_grad():
        plain.layer.weight.mul_(1 - 0.1 * options.weight_decay)
    optimizer.step()
    torch.testing.assert_close(module.layer.weight, plain.layer.weight)
    torch.testing.assert_close(module.layer.bias, plain.layer.bias)


def test_bfloat16_when_asked_for(problem: Any) -> None:
    seen = set()

    def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
        out = module(batch)
        seen.add(out.dtype)
        return (out.float() - batch.target).square().mean()

    options = dataclasses.replace(QUICK, precision="bfloat16", max_epochs=1)
    train(problem.module(), loss, problem.data, **problem.arguments(), options=options, random_state=0)
    assert seen == {torch.bfloat16}


def test_what_cannot_be_trained_is_refused(problem: Any) -> None:
    with pytest.raises(ModalityError, match="at least one row"):
        train(
            problem.module(),
            problem.loss,
            problem.data[:0],
            **problem.arguments(),
            options=QUICK,
            random_state=0,
        )
    frozen = problem.module().requires_grad_(False)
    with pytest.raises(ModalityError, match="no parameter that trains"):
        train(frozen, problem.loss, problem.data, **problem.arguments(), options=QUICK, random_state=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda(problem: Any) -> None:
    options = dataclasses.replace(
        QUICK, device="cuda", max_epochs=60, learning_rate=0.1, weight_decay=0.0, precision="float32"
    )
    module, history = fit(problem, options, dropout=0.0)
    assert history.device.startswith("cuda")
    np.testing.assert_allclose(module.layer.weight[0].detach(), problem.truth, atol=1e-2)


def test_one_row_is_enough(problem: Any) -> None:
    data = Modalities({"x": problem.data["x"].store[:1]})
    arguments = {**problem.arguments(), "target": torch.ones(1)}
    assert train(problem.module(), problem.loss, data, **arguments, options=QUICK, random_state=0).epochs == 4
