"""Sequences step by step: linear, or pictures through a convolutional network, and their clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from polymodal.core import Modality, Ragged
from polymodal.core.errors import ConfigError
from polymodal.encoders import EncoderModule, SoundEncoder, StepEncoder


@pytest.mark.parametrize("step", [(3,), (), (4, 5), (4, 4, 2)])
@pytest.mark.parametrize("convolutions", [0, 2])
def test_contract(
    step: tuple[int, ...],
    convolutions: int,
    check_encoder: Callable[..., EncoderModule],
    rng: np.random.Generator,
) -> None:
    modality = Modality(Ragged.of([rng.normal(size=(n, *step)) for n in (4, 0, 1, 9)]), np.arange(4))
    recipe = StepEncoder(convolutions=convolutions, kernel=3, picture_width=4)
    module = check_encoder(recipe, modality)
    tokens, mask = module.tokens(module.collate(modality.store))
    assert mask.sum(1).tolist() == [4, 0, 1, 9]
    alone, _ = module.tokens(module.collate(modality.store[[0]]))
    torch.testing.assert_close(alone[0], tokens[0, :4], rtol=1e-4, atol=1e-5)


def test_without_convolutions_a_step_does_not_see_its_neighbours(rng: np.random.Generator) -> None:
    store = Ragged.of([rng.normal(size=(6, 3))])
    modality = Modality(store, np.arange(1))
    for convolutions, moved in ((0, 1), (1, 3)):
        recipe = StepEncoder(convolutions=convolutions, kernel=3)
        torch.manual_seed(0)
        module = recipe.build(recipe.prepare(modality), 4).eval()
        batch = module.collate(store)
        before, _ = module.tokens(batch)
        batch["steps"][0, 2] += 1
        changed = (module.tokens(batch)[0] - before).abs().amax(dim=2)[0] > 1e-6
        assert changed.sum() == moved


def test_seconds_follow_the_rate_and_the_thinning(rng: np.random.Generator) -> None:
    store = Ragged.of([rng.normal(size=(n, 2)) for n in (4, 20, 0)], rate=5.0)
    recipe = StepEncoder(max_length=10)
    module = recipe.build(recipe.prepare(Modality(store, np.arange(3))), 4)
    seconds = module.token_seconds(module.collate(store))
    torch.testing.assert_close(seconds[:2], torch.tensor([0.2, 0.4]))
    unrated = Ragged(store.values, store.offsets)
    assert module.token_seconds(module.collate(unrated)).tolist() == [0, 0, 0]


def test_a_token_of_sound_lasts_two_hops(rng: np.random.Generator) -> None:
    store = Ragged.of([rng.normal(size=4000), rng.normal(size=800)], rate=8000.0)
    recipe = SoundEncoder(bands=8, width=8, depth=1)
    module = recipe.build(recipe.prepare(Modality(store, np.arange(2))), 4)
    torch.testing.assert_close(module.token_seconds(module.collate(store)), torch.tensor([0.02, 0.02]))


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_length"):
        StepEncoder(max_length=0)
