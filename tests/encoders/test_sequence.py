from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core import Modality, Ragged
from polymodal.core.errors import ModalityError
from polymodal.encoders import EncoderModule, GRUEncoder, SequenceTransformerEncoder
from polymodal.encoders.sequence import thin

RECIPES = [GRUEncoder(width=4, depth=2), SequenceTransformerEncoder(width=8, heads=2, depth=1, group=3)]


def sequences(rng: np.random.Generator, step: tuple[int, ...] = (3,)) -> Modality:
    return Modality(Ragged.of([rng.normal(size=(n, *step)) for n in (4, 0, 1, 9, 40)]), np.arange(5))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("step", [(3,), (), (2, 2)])
def test_contract(
    recipe: GRUEncoder,
    step: tuple[int, ...],
    check_encoder: Callable[..., EncoderModule],
    rng: np.random.Generator,
) -> None:
    modality = sequences(rng, step)
    module = check_encoder(recipe, modality)
    batch = module.collate(modality.store)
    poisoned = {**batch, "steps": batch["steps"].masked_fill(~batch["mask"][..., None], 1e9)}
    longer = {
        k: torch.nn.functional.pad(v, (0, 0, 0, 7) if v.ndim == 3 else (0, 7)) for k, v in poisoned.items()
    }
    with torch.no_grad():
        assert torch.equal(module(poisoned), module(batch))
        torch.testing.assert_close(module(longer), module(batch))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_order_matters(recipe: GRUEncoder, rng: np.random.Generator) -> None:
    modality = sequences(rng)
    module = recipe.build(recipe.prepare(modality), 3).eval()
    forth = module(module.collate(Ragged.of([modality.store[3]])))
    back = module(module.collate(Ragged.of([modality.store[3][::-1]])))
    assert not torch.allclose(forth, back, atol=1e-5)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 12))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_thin_equals_the_plain_loop(lengths: list[int], most: int) -> None:
    whole = Ragged.of([np.arange(n)[:, None] for n in lengths])
    for original, kept in zip(whole, thin(whole, most), strict=True):
        n = len(original)
        expected = [i * n // most for i in range(most)] if n > most else list(range(n))
        assert kept[:, 0].tolist() == expected


def test_only_empty_sequences_and_wrong_features(rng: np.random.Generator) -> None:
    empty = Modality(Ragged(np.zeros((0, 2)), np.zeros(3, dtype=np.int64)), np.arange(2))
    for recipe in RECIPES:
        module = recipe.build(recipe.prepare(empty), 3).eval()
        assert module(module.collate(empty.store)).isfinite().all()
        with pytest.raises(ModalityError, match="2 features"):
            module.collate(Ragged.of([np.zeros((2, 5))]))
