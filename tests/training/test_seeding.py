import numpy as np
import torch

from polymodal.training import seeded


def test_the_same_seed_gives_the_same_numbers_and_the_global_state_is_left() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(0) as number:
        first = torch.rand(3)
    assert number == 0
    assert torch.equal(torch.rand(2), expected)
    with seeded(0):
        assert torch.equal(torch.rand(3), first)
    with seeded(np.random.default_rng(0)):
        assert not torch.equal(torch.rand(3), first)
