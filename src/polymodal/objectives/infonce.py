r"""InfoNCE: recognise your own partner among all rows. A slow definition, and a tiled one of linear memory.

Prediction, written before the tiled form: materialised, the symmetric loss takes two products forward and four
backward (6 x 2 n^2 d operations) and holds four n x n arrays. One sweep of tiles gives the log-sum-exp of rows and
columns from one product; one recompute sweep gives both gradients from one product and feeds two more: 4 x 2 n^2 d,
so at least 1.5x faster where products dominate, more because softmax passes stay in cache; memory is one tile beside
the two gradients. Outcome: benchmarks/bench_info_nce.py (figures in docs/decisions/0010-tiled-info-nce.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float, Int
from polymodal.objectives.pairwise import pairwise_loss
from polymodal.objectives.positives import Positives, positive_pairs

_TILE = {"cpu": 1024}
"""Rows and columns of one tile: two tiles of 4 MiB stay in a processor's cache; elsewhere `_LARGE_TILE`."""

_LARGE_TILE = 4096

_TINY = 1e-20
"""A column sum below this may have lost terms to underflow (float32 ends at 1e-38): sum that tile's columns again."""

_SAFE_RANGE = 60.0
"""exp of at most this factor cannot bring a term back that underflowed: below, one exp serves rows and columns."""


def info_nce(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    temperature: float | Tensor = 0.07,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " n"] | None = None,
    normalize: bool = True,
    tile: int | None = None,
) -> Float[Tensor, ""]:
    r"""Symmetric InfoNCE: each row of `a` must recognise its own row of `b` among all rows, and vice versa.

    $$ L = -\frac{1}{2n} \sum_i \Big[ \frac{1}{|P(i)|} \sum_{p \in P(i)}
           \log \frac{e^{s_{ip}/\tau}}{\sum_j e^{s_{ij}/\tau}} \Big] + (a \leftrightarrow b),
       \qquad s_{ij} = \cos(a_i, b_j) $$

    P(i) holds the row itself and, where codes say so, every row whose `b` is known to belong to `a_i`
    (`positive_pairs`): the mean of log-probabilities over positives ("out" in Khosla et al. 2020).

    Args:
        a: One embedding per row; normalised here, so their lengths do not matter.
        b: The partners, row by row.
        temperature: tau > 0; a tensor gets its gradient. Smaller concentrates on the hardest negatives.
        codes_a: Rows with equal codes hold the same thing in `a` (several captions of one picture). None: all differ.
        codes_b: The same for `b` (equal captions). Give one label array as both for supervised contrast.
        weights: How much each row counts as a question, >= 0; every row stays an answer. None: equally.
        normalize: False takes the vectors as they are: s is then their inner product.
        tile: Rows and columns of one tile; None: what suits the device.

    Returns:
        Loss in nats. Exactly log n when all scores are equal; larger when they mislead. 0 for no or one row.

    Raises:
        ModalityError: `a` and `b` of different shapes, or a temperature that is not positive.

    Complexity:
        8 n^2 d operations forward and backward; memory n d for each gradient, and one tile.

    Relations:
        * equals `info_nce_reference`, forward and gradient.
        * symmetric: info_nce(a, b) = info_nce(b, a).
        * log n - InfoNCE <= I(a; b) on average (van den Oord et al. 2018).
        * temperature -> infinity: loss -> log n, without repeated codes.
        * all codes distinct: the plain loss.
        * weights of ones: the plain loss.

    References: van den Oord et al. 2018; Radford et al. 2021 (figure 3); Khosla et al. 2020 (equation 2).
    """
    _check(a, b)
    if a.dtype in (torch.bfloat16, torch.float16):
        a, b = a.float(), b.float()
    scale = _inverse(temperature, a)
    if len(a) == 0:
        return (a.sum() + b.sum()) * 0 * scale
    share = torch.full_like(a[:, 0].detach(), 1 / len(a)) if weights is None else weights / weights.sum()
    positives = _positives(len(a), codes_a, codes_b)
    size = tile or _TILE.get(a.device.type, _LARGE_TILE)
    with torch.autocast(a.device.type, enabled=False):  # bfloat16 scores at scale 100 would be off by 0.25
        loss: Tensor = _Tiled.apply(a, b, scale, share.to(a.dtype), positives, normalize, size)  # type: ignore[no-untyped-call]
    return loss


