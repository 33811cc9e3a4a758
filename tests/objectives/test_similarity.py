from __future__ import annotations

import pytest
import torch

from polymodal.objectives import similarity_loss


def test_similarity_is_maximised_by_minimising_the_loss() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert similarity_loss(a, 5 * a).item() == pytest.approx(0, abs=1e-6)
    assert similarity_loss(a, -a).item() == pytest.approx(2)
    assert similarity_loss(a, a.flip(1)).item() == pytest.approx(1)
    assert similarity_loss(a, a + 1).item() == similarity_loss(a + 1, a).item()
