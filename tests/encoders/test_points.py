from collections.abc import Callable

import numpy as np
import torch

from polymodal.core import Modality, Ragged
from polymodal.encoders import EncoderModule, PointSetEncoder


def test_contract_and_order(check_encoder: Callable[..., EncoderModule], rng: np.random.Generator) -> None:
    sets = [rng.normal(size=(n, 2)) for n in (5, 0, 1, 12)]
    modality = Modality(Ragged.of(sets), np.arange(4))
    for recipe in (
        PointSetEncoder(width=8, heads=2),
        PointSetEncoder(width=8, depth=0, frequencies=0, dropout=0.1),
    ):
        module = check_encoder(recipe, modality)
        shuffled = Ragged.of([rng.permutation(s) for s in sets])
        with torch.no_grad():
            torch.testing.assert_close(
                module(module.collate(shuffled)), module(module.collate(modality.store)), rtol=1e-4, atol=1e-5
            )


def test_padding_never_enters(rng: np.random.Generator) -> None:
    modality = Modality(Ragged.of([rng.normal(size=(n, 2)) for n in (5, 0, 12)]), np.arange(3))
    module = PointSetEncoder(width=8).build(PointSetEncoder().prepare(modality), 3).eval()
    batch = module.collate(modality.store)
    poisoned = {**batch, "steps": batch["steps"].masked_fill(~batch["mask"][..., None], torch.nan)}
    assert torch.equal(module(poisoned), module(batch))
