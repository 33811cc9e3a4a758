from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polymodal.coordination import CCA, DeepCCA
from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import MLPEncoder
from polymodal.evaluation.correlation import paired_correlations
from polymodal.persistence import load, save
from polymodal.training import Training

QUICK = Training(max_epochs=2, batch_size=32, device="cpu", progress=False)


def linear_pair(rng: np.random.Generator, n: int = 400) -> Modalities:
    z = rng.normal(size=(n, 3))
    noise = np.array([0.4, 0.8, 1.6])
    maps = np.linalg.qr(rng.normal(size=(2, 5, 5)))[0]
    a = np.hstack([z + noise * rng.normal(size=(n, 3)), rng.normal(size=(n, 2))]) @ maps[0]
    b = np.hstack([z + noise * rng.normal(size=(n, 3)), rng.normal(size=(n, 2))]) @ maps[1]
    return Modalities({"a": a, "b": b})


def bent_pair(rng: np.random.Generator, n: int = 600) -> Modalities:
    """One shared number that neither modality shows linearly: an angle's cosine, and twice the angle's."""
    t = rng.uniform(-1, 1, size=n)
    a = np.column_stack([t, rng.normal(size=n)]) + 0.05 * rng.normal(size=(n, 2))
    b = np.column_stack([t**2, rng.normal(size=n)]) + 0.05 * rng.normal(size=(n, 2))
    return Modalities({"a": a, "b": b})


@pytest.mark.parametrize("batch_size", [400, 50])
def test_linear_encoders_reach_the_optimum_of_cca_within_one_percent(
    rng: np.random.Generator, batch_size: int
) -> None:
    data = linear_pair(rng)
    closed = CCA(3).fit(data).correlations_
    training = Training(
        max_epochs=10 + batch_size // 5,
        batch_size=batch_size,
        learning_rate=0.03,
        weight_decay=0.0,
        progress=False,
    )
    model = DeepCCA(
        3, encoders=dict.fromkeys("ab", MLPEncoder(depth=0)), reg=1e-6, training=training, random_state=0
    )
    found = model.fit(data).correlations_
    assert found.sum() == pytest.approx(closed.sum(), rel=0.01)
    assert found.sum() <= closed.sum() + 1e-4


def test_full_batch_loss_ends_at_minus_the_sum_of_the_correlations(rng: np.random.Generator) -> None:
    data = linear_pair(rng)
    training = Training(max_epochs=60, batch_size=400, learning_rate=0.03, progress=False)
    model = DeepCCA(3, reg=1e-6, memory=1, training=training, random_state=0).fit(data)
    assert model.history_.loss[-1] == pytest.approx(-model.correlations_.sum(), abs=0.01)


def test_finds_a_shared_number_that_no_line_shows(rng: np.random.Generator) -> None:
    data = bent_pair(rng)
    train, test = data[:400], data[400:]
    training = Training(max_epochs=40, batch_size=200, learning_rate=5e-3, progress=False)
    deep = DeepCCA(
        1, encoders=dict.fromkeys("ab", MLPEncoder(width=32)), training=training, random_state=0
    ).fit(train)
    assert CCA(1).fit(train).score(test) < 0.3
    assert deep.score(test) > 0.85


def test_components_are_uncorrelated_and_their_correlations_are_those_reported(
    rng: np.random.Generator,
) -> None:
    data = linear_pair(rng)
    model = DeepCCA(3, training=QUICK, random_state=0).fit(data)
    parts = {name: column.values().astype(float) for name, column in model.transform(data).items()}
    np.testing.assert_allclose(paired_correlations(parts["a"], parts["b"]), model.correlations_, atol=1e-4)
    assert (np.diff(model.correlations_) <= 1e-4).all()
    for values in parts.values():
        np.testing.assert_allclose(np.cov(values.T), np.eye(3), atol=0.02)
    assert model.score(data) == pytest.approx(model.correlations_.mean(), abs=1e-4)


def test_reconstruction_rebuilds_and_costs_correlation(rng: np.random.Generator) -> None:
    data = linear_pair(rng)
    training = Training(max_epochs=25, batch_size=200, learning_rate=0.03, progress=False)
    encoders = dict.fromkeys("ab", MLPEncoder(depth=0))
    plain = DeepCCA(2, encoders=encoders, training=training, random_state=0).fit(data)
    built = DeepCCA(2, encoders=encoders, reconstruction=1.0, training=training, random_state=0).fit(data)
    assert list(plain.module_.decoders.names) == []
    assert list(built.module_.decoders.names) == ["a", "b"]
    assert built.history_.loss[-1] < built.history_.loss[0]
    assert built.correlations_.sum() < plain.correlations_.sum()


