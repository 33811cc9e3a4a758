"""Channel exchange as an estimator: it happens, it matters, and a missing picture takes no part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import polymodal
from polymodal import Modalities, Training
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.fusion import ChannelExchange
from polymodal.training.batches import make_batch

QUICK = Training(max_epochs=12, batch_size=25, learning_rate=1e-2)
TINY = Training(max_epochs=2, batch_size=16, learning_rate=1e-2)


def signs(rng: np.random.Generator, n: int = 200) -> tuple[Modalities, np.ndarray]:
    """Two pictures of one grey each; the answer is whether the greys have one sign: neither picture says anything."""
    grey = rng.choice([-1.0, 1.0], size=(2, n))
    pictures = grey[:, :, None, None] + 0.3 * rng.normal(size=(2, n, 4, 4))
    return Modalities({"left": pictures[0], "right": pictures[1]}), np.where(
        grey.prod(axis=0) > 0, "same", "other"
    )


def model(sparsity: float, **settings: object) -> ChannelExchange:
    options = {"width": 4, "modality_dropout": 0.0, "training": QUICK, "random_state": 0, **settings}
    return ChannelExchange(8, sparsity=sparsity, **options)


def test_exchange_happens_with_the_penalty_and_does_not_without(rng: np.random.Generator) -> None:
    data, y = signs(rng)
    train, test = slice(0, 150), slice(150, 200)
    with_penalty, without = model(0.1).fit(data[train], y[train]), model(0.0).fit(data[train], y[train])
    assert without.exchange_history_.max() == 0
    assert without.score(data[test], y[test]) < 0.8  # a mean of two decisions gets three of four cells
    assert with_penalty.exchange_history_[0] == 0
    assert with_penalty.exchange_history_[-1] > 0.3
    assert with_penalty.score(data[test], y[test]) > 0.95
    rates = [rate for layer in with_penalty.exchange_rate_.values() for rate in layer.values()]
    assert max(rates) == 0.5  # never more than the modality's own part
    assert len(with_penalty.exchange_history_) == 12 * 6
    assert sum(with_penalty.modality_weights_.values()) == pytest.approx(1)


def test_only_the_penalised_half_falls(rng: np.random.Generator) -> None:
    data, y = signs(rng, 100)
    fitted = model(0.2).fit(data, y)
    own, other = [], []
    for block in fitted.module_.layer.network.blocks().values():
        for name, norm in zip(block.names, block.norms, strict=True):
            part = block.parts()[name]
            own.append(norm.weight.detach()[part].abs())
            other.append(norm.weight.detach()[~part].abs())
    assert torch.cat(own).median() < 0.02
    assert torch.cat(other).median() > 0.15


def test_the_penalty_is_in_the_gradient_of_the_loss(rng: np.random.Generator) -> None:
    data, y = signs(rng, 32)
    gradients = []
    for sparsity in (0.0, 0.5):
        estimator = model(sparsity).fit(data, y)
        module = model(sparsity).set_params(training=TINY)
        module.modalities_ = estimator.modalities_
        network = module._initial_module(data, y)
        module._rates = []
        batch = make_batch(
            data, np.arange(32), network.towers.collates, torch.as_tensor(module._target.encode(y))
        )
        network.train()
        module._loss(module._target)(network, batch).backward()
        gradients.append(
            {
                name: [norm.weight.grad for norm in block.norms]
                for name, block in network.layer.network.blocks().items()
            }
        )
        blocks = network.layer.network.blocks()
    for name, block in blocks.items():
        for m, modality in enumerate(block.names):
            difference = gradients[1][name][m] - gradients[0][name][m]
            torch.testing.assert_close(difference, 0.5 * block.parts()[modality].float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(task: str, rng: np.random.Generator, tmp_path) -> None:
    data, _ = signs(rng)
    means = np.stack([data[name].values().mean(axis=(1, 2)) for name in data], axis=1)
    y = means.sum(axis=1) if task == "regression" else (means > 0).astype(int)
    fitted = model(0.01).fit(data, y)
    assert fitted.task_ == task
    assert fitted.score(data, y) > 0.8
    again = polymodal.load(polymodal.save(fitted, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(data), fitted.predict(data))
    assert again.exchange_rate_ == fitted.exchange_rate_


def test_one_modality_alone_is_its_own_stream(rng: np.random.Generator) -> None:
    data, y = signs(rng, 64)
    fitted = model(0.1).fit(data, y)
    holes = data.without("left", slice(0, 10))
    np.testing.assert_allclose(
        fitted.predict_proba(holes)[:10], fitted.predict_proba(data.select("right"))[:10], atol=1e-5
    )
    np.testing.assert_allclose(fitted.predict_proba(holes)[10:], fitted.predict_proba(data)[10:], atol=1e-5)


def test_fits_where_no_row_has_both(rng: np.random.Generator) -> None:
    data, _ = signs(rng, 60)
    y = (data["left"].values().mean(axis=(1, 2)) > 0).astype(int)
    apart = data.without("left", slice(0, 30)).without("right", slice(30, 60))
    fitted = model(0.01, training=TINY).fit(apart, y)
    assert np.isfinite(fitted.transform(data)).all()


def test_colours_bytes_and_shared_pictures(rng: np.random.Generator) -> None:
    left, right = rng.integers(0, 256, size=(2, 20, 5, 4, 3), dtype=np.uint8)
    data = Modalities(
        {"left": Modality(left, np.arange(40) % 20), "right": Modality(right, np.arange(40) // 2)}
    )
    fitted = model(0.01, training=TINY).fit(data, np.arange(40) % 2)
    assert fitted.transform(data).shape == (40, 8)


def test_what_does_not_fit_is_refused_by_name(rng: np.random.Generator) -> None:
    data, y = signs(rng, 40)
    with pytest.raises(ModalityError, match="'right': \\(3, 4\\)"):
        model(0.1).fit({"left": data["left"].values(), "right": data["right"].values()[:, :3]}, y)
    with pytest.raises(ModalityError, match="right"):
        model(0.1).fit({"left": data["left"].values(), "right": np.zeros((40, 3))}, y)
    with pytest.raises(ConfigError, match="sparsity"):
        model(-1.0).fit(data, y)
    fitted = model(0.1, training=TINY).fit(data, y)
    with pytest.raises(ModalityError, match="'left' was fitted as pictures of shape \\(4, 4\\)"):
        fitted.transform({"left": np.zeros((2, 4, 5))})


def test_a_finished_training_is_taken_up_without_a_step(rng: np.random.Generator, tmp_path) -> None:
    data, y = signs(rng, 40)
    kept = Training(max_epochs=1, batch_size=20, learning_rate=1e-2, checkpoint=tmp_path / "run")
    first = model(0.01, training=kept).fit(data, y)
    again = model(0.01, training=kept).fit(data, y)
    assert len(first.exchange_history_) == 2
    assert len(again.exchange_history_) == 0
    np.testing.assert_array_equal(again.transform(data), first.transform(data))
