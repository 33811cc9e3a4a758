"""All pairs: the same numbers as one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from polymodal.alignment import DTW, SakoeChiba, dtw_distance, pairwise_dtw
from polymodal.alignment._pairs import in_threads
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError

METHODS = {
    "plain": DTW(),
    "window": DTW("sqeuclidean", SakoeChiba(9)),
    "symmetric2": DTW(step="symmetric2"),
    "slope": DTW(step="symmetric_p1"),
    "independent": DTW(convention="root", features="independent"),
    "open end": DTW(open_end=True),
    "cosine": DTW("cosine"),
    "callable": DTW(lambda x, y: cdist(x, y, "chebyshev")),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_pairwise_entries_are_the_distances(rng, method):
    x = Ragged.of([rng.normal(size=(t, 3)) for t in (8, 12, 8, 15)])
    other = [rng.normal(size=(t, 3)) for t in (9, 14)]
    square, table = pairwise_dtw(x, method=method, n_jobs=2), pairwise_dtw(x, other, method)
    for i in range(4):
        np.testing.assert_allclose(table[i], [dtw_distance(x[i], b, method) for b in other], rtol=1e-12)
        np.testing.assert_allclose(
            square[i], [dtw_distance(x[i], x[j], method) for j in range(4)], rtol=1e-12, atol=1e-12
        )
    assert pairwise_dtw(rng.normal(size=(3, 10))).shape == (3, 3)
    assert pairwise_dtw([]).shape == (0, 0)


def test_sequences_that_cannot_be_compared_are_refused(rng):
    with pytest.raises(ModalityError, match="as many features"):
        pairwise_dtw([rng.normal(size=(4, 2)), rng.normal(size=(4, 3))])
    with pytest.raises(ModalityError, match="several sequences"):
        pairwise_dtw(np.ones(5))
    with pytest.raises(ModalityError, match=r"Sequence other\[1\] holds NaN"):
        pairwise_dtw(np.ones((2, 3)), [np.ones(3), np.full(3, np.nan)])


def test_threads_keep_the_order():
    assert in_threads(lambda x: x * x, list(range(20)), 3) == [x * x for x in range(20)]
