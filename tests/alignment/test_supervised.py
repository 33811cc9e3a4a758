"""Learned alignment costs: the likelihood of the true path, and paths of sequences never seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.alignment import DTW, Aligner, SakoeChiba, SupervisedAligner, align
from polymodal.alignment.supervised import complete_path, path_loss
from polymodal.core import Ragged
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.evaluation.alignment import path_error
from polymodal.training import Training

QUICK = Training(max_epochs=10, batch_size=5, learning_rate=2e-2, weight_decay=0.0, progress=False)


def pair(rng: np.random.Generator, n: int = 40, m: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two performances of a tune of three features, each beside nine loud wandering features that say nothing."""
    u, v = np.linspace(0, 1, n), np.linspace(0, 1, m) ** rng.uniform(0.6, 1.7)
    phase = rng.uniform(0, 6, 3)

    def played(s: np.ndarray) -> np.ndarray:
        tune = np.stack([np.sin(2 * np.pi * (k + 1) * s + phase[k]) for k in range(3)], axis=1)
        return np.hstack([tune, np.cumsum(rng.normal(size=(len(s), 9)), axis=0)])

    truth = np.stack([np.rint(v * (n - 1)).astype(int), np.arange(m)], axis=1)
    return played(u), played(v), truth


def all_paths(n: int, m: int) -> list[list[tuple[int, int]]]:
    if (n, m) == (1, 1):
        return [[(0, 0)]]
    before = [(n - 1, m), (n, m - 1), (n - 1, m - 1)]
    return [[*p, (n - 1, m - 1)] for i, j in before if i > 0 and j > 0 for p in all_paths(i, j)]


def test_the_loss_is_the_log_probability_among_all_paths(rng: np.random.Generator) -> None:
    costs = rng.normal(size=(3, 4)) ** 2
    paths = all_paths(3, 4)
    weights = np.exp([-sum(costs[i, j] for i, j in p) for p in paths])
    for p, w in zip(paths[:5], weights[:5], strict=True):
        true = np.zeros((1, 3, 4))
        true[0, [i for i, _ in p], [j for _, j in p]] = 1
        lengths = torch.tensor([3]), torch.tensor([4])
        found = path_loss(torch.tensor(costs[None]), torch.tensor(true), lengths)
        assert found.item() == pytest.approx(-np.log(w / weights.sum()) / len(p))


