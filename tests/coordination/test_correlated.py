from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.coordination._correlated import CorrelationModule, blocks_of
from polymodal.core import Modalities
from polymodal.core.moments import moments
from polymodal.encoders.decoders import Decoders
from polymodal.nn.towers import Towers


class Dim(torch.nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim


def module(memory: int) -> CorrelationModule:
    return CorrelationModule(Towers({"a": Dim(2), "b": Dim(3)}), Decoders({}, {}, 2), memory)


def batches(rng: np.random.Generator, count: int, n: int = 20) -> list[dict[str, torch.Tensor]]:
    return [
        {"a": torch.from_numpy(x[:, :2]), "b": torch.from_numpy(x[:, 2:])}
        for x in rng.normal(size=(count, n, 5)).astype(np.float32)
    ]


def here(vectors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.ones(len(v), dtype=torch.bool) for name, v in vectors.items()}


def covariance(vectors: dict[str, torch.Tensor]) -> np.ndarray:
    return np.cov(torch.cat([vectors["a"], vectors["b"]], dim=1).numpy().T)


def test_a_batch_as_large_as_the_memory_stands_for_itself(rng: np.random.Generator) -> None:
    one = module(20)
    for vectors in batches(rng, 3):
        np.testing.assert_allclose(one.covariance(vectors, here(vectors)), covariance(vectors), atol=1e-5)


def test_outputs_that_stay_the_same_give_the_covariance_of_all_rows(rng: np.random.Generator) -> None:
    endless = module(10**9)
    parts = batches(rng, 4)
    for vectors in parts:
        S = endless.covariance(vectors, here(vectors))
    np.testing.assert_allclose(S, np.mean([covariance(v) for v in parts], axis=0), atol=1e-5)


def test_memory_fades_by_the_share_of_the_batch(rng: np.random.Generator) -> None:
    fading = module(80)  # 20 rows of 80: three quarters are kept
    first, second = batches(rng, 2)
    fading.covariance(first, here(first))
    S = fading.covariance(second, here(second))
    expected = (0.75 * covariance(first) + covariance(second)) / 1.75
    np.testing.assert_allclose(S, expected, atol=1e-5)


def test_the_gradient_is_that_of_the_batchs_covariance(rng: np.random.Generator) -> None:
    one = module(1000)
    first, second = batches(rng, 2)
    one.covariance(first, here(first))
    leaf = second["a"].requires_grad_()
    weights = torch.from_numpy(rng.normal(size=(5, 5)).astype(np.float32))
    (one.covariance(second, here(second)) * weights).sum().backward()
    centred = torch.cat([leaf.detach(), second["b"]], dim=1)
    centred = centred - centred.mean(dim=0)
    expected = (centred @ (weights + weights.T) / 19)[:, :2]
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, expected, atol=1e-5, rtol=1e-4)


def test_evaluation_remembers_nothing(rng: np.random.Generator) -> None:
    one = module(1000)
    first, second = batches(rng, 2)
    one.covariance(first, here(first))
    before = one.sums.clone()
    np.testing.assert_allclose(one.eval().covariance(second, here(second)), covariance(second), atol=1e-5)
    assert (one.sums == before).all()


def test_rows_that_lack_a_modality_weigh_nothing_in_its_pairs(rng: np.random.Generator) -> None:
    one = module(1000)
    (vectors,) = batches(rng, 1)
    present = here(vectors)
    present["b"] = torch.arange(20) < 1
    S = one.covariance(vectors, present)
    assert one.weights.tolist() == [[19.0, 0.0], [0.0, 0.0]]
    assert torch.isfinite(S).all()
    assert (S[2:] == 0).all()


def test_not_a_number_is_not_remembered() -> None:
    one = module(1000)
    vectors = {"a": torch.full((4, 2), torch.nan), "b": torch.zeros(4, 3)}
    assert one.covariance(vectors, here(vectors)).isnan().any()
    assert torch.isfinite(one.sums).all()


def test_blocks_of_modalities_that_never_meet_are_zero(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(6, 3))})
    seen = moments(data.without("a", range(3)).without("b", range(3, 6)))
    assert (blocks_of(seen)["a", "b"] == 0).all()
    assert blocks_of(seen)["a", "a"] == pytest.approx(np.cov(data["a"].values()[3:].T))
