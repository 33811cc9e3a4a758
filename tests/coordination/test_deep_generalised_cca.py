from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import DeepCCA, DeepGeneralisedCCA, GeneralisedCCA
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import MLPEncoder
from polymodal.training import Training

QUICK = Training(max_epochs=2, batch_size=32, device="cpu", progress=False)
LINEAR = Training(max_epochs=60, batch_size=400, learning_rate=0.03, weight_decay=0.0, progress=False)


def three(rng: np.random.Generator, n: int = 400) -> Modalities:
    z = rng.normal(size=(n, 2))
    return Modalities(
        {
            name: np.hstack([z + noise * rng.normal(size=(n, 2)), rng.normal(size=(n, 2))])
            @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
            for name, noise in (("image", 0.5), ("sound", 0.8), ("text", 1.0))
        }
    )


def test_linear_encoders_reach_the_optimum_of_generalised_cca(rng: np.random.Generator) -> None:
    data = three(rng)
    closed = GeneralisedCCA(2).fit(data)
    model = DeepGeneralisedCCA(
        2, encoders=dict.fromkeys(data.names, MLPEncoder(depth=0)), reg=1e-6, training=LINEAR, random_state=0
    ).fit(data)
    assert model.eigenvalues_.sum() == pytest.approx(closed.eigenvalues_.sum(), rel=0.01)
    np.testing.assert_allclose(model.correlations_, closed.correlations_, atol=0.02)


def test_missing_rows_cost_little(rng: np.random.Generator) -> None:
    data = three(rng)
    some = data.without("image", range(100)).without("text", range(80, 160))
    encoders = dict.fromkeys(data.names, MLPEncoder(depth=0))
    whole = DeepGeneralisedCCA(2, encoders=encoders, training=LINEAR, random_state=0).fit(data)
    part = DeepGeneralisedCCA(2, encoders=encoders, training=LINEAR, random_state=0).fit(some)
    assert part.score(data) == pytest.approx(whole.score(data), abs=0.03)


def test_modalities_that_never_meet_are_joined_by_a_third(rng: np.random.Generator) -> None:
    data = three(rng)
    split = data.without("image", range(200)).without("text", range(200, 400))
    model = DeepGeneralisedCCA(
        2, encoders=dict.fromkeys(data.names, MLPEncoder(depth=0)), training=LINEAR, random_state=0
    ).fit(split)
    shared = model.transform(data)
    r = np.corrcoef(shared["image"].values()[:, 0], shared["text"].values()[:, 0])[0, 1]
    assert r > 0.4


def test_two_modalities_give_one_plus_the_correlations_of_deep_cca(rng: np.random.Generator) -> None:
    data = three(rng).select("image", "text")
    one = Training(max_epochs=1, batch_size=400, learning_rate=1e-12, progress=False)
    deep = DeepCCA(2, reg=0.0, training=one, random_state=0).fit(data)
    many = DeepGeneralisedCCA(2, reg=0.0, training=one, random_state=0).fit(data)
    np.testing.assert_allclose(many.eigenvalues_, 1 + deep.correlations_, atol=1e-4)


def test_reconstruction_and_small_batches_train(rng: np.random.Generator) -> None:
    data = three(rng, 60)
    model = DeepGeneralisedCCA(2, reconstruction=0.1, training=QUICK, random_state=0).fit(data)
    assert model.history_.loss[-1] < model.history_.loss[0]
    assert np.isfinite(model.score(data))


def test_bfloat16_encoders_do(rng: np.random.Generator) -> None:
    data = three(rng, 120)
    training = Training(
        max_epochs=15, batch_size=60, learning_rate=0.02, precision="bfloat16", progress=False
    )
    model = DeepGeneralisedCCA(1, reconstruction=0.01, training=training, random_state=0).fit(data)
    assert model.correlations_[0] > 0.5


def test_more_components_than_rows_are_survived(rng: np.random.Generator) -> None:
    data = three(rng, 6)
    model = DeepGeneralisedCCA(8, training=QUICK, random_state=0).fit(data)
    assert model.transform(data)["image"].values().shape == (6, 8)


def test_a_modality_that_meets_no_other_is_named(rng: np.random.Generator) -> None:
    data = three(rng, 40).without("text", range(20))
    lonely = data.without("image", range(20, 40)).without("sound", range(20, 40))
    with pytest.raises(ModalityError, match="text"):
        DeepGeneralisedCCA(2, training=QUICK).fit(lonely)
    with pytest.raises(ConfigError, match="memory"):
        DeepGeneralisedCCA(2, memory=0).fit(data)
