"""Encoders that keep every step: the user's where given, otherwise by kind."""

from __future__ import annotations

import numpy as np

from polymodal import Modalities, Ragged
from polymodal.encoders import BagOfTokensEncoder, ConvEncoder, GRUEncoder, StepEncoder
from polymodal.fusion import RecurrentFusion


def test_recipes_by_kind_and_by_name(rng: np.random.Generator) -> None:
    data = Modalities(
        {
            "film": Ragged.of([rng.normal(size=(2, 3))] * 4),
            "walk": Ragged.of([rng.normal(size=(2, 3))] * 4),
            "face": rng.normal(size=(4, 5, 5)),
            "note": ["a", "b", "c", "d"],
            "age": rng.normal(size=(4, 1)),
        }
    )
    recipes = RecurrentFusion(encoders={"walk": GRUEncoder(width=4)})._recipes(data)
    kinds = {"film": StepEncoder, "walk": GRUEncoder, "face": ConvEncoder, "note": BagOfTokensEncoder}
    assert {name: type(recipe) for name, recipe in recipes.items()} == kinds
