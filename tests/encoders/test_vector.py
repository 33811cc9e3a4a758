from collections.abc import Callable

import numpy as np
import torch

from polymodal.core import Modality
from polymodal.encoders import EncoderModule, MLPEncoder


def test_contract(check_encoder: Callable[..., EncoderModule], rng: np.random.Generator) -> None:
    check_encoder(MLPEncoder(width=8, depth=2, dropout=0.2), Modality(rng.normal(size=(9, 3)), np.arange(9)))
    check_encoder(MLPEncoder(depth=0), Modality(rng.normal(size=(9, 1)), np.arange(9)))


def test_a_large_mean_costs_no_precision(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 2))
    far = Modality(x + 1e9, np.arange(50))
    module = MLPEncoder().build(MLPEncoder().prepare(far), 2)
    np.testing.assert_allclose(module.collate(far.store), (x - x.mean(0)) / x.std(0), atol=1e-5)


def test_a_constant_column_is_harmless() -> None:
    modality = Modality(np.column_stack([np.full(6, 3.0), np.arange(6.0)]), np.arange(6))
    module = MLPEncoder().build(MLPEncoder().prepare(modality), 2)
    assert torch.isfinite(module.collate(modality.store)).all()
    assert (module.collate(modality.store)[:, 0] == 0).all()
