from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from polymodal.coordination import CLIP, PartialCoordination
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import MLPEncoder
from polymodal.encoders.text import BagOfTokensEncoder
from polymodal.objectives import decorrelation_loss, info_nce
from polymodal.persistence import load, save
from polymodal.training import Training
from polymodal.training.batches import make_batch

QUICK = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)


def two(rng: np.random.Generator, n: int = 40) -> Modalities:
    x = rng.normal(size=(n, 4))
    return Modalities({"left": x @ rng.normal(size=(4, 6)), "right": x @ rng.normal(size=(4, 5))})


def test_planted_factors_go_where_they_belong(rng: np.random.Generator) -> None:
    """Three factors that both have, two that each has alone: explained share of variance on unseen rows, by a linear map."""
    n, seen = 600, 400
    both, own = rng.normal(size=(n, 3)), {"left": rng.normal(size=(n, 2)), "right": rng.normal(size=(n, 2))}
    data = Modalities(
        {
            name: both @ rng.normal(size=(3, d))
            + own[name] @ rng.normal(size=(2, d))
            + 0.05 * rng.normal(size=(n, d))
            for name, d in (("left", 8), ("right", 7))
        }
    )
    model = PartialCoordination(
        4,
        n_private=2,
        encoders={name: MLPEncoder(width=32) for name in data.names},
        training=Training(max_epochs=60, batch_size=100, learning_rate=5e-3, device="cpu", progress=False),
        random_state=0,
    ).fit(data[:seen])
    shared, free = model.transform(data), model.private(data)

    def explained(x: np.ndarray, y: np.ndarray) -> float:
        return float(Ridge(1e-3).fit(x[:seen], y[:seen]).score(x[seen:], y[seen:]))

    assert model.score(data[seen:]) > 0.85
    for name in data.names:
        s, p = shared[name].values(), free[name].values()
        assert explained(s, both) > 0.8  # the length of `both` is lost on the sphere
        assert explained(s, own[name]) < 0.1
        assert explained(p, own[name]) > 0.75
        assert explained(p, both) < 0.1


def test_without_free_dimensions_it_is_clip(rng: np.random.Generator) -> None:
    data = two(rng).without("left", [3])
    strong = PartialCoordination(4, n_private=0, training=QUICK, random_state=0).fit(data)
    clip = CLIP(4, training=QUICK, random_state=0).fit(data)
    assert strong.history_.loss == clip.history_.loss
    for name, column in clip.transform(data).items():
        assert np.array_equal(strong.transform(data)[name].observed(), column.observed())
    with pytest.raises(ModalityError, match=r"needs a modality with a free part, got \['left', 'right'\]"):
        strong.private(data)


def test_the_loss_is_coordination_reconstruction_and_decorrelation(rng: np.random.Generator) -> None:
    data = two(rng, 20)
    model = PartialCoordination(3, n_private=2, training=QUICK, weight=0.7, decorrelation=0.3, random_state=0)
    model.fit(data)
    batch = make_batch(data, np.arange(20), model.module_.towers.collates)
    found = model._make_loss(data)(model.module_, batch)
    s, p, _ = model.module_.parts(batch.columns)
    expected = info_nce(s["left"], s["right"], temperature=model.module_.temperature)
    for name in data.names:
        again = model.module_.reconstruct(name, s[name], p[name])
        truth = batch.columns[name].values
        expected = expected + 0.7 * (again - truth).square().mean() / 2
        expected = expected + 0.3 * decorrelation_loss(s[name], p[name]) / 2 / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_rows_that_lack_a_modality_lack_both_parts(rng: np.random.Generator) -> None:
    data = two(rng)
    model = PartialCoordination(3, n_private=2, training=QUICK, random_state=0).fit(data)
    holes = data.without("left", [0, 7])
    free = model.private(holes)
    assert not free["left"].present[[0, 7]].any()
    np.testing.assert_allclose(
        free["left"].observed(), np.delete(model.private(data)["left"].values(), [0, 7], 0), atol=1e-5
    )
    assert model.private(data.select("right")).names == ("right",)


def test_texts_are_coordinated_but_have_no_free_part(rng: np.random.Generator, tmp_path: Path) -> None:
    data = two(rng, 20).select("left").assign({"a.text": [f"word{i} and {i % 3}" for i in range(20)]})
    encoders = {"a.text": BagOfTokensEncoder(width=8, vocabulary=50)}
    model = PartialCoordination(3, n_private=2, encoders=encoders, training=QUICK, random_state=0).fit(data)
    assert model.private(data).names == ("left",)
    again = load(save(model, tmp_path / "model"))
    for got, kept in (
        (again.transform(data), model.transform(data)),
        (again.private(data), model.private(data)),
    ):
        for name, column in kept.items():
            assert np.array_equal(got[name].values(), column.values())
    texts = Modalities({"a": data["a.text"].values(), "b": [f"{i} {i % 4}" for i in range(20)]})
    with pytest.raises(ModalityError, match=r"one that an MLPEncoder reads, got \['a', 'b'\]"):
        PartialCoordination(3, training=QUICK, random_state=0).fit(texts)


def test_chunks_equal_the_whole_batch(rng: np.random.Generator) -> None:
    data = two(rng).without("left", [1, 2, 3, 4, 5, 6])
    fits = [
        PartialCoordination(
            3,
            n_private=2,
            training=Training(max_epochs=2, batch_size=20, chunk_size=c, device="cpu", progress=False),
            random_state=0,
        ).fit(data)
        for c in (None, 3)
    ]
    np.testing.assert_allclose(fits[1].history_.loss, fits[0].history_.loss, rtol=1e-4)
    for a, b in zip(fits[0].module_.parameters(), fits[1].module_.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_refusals_are_sentences(rng: np.random.Generator) -> None:
    data = two(rng, 10)
    with pytest.raises(ConfigError, match="n_private of at least 0, got -1"):
        PartialCoordination(3, n_private=-1).fit(data)
    with pytest.raises(ConfigError, match="weight above 0, got 0"):
        PartialCoordination(3, weight=0.0).fit(data)
    with pytest.raises(ConfigError, match="decorrelation of at least 0"):
        PartialCoordination(3, decorrelation=-1.0).fit(data)
