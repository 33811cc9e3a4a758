"""Which pairs of rows belong together, from one identity code per row and side; in linear time and memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polymodal.core.typing import Bool, Float, Int


def positive_pairs(codes_a: Int[Tensor, " n"], codes_b: Int[Tensor, " n"]) -> Bool[Tensor, "n n"]:
    """True at (i, j) where some row k holds the value of `a` in row i together with the value of `b` in row j.

    So row i is its own positive; rows that share a picture share their captions; rows that share a caption
    share their pictures; and a pair that is seen once is never a negative elsewhere in the batch.

    Args:
        codes_a: Rows with equal codes hold equal values of the first modality.
        codes_b: The same for the second modality.

    Complexity:
        O(n^2) memory: for tests, and for losses that are quadratic anyway. `Positives` is the linear form.

    Relations:
        * all codes distinct on both sides: the identity matrix.
        * the same codes on both sides: the block matrix of equal codes.
        * contains every pair that shares an identity on either side.
    """
    _, code_a = torch.unique(codes_a, return_inverse=True)
    _, code_b = torch.unique(codes_b, return_inverse=True)
    seen = torch.zeros(len(code_a), len(code_b), dtype=torch.bool, device=codes_a.device)
    seen[code_a, code_b] = True
    return seen[code_a][:, code_b]


@dataclass(frozen=True)
class Positives:
    """The matrix of `positive_pairs` as a sparse sum: n x n never exists, and a product with it costs O(n d)."""

    code_a: Int[Tensor, " n"]
    code_b: Int[Tensor, " n"]
    edge_a: Int[Tensor, " e"]
    edge_b: Int[Tensor, " e"]
    n_codes: tuple[int, int]

    @classmethod
    def of(cls, codes_a: Int[Tensor, " n"], codes_b: Int[Tensor, " n"]) -> Positives:
        """Renumber the codes and keep each (a, b) combination that some row holds once."""
        unique_a, code_a = torch.unique(codes_a, return_inverse=True)
        unique_b, code_b = torch.unique(codes_b, return_inverse=True)
        edges = torch.unique(code_a * len(unique_b) + code_b)
        width = max(1, len(unique_b))
        return cls(code_a, code_b, edges // width, edges % width, (len(unique_a), len(unique_b)))

    def transposed(self) -> Positives:
        """The same pairs seen from the other side."""
        return Positives(self.code_b, self.code_a, self.edge_b, self.edge_a, self.n_codes[::-1])

    def sum_over(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Row i: the sum of `values` over the positives of row i (the positive matrix times `values`)."""
        by_b = values.new_zeros(self.n_codes[1], values.shape[1]).index_add_(0, self.code_b, values)
        by_a = values.new_zeros(self.n_codes[0], values.shape[1]).index_add_(
            0, self.edge_a, by_b[self.edge_b]
        )
        return by_a[self.code_a]

    def counts(self, like: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """How many positives each row has, at least one: itself."""
        return self.sum_over(like.new_ones(len(like), 1)).squeeze(1)
