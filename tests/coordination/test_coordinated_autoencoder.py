from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymodal.coordination import CoordinatedAutoencoder
from polymodal.coordination.coordinated_autoencoder import AutoencoderModule, autoencoder_loss, code_distance
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import ConvEncoder, MLPEncoder
from polymodal.persistence import load, save
from polymodal.training import Training
from polymodal.training.batches import make_batch

QUICK = Training(max_epochs=2, batch_size=32, device="cpu", progress=False)
LINEAR = MLPEncoder(depth=0)


def related(rng: np.random.Generator, n: int = 240) -> Modalities:
    z = rng.normal(size=(n, 2))
    return Modalities(
        {
            "motor": 10 + 3 * z @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(n, 4)),
            "sensor": z @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(n, 5)),
        }
    )


# --- functions --------------------------------------------------------------------------------------------------------


def test_distance_is_relative_to_how_much_codes_vary() -> None:
    a = torch.tensor([[0.0], [2.0]])
    b = torch.tensor([[1.0], [3.0]])
    assert code_distance(a, b, "distance").item() == pytest.approx(1.0)  # 2 / ((2 + 2) / 2)
    assert code_distance(a, a, "distance").item() == 0
    assert code_distance(torch.eye(2), torch.eye(2).flip(0), "cosine").item() == pytest.approx(1.0)
    assert code_distance(a[:1], b[:1], "distance").item() == 0
    assert code_distance(a[:0], b[:0], "cosine").item() == 0


@given(st.integers(0, 1000), st.sampled_from(["distance", "cosine"]))
def test_scale_does_not_matter(seed: int, tie: str) -> None:
    rng = np.random.default_rng(seed)
    a, b = torch.from_numpy(rng.normal(size=(2, 9, 3)))
    plain = code_distance(a, b, tie).item()  # type: ignore[arg-type]
    assert code_distance(1e-3 * a, 1e-3 * b, tie).item() == pytest.approx(plain)  # type: ignore[arg-type]
    if tie == "distance":
        assert code_distance(a + 5, b + 5, "distance").item() == pytest.approx(plain)


@pytest.mark.parametrize("tie", ["distance", "cosine"])
def test_gradients_agree_with_differences(rng: np.random.Generator, tie: str) -> None:
    a, b = torch.from_numpy(rng.normal(size=(2, 5, 3))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: code_distance(x, y, tie), (a, b))  # type: ignore[arg-type]


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_loss_is_the_sum_of_its_terms(rng: np.random.Generator) -> None:
    data = related(rng, 20).without("motor", range(5))
    model = CoordinatedAutoencoder(
        2, encoders=dict.fromkeys(data.names, LINEAR), training=QUICK, random_state=0
    )
    module = model.fit(data).module_
    batch = make_batch(data, np.arange(20), module.towers.collates)
    codes, _ = module(batch.columns)
    both = torch.arange(20) >= 5
    error = {}
    for source in codes:
        for target in codes:
            rows = both if source != target or target == "motor" else torch.ones(20, dtype=torch.bool)
            values = torch.from_numpy(
                (data[target][rows.numpy()].values() - module.decoders.means[target])
                / module.decoders.scales[target]
            ).float()
            made = module.decoders(target, codes[source][rows])
            error[source, target] = (made - values).square().mean().item()
    tied = code_distance(codes["motor"][both], codes["sensor"][both], "distance").item()
    expected = (
        error["motor", "motor"] + error["sensor", "sensor"] + 0.5 * tied
        + 2.0 * (error["motor", "sensor"] + error["sensor", "motor"])
    )  # fmt: skip
    found = autoencoder_loss(module, batch, alpha=0.5, cross=2.0, tie="distance")
    assert found.item() == pytest.approx(expected, rel=1e-5)


# --- the estimator ----------------------------------------------------------------------------------------------------


def test_linear_and_untied_it_spans_the_principal_components(rng: np.random.Generator) -> None:
    data = Modalities(
        {
            "a": rng.normal(size=(200, 4)) * [3, 2, 1, 0.5] @ rng.normal(size=(4, 4)),
            "b": rng.normal(size=(200, 2)),
        }
    )
    training = Training(max_epochs=60, batch_size=100, learning_rate=0.03, weight_decay=0.0, progress=False)
    model = CoordinatedAutoencoder(
        2, encoders=dict.fromkeys("ab", LINEAR), alpha=0.0, cross=0.0, training=training, random_state=0
    ).fit(data)
    standard = (data["a"].values() - data["a"].values().mean(axis=0)) / data["a"].values().std(axis=0)
    singular = np.linalg.svd(standard, compute_uv=False)
    best = (singular[2:] ** 2).sum() / 200
    made = model.generate(data.select("a"), target="a")
    error = (((made - data["a"].values()) / data["a"].values().std(axis=0)) ** 2).sum() / 200
    assert best - 1e-6 <= error <= 1.05 * best + 1e-3


