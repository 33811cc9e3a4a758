from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polymodal import load, save
from polymodal.core import Modalities, Ragged
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modality
from polymodal.encoders import ConvEncoder, MLPEncoder
from polymodal.fusion import JMVAE, MMVAE, MVAE, MoPoE, MultimodalAutoencoder
from polymodal.fusion._generative import alone
from polymodal.objectives import GaussianLikelihood
from polymodal.training import Training

ALL = [MultimodalAutoencoder, MVAE, MMVAE, MoPoE, JMVAE]
SHORT = Training(max_epochs=2, batch_size=32, device="cpu", progress=False)


def planted(rng: np.random.Generator, n: int = 200) -> Modalities:
    """Three modalities of one pair of factors, at scales from a thousandth to a million."""
    z = rng.normal(size=(n, 2))
    columns = {}
    for name, width, scale in (("a", 5, 1e-3), ("b", 4, 1.0), ("c", 3, 1e6)):
        exact = z @ np.linalg.qr(rng.normal(size=(width, 2)))[0].T
        columns[name] = scale * (exact + 0.05 * rng.normal(size=exact.shape)) + scale
    return Modalities(columns)


@pytest.mark.parametrize("kind", ALL)
def test_any_modality_from_any_part(kind: Any, rng: np.random.Generator) -> None:
    data = planted(rng)
    training = Training(max_epochs=20, batch_size=20, learning_rate=1e-2, device="cpu", progress=False)
    extra = {"alpha": 1.0} if kind is JMVAE else {}
    encoders = {name: MLPEncoder(width=32) for name in "abc"}
    model = kind(2, encoders=encoders, training=training, random_state=0, **extra).fit(data[:160])
    held = data[160:]
    for given in (["a"], ["b"], ["a", "c"], ["a", "b", "c"]):
        for target in "abc":
            made = model.generate(held.select(*given), target=target)
            wanted = held[target].values()
            left = ((made - wanted) ** 2).sum() / ((wanted - wanted.mean(axis=0)) ** 2).sum()
            assert left < 0.35, (given, target, left)


@pytest.mark.parametrize("kind", ALL)
def test_what_a_row_lacks_never_enters(kind: Any, rng: np.random.Generator) -> None:
    data = planted(rng, 40).without("b", slice(0, 9)).without("c", slice(5, 20))
    poisoned = {}
    for name, column in data.items():
        store = np.array(column.store)
        store[~column.present] = np.nan if name == "b" else 1e9
        poisoned[name] = Modality(store, column.index)
    a, b = (kind(2, training=SHORT, random_state=0).fit(d) for d in (data, Modalities(poisoned)))
    for (name, p), q in zip(a.module_.named_parameters(), b.module_.parameters(), strict=True):
        assert torch.equal(p, q), name
    assert a.score(data) == b.score(Modalities(poisoned))


@pytest.mark.parametrize("kind", [k for k in ALL if k is not JMVAE])
def test_rows_that_are_never_paired(kind: Any, rng: np.random.Generator) -> None:
    data = planted(rng, 40).without("a", slice(0, 20)).without("b", slice(20, 40)).drop("c")
    model = kind(2, training=SHORT, random_state=0).fit(data)
    assert np.isfinite(model.generate(data, target="b")).all()


def test_the_joint_encoder_needs_complete_rows(rng: np.random.Generator) -> None:
    data = planted(rng, 40).without("a", slice(0, 20)).without("b", slice(20, 40))
    with pytest.raises(ModalityError, match="needs some rows that have every modality"):
        JMVAE(2, training=SHORT).fit(data)


