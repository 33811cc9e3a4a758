"""The compiled steps are tested against enumeration through the models; here: what they add up."""

from __future__ import annotations

import numpy as np

from polymodal.alignment._translation_kernels import hmm_posteriors, jump_norms


def test_jump_weights_add_up_within_the_sentence() -> None:
    norms = np.empty(4)
    jump_norms(np.array([1.0, 2.0, 4.0]), 3, norms)  # back 1, stay 2, forward 4
    # before the first word: to 1 (+1), 2 and 3 (clipped to +1); from 2: to 1 (-1), 2 (0), 3 (+1)
    np.testing.assert_allclose(norms, [12, 2 + 4 + 4, 1 + 2 + 4, 1 + 1 + 2])


def test_expected_jumps_and_departures_are_the_words_that_are_not_empty(rng: np.random.Generator) -> None:
    t = rng.random((5, 4))
    posterior, departures, jumps = np.empty_like(t), np.zeros(4), np.zeros(7)
    weights = rng.random(7)
    hmm_posteriors(t[:, 1:].copy(), t[:, 0].copy(), weights, 0.3, posterior, departures, jumps)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    np.testing.assert_allclose(departures.sum(), posterior[:, 1:].sum())
    np.testing.assert_allclose(jumps.sum(), posterior[:, 1:].sum())