def info_nce_reference(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "n d"],
    *,
    temperature: float | Tensor = 0.07,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " n"] | None = None,
    normalize: bool = True,
) -> Float[Tensor, ""]:
    """The definition of `info_nce` in plain steps, with all n x n scores at once: the truth in tests."""
    _check(a, b)
    if normalize:
        a, b = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
    logits = a @ b.T * _inverse(temperature, a)
    return info_nce_of_scores(logits, codes_a=codes_a, codes_b=codes_b, weights=weights)


def info_nce_of_scores(
    scores: Float[Tensor, "n n"],
    *,
    codes_a: Int[Tensor, " n"] | None = None,
    codes_b: Int[Tensor, " n"] | None = None,
    weights: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """`info_nce` of scores that are no inner products (each pair compared by a function of both), already over the temperature.

    Args:
        scores: How well row i of the one modality fits row j of the other, divided by the temperature.
        codes_a: As for `info_nce`.
        codes_b: As for `info_nce`.
        weights: As for `info_nce`.

    Relations:
        * scores of cosines over tau: `info_nce_reference`.
    """
    rows = torch.arange(len(scores), device=scores.device)
    friends = positive_pairs(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    positive = friends.to(scores.dtype)
    by_row = -(scores.log_softmax(1) * positive).sum(1) / positive.sum(1)
    by_column = -(scores.log_softmax(0) * positive).sum(0) / positive.sum(0)
    share = torch.full_like(by_row, 1 / len(scores)) if weights is None else weights / weights.sum()
    return (share * (by_row + by_column)).sum() / 2


def pairwise_info_nce(
    representations: Mapping[str, Float[Tensor, "n d"]],
    present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    *,
    temperature: float | Tensor = 0.07,
    codes: Mapping[str, Int[Tensor, " n"]] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Float[Tensor, ""]:
    """`info_nce` averaged over pairs of modalities; a row that lacks either is left out of that pair's loss.

    Args:
        representations: Name -> one embedding per row; values where `present` is False never enter.
        present: Name -> True on the rows that have it. None: all have all.
        temperature: As for `info_nce`, shared by all pairs.
        codes: Name -> identity codes, as for `info_nce`.
        pairs: Which pairs of names; None: all.

    Returns:
        The mean over the pairs that have at least two rows together; 0 where none has.

    Relations:
        * two modalities, nothing missing: `info_nce`.
        * the order of names does not matter.
        * values on absent rows do not matter, nor get a gradient.
    """

    def loss(a: Tensor, b: Tensor, codes_a: Tensor | None, codes_b: Tensor | None) -> Tensor:
        return info_nce(a, b, temperature=temperature, codes_a=codes_a, codes_b=codes_b)

    return pairwise_loss(loss, representations, present, codes=codes, pairs=pairs)


# --- the tiled form -------------------------------------------------------------------------------------------------


class _Tiled(torch.autograd.Function):
    """Two sweeps over tiles: log-sum-exp of rows and columns, then both gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        scale: Tensor,
        share: Tensor,
        positives: Positives | None,
        normalize: bool,
        tile: int,
    ) -> Tensor:
        inverse_a, inverse_b = _inverse_lengths(a, normalize), _inverse_lengths(b, normalize)
        lse_row, lse_column = _log_sums(a, b, scale, inverse_a, inverse_b, tile)
        to_a, to_b = _attraction(a, b, inverse_a, inverse_b, share, positives, tile)
        agreement = scale * (to_a + to_b)
        ctx.save_for_backward(a, b, scale, share, inverse_a, inverse_b, lse_row, lse_column)
        ctx.positives, ctx.tile, ctx.normalize = positives, tile, normalize
        return ((share * (lse_row + lse_column)).sum() - agreement) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, scale, share, inverse_a, inverse_b, lse_row, lse_column = ctx.saved_tensors
        half = grad * share / 2
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        for rows in _blocks(len(a), ctx.tile):
            x = _unit(a, inverse_a, rows)
            for columns in _blocks(len(b), ctx.tile):
                y = _unit(b, inverse_b, columns)
                g = _score_gradient(
                    x * scale, y, lse_row[rows], lse_column[columns], half[rows], half[columns]
                )
                grad_a[rows].addmm_(g, y)
                grad_b[columns].addmm_(g.T, x)
        _subtract_attraction(grad_a, grad_b, a, b, inverse_a, inverse_b, half, ctx.positives, ctx.tile)
        # sum over ij of (dL/ds_ij) cos_ij, read off the gradient: no sweep of its own
        grad_scale = sum(((grad_a[r] * a[r]).sum(1) * inverse_a[r]).sum() for r in _blocks(len(a), ctx.tile))
        for gradient, raw, inverse in ((grad_a, a, inverse_a), (grad_b, b, inverse_b)):
            _through_length(gradient, raw, inverse, scale, ctx.normalize, ctx.tile)
        return grad_a, grad_b, grad_scale, None, None, None, None


def _log_sums(
    a: Tensor, b: Tensor, scale: Tensor, inverse_a: Tensor, inverse_b: Tensor, tile: int
) -> tuple[Tensor, Tensor]:
    """Log sum_j exp(s_ij) of every row and log sum_i exp(s_ij) of every column, from one product a tile."""
    lse_row = a.new_full((len(a),), -torch.inf)
    lse_column = b.new_full((len(b),), -torch.inf)
    for rows in _blocks(len(a), tile):
        x = _unit(a, inverse_a, rows) * scale
        for columns in _blocks(len(b), tile):
            y = _unit(b, inverse_b, columns)
            scores = x @ y.T
            top = scores.amax(1)
            scores.sub_(top[:, None]).exp_()
            # one exp for both: column sums are the row-shifted terms, each brought to the highest row's shift
            highest = top.amax()
            sums = torch.mv(scores.T, (top - highest).exp_())
            lse_row[rows] = torch.logaddexp(lse_row[rows], scores.sum(1).log_() + top)
            if sums.amin() > _TINY:
                found = sums.log_() + highest
            else:
                found = torch.logsumexp(torch.mm(x, y.T, out=scores), 0)
            lse_column[columns] = torch.logaddexp(lse_column[columns], found)
    return lse_row, lse_column


def _score_gradient(
    x: Tensor, y: Tensor, lse_row: Tensor, lse_column: Tensor, w_row: Tensor, w_column: Tensor
) -> Tensor:
    """w_i softmax_row(s)_ij + w_j softmax_column(s)_ij of one tile."""
    scores = x @ y.T
    if lse_row.amax() - lse_column.amin() < _SAFE_RANGE:
        middle = lse_row.amax()  # both factors stay finite: at most 1, and at most exp(_SAFE_RANGE)
        factor = torch.stack([w_row, (lse_row - middle).exp_()], 1) @ torch.stack(
            [torch.ones_like(w_column), (middle - lse_column).exp_() * w_column]
        )
        return scores.sub_(lse_row[:, None]).exp_().mul_(factor)
    by_column = (scores - lse_column).exp_().mul_(w_column)
    return scores.sub_(lse_row[:, None]).exp_().mul_(w_row[:, None]).add_(by_column)


def _attraction(
    a: Tensor,
    b: Tensor,
    inverse_a: Tensor,
    inverse_b: Tensor,
    share: Tensor,
    positives: Positives | None,
    tile: int,
) -> tuple[Tensor, Tensor]:
    """Sum over rows of share_i times the mean similarity to its positives, from a to b and from b to a."""
    if positives is None:
        parts = [
            (share[r] * (_unit(a, inverse_a, r) * _unit(b, inverse_b, r)).sum(1)).sum()
            for r in _blocks(len(a), tile)
        ]
        one_way = torch.stack(parts).sum()
        return one_way, one_way
    x, y = a * inverse_a[:, None], b * inverse_b[:, None]
    back = positives.transposed()
    to_b = (share / positives.counts(y) * (x * positives.sum_over(y)).sum(1)).sum()
    to_a = (share / back.counts(x) * (y * back.sum_over(x)).sum(1)).sum()
    return to_b, to_a


def _subtract_attraction(
    grad_a: Tensor,
    grad_b: Tensor,
    a: Tensor,
    b: Tensor,
    inverse_a: Tensor,
    inverse_b: Tensor,
    half: Tensor,
    positives: Positives | None,
    tile: int,
) -> None:
    if positives is None:
        for r in _blocks(len(a), tile):
            grad_a[r].addcmul_(b[r], (2 * half[r] * inverse_b[r])[:, None], value=-1)
            grad_b[r].addcmul_(a[r], (2 * half[r] * inverse_a[r])[:, None], value=-1)
        return
    back = positives.transposed()
    for gradient, other, inverse, there, here in (
        (grad_a, b, inverse_b, positives, back),
        (grad_b, a, inverse_a, back, positives),
    ):
        # s_ij is drawn to with weight (h_i / |P(i)| + h_j / |Q(j)|) on every positive pair
        unit = other * inverse[:, None]
        gradient.sub_(there.sum_over(unit) * (half / there.counts(unit))[:, None])
        gradient.sub_(there.sum_over(unit * (half / here.counts(unit))[:, None]))


def _through_length(
    gradient: Tensor, raw: Tensor, inverse: Tensor, scale: Tensor, normalize: bool, tile: int
) -> None:
    """From the gradient by unit vectors to that by the vectors given, in place: g -> (g - u <u, g>) / |x|."""
    gradient.mul_(scale)
    if not normalize:
        return
    for r in _blocks(len(raw), tile):
        unit = raw[r] * inverse[r, None]
        along = (gradient[r] * unit).sum(1, keepdim=True)
        gradient[r].addcmul_(unit, along, value=-1).mul_(inverse[r, None])


def _blocks(n: int, tile: int) -> Iterator[slice]:
    return (slice(start, min(start + tile, n)) for start in range(0, n, tile))


def _unit(x: Tensor, inverse: Tensor, rows: slice) -> Tensor:
    return x[rows] * inverse[rows, None]


def _inverse_lengths(x: Tensor, normalize: bool) -> Tensor:
    if not normalize:
        return torch.ones_like(x[:, 0])
    lengths: Tensor = torch.linalg.vector_norm(x, dim=1).clamp_min(1e-12)  # as torch.nn.functional.normalize
    return lengths.reciprocal_()


def _inverse(temperature: float | Tensor, like: Tensor) -> Tensor:
    tau = torch.as_tensor(temperature, dtype=like.dtype, device=like.device)
    if not bool((tau > 0).all()):
        raise ModalityError(f"info_nce needs a temperature above 0, got {float(tau)}. Try 0.07.")
    return tau.reciprocal().reshape(())


def _positives(n: int, codes_a: Tensor | None, codes_b: Tensor | None) -> Positives | None:
    """None where every row has only itself: then the cheaper form does."""
    if codes_a is None and codes_b is None:
        return None
    given = codes_a if codes_a is not None else codes_b
    assert given is not None  # one of the two is, see above
    rows = torch.arange(n, device=given.device)
    found = Positives.of(rows if codes_a is None else codes_a, rows if codes_b is None else codes_b)
    return None if found.n_codes == (n, n) else found


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ModalityError(
            f"info_nce needs one row of b for each row of a, in the same space; got {tuple(a.shape)} and {tuple(b.shape)}. "
            "Leave out the rows that lack either."
        )
