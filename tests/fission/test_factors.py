from __future__ import annotations

import numpy as np

from polymodal.fission import factor_scores, fit_factors


def observed_loss(blocks, present, loadings):
    shared, private = factor_scores(blocks, present, loadings)
    return sum(
        float(((x - part.mean - shared @ part.shared - p @ part.private)[present[:, m]] ** 2).sum())
        for m, (x, part, p) in enumerate(zip(blocks, loadings, private, strict=True))
    )


def test_more_rounds_never_fit_worse_also_with_holes(rng):
    blocks = [rng.standard_normal((60, d)) for d in (5, 6, 4)]
    present = rng.random((60, 3)) < 0.8
    present[:10] = True
    losses = [
        observed_loss(blocks, present, fit_factors(blocks, present, 2, [1, 1, 1], max_iter=k)[0])
        for k in (1, 3, 10, 100)
    ]
    assert (np.diff(losses) <= 1e-9).all()
    assert losses[-1] < losses[0]


def test_scores_of_the_training_rows_solve_the_least_squares(rng):
    blocks = [rng.standard_normal((40, d)) for d in (5, 6)]
    present = np.ones((40, 2), dtype=bool)
    loadings, _ = fit_factors(blocks, present, 1, [1, 2])
    shared, private = factor_scores(blocks, present, loadings)
    residuals = [
        x - part.mean - shared @ part.shared - p @ part.private
        for x, part, p in zip(blocks, loadings, private, strict=True)
    ]
    np.testing.assert_allclose(
        sum(e @ part.shared.T for e, part in zip(residuals, loadings, strict=True)), 0, atol=1e-10
    )
    for e, part in zip(residuals, loadings, strict=True):
        np.testing.assert_allclose(e @ part.private.T, 0, atol=1e-10)
    # the observed loss is no more than that of the angle-based start followed by nothing
    start = fit_factors(blocks, present, 1, [1, 2], max_iter=0)[0]
    assert observed_loss(blocks, present, loadings) <= observed_loss(blocks, present, start) + 1e-9


def test_a_row_with_nothing_gets_zeros(rng):
    blocks = [rng.standard_normal((20, 4)), rng.standard_normal((20, 4))]
    present = np.ones((20, 2), dtype=bool)
    loadings, _ = fit_factors(blocks, present, 1, [1, 1])
    present[3] = False
    shared, private = factor_scores(blocks, present, loadings)
    assert shared[3].tolist() == [0.0]
    assert private[0][3].tolist() == [0.0]
