from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.coordination import MarginCoordination
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.objectives import margin_loss
from polymodal.persistence import load, save
from polymodal.training import Training
from polymodal.training.batches import make_batch

QUICK = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)


def shared_factors(rng: np.random.Generator, n: int = 200, noise: float = 0.1) -> Modalities:
    factors = rng.normal(size=(n, 4))
    return Modalities(
        {
            "left": factors @ rng.normal(size=(4, 8)) + noise * rng.normal(size=(n, 8)),
            "right": np.tanh(factors @ rng.normal(size=(4, 6))) + noise * rng.normal(size=(n, 6)),
        }
    )


@pytest.mark.parametrize("negatives", ["all", "hardest", "semi-hard"])
def test_finds_partners_it_never_saw(rng: np.random.Generator, negatives: str) -> None:
    data = shared_factors(rng)
    options = Training(max_epochs=30, batch_size=50, learning_rate=3e-3, device="cpu", progress=False)
    model = MarginCoordination(8, training=options, negatives=negatives, random_state=0).fit(data[:150])  # type: ignore[arg-type]
    assert model.score(data[150:]) > 0.5  # chance: 0.09
    vectors = model.transform(data[150:])
    np.testing.assert_allclose(np.linalg.norm(vectors["left"].values(), axis=1), 1, atol=1e-5)


def test_the_loss_is_the_mean_of_hinges_over_rows_and_pairs(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 12).assign({"third": rng.normal(size=(12, 3))}).without("right", [0, 5])
    model = MarginCoordination(4, training=QUICK, pairs="left", negatives="hardest", random_state=0).fit(data)
    batch = make_batch(data, np.arange(12), model.module_.towers.collates)
    found = model._make_loss(data)(model.module_, batch)
    v, present = model.module_(batch.columns)
    rows = torch.nonzero(present["right"]).squeeze(1)
    expected = (
        margin_loss(v["left"][rows], v["right"][rows], negatives="hardest", reduction="mean")
        + margin_loss(v["left"], v["third"], negatives="hardest", reduction="mean")
    ) / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_one_modality_binds_others_that_never_meet(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 60).assign({"third": rng.normal(size=(60, 3))})
    apart = data.without("right", slice(0, 30)).without("third", slice(30, 60))
    model = MarginCoordination(4, training=QUICK, pairs="left", random_state=0).fit(apart)
    assert set(model.transform(apart).names) == {"left", "right", "third"}
    with pytest.raises(ModalityError, match="third"):
        MarginCoordination(4, training=QUICK, pairs="left").fit(
            data.without("left", slice(30, 60)).without("third", slice(0, 30))
        )


def test_chunks_equal_the_whole_batch(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 40).without("left", [3, 17])
    fits = [
        MarginCoordination(
            4, training=Training(max_epochs=2, batch_size=20, chunk_size=c, device="cpu"), random_state=0
        ).fit(data)
        for c in (None, 6)
    ]
    np.testing.assert_allclose(fits[1].history_.loss, fits[0].history_.loss, rtol=1e-5)
    for name, column in fits[0].transform(data).items():
        np.testing.assert_allclose(fits[1].transform(data)[name].observed(), column.observed(), atol=1e-4)


def test_saved_and_loaded(rng: np.random.Generator, tmp_path: Path) -> None:
    data = shared_factors(rng, 30)
    model = MarginCoordination(4, training=QUICK, negatives="semi-hard", random_state=0).fit(data)
    again = load(save(model, tmp_path / "model"))
    assert again.negatives == "semi-hard"
    assert np.array_equal(again.transform(data)["left"].values(), model.transform(data)["left"].values())


def test_one_pair_a_batch_learns_nothing_but_works(rng: np.random.Generator) -> None:
    one = Training(max_epochs=1, batch_size=1, device="cpu", progress=False)
    model = MarginCoordination(4, training=one, random_state=0).fit(shared_factors(rng, 6))
    assert model.history_.loss == (0.0,)


def test_refusals_are_sentences(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 10)
    with pytest.raises(ModalityError, match="one and the same 'text'"):
        MarginCoordination(4, training=QUICK).fit(data.assign({"text": ["a cat"] * 10}))
    with pytest.raises(ConfigError, match="margin of at least 0"):
        MarginCoordination(4, margin=-0.1).fit(data)
    with pytest.raises((ConfigError, TypeError), match="negatives"):
        MarginCoordination(4, negatives="easy").fit(data)  # type: ignore[arg-type]
