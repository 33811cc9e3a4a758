from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from polymodal.core import Modalities
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import FactorisedContrastive
from polymodal.fission.factorised_contrastive import masked
from polymodal.persistence import load, save
from polymodal.training import Training
from polymodal.training.batches import make_batch

SMALL = {name: MLPEncoder(width=32) for name in "ab"}
TRAINING = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)


def r2(part: np.ndarray, factor: np.ndarray) -> float:
    """Of a linear fit on the first half, on the second."""
    half = len(part) // 2
    return float(LinearRegression().fit(part[:half], factor[:half]).score(part[half:], factor[half:]))


def planted():
    """y tells of one of the two shared factors, and of one of the two private factors of each modality."""
    dataset, truth = make_shared_private(900, random_state=0)
    y = 1 * (truth.shared[:, 0] > 0) + 2 * (truth.private["a"][:, 0] > 0) + 4 * (truth.private["b"][:, 0] > 0)
    return dataset.data, y, truth


def test_labels_say_what_a_private_part_keeps() -> None:
    data, y, truth = planted()
    model = FactorisedContrastive(4, n_private=4, encoders=SMALL, training=TRAINING, random_state=0)
    parts = model.fit(data[:500], y[:500]).transform(data[500:])
    shared, own = truth.shared[500:], {name: truth.private[name][500:] for name in "ab"}
    assert r2(parts["shared"].values(), shared[:, :1]) > 0.6
    for name in "ab":
        part = parts[name].values()
        assert r2(part, own[name][:, :1]) > 0.5
        assert r2(part, own[name][:, 1:]) < 0.3
        assert r2(part, shared) < 0.3


def test_masked_views_keep_what_is_spread_over_numbers() -> None:
    data, _, truth = planted()
    model = FactorisedContrastive(4, n_private=4, encoders=SMALL, training=TRAINING, random_state=0)
    parts = model.fit(data[:500]).transform(data[500:])
    assert r2(parts["shared"].values(), truth.shared[500:]) > 0.7
    for name in "ab":
        assert r2(parts[name].values(), truth.private[name][500:]) > 0.5
        assert r2(parts[name].values(), truth.shared[500:]) < 0.2
        assert r2(parts["shared"].values(), truth.private[name][500:]) < 0.2
    assert model.score(data[500:]) > 0.1


def test_bounds_alone_take_the_labels_shared_factor_out_of_private_parts() -> None:
    data, y, truth = planted()
    left = []
    for weight in (0.0, 0.3):
        model = FactorisedContrastive(
            4, n_private=4, encoders=SMALL, training=TRAINING, weight=weight, difference=0, random_state=0
        )
        parts = model.fit(data[:500], y[:500]).transform(data[500:])
        left.append(np.mean([r2(parts[name].values(), truth.shared[500:, :1]) for name in "ab"]))
    assert left[0] > 0.6
    assert left[1] < left[0] - 0.2, left


@pytest.fixture
def small(rng: np.random.Generator) -> Modalities:
    x = rng.normal(size=(30, 3))
    return Modalities({"b": x @ rng.normal(size=(3, 4)), "a": x, "c": x[:, :2]})


def test_names_of_classes_do_not_matter(small: Modalities) -> None:
    y = np.arange(30) % 3
    model = FactorisedContrastive._examples()[0]
    first = model.fit(small, y).transform(small)
    second = model.fit(small, np.array(["x", "y", "z"])[y]).transform(small)
    np.testing.assert_array_equal(first["a"].values(), second["a"].values())
    assert model.n_classes_ == 3
    alone = model.transform(small.select("a"))
    np.testing.assert_allclose(alone["a"].values(), second["a"].values(), atol=1e-6)


def test_fitting_again_without_labels_and_saving(small: Modalities, tmp_path) -> None:
    model = FactorisedContrastive._examples()[0].fit(small, np.arange(30) % 2)
    again = load(save(model, tmp_path / "with"))
    np.testing.assert_array_equal(again.transform(small)["b"].values(), model.transform(small)["b"].values())
    assert model.fit(small).n_classes_ == 0
    assert not len(model.module_.heads)
    missing = small.without("a", slice(0, 10)).without("b", slice(5, 12))
    assert np.isfinite(model.fit(missing, np.arange(30) % 2).transform(missing)["a"].observed()).all()


def test_every_parameter_moves_with_labels(small: Modalities) -> None:
    y = np.arange(30) % 2
    before, after = (
        FactorisedContrastive(
            3,
            n_private=2,
            training=Training(
                max_epochs=n, batch_size=16, weight_decay=0, warmup=0, schedule="constant", progress=False
            ),
            random_state=0,
        ).fit(small, y)
        for n in (1, 2)
    )
    old = dict(before.module_.named_parameters())
    assert not [name for name, p in after.module_.named_parameters() if torch.equal(p, old[name])]


def test_masked(small: Modalities) -> None:
    model = FactorisedContrastive._examples()[0].fit(small)
    batch = make_batch(small, np.arange(30), model.module_.towers.collates)
    view = masked(batch.columns, 0.5)["b"].values
    kept = view != 0
    assert 0.3 < kept.float().mean() < 0.7
    assert torch.equal(view[kept], batch.columns["b"].values[kept])


def test_refusals(small: Modalities) -> None:
    texts = small.assign({"a": ["some words"] * 30})
    with pytest.raises(
        ModalityError, match=r"without labels masks vectors, got other modalities or encoders for \['a'\]"
    ):
        FactorisedContrastive._examples()[0].fit(texts)
    assert FactorisedContrastive._examples()[0].fit(texts, np.arange(30) % 2).transform(texts)["a"].shape == (
        2,
    )
    with pytest.raises(ModalityError, match="of two classes or more, or none"):
        FactorisedContrastive._examples()[0].fit(small, np.zeros(30))
    with pytest.raises(ConfigError, match="mask to be a share"):
        FactorisedContrastive(mask=0).fit(small)
