"""Each part through the same layers, and nothing of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core import Modalities, Modality, Ragged
from polymodal.core.errors import ConfigError
from polymodal.encoders import PartsEncoder
from polymodal.training.seeding import seeded


def built(column: Modality, **settings):
    recipe = PartsEncoder(width=8, **settings)
    with seeded(0):
        module = recipe.build(recipe.prepare(column), 5)
    return module.eval(), module.collate(column.store)


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (3, 8, 8, 3)).astype(np.uint8)


def test_a_patch_sees_itself_alone(pictures: np.ndarray) -> None:
    module, batch = built(Modalities({"p": pictures})["p"])
    tokens, mask = module.tokens(batch)
    assert tokens.shape == (3, 16, 5)
    assert bool(mask.all())
    changed = pictures.copy()
    changed[:, 2:4, 4:6] = 0  # row 1, column 2 of the patches
    other, _ = module.tokens(module.collate(changed))
    moved = (tokens != other).any(dim=2)[0].nonzero().ravel().tolist()
    assert moved == [6]


def test_patches_that_change_places_change_the_places_of_tokens(pictures: np.ndarray) -> None:
    module, batch = built(Modalities({"p": pictures})["p"], patch=4)
    tokens, _ = module.tokens(batch)
    swapped = np.concatenate([pictures[:, :, 4:], pictures[:, :, :4]], axis=2)
    torch.testing.assert_close(module.tokens(module.collate(swapped))[0], tokens[:, [1, 0, 3, 2]])


def test_a_picture_that_does_not_divide_is_filled_up(rng: np.random.Generator) -> None:
    module, batch = built(Modalities({"p": rng.normal(size=(2, 7, 5))})["p"], patch=3)
    assert module.tokens(batch)[0].shape == (2, 3 * 2, 5)


def test_steps_and_vectors(rng: np.random.Generator) -> None:
    column = Modalities({"s": Ragged.of([rng.normal(size=(4, 2)), rng.normal(size=(2, 2))])})["s"]
    module, batch = built(column)
    tokens, mask = module.tokens(batch)
    assert mask.sum(1).tolist() == [4, 2]
    torch.testing.assert_close(module(batch)[1], tokens[1, :2].mean(0))
    one, batch = built(Modalities({"v": rng.normal(size=(6, 2))})["v"])
    assert one.tokens(batch)[0].shape == (6, 1, 5)


def test_settings_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(ConfigError, match="patch"):
        PartsEncoder(patch=0)
