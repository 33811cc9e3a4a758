from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError
from polymodal.encoders import MLPEncoder
from polymodal.fusion import MultimodalAutoencoder
from polymodal.objectives import GaussianLikelihood
from polymodal.training import Training


def test_one_linear_modality_explains_what_principal_components_do() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(300, 6))
    training = Training(max_epochs=40, batch_size=30, learning_rate=2e-2, device="cpu", progress=False)
    model = MultimodalAutoencoder(
        2,
        encoders={"a": MLPEncoder(depth=0)},
        likelihoods={"a": GaussianLikelihood(scale=1.0)},
        training=training,
        random_state=0,
    ).fit({"a": X})
    best = PCA(2).fit((X - X.mean(axis=0)) / X.std(axis=0)).explained_variance_ratio_.sum()
    assert best - 0.01 < model.score({"a": X}) <= best + 1e-6


def test_hidden_modalities_teach_cross_generation() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    a = np.hstack([shared, own]) @ rng.normal(size=(4, 5))
    data = Modalities({"a": a, "b": shared @ rng.normal(size=(2, 4))})
    training = Training(max_epochs=15, batch_size=25, learning_rate=1e-2, device="cpu", progress=False)
    encoders = {name: MLPEncoder(width=32) for name in "ab"}

    def error(share: float) -> float:
        model = MultimodalAutoencoder(
            4, encoders=encoders, modality_dropout=share, training=training, random_state=0
        ).fit(data)
        made, wanted = model.generate(data.select("a"), target="b"), data["b"].values()
        return float(((made - wanted) ** 2).mean() / wanted.var())

    assert error(1.0) < 0.06 < 0.1 < error(0.0)


def test_the_code_is_the_mean_of_what_is_there() -> None:
    rng = np.random.default_rng(0)
    data = Modalities({"a": rng.normal(size=(20, 3)), "b": rng.normal(size=(20, 2))})
    training = Training(max_epochs=1, device="cpu", progress=False)
    model = MultimodalAutoencoder(2, training=training, random_state=0).fit(data)
    a, b = (model.transform(data.select(name)) for name in "ab")
    np.testing.assert_allclose(model.transform(data), (a + b) / 2, atol=1e-6)
    np.testing.assert_allclose(model.transform(data.without("b", [4]))[4], a[4], atol=1e-6)


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="modality_dropout"):
        MultimodalAutoencoder(2, modality_dropout=1.5).fit({"a": np.eye(4)})
