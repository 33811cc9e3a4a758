"""The hidden Markov model of word alignment against the sum over all its paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.alignment import HMMWordAligner
from polymodal.core.errors import ConfigError

GERMAN = ["das Haus", "das Buch", "ein Buch", "das Haus ist klein", "klein ist das Buch"]
ENGLISH = ["the house", "the book", "a book", "the house is small", "small is the book"]


def enumerated(model: HMMWordAligner, a: list[str], b: list[str]) -> tuple[float, np.ndarray, list[int]]:
    """log-likelihood, posterior links and the best links, by all (l + 1)^m choices."""
    n, reach = len(a), model.max_jump

    def jump(p: int, i: int) -> float:
        weights = [model.jumps_[np.clip(k - p, -reach, reach) + reach] for k in range(1, n + 1)]
        return weights[i - 1] / sum(weights)

    total, best, best_p = 0.0, [], -1.0
    posterior = np.zeros((len(b), n + 1))
    for chosen in itertools.product(range(n + 1), repeat=len(b)):
        p, at = 1.0, 0
        for j, i in enumerate(chosen):
            if i == 0:
                p *= model.p_empty * max(model.translation_probability(None, b[j]), 1e-9)
            else:
                p *= (1 - model.p_empty) * jump(at, i)
                p *= max(model.translation_probability(a[i - 1], b[j]), 1e-9)
                at = i
        total += p
        posterior[np.arange(len(b)), chosen] += p
        if p > best_p:
            best, best_p = list(chosen), p
    return float(np.log(total)), posterior / total, best


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_likelihood_posteriors_and_best_path_equal_enumeration(smoothing: float) -> None:
    model = HMMWordAligner(2, smoothing=smoothing, max_jump=3).fit(GERMAN, ENGLISH)
    for a, b in (
        ("das Haus", "the house"),
        ("das Haus ist klein", "the house is small"),
        ("ein Haus", "small"),
    ):
        x, y = a.lower().split(), b.split()
        log_likelihood, posterior, best = enumerated(model, x, y)
        found = model.align(a, b)
        assert -found.cost == pytest.approx(log_likelihood, abs=1e-6)
        np.testing.assert_allclose(found.coupling.toarray(), posterior[:, 1:].T, atol=1e-6)
        assert found.path.tolist() == sorted([i - 1, j] for j, i in enumerate(best) if i)


def test_the_likelihood_never_falls() -> None:
    model = HMMWordAligner(12).fit(GERMAN, ENGLISH)
    assert (np.diff(model.log_likelihoods_) >= -1e-9).all()
    assert model.jumps_.sum() == pytest.approx(1)


def test_the_chain_tells_repeated_words_apart() -> None:
    a = ["the", "cat", "sees", "the", "dog", "and", "the", "bird"]
    b = ["le", "chat", "voit", "le", "chien", "et", "le", "oiseau"]
    pairs = [(a, b), (a[:2], b[:2]), (a[3:5], b[3:5]), (a[6:], b[6:])]
    model = HMMWordAligner(5).fit([x for x, _ in pairs], [y for _, y in pairs])
    assert model.align(a, b).path.tolist() == [[i, i] for i in range(8)]
    assert model.jumps_.argmax() - model.max_jump == 1  # one word after the other


def test_long_sentences_do_not_underflow() -> None:
    words = [f"w{i}" for i in range(200)]
    model = HMMWordAligner(1).fit([words], [words])
    found = model.align(words, words)
    assert np.isfinite(found.cost)
    assert found.coupling.toarray().sum() <= 200


def test_bad_input_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"p_empty in \(0, 1\) and max_jump >= 1, got 0"):
        HMMWordAligner(p_empty=0).fit(GERMAN, ENGLISH)
    assert "HMMWordAligner(5" in repr(HMMWordAligner())
