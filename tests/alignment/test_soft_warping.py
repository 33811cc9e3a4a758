"""Soft-DTW: against every path, finite differences, DTW, and another package; as a loss and as an aligner."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from polymodal.alignment import (
    DTW,
    SoftDTW,
    StepPattern,
    align,
    align_costs,
    dtw_distance,
    expected_alignment,
    soft_dtw,
    soft_dtw_costs,
    soft_dtw_divergence,
)
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError

METRICS = ["sqeuclidean", "euclidean", "cityblock", "cosine"]


@pytest.fixture(name="pair")
def _pair(rng):
    return tuple(torch.from_numpy(rng.normal(size=(t, 2))) for t in (7, 9))


def test_value_and_expected_alignment_over_every_path_of_four_by_four(rng, all_paths):
    costs, gamma = rng.random((4, 4)), 0.6
    cells = [c for c, _ in all_paths(4, 4, StepPattern.symmetric1(), [0]) if c[-1] == (3, 3)]
    assert len(cells) == 63  # the Delannoy number D(3, 3)
    totals = np.array([sum(costs[c] for c in path) for path in cells])
    tensor = torch.from_numpy(costs).requires_grad_()
    value = soft_dtw_costs(tensor, gamma=gamma)
    assert value.item() == pytest.approx(-gamma * logsumexp(-totals / gamma), rel=1e-12)
    value.backward()
    truth = np.zeros((4, 4))
    for path, chance in zip(cells, np.exp(-totals / gamma - logsumexp(-totals / gamma)), strict=True):
        truth[tuple(np.array(path).T)] += chance
    np.testing.assert_allclose(tensor.grad, truth, atol=1e-12)
    same = soft_dtw(torch.zeros(4, 1), torch.zeros(4, 1), gamma=gamma)
    assert same.item() == pytest.approx(-gamma * math.log(63), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_by_both_sequences(pair, metric):
    a, b = (s.clone().requires_grad_() for s in pair)
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw(x, y, gamma=0.5, metric=metric), (a, b))


def test_gradients_of_a_batch_of_unlike_lengths_and_of_costs(rng):
    a, b = (torch.from_numpy(rng.normal(size=(3, t, 2))).requires_grad_() for t in (5, 6))
    lengths = ([5, 2, 1], [3, 6, 1])
    assert torch.autograd.gradcheck(lambda x, y: soft_dtw(x, y, gamma=0.5, lengths=lengths), (a, b))
    costs = torch.from_numpy(rng.normal(size=(3, 5, 6))).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: soft_dtw_costs(c, gamma=0.5, lengths=lengths), (costs,))
    soft_dtw(a, b, lengths=lengths).sum().backward()
    assert not a.grad[1, 2:].any()
    assert not b.grad[0, 3:].any()


@pytest.mark.parametrize("metric", METRICS)
def test_a_small_gamma_is_dtw(pair, metric):
    a, b = (s.numpy() for s in pair)
    hard = align(a, b, DTW(metric))
    assert soft_dtw(*pair, gamma=1e-6, metric=metric).item() == pytest.approx(hard.cost, rel=1e-5)
    visits = expected_alignment(*pair, gamma=1e-4, metric=metric).numpy()
    np.testing.assert_allclose(visits, hard.matrix(), atol=1e-6)
    values = [soft_dtw(*pair, gamma=g, metric=metric).item() for g in (0.01, 0.1, 1.0, 10.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] <= hard.cost * (1 + 1e-12)


def test_relations_of_the_docstrings(pair):
    a, b = pair
    assert soft_dtw(a, b).item() == pytest.approx(soft_dtw(b, a).item(), rel=1e-12)
    visits = expected_alignment(a, b)
    assert visits.shape == (7, 9)
    assert visits[0, 0].item() == pytest.approx(1.0)
    assert visits[-1, -1].item() == pytest.approx(1.0)
    assert (visits >= 0).all()
    assert (visits <= 1 + 1e-12).all()
    assert (visits.sum(0) >= 1 - 1e-12).all()
    assert (visits.sum(1) >= 1 - 1e-12).all()
    costs = torch.cdist(a, b)
    rise = (soft_dtw_costs(costs + 1e-6) - soft_dtw_costs(costs)) / 1e-6
    assert rise.item() == pytest.approx(expected_alignment(a, b, metric="euclidean").sum().item(), rel=1e-5)


def test_divergence_is_zero_for_equals_and_positive_for_others(pair, rng):
    a, b = pair
    x = a.clone().requires_grad_()
    none = soft_dtw_divergence(x, a)
    assert none.item() == pytest.approx(0.0, abs=1e-12)
    none.backward()
    assert x.grad.abs().max() < 1e-12
    assert (soft_dtw(a, a, gamma=1.0) < 0).all()  # which is why
    for gamma in (0.1, 1.0, 10.0):
        assert soft_dtw_divergence(a, b, gamma=gamma) > 0
    many = torch.from_numpy(rng.normal(size=(40, 5, 2))) * 0.3
    assert (soft_dtw_divergence(many, many.flip(0), gamma=1.0) > 0).all()
    small = soft_dtw_divergence(a, b, gamma=1e-6).item()
    assert small == pytest.approx(dtw_distance(a.numpy(), b.numpy(), DTW("sqeuclidean")), rel=1e-5)
    both = soft_dtw_divergence(many, many.flip(0), lengths=([5] * 40, [4] * 40))
    assert both[0].item() == pytest.approx(soft_dtw_divergence(many[0], many[-1, :4]).item())


def test_batches_lists_and_ragged_give_each_pairs_own_value(rng):
    xs = [rng.normal(size=(t, 3)).astype(np.float32) for t in (4, 9, 1)]
    ys = [rng.normal(size=(t, 3)).astype(np.float32) for t in (6, 2, 5)]
    alone = [soft_dtw(x, y).item() for x, y in zip(xs, ys, strict=True)]
    listed = soft_dtw(xs, ys)
    assert listed.dtype == torch.float32
    np.testing.assert_allclose(listed, alone, rtol=1e-6)
    np.testing.assert_allclose(soft_dtw(Ragged.of(xs), Ragged.of(ys)), alone, rtol=1e-6)
    (a, _), (b, _) = Ragged.of(xs).pad(fill=np.nan), Ragged.of(ys).pad(fill=1e9)
    lengths = ([4, 9, 1], [6, 2, 5])
    np.testing.assert_allclose(soft_dtw(a, b, lengths=lengths), alone, rtol=1e-6)
    np.testing.assert_allclose(
        soft_dtw(a, b, lengths=lengths, metric=lambda x, y: torch.cdist(x, y) ** 2), alone, rtol=1e-4
    )
    visits = expected_alignment(xs, ys)
    assert visits.shape == (3, 9, 6)
    assert not visits[0, 4:].any()
    flat = [torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([2.0])]
    soft_dtw(flat, flat[::-1]).sum().backward()
    assert flat[0].grad is not None
    assert soft_dtw([0.0, 1.0], [0.0, 1.0]).ndim == 0


def test_parts_worked_out_again_on_the_way_back_change_nothing(rng, monkeypatch):
    a, b = (torch.from_numpy(rng.normal(size=(300, 2))).requires_grad_() for _ in "ab")
    soft_dtw(a, b).backward()
    whole = a.grad.clone()
    monkeypatch.setattr("polymodal.alignment.soft_warping.KEPT", 1)
    a.grad = None
    soft_dtw(a, b).backward()
    torch.testing.assert_close(a.grad, whole, rtol=1e-12, atol=1e-12)


def test_parity_with_tslearn(rng):
    other = pytest.importorskip("tslearn.metrics")
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(24, 3))
    assert soft_dtw(a, b, gamma=0.3).item() == pytest.approx(other.soft_dtw(a, b, gamma=0.3))
    visits, _ = other.soft_dtw_alignment(a, b, gamma=0.3)
    np.testing.assert_allclose(expected_alignment(a, b, gamma=0.3), visits, atol=1e-9)


def test_as_an_aligner(pair, rng):
    a, b = (s.numpy() for s in pair)
    found = align(a, b, SoftDTW(0.5))
    np.testing.assert_allclose(found.coupling.toarray(), expected_alignment(*pair, gamma=0.5), atol=1e-9)
    assert found.cost == pytest.approx(soft_dtw(*pair, gamma=0.5).item())
    assert found.cost == pytest.approx(SoftDTW(0.5).distance(a, b))
    assert found.path[0].tolist() == [0, 0]
    assert found.path[-1].tolist() == [6, 8]
    steps = np.diff(found.path, axis=0)
    assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}
    for metric in METRICS:
        sharp, hard = align(a, b, SoftDTW(1e-4, metric)), align(a, b, DTW(metric))
        np.testing.assert_array_equal(sharp.path, hard.path)
        assert sharp.cost == pytest.approx(hard.cost, abs=1e-2)
        assert SoftDTW(0.5, metric).distance(a, b) == pytest.approx(align(a, b, SoftDTW(0.5, metric)).cost)
    costs = rng.random((5, 6))
    assert align_costs(costs, "soft_dtw").cost == pytest.approx(
        soft_dtw_costs(torch.from_numpy(costs)).item()
    )


def test_the_path_is_the_expected_alignments_best_reading(rng, all_paths):
    costs = rng.random((4, 5))
    found = align_costs(costs, SoftDTW(0.3))
    visits = found.coupling.toarray()
    cells = [c for c, _ in all_paths(4, 5, StepPattern.symmetric1(), [0]) if c[-1] == (3, 4)]
    least = min(sum(1 - 2 * visits[c] for c in path) for path in cells)
    assert sum(1 - 2 * visits[tuple(c)] for c in found.path) == pytest.approx(least)


def test_as_a_loss_it_finds_the_middle_of_warped_sequences():
    """A barycentre keeps the one peak's height, which the mean of shifted peaks loses."""
    t = torch.linspace(0, 1, 40, dtype=torch.float64)
    bumps = torch.stack([torch.exp(-(((t - c) / 0.07) ** 2)) for c in (0.3, 0.5, 0.7)])[:, :, None]
    middle = bumps.mean(0).clone().requires_grad_()
    optimiser = torch.optim.LBFGS([middle], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = soft_dtw_divergence(middle.expand(3, -1, -1), bumps, gamma=0.1).sum()
        value.backward()
        return value

    before = loss().item()
    optimiser.step(loss)
    assert loss().item() < 0.1 * before
    assert middle.max() > 0.95
    assert bumps.mean(0).max() < 0.4
    assert 15 < middle.argmax() < 24


def test_what_does_not_fit_is_refused_by_sentence(pair):
    a, b = pair
    with pytest.raises(ModalityError, match="gamma > 0"):
        soft_dtw(a, b, gamma=0.0)
    with pytest.raises(ModalityError, match="gamma > 0"):
        SoftDTW(-1.0)
    with pytest.raises(ModalityError, match="pair by pair"):
        soft_dtw(a, b[:, :1])
    with pytest.raises(ModalityError, match="pair by pair"):
        soft_dtw(a, b[None])
    with pytest.raises(ModalityError, match="from 1 to 7 frames"):
        soft_dtw(a[None], b[None], lengths=([8], [9]))
    with pytest.raises(ModalityError, match="at least one frame"):
        soft_dtw([a, a[:0]], [b, b])
    with pytest.raises(ModalityError, match="none empty"):
        soft_dtw(a[:0], b)
    with pytest.raises(ModalityError, match="none empty"):
        soft_dtw_costs(torch.zeros(0, 3))
    with pytest.raises(ModalityError, match="Unknown metric 'manhattan'"):
        soft_dtw(a, b, metric="manhattan")
    with pytest.raises(ModalityError, match="Unknown metric 'manhattan'"):
        SoftDTW(metric="manhattan")
    with pytest.raises(ModalityError, match=r"must give costs \(7, 9\), got \(9, 7\)"):
        soft_dtw(a, b, metric=lambda x, y: torch.cdist(y, x))
    with pytest.raises(ModalityError, match="expected alignment.* GiB"):
        align(np.zeros(10**5), np.zeros(10**5), SoftDTW())
