import numpy as np
import pytest
import torch

from polymodal.nn import AttentionPool, masked_mean


@pytest.fixture
def steps(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(3, 5, 4)).astype(np.float32))


MASK = torch.tensor([[True, True, True, False, False], [True] * 5, [False] * 5])


def test_masked_mean_by_hand(steps: torch.Tensor) -> None:
    out = masked_mean(steps.masked_fill(~MASK[..., None], torch.nan), MASK)
    torch.testing.assert_close(out[0], steps[0, :3].mean(0))
    torch.testing.assert_close(out[1], steps[1].mean(0))
    assert out[2].tolist() == [0, 0, 0, 0]


def test_padding_never_enters_attention_pool(steps: torch.Tensor) -> None:
    pool = AttentionPool(4, heads=2)
    poisoned = steps.masked_fill(~MASK[..., None], 1e9)
    torch.testing.assert_close(pool(poisoned, MASK), pool(steps, MASK), rtol=0, atol=0)
    torch.testing.assert_close(pool(poisoned, MASK)[:1], pool(steps[:1, :3], MASK[:1, :3]))
    assert pool(steps, MASK)[2].tolist() == [0, 0, 0, 0]


def test_attention_pool_ignores_order(steps: torch.Tensor) -> None:
    pool = AttentionPool(4)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(pool(steps[:, order], MASK[:, order]), pool(steps, MASK))


def test_attention_pool_with_equal_scores_is_the_mean(steps: torch.Tensor) -> None:
    pool = AttentionPool(4, heads=2)
    with torch.no_grad():
        pool.score.weight.zero_()
        pool.value.weight.copy_(torch.eye(4))
    torch.testing.assert_close(pool(steps, MASK)[:2], masked_mean(steps, MASK)[:2])
