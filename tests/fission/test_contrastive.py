"""`PredictiveFission`, and the base of contrastive fissions by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.datasets import make_shared_private
from polymodal.encoders import MLPEncoder
from polymodal.fission import PredictiveFission
from polymodal.fission._contrastive import TEMPERATURE, unit
from polymodal.fission._shared_private import Parts
from polymodal.fission.contrastive import inverse_prediction
from polymodal.objectives import info_nce
from polymodal.training import Training

SMALL = {name: MLPEncoder(width=32) for name in "ab"}
TRAINING = Training(max_epochs=20, batch_size=50, learning_rate=5e-3, progress=False)


def r2(part: np.ndarray, factor: np.ndarray) -> float:
    """Of a linear fit on the first half, on the second."""
    half = len(part) // 2
    return float(LinearRegression().fit(part[:half], factor[:half]).score(part[half:], factor[half:]))


@pytest.mark.parametrize("nonlinearity", [None, "tanh"])
def test_each_part_finds_its_planted_factors(nonlinearity) -> None:
    dataset, truth = make_shared_private(900, nonlinearity=nonlinearity, random_state=0)
    data, factors = dataset.data, {"shared": truth.shared, **truth.private}
    model = PredictiveFission(4, n_private=2, encoders=SMALL, training=TRAINING, random_state=0).fit(
        data[:500]
    )
    parts = model.transform(data[500:])
    found = {(p, f): r2(parts[p].values(), x[500:]) for p in parts.names for f, x in factors.items()}
    assert found["shared", "shared"] > 0.65
    assert found["a", "a"] > 0.5
    assert found["b", "b"] > 0.5
    wrong = {pair: value for pair, value in found.items() if pair[0] != pair[1]}
    assert max(wrong.values()) < 0.15, wrong
    assert model.score(data[500:]) > 0.15


def test_inverse_prediction() -> None:
    here, s = torch.tensor([True, True, False]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [9e9, 9e9]])
    present = {"a": here, "b": torch.tensor([True, True, True])}
    assert inverse_prediction(Parts({"a": s, "b": s.clone()}, {}, present)).item() == 0
    assert inverse_prediction(Parts({"a": s, "b": -s}, {}, present)).item() == pytest.approx(4)


def test_score_is_the_share_of_log_n(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 3))
    data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
    model = PredictiveFission._examples()[0].fit(data)
    a, b = (torch.from_numpy(model.transform(data.select(name))["shared"].values()) for name in "ab")
    expected = 1 - info_nce(a, b, temperature=TEMPERATURE).item() / np.log(30)
    assert model.score(data) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ModalityError, match=r"PredictiveFission\.score needs two rows that have two of"):
        model.score(data.select("a"))


def test_parts_by_themselves_and_weights_of_zero(rng: np.random.Generator) -> None:
    data = Modalities({"b": rng.normal(size=(30, 2)), "a": rng.normal(size=(30, 3))})
    model = PredictiveFission._examples()[0].set_params(forward=0, difference=0).fit(data)
    assert not list(model.module_.forward_to.parameters())
    assert not list(model.module_.overlap.parameters())
    alone, both = model.transform(data.select("a")), model.transform(data)
    np.testing.assert_allclose(alone["a"].values(), both["a"].values(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(alone["shared"].values(), axis=1), 1, atol=1e-6)


def test_what_is_no_vector_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ModalityError, match="works on kinds"):
        PredictiveFission().fit({"a": ["x", "y", "z"], "b": rng.normal(size=(3, 2))})


def test_unit() -> None:
    assert unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).flatten().tolist() == pytest.approx([0.6, 0.8, 0, 0])
