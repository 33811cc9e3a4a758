"""Gated fusion: gates of known value, noise shut out, and a policy gradient that is right on average."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import polymodal
from polymodal import Modalities, Training
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import GatedFusion, GatedLayer, reinforce_loss

DIMS = {"a": 2, "b": 3, "c": 2}
DRAWS = np.random.default_rng(0)
Y = DRAWS.integers(2, size=400)
SIGNAL = (2 * Y - 1)[:, None] + 0.7 * DRAWS.normal(size=(400, 3))
NOISE = DRAWS.normal(size=(400, 3))
GATES = ("gmu", "softmax", "reinforce", "gumbel")


def draws(n: int = 5, names: str = "abc") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, DIMS[name]) for name in names}


def features(layer: GatedLayer, x: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [torch.tanh(f(x[name])) for name, f in zip(layer.dims, layer.features, strict=True)]


# --- soft gates ---------------------------------------------------------------------------------------------------------


def test_the_unit_of_two_modalities_is_the_published_formula() -> None:
    torch.manual_seed(0)
    layer, x = GatedLayer({"a": 2, "b": 3}, 4), draws(names="ab")
    h_a, h_b = features(layer, x)
    gate = torch.sigmoid(torch.cat([x["a"], x["b"]], dim=1) @ layer.gating.weight.T + layer.gating.bias)
    torch.testing.assert_close(layer(x), gate * h_a + (1 - gate) * h_b)
    assert layer.gating.weight.shape == (4, 5)


def test_the_unit_of_three_has_a_sigmoid_each() -> None:
    torch.manual_seed(0)
    layer, x = GatedLayer(DIMS, 4), draws()
    logits = torch.cat(list(x.values()), dim=1) @ layer.gating.weight.T + layer.gating.bias
    gates = torch.sigmoid(logits).split(4, dim=1)
    expected = sum(g * h for g, h in zip(gates, features(layer, x), strict=True))
    torch.testing.assert_close(layer(x), expected)
    assert (layer.run(x).gates.sum(dim=1) - 1).abs().max() > 0.1  # they do not sum to 1


def test_attention_is_over_what_is_present() -> None:
    torch.manual_seed(0)
    layer, x = GatedLayer(DIMS, 4, "softmax"), draws()
    gates = layer.run(x, {"b": torch.tensor([True, False, True, True, False])}).gates[:, :, 0]
    torch.testing.assert_close(gates.sum(dim=1), torch.ones(5))
    assert gates[[1, 4], 1].tolist() == [0, 0]
    assert layer.run({"a": x["a"]}).gates[:, :, 0].tolist() == [[1, 0, 0]] * 5


def test_a_modality_left_alone_has_the_whole_unit() -> None:
    layer, x = GatedLayer({"a": 2, "b": 3}, 4), draws(names="ab")
    torch.testing.assert_close(layer({"b": x["b"]}), features(layer, x)[1])
    nothing = layer.run(x, {name: torch.zeros(5, dtype=torch.bool) for name in "ab"})
    assert torch.equal(nothing.z, torch.zeros(5, 4))


# --- hard gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["reinforce", "gumbel"])
def test_hard_gates_are_drawn_with_their_probability_and_fixed_in_evaluation(gate: str) -> None:
    torch.manual_seed(0)
    layer = GatedLayer(DIMS, 4, gate)
    x = {name: v.expand(8000, -1) for name, v in draws(1).items()}
    present = {"c": torch.arange(8000) < 4000}
    done = layer.run(x, present)
    rate = done.open_rate[0]
    assert set(done.gates.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(done.gates[:4000].mean(dim=0)[:, 0], rate, atol=0.03, rtol=0)
    assert done.gates[4000:, 2].abs().max() == 0
    layer.eval()
    assert torch.equal(layer.run(x).gates[0, :, 0], (rate >= 0.5).float())


def test_straight_through_passes_the_gradient_of_the_soft_gate() -> None:
    torch.manual_seed(0)
    layer = GatedLayer({"a": 1}, 1, "gumbel", temperature=2.0)
    x = {"a": torch.ones(1, 1)}
    logit = layer.gating(x["a"]).item()
    torch.manual_seed(5)
    noise = torch.rand(1, 1, 1).logit().item()
    torch.manual_seed(5)
    layer.run(x).gates.sum().backward()
    soft = 1 / (1 + np.exp(-(logit + noise) / 2))
    assert layer.gating.bias.grad.item() == pytest.approx(soft * (1 - soft) / 2, rel=1e-5)


def test_the_log_probability_is_that_of_the_gates_drawn() -> None:
    torch.manual_seed(0)
    layer, x = GatedLayer(DIMS, 4, "reinforce"), draws()
    present = {"b": torch.tensor([True, False, True, True, False])}
    done = layer.run(x, present)
    on, rate = done.gates[:, :, 0], done.open_rate
    each = torch.where(on == 1, rate, 1 - rate).log()
    each[~present["b"], 1] = 0  # what is absent is not drawn
    torch.testing.assert_close(done.log_prob, each.sum(dim=1))
    through = torch.autograd.grad(done.z.sum(), layer.gating.bias, allow_unused=True)
    assert through == (None,)  # nothing passes through the draw


@pytest.mark.parametrize("n_draws", [1, 2, 3])
def test_the_policy_gradient_is_unbiased(n_draws: int) -> None:
    """Two gates, all draws enumerated: the mean of the estimate is the gradient of the expected reward."""
    logits = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, -2.0, 0.5, 4.0], dtype=torch.float64)  # of the gates 00, 01, 10, 11
    sets = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64)
    log_prob = (sets * logits - torch.nn.functional.softplus(logits)).sum(dim=1)
    (exact,) = torch.autograd.grad(-(log_prob.exp() * reward).sum(), logits, retain_graph=True)
    mean = torch.zeros(2, dtype=torch.float64)
    for drawn in itertools.product(range(4), repeat=n_draws):
        which = list(drawn)
        loss = reinforce_loss(log_prob[which][:, None], reward[which][:, None])
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        mean += log_prob[which].sum().exp().detach() * gradient
    torch.testing.assert_close(mean, exact)


def test_equal_rewards_teach_nothing_and_the_baseline_lowers_the_variance() -> None:
    torch.manual_seed(0)
    logit = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    on = (torch.rand(2, 4000, dtype=torch.float64) < torch.sigmoid(logit)).double()
    log_prob = on * logit - torch.nn.functional.softplus(logit)
    assert (
        torch.autograd.grad(reinforce_loss(log_prob, torch.full_like(on, 7.0)), logit, retain_graph=True)[0]
        == 0
    )

    reward = 10 + on

    def spread(draws: int) -> float:
        parts = [
            torch.autograd.grad(
                reinforce_loss(log_prob[:draws, i : i + 1], reward[:draws, i : i + 1]),
                logit,
                retain_graph=True,
            )[0]
            for i in range(200)
        ]
        return torch.stack(parts).std().item()

    assert spread(2) < spread(1) / 5


# --- the estimator ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy() -> tuple[Modalities, np.ndarray]:
    return Modalities({"signal": SIGNAL, "noise": NOISE}), Y


@pytest.mark.parametrize(
    ("gate", "cost", "most"),
    [("gmu", 0, 0.4), ("softmax", 0, 0.1), ("reinforce", 0.2, 0.1), ("gumbel", 0.2, 0.1)],
)
def test_the_gate_of_noise_closes(gate: str, cost: float, most: float, noisy) -> None:
    data, y = noisy
    options = Training(max_epochs=15, batch_size=40, learning_rate=1e-2)
    model = GatedFusion(
        8,
        gate=gate,
        gate_cost=float(cost),
        embedding_dim=8,
        modality_dropout=0.0,
        training=options,
        random_state=0,
    ).fit(data, y)
    gates = model.gates(data)
    assert set(gates) == {"signal", "noise"}
    assert gates["noise"].mean() < most
    assert gates["signal"].mean() > 0.6
    assert model.score(data, y) > 0.97


@pytest.mark.parametrize("gate", ["softmax", "gumbel"])
def test_gates_follow_the_row_where_quality_does(gate: str) -> None:
    """On every second row the channels swap: one has the signal, the other loud noise."""
    y, swapped = Y, np.arange(400)[:, None] % 2 == 1
    rows = Modalities(
        {"left": np.where(swapped, 5 * NOISE, SIGNAL), "right": np.where(swapped, SIGNAL, 5 * NOISE)}
    )
    options = Training(max_epochs=25, batch_size=40, learning_rate=1e-2)
    model = GatedFusion(8, gate=gate, embedding_dim=8, modality_dropout=0.0, training=options, random_state=0)
    gates = model.fit(rows, y).gates(rows)
    good = np.where(swapped[:, 0], gates["right"], gates["left"])
    bad = np.where(swapped[:, 0], gates["left"], gates["right"])
    assert good.mean() > bad.mean() + 0.4
    assert model.score(rows, y) > 0.97


@pytest.mark.parametrize("gate", GATES)
def test_gates_are_zero_where_a_modality_is_absent_and_saved_with_the_model(
    gate: str, noisy, tmp_path: Path
) -> None:
    data, y = noisy
    part = Modalities({"signal": SIGNAL[:40], "noise": [None] * 10 + list(NOISE[10:40])})
    model = GatedFusion(3, gate=gate, embedding_dim=4, training=Training(max_epochs=1), random_state=0).fit(
        part, y[:40]
    )
    gates = model.gates(part)
    assert (gates["noise"][:10] == 0).all()
    assert (model.gates(data.select("signal"))["noise"] == 0).all()
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.gates(part)["signal"], gates["signal"])
    if gate in ("reinforce", "gumbel"):
        assert np.isin(gates["signal"], (0, 1)).all()


def test_the_reported_loss_is_the_loss(noisy) -> None:
    """The term that carries the policy gradient has no value: an untrained model reports the entropy of a guess."""
    data, y = noisy
    options = Training(max_epochs=1, learning_rate=1e-9, weight_decay=0.0)
    losses = [
        GatedFusion(3, gate=gate, embedding_dim=4, modality_dropout=0.0, training=options, random_state=0)
        .fit(data, y)
        .history_
        for gate in ("gmu", "reinforce")
    ]
    for history in losses:
        assert history.loss[0] == pytest.approx(np.log(2), abs=0.3)


def test_wrong_settings_are_refused(noisy) -> None:
    data, y = noisy
    with pytest.raises(ConfigError, match="gate must be one of"):
        GatedFusion(gate="gmu", training=Training(max_epochs=1)).set_params(gate="sigmoid").fit(data, y)
    with pytest.raises(ConfigError, match="temperature must be a number above 0"):
        GatedLayer(DIMS, 4, temperature=0.0)
    with pytest.raises(ConfigError, match="gate_cost must be a number of at least 0"):
        GatedFusion(gate_cost=-1.0).fit(data, y)
    model = GatedFusion(3, training=Training(max_epochs=1), random_state=0).fit(data, y)
    with pytest.raises(ModalityError, match="sound"):
        model.gates({"sound": np.zeros((2, 3))})
