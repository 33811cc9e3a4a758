import numpy as np
import pytest
import torch

from polymodal import Modalities, Ragged
from polymodal.core.errors import ModalityError
from polymodal.encoders import MLPEncoder, build_encoders, choose_encoders, default_encoder, prepare_encoders
from polymodal.training import seeded


@pytest.fixture
def data(rng: np.random.Generator) -> Modalities:
    return Modalities(
        {
            "vector": rng.normal(size=(3, 2)),
            "grid": rng.normal(size=(3, 4, 4)),
            "sequence": Ragged.of([np.ones((2, 2))] * 3),
            "sound": Ragged.of([np.ones(500)] * 3, rate=8000.0),
            "text": ["a", "b", "c"],
        }
    )


def test_every_kind_has_one_that_works(data: Modalities) -> None:
    chosen = choose_encoders(None, data)
    assert list(chosen) == sorted(data.names)
    modules = build_encoders(chosen, prepare_encoders(chosen, data), 6)
    for name, module in modules.items():
        assert data[name].kind in default_encoder(data[name]).kinds
        assert module(module.collate(data[name].observed())).shape == (3, 6)


def test_the_order_of_the_modalities_does_not_change_the_weights(data: Modalities) -> None:
    weights = []
    for names in (("vector", "grid"), ("grid", "vector")):
        part = data.select(*names)
        chosen = choose_encoders({"vector": MLPEncoder(width=3)}, part)
        with seeded(0):
            weights.append(build_encoders(chosen, prepare_encoders(chosen, part), 2))
    for name in ("vector", "grid"):
        for a, b in zip(weights[0][name].parameters(), weights[1][name].parameters(), strict=True):
            assert torch.equal(a, b)


def test_unknown_names_and_other_kinds_are_named(data: Modalities) -> None:
    with pytest.raises(ModalityError, match=r"txet.*Did you mean 'text'"):
        choose_encoders({"txet": MLPEncoder()}, data)
    with pytest.raises(ModalityError, match="'text' is text.*TextTransformerEncoder"):
        choose_encoders({"text": MLPEncoder()}, data)
