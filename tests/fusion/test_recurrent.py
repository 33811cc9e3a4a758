"""Recurrent fusion: torch's LSTM on one modality, clocks by hand, and what fusion at each step sees that ends do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import polymodal
from polymodal import Modalities, Ragged, Training
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.fusion import RecurrentFusion, RecurrentLayer, common_clock

DIMS = {"ear": 3, "eye": 2}
TINY = Training(max_epochs=2, batch_size=16)


def clock(counts: list[int], seconds: list[float], tick: float | None = None) -> list[list[int]]:
    step, ticks = common_clock(torch.tensor([counts]), torch.tensor([seconds]), tick)
    assert ticks.all()
    return step[0].T.tolist()


# --- the clock ---------------------------------------------------------------------------------------------------


def test_rates_two_to_one() -> None:
    assert clock([6, 3], [0.1, 0.2]) == [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]]


def test_a_stream_that_ends_early_has_no_step_after_its_end() -> None:
    assert clock([6, 2], [0.1, 0.2]) == [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, -1, -1]]


def test_without_rates_streams_cover_the_row() -> None:
    assert clock([6, 2], [0.0, 0.0]) == [[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1]]


def test_one_vector_and_a_stream_without_rate_beside_one_with() -> None:
    assert clock([4, 1, 2, 0], [0.5, 0.0, 0.0, 0.0]) == [[0, 1, 2, 3], [0] * 4, [0, 0, 1, 1], [-1] * 4]


def test_a_given_tick() -> None:
    assert clock([6, 3], [0.1, 0.2], tick=0.3) == [[1, 4], [0, 2]]
    assert clock([2, 3], [0.2, 0.0], tick=0.1) == [[0, 0, 1, 1], [0, 1, 1, 2]]


def test_one_stream_is_its_own_clock_and_rows_do_not_meet() -> None:
    step, ticks = common_clock(torch.tensor([[3], [1], [0]]), torch.tensor([[0.04], [0.0], [1.0]]))
    assert step[:, :, 0].tolist() == [[0, 1, 2], [0, -1, -1], [-1, -1, -1]]
    assert ticks.sum(1).tolist() == [3, 1, 0]


# --- the layer ---------------------------------------------------------------------------------------------------


def tokens(n: int = 4) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    x = {name: torch.randn(n, 5 + dim, dim) for name, dim in DIMS.items()}
    lengths = {"ear": [8, 1, 5, 3][:n], "eye": [4, 7, 1, 0][:n]}
    masks = {name: torch.arange(x[name].shape[1]) < torch.tensor(lengths[name])[:, None] for name in x}
    return x, masks


@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_modality_at_the_end_is_an_lstm_and_a_linear_layer(bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer({"a": 3}, 4, cell="lstm", fuse="end", bidirectional=bidirectional)
    lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=bidirectional)
    lstm.load_state_dict(layer.readers[0].cells.state_dict())
    x = torch.randn(2, 6, 3)
    states = lstm(x)[1][0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(layer({"a": x}), layer.join(torch.cat([states, torch.zeros(2, 1)], dim=1)))


def test_joined_steps_are_one_gru_over_the_values_and_flags() -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(DIMS, 4)
    x = {"ear": torch.randn(1, 4, 3), "eye": torch.randn(1, 2, 2)}
    seconds = {"ear": torch.tensor([0.1]), "eye": torch.tensor([0.1])}
    ear = torch.cat([x["ear"], torch.ones(1, 4, 1)], dim=2)
    eye = torch.cat(
        [nn.functional.pad(x["eye"], (0, 0, 0, 2)), torch.tensor([[[1.0], [1], [0], [0]]])], dim=2
    )
    state = layer.readers[0].cells(torch.cat([ear, eye], dim=2))[1][0]
    torch.testing.assert_close(layer(x, seconds=seconds), layer.join(state))
    spread = torch.cat([x["eye"].repeat_interleave(2, dim=1), torch.ones(1, 4, 1)], dim=2)
    state = layer.readers[0].cells(torch.cat([ear, spread], dim=2))[1][0]
    torch.testing.assert_close(layer(x), layer.join(state))


@pytest.mark.parametrize("fuse", ["step", "end"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_rows_padding_and_gradients(fuse: str, cell: str) -> None:
    torch.manual_seed(0)
    layer, (x, masks) = RecurrentLayer(DIMS, 4, cell=cell, fuse=fuse, bidirectional=True), tokens()
    present = {"ear": torch.tensor([True, True, False, True])}
    seconds = {"ear": torch.tensor([0.1, 0.2, 0.1, 0.1]), "eye": torch.tensor([0.2, 0.1, 0.0, 0.0])}
    out = layer(x, present, masks, seconds)
    for row in range(4):
        one = layer(
            {k: v[[row]] for k, v in x.items()},
            {k: v[[row]] for k, v in present.items()},
            {k: v[[row]] for k, v in masks.items()},
            {k: v[[row]] for k, v in seconds.items()},
        )
        torch.testing.assert_close(one[0], out[row], rtol=1e-5, atol=1e-6)
    order = torch.tensor([2, 0, 3, 1])
    turned = layer(*({k: v[order] for k, v in part.items()} for part in (x, present, masks, seconds)))
    torch.testing.assert_close(turned, out[order], rtol=1e-5, atol=1e-6)
    out.square().sum().backward()
    clean = [p.grad.clone() for p in layer.parameters()]
    assert all(grad.abs().sum() > 0 for grad in clean)
    layer.zero_grad()
    hidden = {name: masks[name] & present.get(name, torch.ones(4, dtype=torch.bool))[:, None] for name in x}
    poisoned = {name: x[name].masked_fill(~hidden[name][..., None], torch.nan) for name in x}
    again = layer(poisoned, present, masks, seconds)
    assert torch.equal(again, out)
    again.square().sum().backward()
    assert all(torch.equal(p.grad, grad) for p, grad in zip(layer.parameters(), clean, strict=True))


@pytest.mark.parametrize("fuse", ["sum", 0.0, -1.0])
def test_an_unknown_way_to_fuse_is_refused(fuse: object) -> None:
    with pytest.raises((ConfigError, TypeError), match="fuse"):
        RecurrentLayer(DIMS, 2, fuse=fuse)


# --- the estimator -----------------------------------------------------------------------------------------------


def agreement(rng: np.random.Generator, n: int = 300, rate: int = 1) -> tuple[Modalities, np.ndarray]:
    """Two streams of signs, the second is the first or its opposite: neither says which, and no sum of answers does."""
    y = rng.integers(0, 2, size=n)
    lengths = rng.integers(3, 7, size=n)
    first = [rng.choice([-1.0, 1.0], size=(length, 1)) for length in lengths]
    second = [s if same else -s for s, same in zip(first, y, strict=True)]
    fine = [np.repeat(s, rate, axis=0) for s in first]
    return Modalities({"flag": Ragged.of(fine, rate=2.0 * rate), "horn": Ragged.of(second, rate=2.0)}), y


@pytest.mark.parametrize("rate", [1, 2])
def test_steps_see_what_coincides_and_ends_do_not(rate: int, rng: np.random.Generator) -> None:
    data, y = agreement(rng, rate=rate)
    train, test = slice(0, 200), slice(200, 300)
    quick = Training(max_epochs=15, batch_size=40, learning_rate=2e-2)
    score = {}
    for fuse in ("step", "end"):
        model = RecurrentFusion(8, fuse=fuse, modality_dropout=0.0, training=quick, random_state=0)
        score[fuse] = model.fit(data[train], y[train]).score(data[test], y[test])
    assert score["step"] > 0.95
    assert score["end"] < 0.8  # a sum gets three of four cells


def test_a_clock_that_begins_together_is_not_a_stretched_one(rng: np.random.Generator) -> None:
    """The second stream is twice as long: its first half is what agrees."""
    data, y = agreement(rng, 200)
    longer = [np.concatenate([s, rng.choice([-1.0, 1.0], size=s.shape)]) for s in data["horn"].store]
    quick = Training(max_epochs=15, batch_size=40, learning_rate=2e-2)
    score = {}
    for rate in (2.0, None):
        flag = Ragged(data["flag"].store.values, data["flag"].store.offsets, rate)
        streams = Modalities({"flag": flag, "horn": Ragged.of(longer, rate=rate)})
        model = RecurrentFusion(8, modality_dropout=0.0, training=quick, random_state=0)
        score[rate] = model.fit(streams[:150], y[:150]).score(streams[150:], y[150:])
    assert score[2.0] > 0.95
    assert score[None] < 0.85


def mixed(rng: np.random.Generator, n: int = 24) -> tuple[Modalities, np.ndarray]:
    """Every kind of data; films are sequences of pictures."""
    data = Modalities(
        {
            "film": Ragged.of([rng.normal(size=(k % 4, 4, 4)) for k in range(n)], rate=5.0),
            "sound": Ragged.of([rng.normal(size=400 + 40 * k) for k in range(n)], rate=2000.0),
            "note": ["red bird", "", None, "a blue bird sings"] * (n // 4),
            "age": rng.normal(size=(n, 2)),
            "face": rng.normal(size=(n, 5, 5)),
        }
    )
    return data, np.arange(n) % 2


@pytest.mark.parametrize("fuse", ["step", "end", 0.1])
def test_every_kind_of_data_joins(fuse: object, rng: np.random.Generator, tmp_path) -> None:
    data, y = mixed(rng)
    model = RecurrentFusion(4, fuse=fuse, training=TINY, random_state=0).fit(data, y)
    z = model.transform(data)
    np.testing.assert_allclose(model.transform(data[[5]]), z[[5]], atol=1e-5)
    np.testing.assert_allclose(model.transform(data[::-1]), z[::-1], atol=1e-5)
    for name in data.names:
        some = data.select(name)
        some = some[some[name].present]
        assert np.isfinite(model.transform(some)).all()
    again = polymodal.load(polymodal.save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(data), z)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(task: str, rng: np.random.Generator) -> None:
    data, _ = agreement(rng, 60)
    y = rng.normal(size=60) if task == "regression" else rng.integers(0, 2, size=(60, 3))
    model = RecurrentFusion(4, training=TINY, random_state=0).fit(data, y)
    assert model.task_ == task
    assert model.predict(data).shape == y.shape


def test_a_stored_sequence_is_read_once_and_a_missing_one_never(rng: np.random.Generator) -> None:
    store = Ragged.of([rng.normal(size=(k + 1, 2)) for k in range(4)], rate=1.0)
    data = Modalities(
        {"a": Modality(store, np.array([0, 1, 1, -1, 0, 2] * 4)), "b": rng.normal(size=(24, 3))}
    )
    y = np.arange(24) % 2
    model = RecurrentFusion(4, training=TINY, random_state=0).fit(data, y)
    values = store.values.copy()
    values[store.offsets[3] :] = 1e9  # no row uses the last one
    poisoned = data.assign({"a": Modality(Ragged(values, store.offsets, 1.0), data["a"].index)})
    other = RecurrentFusion(4, training=TINY, random_state=0).fit(poisoned, y)
    np.testing.assert_array_equal(other.transform(poisoned), model.transform(data))


def test_another_width_is_named(rng: np.random.Generator) -> None:
    data, y = agreement(rng, 40)
    model = RecurrentFusion(4, training=TINY, random_state=0).fit(data, y)
    with pytest.raises(ModalityError, match="horn"):
        model.transform({"horn": Ragged.of([np.zeros((3, 2))], rate=2.0)})
