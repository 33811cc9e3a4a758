"""Alignment as a by-product: a model that writes b from a, and what it looks at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.alignment import Aligner, AttentionAligner
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.evaluation.alignment import match_scores
from polymodal.training import Training

QUICK = Training(max_epochs=25, batch_size=32, learning_rate=1e-2, progress=False)


def reversed_pair(rng: np.random.Generator) -> tuple[list[str], list[str], np.ndarray]:
    """b says the words of a in another tongue, from the last to the first."""
    chosen = rng.integers(0, 8, rng.integers(3, 6))
    n = len(chosen)
    truth = np.stack([np.arange(n)[::-1], np.arange(n)], axis=1)
    return [f"w{i}" for i in chosen], [f"v{i}" for i in chosen[::-1]], truth


@pytest.fixture(scope="module")
def turned() -> tuple[AttentionAligner, list]:
    rng = np.random.default_rng(0)
    train, test = [reversed_pair(rng) for _ in range(400)], [reversed_pair(rng) for _ in range(30)]
    model = AttentionAligner(32, dropout=0.0, training=QUICK, random_state=0)
    return model.fit([a for a, _, _ in train], [b for _, b, _ in train]), test


def test_it_finds_an_order_that_it_was_never_told(turned: tuple[AttentionAligner, list]) -> None:
    model, test = turned
    found = [match_scores(model.align(a, b).path, truth).recall for a, b, truth in test]
    assert np.mean(found) > 0.9  # by chance about a quarter


def test_the_answer_is_a_coupling_and_a_likelihood(turned: tuple[AttentionAligner, list]) -> None:
    model, test = turned
    a, b, _ = test[0]
    found = model.align(a, b)
    weights = found.coupling.toarray()
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-5)
    assert found.path[np.argsort(found.path[:, 1]), 0].tolist() == weights.argmax(axis=0).tolist()
    numbers = torch.tensor([[model.vocabulary_b_[w] for w in b]])
    x = torch.tensor([[model.vocabulary_a_[w] for w in a]])
    with torch.no_grad():
        scores, _ = model.module_(x, torch.ones_like(x, dtype=torch.bool), numbers)
    log_p = scores[0].log_softmax(-1)[torch.arange(len(b)), numbers[0]].sum()
    assert found.cost == pytest.approx(-float(log_p), rel=1e-4)
    assert isinstance(model, Aligner)
    assert model.align(a, ["never", "seen"]).length_b == 2  # unknown words are words


def test_frames_to_words_read_as_a_path(rng: np.random.Generator) -> None:
    """Each letter sounds for some frames; which, nobody says."""
    sounds = np.eye(4)

    def spoken() -> tuple[np.ndarray, list[str], np.ndarray]:
        letters = rng.permutation(4)[:3]
        lengths = rng.integers(2, 6, 3)
        frames = sounds[np.repeat(letters, lengths)] + 0.1 * rng.normal(size=(lengths.sum(), 4))
        return frames, [f"l{i}" for i in letters], np.repeat(np.arange(3), lengths)

    train, test = [spoken() for _ in range(200)], [spoken() for _ in range(20)]
    model = AttentionAligner(16, monotone=True, dropout=0.0, training=QUICK, random_state=0)
    model.fit([a for a, _, _ in train], [b for _, b, _ in train])
    right = []
    for a, b, owner in test:
        found = model.align(a, b)
        assert (np.diff(found.path, axis=0) >= 0).all()
        right.append(np.mean([owner[i] == j for i, j in found.path]))
    assert np.mean(right) > 0.75
    with pytest.raises(ModalityError, match="a must be frames of numbers"):
        model.align("a text", ["l1"])


def test_costs_are_read_the_same_way() -> None:
    found = AttentionAligner().align_costs(np.array([[0.0, 3.0], [2.0, 1.0]]))
    assert found.path.tolist() == [[0, 0], [1, 1]]
    np.testing.assert_allclose(found.coupling.toarray().sum(axis=0), 1)
    assert found.cost == 1.0


def test_same_seed_same_weights(rng: np.random.Generator) -> None:
    pairs = [reversed_pair(rng) for _ in range(10)]
    short = Training(max_epochs=1, batch_size=5, progress=False)
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    one, two = (
        AttentionAligner(8, training=short, random_state=3).fit(a, b).align(a[0], b[0]) for _ in range(2)
    )
    np.testing.assert_array_equal(one.coupling.toarray(), two.coupling.toarray())


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        AttentionAligner().align("a", "b")
    with pytest.raises(ConfigError, match="even width"):
        AttentionAligner(7).fit(["a"], ["b"])
    with pytest.raises(ModalityError, match="got 2 and 1"):
        AttentionAligner().fit(["a", "b"], ["b"])
    with pytest.raises(ModalityError, match=r"b\[1\] holds no word"):
        AttentionAligner().fit(["a", "b"], ["b", ""])
    with pytest.raises(ModalityError, match="A sentence is a text or a list of words"):
        AttentionAligner().fit(["a"], [np.ones(3)])
