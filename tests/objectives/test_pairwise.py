from __future__ import annotations

import pytest
import torch

from polymodal.objectives import margin_loss, pairwise_loss, sigmoid_loss


def three(n: int = 5) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    return {name: torch.randn(n, 3, dtype=torch.float64, generator=made) for name in ("c", "a", "b")}


def hinge(
    a: torch.Tensor, b: torch.Tensor, codes_a: torch.Tensor | None, codes_b: torch.Tensor | None
) -> torch.Tensor:
    return margin_loss(a, b, codes_a=codes_a, codes_b=codes_b)


def test_is_the_mean_over_pairs() -> None:
    x = three()
    expected = (margin_loss(x["a"], x["b"]) + margin_loss(x["a"], x["c"]) + margin_loss(x["b"], x["c"])) / 3
    assert pairwise_loss(hinge, x).item() == pytest.approx(expected.item())
    anchored = pairwise_loss(hinge, x, pairs=[("b", "a"), ("b", "c")])
    expected = (margin_loss(x["b"], x["a"]) + margin_loss(x["b"], x["c"])) / 2
    assert anchored.item() == pytest.approx(expected.item())
    two = {name: x[name] for name in ("a", "b")}
    assert pairwise_loss(hinge, two).item() == pytest.approx(margin_loss(x["a"], x["b"]).item())


def test_absent_rows_never_enter() -> None:
    x = {name: value.requires_grad_() for name, value in three().items() if name != "c"}
    present = {"a": torch.tensor([1, 1, 1, 0, 1]).bool(), "b": torch.tensor([1, 1, 0, 1, 1]).bool()}
    loss = pairwise_loss(hinge, x, present)
    both = torch.tensor([0, 1, 4])
    assert loss.item() == pytest.approx(margin_loss(x["a"][both], x["b"][both]).item())
    loss.backward()
    assert not x["a"].grad[[2, 3]].any()  # type: ignore[index]
    codes = {"a": torch.tensor([0, 0, 1, 2, 0]), "b": torch.arange(5)}
    assert pairwise_loss(hinge, x, present, codes=codes).item() == 0


def test_pairs_with_too_few_rows_are_not_asked() -> None:
    x = {name: value.requires_grad_() for name, value in three().items() if name != "c"}
    present = {"a": torch.tensor([1, 0, 0, 0, 0]).bool(), "b": torch.ones(5).bool()}
    loss = pairwise_loss(hinge, x, present)
    loss.backward()
    assert loss.item() == 0
    assert not x["a"].grad.any()  # type: ignore[union-attr]
    one = pairwise_loss(lambda a, b, p, q: sigmoid_loss(a, b), x, present, least=1)
    assert one.item() == pytest.approx(sigmoid_loss(x["a"][:1], x["b"][:1]).item())
