from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ConfigError
from polymodal.objectives import margin_loss, positive_pairs
from polymodal.similarity import RBF, Cosine, Euclidean, Linear

RULES = ["all", "hardest", "semi-hard"]


def embeddings(n: int, d: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    a, b = torch.randn(2, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).unbind(0)
    return a, a + b


def brute_force(scores: list[list[float]], friends: list[list[bool]], margin: float, negatives: str) -> float:
    """Triplet by triplet, in plain numbers."""
    total, n = 0.0, len(scores)
    for transposed in (False, True):
        s = [[scores[j][i] if transposed else scores[i][j] for j in range(n)] for i in range(n)]
        f = [[friends[j][i] if transposed else friends[i][j] for j in range(n)] for i in range(n)]
        for i in range(n):
            strangers = [s[i][j] for j in range(n) if not f[i][j]]
            if not strangers:
                continue
            if negatives == "hardest":
                strangers = [max(strangers)]
            elif negatives == "semi-hard":
                beyond = [x for x in strangers if x < s[i][i]]
                strangers = [max(beyond) if beyond else min(strangers)]
            total += sum(max(0.0, margin - s[i][i] + x) for x in strangers)
    return total


def test_signs_by_hand() -> None:
    """max(0, margin - positive + negative), not margin + positive - negative: partners at cosine 1, strangers at 0."""
    eye = torch.eye(3, dtype=torch.float64)
    assert margin_loss(eye, eye, margin=0.2).item() == 0
    assert margin_loss(eye, eye, margin=1.5).item() == pytest.approx(3 * 2 * 2 * 0.5)
    assert margin_loss(eye, eye, margin=1.5, negatives="hardest").item() == pytest.approx(3 * 2 * 0.5)
    assert margin_loss(eye, eye, margin=1.5, negatives="semi-hard").item() == pytest.approx(3 * 2 * 0.5)
    swapped = eye[[1, 2, 0]]  # every partner at 0, one stranger at 1, one at 0
    assert margin_loss(eye, swapped, margin=0.2, reduction="mean").item() == pytest.approx(2 * (1.2 + 0.2))
    assert margin_loss(eye, swapped, negatives="hardest").item() == pytest.approx(3 * 2 * 1.2)
    # no stranger is less alike than the partner: the least alike of them, at 0
    assert margin_loss(eye, swapped, negatives="semi-hard").item() == pytest.approx(3 * 2 * 0.2)


@given(
    st.integers(1, 6),
    st.integers(0, 99),
    st.sampled_from(RULES),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.booleans(),
)
def test_equals_brute_force(n: int, seed: int, negatives: str, margin: float, shared: bool) -> None:
    a, b = embeddings(n, seed=seed)
    codes = torch.arange(n) // 2 if shared else torch.arange(n)
    friends = positive_pairs(codes, torch.arange(n))
    expected = brute_force(Cosine().pairwise(a, b).tolist(), friends.tolist(), margin, negatives)
    found = margin_loss(a, b, margin=margin, negatives=negatives, codes_a=codes)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("negatives", RULES)
def test_relations(negatives: str) -> None:
    a, b = embeddings(6)
    loss = margin_loss(a, b, negatives=negatives)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(margin_loss(b, a, negatives=negatives).item())  # type: ignore[arg-type]
    mean = margin_loss(a, b, negatives=negatives, reduction="mean")  # type: ignore[arg-type]
    assert mean.item() == pytest.approx(loss.item() / 6)
    assert (
        margin_loss(a[:2], b[:2], negatives=negatives).item()
        == pytest.approx(  # type: ignore[arg-type]
            margin_loss(a[:2], b[:2]).item()
        )
    )
    assert margin_loss(3 * a, b, negatives=negatives).item() == pytest.approx(loss.item())  # type: ignore[arg-type]


def test_harder_strangers_cost_more() -> None:
    a, b = embeddings(8)
    semi, hardest, every = (margin_loss(a, b, margin=0.5, negatives=name) for name in RULES[::-1])  # type: ignore[arg-type]
    assert 0 < semi <= hardest <= every
    assert margin_loss(a, a + 0.1 * b) < margin_loss(a, b)


@pytest.mark.parametrize("similarity", [Cosine(), Euclidean(), Linear(), RBF(2.0)])
def test_any_similarity(similarity: object) -> None:
    a, b = embeddings(5)
    scores = similarity.pairwise(a, b).tolist()  # type: ignore[attr-defined]
    own = [[i == j for j in range(5)] for i in range(5)]
    found = margin_loss(a, b, similarity=similarity, negatives="hardest", margin=0.1)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(brute_force(scores, own, 0.1, "hardest"))


def test_shared_things_are_no_strangers() -> None:
    same = torch.ones(3, 4, dtype=torch.float64)
    codes = torch.zeros(3, dtype=torch.int64)
    for negatives in RULES:
        assert margin_loss(same, same, codes_a=codes, negatives=negatives).item() == 0  # type: ignore[arg-type]
    assert margin_loss(same, same).item() == pytest.approx(3 * 2 * 2 * 0.2)


@pytest.mark.parametrize("negatives", RULES)
@pytest.mark.parametrize("rows", [0, 1])
def test_no_strangers_no_loss_but_a_gradient(negatives: str, rows: int) -> None:
    a, b = embeddings(rows)
    a.requires_grad_()
    loss = margin_loss(a, b, negatives=negatives, reduction="mean")  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == 0
    assert a.grad is not None
    assert not a.grad.any()


@pytest.mark.parametrize("negatives", RULES)
@pytest.mark.parametrize("similarity", [None, Euclidean()])
def test_gradcheck(negatives: str, similarity: object) -> None:
    a, b = (x.clone().requires_grad_() for x in embeddings(5, seed=1))
    assert torch.autograd.gradcheck(
        lambda x, y: margin_loss(x, y, margin=0.4, negatives=negatives, similarity=similarity),  # type: ignore[arg-type]
        (a, b),
    )


def test_refusals() -> None:
    """TypeErrors come from the check of annotations under test."""
    a, b = embeddings(3)
    wrong = (ConfigError, TypeError)
    with pytest.raises(wrong, match="negatives"):
        margin_loss(a, b, negatives="softest")  # type: ignore[arg-type]
    with pytest.raises(wrong, match="reduction"):
        margin_loss(a, b, reduction="max")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="margin of at least 0, got -1"):
        margin_loss(a, b, margin=-1.0)
    with pytest.raises(ConfigError, match="margin of at least 0, got nan"):
        margin_loss(a, b, margin=math.nan)
