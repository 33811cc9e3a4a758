from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.objectives import positive_pairs
from polymodal.objectives.positives import Positives


def test_distinct_codes_are_the_identity() -> None:
    assert torch.equal(positive_pairs(torch.arange(4), torch.arange(4) + 9), torch.eye(4, dtype=torch.bool))


def test_shared_picture_shares_captions_and_seen_pairs_are_never_negatives() -> None:
    # rows: (A, x), (A, y), (B, y), (C, z): picture A with caption y is row 1, so rows 0 and 2 are positives
    found = positive_pairs(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2]))
    assert found.int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_sparse_sum_is_the_product_with_the_matrix(pairs: list[tuple[int, int]]) -> None:
    codes_a, codes_b = torch.tensor(pairs).T
    matrix = positive_pairs(codes_a, codes_b)
    direct = (codes_a[:, None] == codes_a) | (codes_b[:, None] == codes_b)
    assert (matrix | ~direct).all()
    values = torch.randn(len(pairs), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sparse = Positives.of(codes_a, codes_b)
    torch.testing.assert_close(sparse.sum_over(values), matrix.double() @ values)
    torch.testing.assert_close(sparse.transposed().sum_over(values), matrix.double().T @ values)
    torch.testing.assert_close(sparse.counts(values), matrix.double().sum(1))