@pytest.mark.parametrize("kind", ALL)
def test_pictures_beside_vectors(kind: Any, rng: np.random.Generator, tmp_path: Path) -> None:
    place = rng.integers(0, 3, size=48)
    pictures = np.zeros((48, 6, 9), dtype=np.uint8)
    for row, i in enumerate(place):
        pictures[row, :, 3 * i : 3 * i + 3] = 255
    data = Modalities({"picture": pictures, "place": np.eye(3)[place]})
    training = Training(max_epochs=30, batch_size=16, learning_rate=1e-2, device="cpu", progress=False)
    extra = {"alpha": 1.0} if kind is JMVAE else {}
    model = kind(
        2,
        encoders={"picture": ConvEncoder(width=4), "place": MLPEncoder(width=16)},
        likelihoods={"picture": "bernoulli"},
        training=training,
        random_state=0,
        **extra,
    ).fit(data)
    made = model.generate(data.select("place"), target="picture")
    assert made.shape == (48, 6, 9)
    assert ((made > 127) == (pictures > 127)).mean() > 0.9
    chances = model.generate(data.select("picture"), target="place")
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances.argmax(axis=1) == place).mean() > 0.9
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.generate(data.select("place"), target="picture"), made)


@pytest.mark.parametrize("kind", ALL)
def test_hard_data(kind: Any, rng: np.random.Generator) -> None:
    wide = Modalities({"a": rng.normal(size=(40, 2000)), "b": np.full((40, 1), 7.0)})
    model = kind(2, training=SHORT, random_state=0).fit(wide)
    assert np.isfinite(model.score(wide))
    np.testing.assert_allclose(model.generate(wide.select("a"), target="b"), 7.0, atol=3)
    one = wide[[3]].select("b")
    assert model.transform(one).shape == (1, 2)
    np.testing.assert_allclose(
        model.generate(one, target="a"), model.generate(wide.select("b"), target="a")[[3]], atol=1e-4
    )


@pytest.mark.parametrize("kind", ALL)
def test_batches_of_one_and_no_rows(kind: Any, rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, size=(5, 9, 7, 3), dtype=np.uint8)
    data = (
        Modalities({"a": rng.normal(size=(5, 3)), "picture": pictures})
        .without("a", [1])
        .without("picture", [2])
    )
    training = Training(max_epochs=1, batch_size=1, device="cpu", progress=False)
    encoders = {"picture": ConvEncoder(width=4)}
    model = kind(2, encoders=encoders, training=training, random_state=0).fit(data)
    assert np.isfinite(model.score(data))
    assert model.generate(data[[2]], target="picture").shape == (1, 9, 7, 3)
    none = data[np.zeros(0, dtype=int)]
    assert model.transform(none).shape == (0, 2)
    assert model.generate(none, target="picture").shape == (0, 9, 7, 3)


def test_bad_input(rng: np.random.Generator) -> None:
    data = planted(rng, 30)
    model = MVAE(2, training=SHORT, random_state=0).fit(data)
    with pytest.raises(ModalityError, match="Can generate \\['a', 'b', 'c'\\], not 'd'"):
        model.generate(data, target="d")
    with pytest.raises(ModalityError, match="at least one of"):
        model.generate(data.select("a").without("a", [3]), target="b")
    with pytest.raises(ModalityError, match="works on kinds"):
        MVAE(2).fit(
            {"a": data["a"].values(), "steps": Ragged.of([np.ones((i % 3 + 2, 2)) for i in range(30)])}
        )
    with pytest.raises(ModalityError, match="every modality on some row"):
        MVAE(2).fit(data.without("b", slice(None)))
    with pytest.raises(ConfigError, match="n_components"):
        MVAE(0).fit(data)
    for kind in (MVAE, MMVAE, MoPoE, JMVAE):
        with pytest.raises(ConfigError, match=f"{kind.__name__} needs beta >= 0"):
            kind(2, beta=-1.0).fit(data)


def test_likelihoods_are_the_users(rng: np.random.Generator) -> None:
    data = planted(rng, 30)
    model = MVAE(2, likelihoods={"a": "laplace", "b": GaussianLikelihood(scale=0.5)}, training=SHORT).fit(
        data
    )
    kinds = {name: type(s["likelihood"]).__name__ for name, s in model.decoder_settings_.items()}
    assert kinds == {"a": "LaplaceLikelihood", "b": "GaussianLikelihood", "c": "GaussianLikelihood"}
    assert model.module_.decoders["b"].log_scale.item() == pytest.approx(np.log(0.5))


def test_alone_keeps_one() -> None:
    mask = torch.tensor([True, False])
    found = alone({"a": mask, "b": mask}, "a")
    assert torch.equal(found["a"], mask)
    assert not found["b"].any()
