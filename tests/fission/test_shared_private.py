from __future__ import annotations

import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.fission._shared_private import Overlap, Parts, check_penalty, check_weights
from polymodal.objectives import decorrelation_loss, difference_loss
from polymodal.training import seeded


@pytest.fixture
def parts() -> Parts:
    with seeded(0):
        shared = {name: torch.randn(8, 2) for name in "ab"}
        private = {name: torch.randn(8, 3) for name in "ab"}
    here = torch.arange(8) > 2
    private["a"] = private["a"].masked_fill(~here[:, None], 1e9)
    return Parts(shared, private, {"a": here, "b": torch.ones(8, dtype=torch.bool)})


def test_the_mean_over_modalities_of_the_rows_that_are_there(parts: Parts) -> None:
    pairs = [(parts.private["a"][3:], parts.shared["a"][3:]), (parts.private["b"], parts.shared["b"])]
    for kind, loss, cells in (("difference", difference_loss, 1), ("decorrelation", decorrelation_loss, 6)):
        found = Overlap("ab", 2, 3, kind)(parts)  # type: ignore[arg-type]
        torch.testing.assert_close(found.penalty, sum(loss(p, s) for p, s in pairs) / 2 / cells)
        assert found.fit.item() == 0


@pytest.mark.parametrize("kind", ["club", "adversarial"])
def test_networks_one_for_each_modality(kind, parts: Parts) -> None:
    overlap = Overlap("ba", 2, 3, kind)
    assert len(overlap.networks) == 2
    found = overlap(parts)
    one = overlap.networks[1](parts.private["b"], parts.shared["b"])
    first = overlap.networks[0](parts.private["a"][3:], parts.shared["a"][3:])
    torch.testing.assert_close(found.fit, (one.fit + first.fit) / 2)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="X needs penalty to be one of .*, got 'clubs'"):
        check_penalty("clubs", method="X")
    with pytest.raises(ConfigError, match="X needs similarity to be a weight of at least 0, got -1"):
        check_weights("X", similarity=-1)
