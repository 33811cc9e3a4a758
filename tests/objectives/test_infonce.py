from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.objectives import info_nce, info_nce_of_scores, info_nce_reference, pairwise_info_nce


def embeddings(
    n: int, d: int = 8, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d, dtype=torch.float64, generator=made)
    b = a + torch.randn(n, d, dtype=torch.float64, generator=made)
    return a.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()


def tau(value: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(value, dtype=dtype, requires_grad=True)


def test_two_orthogonal_pairs_by_hand() -> None:
    a = torch.eye(2, dtype=torch.float64)
    # scores are 1 on the diagonal and 0 off it, so every softmax is e / (e + 1) at temperature 1
    assert info_nce(a, a, temperature=1.0).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-12)


def test_ratio_is_of_exponentials_over_the_temperature() -> None:
    """Not sim / sum(sim): the exponential and tau stand inside, and the sum runs over all rows."""
    a, b = embeddings(5)
    s = torch.cosine_similarity(a[:, None], b[None], dim=2).detach() / 0.5
    rows = -torch.log(torch.exp(s.diagonal()) / torch.exp(s).sum(1)).mean()
    columns = -torch.log(torch.exp(s.diagonal()) / torch.exp(s).sum(0)).mean()
    assert info_nce(a, b, temperature=0.5).item() == pytest.approx(((rows + columns) / 2).item(), abs=1e-12)