def test_what_is_no_vector_cannot_be_reconstructed(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(20, 3)), "words": [f"word {i % 7}" for i in range(20)]})
    with pytest.raises(ModalityError, match=r"words.*Vectorize"):
        DeepCCA(2, reconstruction=0.1, training=QUICK).fit(data)


def test_pictures_and_texts_are_encoded(rng: np.random.Generator) -> None:
    data = Modalities({"picture": rng.random((12, 8, 8)), "words": [f"word {i}" for i in range(12)]})
    shared = (
        DeepCCA(2, training=Training(max_epochs=1, progress=False), random_state=0).fit(data).transform(data)
    )
    assert shared["words"].values().shape == (12, 2)


def test_fewer_rows_than_features_or_components_do_not_crash(rng: np.random.Generator) -> None:
    data = {"a": rng.normal(size=(12, 40)), "b": rng.normal(size=(12, 30))}
    model = DeepCCA(20, training=QUICK, random_state=0).fit(data)
    assert np.isfinite(model.correlations_).all()
    assert model.transform(data)["a"].values().shape == (12, 20)


def test_rows_that_lack_a_modality_are_left_out(rng: np.random.Generator) -> None:
    data = linear_pair(rng, 80)
    some = data.without("a", range(10)).without("b", range(10, 15))
    left = DeepCCA(2, training=QUICK, random_state=0).fit(some).transform(data)
    whole = DeepCCA(2, training=QUICK, random_state=0).fit(data[15:]).transform(data)
    np.testing.assert_allclose(left["a"].values(), whole["a"].values(), atol=1e-5)


def test_saved_models_are_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    data = linear_pair(rng, 60)
    model = DeepCCA(2, reconstruction=0.1, training=QUICK, random_state=0).fit(data)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(model.transform(data)["a"].values(), again.transform(data)["a"].values())
    np.testing.assert_array_equal(model.correlations_, again.correlations_)


def test_bfloat16_encoders_and_patience(rng: np.random.Generator) -> None:
    data = linear_pair(rng, 300)
    training = Training(
        max_epochs=30, batch_size=100, learning_rate=0.02, validation=0.3, patience=8, progress=False
    )
    full = DeepCCA(1, training=training, random_state=0).fit(data)
    half = DeepCCA(1, training=replace(training, precision="bfloat16"), random_state=0).fit(data)
    assert full.history_.validation_loss
    assert half.correlations_[0] == pytest.approx(full.correlations_[0], abs=0.05)


def test_bad_parameters_are_named(rng: np.random.Generator) -> None:
    data = linear_pair(rng, 20)
    for parameter, value in {"reg": -1.0, "reconstruction": -0.1, "memory": 0, "norm": "l1"}.items():
        model = DeepCCA(2).set_params(**{parameter: value})
        with pytest.raises(ConfigError, match=parameter):
            model.fit(data)


def test_digits_held_out_beside_cca(real_data: Path) -> None:
    """Fourier coefficients and pixel averages of handwritten digits: 5 components on 500 rows held out."""
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.random.default_rng(0).permutation(2000)
    data = Modalities({name: file[name][rows].astype(float) for name in ("fou", "pix")})
    train, test = data[:1500], data[1500:]
    training = Training(max_epochs=15, batch_size=512, learning_rate=2e-3, progress=False)
    deep = DeepCCA(
        5, encoders=dict.fromkeys(data.names, MLPEncoder(width=64)), training=training, random_state=0
    ).fit(train)
    linear = CCA(5, reg=0.1).fit(train)
    assert deep.score(test) > linear.score(test) - 0.02


def test_few_patients_and_many_genes(real_data: Path) -> None:
    tables = {}
    for name in ("gene", "lipid"):
        rows = (real_data / "omics_nutrimouse" / f"{name}.csv").read_text().splitlines()[1:]
        tables[name] = np.array([[float(v) for v in row.split(",")[1:]] for row in rows])
    model = DeepCCA(3, training=QUICK, random_state=0).fit(tables)
    assert np.isfinite(model.score(tables))
