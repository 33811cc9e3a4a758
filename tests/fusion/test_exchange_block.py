"""The exchange itself: which channel takes what from whom, and that a missing modality lends nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import ExchangeBlock, exchange_channels

NAMES = ("a", "b", "c")


def maps(n: int = 5, channels: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(n, channels, 2, 3) for name in NAMES}


def gammas(channels: int = 6) -> dict[str, torch.Tensor]:
    return {name: torch.ones(channels) for name in NAMES}


def test_a_channel_takes_the_mean_of_the_others_and_only_that_channel_changes() -> None:
    x, scales = maps(), gammas()
    scales["b"][2] = -0.019
    out = exchange_channels(x, scales)
    torch.testing.assert_close(out["b"][:, 2], (x["a"][:, 2] + x["c"][:, 2]) / 2)
    kept = [0, 1, 3, 4, 5]
    torch.testing.assert_close(out["b"][:, kept], x["b"][:, kept], rtol=0, atol=0)
    for name in ("a", "c"):
        torch.testing.assert_close(out[name], x[name], rtol=0, atol=0)


def test_threshold_zero_changes_nothing() -> None:
    x = maps()
    out = exchange_channels(x, {name: torch.zeros(6) for name in NAMES}, threshold=0.0)
    assert all(torch.equal(out[name], x[name]) for name in NAMES)


def test_two_modalities_change_places() -> None:
    x = {name: maps()[name] for name in ("a", "b")}
    out = exchange_channels(x, {name: torch.zeros(6) for name in x})
    assert torch.equal(out["a"], x["b"])
    assert torch.equal(out["b"], x["a"])


def test_only_the_given_parts_are_open() -> None:
    x = maps()
    parts = {name: torch.arange(6) // 2 == m for m, name in enumerate(NAMES)}
    out = exchange_channels(x, {name: torch.zeros(6) for name in NAMES}, parts=parts)
    torch.testing.assert_close(out["c"][:, 4:], (x["a"][:, 4:] + x["b"][:, 4:]) / 2)
    assert torch.equal(out["c"][:, :4], x["c"][:, :4])


@pytest.mark.parametrize("poison", [1e9, float("nan")])
def test_a_missing_modality_never_enters_the_mean(poison: float) -> None:
    x, scales = maps(), {name: torch.zeros(6) for name in NAMES}
    present = {
        "a": torch.tensor([True, False, True, True, False]),
        "c": torch.tensor([True, True, False, False, False]),
    }
    for name, has in present.items():
        x[name][~has] = poison
    out = exchange_channels(x, scales, present=present)
    torch.testing.assert_close(out["b"][0], (x["a"][0] + x["c"][0]) / 2)
    torch.testing.assert_close(out["b"][1], x["c"][1])
    torch.testing.assert_close(out["b"][2], x["a"][2])
    assert torch.equal(out["b"][4], x["b"][4])  # no other modality: its own channels
    assert torch.equal(out["a"][3], x["b"][3])
    assert all(torch.isfinite(value).all() for value in out.values())
    assert out["a"][1].abs().sum() == 0


def test_unequal_shapes_are_named() -> None:
    with pytest.raises(ModalityError, match="'right': \\(2, 3, 5, 4\\)"):
        exchange_channels(
            {"left": torch.zeros(2, 3, 4, 4), "right": torch.zeros(2, 3, 5, 4)},
            {"left": torch.ones(3), "right": torch.ones(3)},
        )


def block(channels: int = 6) -> ExchangeBlock:
    return ExchangeBlock({name: nn.BatchNorm2d(channels) for name in NAMES})


def test_large_scales_leave_one_batch_norm_per_modality() -> None:
    x, made = maps(), block()
    out = made(x)
    for name in NAMES:
        torch.testing.assert_close(out[name], nn.BatchNorm2d(6)(x[name]))


def test_statistics_come_from_the_rows_that_have_the_modality() -> None:
    x, made = maps(), block()
    has = torch.tensor([True, False, True, True, False])
    alone = nn.BatchNorm2d(6)
    expected = alone(x["a"][has])
    x["a"][~has] = torch.nan
    out = made(x, {"a": has})
    torch.testing.assert_close(out["a"][has], expected)
    torch.testing.assert_close(made.norms[0].running_mean, alone.running_mean)
    torch.testing.assert_close(made.norms[0].running_var, alone.running_var)
    nobody = torch.zeros(5, dtype=torch.bool)
    before = made.norms[0].running_mean.clone()
    assert made(x, {"a": nobody})["a"].abs().sum() == 0
    assert torch.equal(made.norms[0].running_mean, before)


def test_one_value_per_channel_is_normalised_by_the_running_statistics() -> None:
    made = block()
    x = {name: torch.randn(1, 6, 1, 1) for name in NAMES}
    torch.testing.assert_close(made(x)["a"], x["a"], rtol=1e-4, atol=1e-4)


def test_parts_are_disjoint_cover_all_channels_and_do_not_depend_on_the_order_of_names() -> None:
    made = ExchangeBlock({name: nn.BatchNorm2d(7) for name in reversed(NAMES)})
    parts = made.parts()
    assert sum(part.int() for part in parts.values()).tolist() == [1] * 7
    assert parts["a"].tolist() == [True] * 3 + [False] * 4


def test_the_penalty_reaches_its_own_part_of_every_modality_and_nothing_else() -> None:
    made = block()
    made.penalty().backward()
    for name, norm in zip(NAMES, made.norms, strict=True):
        torch.testing.assert_close(norm.weight.grad, made.parts()[name].float())
        assert norm.bias.grad is None


def test_gradient_descent_on_the_penalty_alone_exchanges_the_parts_and_no_more() -> None:
    made = block()
    optimiser = torch.optim.SGD(made.parameters(), lr=0.1)
    for _ in range(12):
        optimiser.zero_grad()
        made.penalty().backward()
        optimiser.step()
    with torch.no_grad():  # the last step may oscillate around 0 by the learning rate
        for norm in made.norms:
            norm.weight[norm.weight.abs() < 0.11] = 0
    torch.testing.assert_close(made.exchange_rate(), torch.full((3,), 1 / 3))
    for name, norm in zip(NAMES, made.norms, strict=True):
        assert (norm.weight[~made.parts()[name]] == 1).all()


def test_without_exchange_nothing_is_penalised_or_replaced() -> None:
    made = ExchangeBlock({name: nn.BatchNorm2d(6) for name in NAMES}, exchanges=False)
    with torch.no_grad():
        for norm in made.norms:
            norm.weight.zero_()
            norm.bias.fill_(1.0 if norm is made.norms[0] else 2.0)
    assert made.exchange_rate().sum() == 0
    assert float(made.penalty()) == 0
    assert (made(maps())["a"] == 1).all()


@pytest.mark.parametrize(
    "norms",
    [
        {"a": nn.BatchNorm2d(4)},
        {"a": nn.BatchNorm2d(4), "b": nn.BatchNorm2d(5)},
        {"a": nn.BatchNorm2d(4, affine=False), "b": nn.BatchNorm2d(4)},
        {"a": nn.GroupNorm(2, 4), "b": nn.BatchNorm2d(4)},
    ],
)
def test_norms_that_cannot_be_exchanged_are_refused(norms: dict[str, nn.Module]) -> None:
    with pytest.raises(ConfigError, match="'a'"):
        ExchangeBlock(norms)


def test_a_negative_threshold_is_refused() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        ExchangeBlock({name: nn.BatchNorm2d(4) for name in NAMES}, threshold=-1.0)