@pytest.mark.parametrize("tile", [3, 7, 16, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.07, 0.01])
@pytest.mark.parametrize("repeated", [False, True])
def test_tiled_equals_reference(tile: int, temperature: float, repeated: bool) -> None:
    a, b = embeddings(37)
    t = tau(temperature)
    codes = {}
    if repeated:
        made = torch.Generator().manual_seed(1)
        codes = {
            "codes_a": torch.randint(0, 12, (37,), generator=made),
            "codes_b": torch.randint(0, 25, (37,), generator=made),
        }
    weights = torch.linspace(0, 2, 37, dtype=torch.float64)
    slow = info_nce_reference(a, b, temperature=t, weights=weights, **codes)
    fast = info_nce(a, b, temperature=t, weights=weights, tile=tile, **codes)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    for x, y in zip(torch.autograd.grad(fast, (a, b, t)), torch.autograd.grad(slow, (a, b, t)), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("normalize", [False, True])
def test_float32_equals_float64_truth(normalize: bool) -> None:
    a, b = embeddings(300, 32)
    a, b = (torch.nn.functional.normalize(x.detach(), dim=1).requires_grad_() for x in (a, b))
    small = [x.detach().float().requires_grad_() for x in (a, b)]
    a, b = (x.detach().double().requires_grad_() for x in small)
    truth = info_nce_reference(a, b, normalize=normalize)
    found = info_nce(*small, normalize=normalize, tile=128)
    assert found.item() == pytest.approx(truth.item(), abs=1e-6)
    for x, y in zip(torch.autograd.grad(found, small), torch.autograd.grad(truth, (a, b)), strict=True):
        assert (x - y).abs().max() < 3e-6 * y.abs().max()  # scores of 14 are exact to 1e-6 in float32


def test_scale_100_with_far_rows_and_columns() -> None:
    """Columns and rows that are opposite to everything: one shift for all would lose them to underflow."""
    base = torch.nn.functional.normalize(
        torch.randn(40, 6, generator=torch.Generator().manual_seed(3)), dim=1
    )
    north = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    a = torch.cat([north + 0.05 * base[:20], -north + 0.05 * base[20:39], north]).requires_grad_()
    b = torch.cat([north + 0.05 * base[1:21], -north + 0.05 * base[20:39], -north]).requires_grad_()
    a64, b64 = a.detach().double().requires_grad_(), b.detach().double().requires_grad_()
    for tile in (40, 16):
        truth, found = (
            info_nce_reference(a64, b64, temperature=0.01),
            info_nce(a, b, temperature=0.01, tile=tile),
        )
        assert found.item() == pytest.approx(truth.item(), rel=3e-6)
        for x, y in zip(
            torch.autograd.grad(found, (a, b)), torch.autograd.grad(truth, (a64, b64)), strict=True
        ):
            assert (
                x - y
            ).abs().max() < 3e-5 * y.abs().max()  # float32 scores of 100 are exact to 8e-6 at best
            assert torch.isfinite(x).all()


@pytest.mark.parametrize("repeated", [False, True])
def test_gradcheck(repeated: bool) -> None:
    a, b = embeddings(7, 3)
    codes = torch.tensor([0, 0, 1, 2, 3, 3, 4]) if repeated else None
    other = torch.tensor([0, 1, 2, 2, 3, 4, 5]) if repeated else None

    def loss(x: torch.Tensor, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return info_nce(x, y, temperature=t, codes_a=codes, codes_b=other, tile=4)

    assert torch.autograd.gradcheck(loss, (a, b, tau(0.3)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(n=st.integers(1, 20), seed=st.integers(0, 99), tile=st.integers(2, 9))
def test_symmetric_permutable_and_tile_free(n: int, seed: int, tile: int) -> None:
    a, b = embeddings(n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    here = info_nce(a, b).item()
    assert info_nce(b, a).item() == pytest.approx(here, abs=1e-12)
    assert info_nce(a[order], b[order], tile=tile).item() == pytest.approx(here, abs=1e-10)
    assert info_nce(3 * a, 0.1 * b).item() == pytest.approx(here, abs=1e-10)


def test_equal_scores_give_log_n() -> None:
    same = torch.ones(6, 4, dtype=torch.float64)
    assert info_nce(same, same).item() == pytest.approx(math.log(6), abs=1e-12)


def test_temperature_to_infinity_gives_log_n() -> None:
    assert info_nce(*embeddings(11), temperature=1e9).item() == pytest.approx(math.log(11), abs=1e-7)


def test_log_n_minus_loss_is_below_the_mutual_information(rng: np.random.Generator) -> None:
    """Two unit-circle angles with Gaussian noise between them: a tight critic stays below the true value."""
    n, spread = 2000, 0.3
    angle = rng.uniform(-math.pi, math.pi, n)
    noisy = angle + spread * rng.standard_normal(n)
    # I = h(noisy) - h(noise) = log(2 pi) - log(spread sqrt(2 pi e)), the wrapped noise being nearly Gaussian
    truth = math.log(2 * math.pi) - math.log(spread * math.sqrt(2 * math.pi * math.e))
    a, b = (torch.from_numpy(np.stack([np.cos(x), np.sin(x)], 1)) for x in (angle, noisy))
    bound = math.log(n) - info_nce(a, b, temperature=spread**2).item()  # von Mises critic: nearly optimal
    assert bound <= truth + 0.03
    assert bound > truth - 0.05


def test_distinct_codes_are_plain() -> None:
    a, b = embeddings(9)
    codes = torch.arange(9).flip(0)
    assert info_nce(a, b, codes_a=codes, codes_b=codes * 7).item() == pytest.approx(
        info_nce(a, b).item(), abs=1e-14
    )


def test_labels_on_both_sides_are_supervised_contrast() -> None:
    a, b = embeddings(8)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])
    logits = (torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T) / 0.2
    same = (labels[:, None] == labels[None]).double()
    out = -((logits.log_softmax(1) * same).sum(1) / same.sum(1)).mean() / 2
    out = out - ((logits.T.log_softmax(1) * same).sum(1) / same.sum(1)).mean() / 2
    assert info_nce(a, b, temperature=0.2, codes_a=labels, codes_b=labels).item() == pytest.approx(
        out.item(), abs=1e-12
    )


def test_a_caption_that_describes_two_pictures_is_a_negative_of_neither() -> None:
    """Repeating a true pair must not push it apart: at the optimum the repeats' gradient is that of positives."""
    a = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 2]]
    b = torch.eye(4, dtype=torch.float64)[[0, 0, 1, 2]]
    codes = torch.tensor([0, 0, 1, 2])
    with_codes = info_nce(a, b, temperature=0.05, codes_a=codes, codes_b=codes)
    assert with_codes.item() < info_nce(a, b, temperature=0.05).item() + 1e-12
    x = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(info_nce(x, b, temperature=0.05, codes_a=codes, codes_b=codes), x)
    assert gradient.abs().max() < 1e-7


def test_weights_of_zero_leave_out_the_question_only() -> None:
    a, b = embeddings(6)
    weights = torch.tensor([1.0, 1, 1, 1, 1, 0], dtype=torch.float64)
    ones = torch.ones(6, dtype=torch.float64)
    assert info_nce(a, b, weights=ones).item() == pytest.approx(info_nce(a, b).item(), abs=1e-13)
    (gradient,) = torch.autograd.grad(info_nce(a, b, weights=weights), b)
    assert gradient[5].abs().max() > 0  # still an answer that the others must refuse


def test_one_row_and_no_row_are_zero_with_gradients() -> None:
    for n in (0, 1):
        a, b = embeddings(n)
        loss = info_nce(a, b)
        assert loss.item() == pytest.approx(0, abs=1e-14)
        for gradient in torch.autograd.grad(loss, (a, b)):
            assert (gradient.abs() < 1e-13).all()


def test_half_precision_is_computed_in_float32() -> None:
    a, b = embeddings(16, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(a, b, temperature=0.01)
    assert inside.item() == info_nce(a, b, temperature=0.01).item()
    assert info_nce(a.bfloat16(), b.bfloat16()).dtype == torch.float32


def test_pairwise_is_the_mean_over_pairs_and_ignores_absent_rows() -> None:
    a, b = embeddings(10)
    c, _ = embeddings(10, seed=5)
    values = {"image": a, "sound": c, "text": b}
    full = [info_nce(a, b), info_nce(a, c), info_nce(b, c)]
    assert pairwise_info_nce(values).item() == pytest.approx(torch.stack(full).mean().item(), abs=1e-12)
    assert pairwise_info_nce(dict(reversed(values.items()))).item() == pairwise_info_nce(values).item()
    present = {name: torch.ones(10, dtype=torch.bool) for name in values}
    present["text"] = torch.arange(10) < 6
    poisoned = b.detach().clone()
    poisoned[6:] = 1e9
    poisoned.requires_grad_()
    clean = torch.stack([info_nce(a[:6], b[:6]), info_nce(a, c), info_nce(b[:6], c[:6])]).mean()
    found = pairwise_info_nce({**values, "text": poisoned}, present)
    assert found.item() == pytest.approx(clean.item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(found, poisoned)
    assert not gradient[6:].any()


def test_pairwise_without_a_shared_row_is_zero_and_still_has_a_gradient() -> None:
    a, b = embeddings(4)
    present = {
        "image": torch.tensor([True, True, False, False]),
        "text": torch.tensor([False, False, True, True]),
    }
    loss = pairwise_info_nce({"image": a, "text": b}, present)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, a)[0].any()


def test_only_the_named_pairs() -> None:
    a, b = embeddings(5)
    c, _ = embeddings(5, seed=2)
    found = pairwise_info_nce({"a": a, "b": b, "c": c}, pairs=[("a", "c")])
    assert found.item() == pytest.approx(info_nce(a, c).item(), abs=1e-14)


def test_bad_input_is_a_sentence() -> None:
    a, b = embeddings(4)
    with pytest.raises(ModalityError, match=r"temperature above 0, got 0\.0"):
        info_nce(a, b, temperature=0.0)
    with pytest.raises(
        (ModalityError, TypeError), match="info_nce"
    ):  # TypeError from the shape check of the tests
        info_nce(a, b[:3])


def test_scores_may_come_from_anywhere() -> None:
    a, b = embeddings(5)
    scores = torch.cosine_similarity(a[:, None], b[None], dim=2) / 0.2
    codes = torch.tensor([0, 0, 1, 2, 3])
    found = info_nce_of_scores(scores, codes_a=codes)
    assert found.item() == pytest.approx(info_nce(a, b, temperature=0.2, codes_a=codes).item(), abs=1e-12)
