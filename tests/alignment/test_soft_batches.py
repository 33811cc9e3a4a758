"""Sequences of any kind as padded batches, and their costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from polymodal.alignment._soft_batches import cost_matrices, pair
from polymodal.core import Ragged


def test_one_sequence_a_batch_a_list_and_ragged(rng):
    x = rng.normal(size=(4, 2))
    for given, shape, single in [
        (x, (1, 4, 2), True),
        (x[:, 0], (1, 4, 1), True),
        (x[None], (1, 4, 2), False),
        ([x, x[:2]], (2, 4, 2), False),
        (Ragged.of([x, x[:2]]), (2, 4, 2), False),
        ([1.0, 2.0], (1, 2, 1), True),
    ]:
        a, b, n, m, one = pair(given, given, None)
        assert a.shape == b.shape == shape
        assert one is single
        assert n.tolist() == m.tolist() == [4, 2][: shape[0]] if shape[1] == 4 else [2]


def test_what_stands_in_padding_gets_no_say(rng):
    x = torch.from_numpy(rng.normal(size=(2, 4, 3)))
    x[1, 2:] = torch.nan
    x.requires_grad_()
    a, b, _, _, _ = pair(x, x.detach(), ([4, 2], [4, 2]))
    assert not a[1, 2:].any()
    cost_matrices(a, b, "sqeuclidean").sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[1, 2:].any()


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cityblock", "cosine"])
def test_costs_equal_scipys_even_far_from_zero(rng, metric):
    x, y = rng.normal(size=(2, 5, 3)) + 1e3, rng.normal(size=(2, 6, 3)) + 1e3
    found = cost_matrices(torch.from_numpy(x), torch.from_numpy(y), metric)
    for p in range(2):
        np.testing.assert_allclose(found[p], cdist(x[p], y[p], metric), rtol=1e-9, atol=1e-11)