def test_one_modality_is_generated_from_the_other_in_its_units(rng: np.random.Generator) -> None:
    data = related(rng)
    train, test = data[:200], data[200:]
    training = Training(max_epochs=40, batch_size=50, learning_rate=0.02, progress=False)
    model = CoordinatedAutoencoder(
        2, encoders=dict.fromkeys(data.names, LINEAR), training=training, random_state=0
    ).fit(train)
    made = model.generate(test.select("sensor"), target="motor")
    truth = test["motor"].values()
    assert ((made - truth) ** 2).sum() < 0.05 * ((truth - truth.mean(axis=0)) ** 2).sum()
    assert model.score(test) > 0.5


def test_alpha_brings_codes_closer(rng: np.random.Generator) -> None:
    data = related(rng, 100)

    def apart(alpha: float) -> float:
        training = Training(max_epochs=15, batch_size=50, learning_rate=0.02, progress=False)
        model = CoordinatedAutoencoder(2, alpha=alpha, cross=0.0, training=training, random_state=0).fit(data)
        codes = [torch.from_numpy(column.values()) for _, column in model.transform(data).items()]
        return code_distance(codes[0], codes[1], "distance").item()

    assert apart(10.0) < 0.3 * apart(0.0)


def test_rows_with_one_modality_train_its_autoencoder(rng: np.random.Generator) -> None:
    data = related(rng, 60)
    alone = data.without("motor", range(30)).without("sensor", range(30, 60))
    model = CoordinatedAutoencoder(2, training=QUICK, random_state=0).fit(alone)
    assert model.history_.loss[-1] < model.history_.loss[0]
    assert model.generate(alone, target="motor").shape == (60, 4)


def test_a_picture_has_an_encoder_only(rng: np.random.Generator) -> None:
    data = Modalities({"picture": rng.random((16, 8, 8)), "word": rng.normal(size=(16, 3))})
    model = CoordinatedAutoencoder(
        2, encoders={"picture": ConvEncoder(width=4)}, training=QUICK, random_state=0
    )
    assert isinstance(model.fit(data).module_, AutoencoderModule)
    assert model.generate(data.select("picture"), target="word").shape == (16, 3)
    with pytest.raises(ModalityError, match="picture"):
        model.generate(data, target="picture")


def test_saved_models_generate_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    data = related(rng, 40)
    model = CoordinatedAutoencoder(2, training=QUICK, random_state=0).fit(data)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    made = model.generate(data.select("motor"), target="sensor")
    np.testing.assert_array_equal(made, again.generate(data.select("motor"), target="sensor"))


def test_bfloat16_encoders_do(rng: np.random.Generator) -> None:
    data = related(rng, 60)
    half = Training(max_epochs=4, batch_size=30, precision="bfloat16", progress=False)
    model = CoordinatedAutoencoder(2, training=half, random_state=0).fit(data)
    assert model.history_.loss[-1] < model.history_.loss[0]


def test_what_cannot_be_is_named(rng: np.random.Generator) -> None:
    data = related(rng, 20)
    model = CoordinatedAutoencoder(2, training=QUICK, random_state=0).fit(data)
    with pytest.raises(ModalityError, match="Did you mean 'motor'"):
        model.generate(data, target="moter")
    nothing = data.without("motor", [0]).without("sensor", [0])
    with pytest.raises(ModalityError, match="1 of 20 rows have none"):
        model.generate(nothing, target="motor")
    words = Modalities({"a": ["x", "y"] * 4, "b": ["u", "v"] * 4})
    with pytest.raises(ModalityError, match=r"vectors to rebuild.*'a'"):
        CoordinatedAutoencoder(2, training=QUICK).fit(words)
    for parameter, value in {"alpha": -1.0, "cross": -1.0, "tie": "near"}.items():
        with pytest.raises(ConfigError, match=parameter):
            CoordinatedAutoencoder(2).set_params(**{parameter: value}).fit(data)