def test_the_loss_of_the_only_path_is_zero_and_gradients_are_right(rng: np.random.Generator) -> None:
    one = torch.ones(1, 1, 5, dtype=torch.float64)
    assert path_loss(3 * one, one, (torch.tensor([1]), torch.tensor([5]))).item() == pytest.approx(0)
    true = torch.zeros(1, 3, 3, dtype=torch.float64)
    true[0, [0, 1, 2], [0, 1, 2]] = 1
    lengths = torch.tensor([3]), torch.tensor([3])
    assert path_loss(100 * (1 - true), true, lengths).item() == pytest.approx(0, abs=1e-12)
    costs = torch.tensor(rng.normal(size=(1, 3, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: path_loss(c, true, lengths), (costs,))


def test_known_pairs_become_a_path() -> None:
    path = np.array([[0, 0], [1, 1], [1, 2], [2, 3]])
    np.testing.assert_array_equal(complete_path(path, 3, 4), path)
    landmarks = complete_path(np.array([[4, 2]]), 9, 5)
    assert landmarks[0].tolist() == [0, 0]
    assert landmarks[-1].tolist() == [8, 4]
    assert [4, 2] in landmarks.tolist()
    steps = np.diff(landmarks, axis=0)
    assert steps.min() >= 0
    assert steps.max() == 1
    back = complete_path(
        np.array([[2, 6], [5, 3], [7, 8]]), 10, 10
    )  # a crossing: 5 goes no further back than 6
    assert np.diff(back, axis=0).min() >= 0
    assert [5, 6] in back.tolist()
    with pytest.raises(ModalityError, match=r"frames 0\.\.2 of a and 0\.\.3 of b, got up to \[3, 0\]"):
        complete_path(np.array([[3, 0]]), 3, 4)
    with pytest.raises(ModalityError, match="at least one pair"):
        complete_path(np.zeros((0, 2), dtype=int), 3, 4)


@pytest.mark.parametrize("width", [0, 16])
def test_on_pairs_never_seen_it_beats_the_distance_it_began_with(width: int) -> None:
    rng = np.random.default_rng(0)
    train, test = [pair(rng) for _ in range(15)], [pair(rng) for _ in range(6)]
    model = SupervisedAligner(width=width, crop=30, training=QUICK, random_state=0)
    model.fit(*zip(*train, strict=True))  # type: ignore[arg-type]
    both = np.concatenate([side for a, b, _ in train for side in (a, b)])

    def plain(x: np.ndarray) -> np.ndarray:
        return (x - both.mean(axis=0)) / both.std(axis=0)

    learned = np.mean([path_error(model.align(a, b).path, t).mean for a, b, t in test])
    before = np.mean(
        [path_error(align(plain(a), plain(b), DTW("sqeuclidean")).path, t).mean for a, b, t in test]
    )
    assert learned < 0.5 * before
    assert learned < 1.5  # frames


def test_before_training_it_is_dtw_of_standardised_frames(rng: np.random.Generator) -> None:
    a, b, truth = pair(rng)
    still = Training(max_epochs=1, batch_size=1, learning_rate=1e-12, weight_decay=0.0, progress=False)
    model = SupervisedAligner(training=still, random_state=0).fit([a], [b], [truth])
    both = np.concatenate([a, b])
    x, y = ((s - both.mean(axis=0)) / both.std(axis=0) for s in (a, b))
    found = model.align(Ragged.of([a], rate=10.0), Ragged.of([b], rate=20.0))
    np.testing.assert_array_equal(found.path, align(x, y, DTW("sqeuclidean")).path)
    assert (found.rate_a, found.rate_b) == (10.0, 20.0)
    costs = rng.random((4, 5))
    np.testing.assert_array_equal(model.align_costs(costs).path, DTW().align_costs(costs).path)
    assert isinstance(model, Aligner)


def test_sides_with_unlike_features(rng: np.random.Generator) -> None:
    train = [pair(rng) for _ in range(8)]
    a, b, known = ([p[k] for p in train] for k in range(3))
    model = SupervisedAligner(
        3, crop=30, training=QUICK, aligner=DTW("sqeuclidean", SakoeChiba(30)), random_state=0
    )
    model.fit(a, [y[:, :5] for y in b], known)
    assert model.history_.loss[-1] < model.history_.loss[0]
    assert model.embed(a[0], b[0][:, :5])[1].shape == (50, 3)
    assert model.align(a[0], b[0][:, :5]).path[-1].tolist() == [39, 49]
    again = SupervisedAligner(3, crop=30, training=QUICK, random_state=0).fit(a, [y[:, :5] for y in b], known)
    np.testing.assert_array_equal(again.embed(a[0], b[0][:, :5])[0], model.embed(a[0], b[0][:, :5])[0])
    with pytest.raises(ModalityError, match=r"frames of 12 \(a\) and 5 \(b\) features, got 12 and 12"):
        model.align(a[0], b[0])


def test_bad_input_is_a_sentence(rng: np.random.Generator) -> None:
    a, b, truth = pair(rng)
    with pytest.raises(ModalityError, match="got 1 of a, 2 of b and 1 alignments"):
        SupervisedAligner().fit([a], [b, b], [truth])
    with pytest.raises(ModalityError, match="got 0 of a"):
        SupervisedAligner().fit([], [], [])
    with pytest.raises(ConfigError, match="crop >= 2"):
        SupervisedAligner(crop=1).fit([a], [b], [truth])
    with pytest.raises(ModalityError, match="shared=True needs as many features"):
        SupervisedAligner(shared=True).fit([a], [b[:, :2]], [truth])
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        SupervisedAligner().align(a, b)
    constant = SupervisedAligner(training=QUICK, random_state=0).fit(
        [np.ones((4, 2))], [np.ones((1, 2))], [[[0, 0]]]
    )
    assert len(constant.align(np.ones((4, 2)), np.ones((1, 2)))) == 4
