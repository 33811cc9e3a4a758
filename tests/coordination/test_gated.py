from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.coordination import GatedCoordination
from polymodal.coordination import gated as gated_file
from polymodal.coordination.gated import gated_scores
from polymodal.core import Modalities
from polymodal.encoders import MLPEncoder, ModuleEncoder
from polymodal.objectives import info_nce
from polymodal.objectives.infonce import info_nce_of_scores
from polymodal.persistence import load, save
from polymodal.training import Training
from polymodal.training.batches import make_batch

QUICK = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)


def three(rng: np.random.Generator, n: int = 40) -> Modalities:
    x = rng.normal(size=(n, 4))
    return Modalities({name: x @ rng.normal(size=(4, d)) for name, d in (("b", 6), ("a", 5), ("c", 3))})


# --- scores ---------------------------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    a, b = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    zero, high = torch.zeros(2, 2), torch.tensor([[50.0, -50.0], [-50.0, 50.0]])
    plain = gated_scores(a, b, (zero[:1], zero), (zero[:1], zero))
    torch.testing.assert_close(plain, torch.full((1, 2), 0.5**0.5))
    # each b opens the dimension of a that it uses, and closes the other: a then has b's direction
    torch.testing.assert_close(gated_scores(a, b, (zero[:1], high), (zero[:1], zero)), torch.ones(1, 2))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(7, 3, dtype=torch.float64, requires_grad=True) for _ in range(6)]

    def total() -> torch.Tensor:
        a, b, u, v, w, z = inputs
        return (gated_scores(a, b, (u, v), (w, z)) ** 3).sum()

    whole = torch.autograd.grad(total(), inputs)
    monkeypatch.setattr(gated_file, "_BLOCK", 2 * 21)
    for x, y in zip(torch.autograd.grad(total(), inputs), whole, strict=True):
        torch.testing.assert_close(x, y)


def test_the_loss_is_the_mean_of_alone_and_together(rng: np.random.Generator) -> None:
    """With three modalities: pair by pair, and row by row through the module's own forward pass."""
    data = three(rng, 9)
    model = GatedCoordination(4, training=QUICK, random_state=0).fit(data)
    module = model.module_
    batch = make_batch(data, np.arange(9), module.towers.collates)
    with torch.no_grad():
        found = model._make_loss(data)(module, batch).item()
        alone = {name: module({name: batch.columns[name]})[0][name] for name in data.names}
        apart, together = [], []
        for a, b in (("a", "b"), ("a", "c"), ("b", "c")):
            apart.append(info_nce(alone[a], alone[b], temperature=module.temperature))
            scores = torch.empty(9, 9)
            for j in range(9):  # every row of a beside row j of b
                mixed = make_batch(
                    Modalities({a: data[a][np.arange(9)], b: data[b][np.full(9, j)]}),
                    np.arange(9),
                    module.towers.collates,
                )
                z = module(mixed.columns)[0]
                scores[:, j] = (z[a] * z[b]).sum(1)
            together.append(info_nce_of_scores(scores / module.temperature))
    expected = (torch.stack(apart).mean() + torch.stack(together).mean()) / 2
    assert found == pytest.approx(expected.item(), rel=1e-4)


# --- estimator ------------------------------------------------------------------------------------------------------


