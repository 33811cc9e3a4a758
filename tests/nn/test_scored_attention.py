"""Attention with classical scores against their formulas."""

from __future__ import annotations

import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.nn import ScoredAttention


@pytest.mark.parametrize("score", ["additive", "bilinear", "dot", "scaled-dot"])
def test_weights_are_the_softmax_of_the_score(score: str) -> None:
    torch.manual_seed(0)
    attention = ScoredAttention(5, 5, score=score, width=3).double()  # type: ignore[arg-type]
    queries, steps = torch.randn(2, 3, 5).double(), torch.randn(2, 4, 5).double()
    mask = torch.ones(2, 4, dtype=torch.bool)
    context, weights = attention(queries, steps, mask)
    for u in range(2):
        for j in range(3):
            s, e = queries[u, j], []
            for h in steps[u]:
                if score == "additive":
                    hidden = attention.query.weight @ s + attention.query.bias + attention.step.weight @ h
                    e.append(attention.read.weight[0] @ torch.tanh(hidden))
                elif score == "bilinear":
                    e.append(h @ (attention.query.weight @ s))
                else:
                    e.append(s @ h / (5**0.5 if score == "scaled-dot" else 1))
            expected = torch.stack(e).softmax(0)
            torch.testing.assert_close(weights[u, j], expected)
            torch.testing.assert_close(context[u, j], expected @ steps[u])


def test_what_is_masked_never_enters() -> None:
    torch.manual_seed(0)
    attention = ScoredAttention(4, 6)
    queries, steps = torch.randn(2, 3, 4), torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
    poisoned = steps.clone()
    poisoned[~mask] = float("nan")
    clean, weights = attention(queries, steps, mask)
    torch.testing.assert_close(attention(queries, poisoned, mask)[0], clean)
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3))
    assert not weights[1].any()
    assert not clean[1].any()
    one = attention(queries, steps[:, :1], mask[:1, :1].expand(2, 1))[1]
    torch.testing.assert_close(one, torch.ones(2, 3, 1))


def test_every_parameter_gets_a_gradient() -> None:
    for score in ("additive", "bilinear"):
        attention = ScoredAttention(4, 6, score=score)  # type: ignore[arg-type]
        out, _ = attention(torch.randn(2, 3, 4), torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool))
        out.square().sum().backward()
        # a constant added to all scores of a query changes no weight, so the additive score's own bias is inside the tanh
        assert all(p.grad is not None and p.grad.any() for p in attention.parameters())


def test_refused() -> None:
    with pytest.raises(ConfigError, match="as many features of queries as of steps, got 4 and 6"):
        ScoredAttention(4, 6, score="dot")
    with pytest.raises(ConfigError, match="score is"):
        ScoredAttention(4, 4, score="cosine")