def test_gates_close_on_noise_that_only_the_other_modality_reveals(rng: np.random.Generator) -> None:
    """A scene holds what is described in its left or right half, and noise in the other; the caption says which."""
    n, seen = 500, 350
    side, content, noise = rng.integers(0, 2, n), rng.normal(size=(n, 4)), rng.normal(size=(n, 4))
    left = (side == 0)[:, None]
    data = Modalities(
        {
            "scene": np.where(left, np.hstack([content, noise]), np.hstack([noise, content])),
            "caption": np.hstack([content @ rng.normal(size=(4, 4)), 2.0 * side[:, None] - 1]),
        }
    )
    model = GatedCoordination(
        8,
        encoders={"scene": ModuleEncoder(torch.nn.Identity()), "caption": MLPEncoder(width=32)},
        training=Training(max_epochs=40, batch_size=70, learning_rate=5e-3, device="cpu", progress=False),
        random_state=0,
    ).fit(data[:seen])
    held, left = data[seen:], left[seen:]
    gates = model.gates(held)["scene"].values()
    useful = np.where(left, gates[:, :4], gates[:, 4:]).mean()
    noisy = np.where(left, gates[:, 4:], gates[:, :4]).mean()
    assert useful > 3 * noisy  # only proportions matter: vectors are brought to length 1
    alone = model.gates(held.select("scene"))["scene"].values()
    assert (
        abs(
            np.where(left, alone[:, :4], alone[:, 4:]).mean()
            - np.where(left, alone[:, 4:], alone[:, :4]).mean()
        )
        < 0.15
    )
    assert model.score(held) > 0.25  # chance: 0.04


def test_partners_are_not_recognised_by_their_gates(rng: np.random.Generator) -> None:
    """Independent modalities: gates of true pairs only would make the loss of unseen pairs fall far below log n."""
    data = Modalities({"left": rng.normal(size=(160, 4)), "right": rng.normal(size=(160, 4))})
    options = Training(max_epochs=15, batch_size=40, learning_rate=3e-3, device="cpu", progress=False)
    model = GatedCoordination(8, training=options, random_state=0).fit(data[:120])
    held = data[120:]
    batch = make_batch(held, np.arange(40), model.module_.towers.collates)
    assert model._make_loss(held)(model.module_, batch).item() > 0.9 * np.log(40)
    assert model.score(held) < 0.25


def test_alone_equals_rows_that_lack_the_others(rng: np.random.Generator) -> None:
    data = three(rng)
    model = GatedCoordination(4, training=QUICK, random_state=0).fit(data)
    lonely = data.without("b", [0, 1]).without("c", [0, 1])
    alone = model.transform(data.select("a"))["a"].values()
    np.testing.assert_allclose(model.transform(lonely)["a"].values()[:2], alone[:2], atol=1e-6)
    assert np.abs(model.transform(data)["a"].values() - alone).max() > 1e-3
    gates = model.gates(data)
    assert gates.names == data.names
    for _, column in gates.items():
        assert column.shape == (4,)
        assert ((column.values() > 0) & (column.values() < 1)).all()


def test_modalities_that_are_not_paired_do_not_look_at_each_other(rng: np.random.Generator) -> None:
    data = three(rng)
    apart = data.without("b", slice(0, 20)).without("c", slice(20, 40))
    model = GatedCoordination(4, training=QUICK, pairs="a", random_state=0).fit(apart)
    both = model.transform(data.select("b", "c"))
    np.testing.assert_allclose(both["b"].values(), model.transform(data.select("b"))["b"].values(), atol=1e-6)
    assert 0 < model.score(apart) <= 1


def test_chunks_equal_the_whole_batch(rng: np.random.Generator, tmp_path: Path) -> None:
    data = three(rng).without("a", [1, 2, 3, 4, 5])
    fits = [
        GatedCoordination(
            4,
            training=Training(max_epochs=2, batch_size=20, chunk_size=c, device="cpu", progress=False),
            random_state=0,
        ).fit(data)
        for c in (None, 3)
    ]
    np.testing.assert_allclose(fits[1].history_.loss, fits[0].history_.loss, rtol=1e-4)
    again = load(save(fits[1], tmp_path / "model"))
    assert np.array_equal(again.gates(data)["b"].values(), fits[1].gates(data)["b"].values())


def test_columns_without_values_and_no_rows(rng: np.random.Generator) -> None:
    data = three(rng)
    model = GatedCoordination(4, training=QUICK, random_state=0).fit(data)
    empty = model.transform(data.without("a", slice(0, 40)))
    assert not empty["a"].present.any()
    one = model.transform(data[[0]])
    np.testing.assert_allclose(one["a"].values(), model.transform(data)["a"].values()[:1], atol=1e-5)
