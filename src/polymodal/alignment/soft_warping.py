"""Soft-DTW: time warping whose minimum over paths is smooth, so that it can be a loss; its gradient is the expected alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polymodal.alignment import _costs
from polymodal.alignment import _soft_diagonals as diagonals
from polymodal.alignment import _soft_kernels as kernels
from polymodal.alignment._kernels import MATRIX, PLAIN
from polymodal.alignment._limits import check_dense
from polymodal.alignment._pairs import in_threads
from polymodal.alignment._paths import Problem, shortest_path
from polymodal.alignment._soft_batches import Lengths, Metric, Sequences, cost_matrices, frames_used, pair
from polymodal.alignment.answer import Alignment
from polymodal.alignment.windows import whole
from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float

STRIP = 128  # rows worked on together; measured: 64 is a fifth slower, 256 a tenth faster in twice the memory
KEPT = (
    2**21
)  # cells of a pair whose weights are held at once (48 MiB); of longer pairs strips are worked out again on the way back
NEGLIGIBLE = 1e-12  # expected visits below which a cell is left out of a sparse coupling
NONE = np.empty((0, 0))


def soft_dtw(
    a: Sequences, b: Sequences, *, gamma: float = 1.0, metric: Metric = "sqeuclidean", lengths: Lengths = None
) -> Float[Tensor, "..."]:
    r"""The soft minimum, over all warping paths, of the summed costs of the cells they visit. Differentiable in a and b.

    $$ \operatorname{dtw}_\gamma = -\gamma \log \sum_{\text{paths } A} e^{-\langle A, C \rangle / \gamma} $$

    Args:
        a: One sequence, (frames,) or (frames, features); a padded batch (batch, frames, features); or a list of sequences or a `Ragged`,
            of any lengths. Tensors get gradients.
        b: The same, as many.
        gamma: Smoothing > 0, in units of the cost. Large values average over many paths, small ones approach the best path alone.
        metric: "sqeuclidean", "euclidean", "cityblock", "cosine", or a function of the frames of a pair, (n, d) and (m, d) tensors,
            that gives the (n, m) costs.
        lengths: Frames in use of each padded sequence, (batch,) for a and for b; all of them unless given.

    Returns:
        The value, () for one pair or (batch,). It may be negative: many paths together cost less than the best of them.

    Complexity: O(n m) time. On the CPU with "sqeuclidean" O(n + m) memory for the value alone, and with gradients three numbers a cell of
    one pair at a time (up to 48 MiB; beyond, parts are worked out twice). Other metrics and devices hold the cost matrices of the batch.

    Relations:
        * gamma -> 0: the cost of DTW under the same metric; the value falls as gamma rises.
        * symmetric in a and b.
        * constant sequences, equal: -gamma log(number of paths).
        * a batch gives each pair's own value; padding has no effect and gets gradient 0.

    References: Cuturi & Blondel 2017.
    """
    x, y, n, m, single = pair(a, b, lengths)
    _positive(gamma)
    if metric == "sqeuclidean" and x.device.type == "cpu":
        value: Tensor = _OfFrames.apply(x, y, n, m, gamma)  # type: ignore[no-untyped-call]
    else:
        value = _OfCosts.apply(cost_matrices(x, y, metric), n, m, gamma)  # type: ignore[no-untyped-call]
    return value[0] if single else value


def soft_dtw_costs(
    costs: Float[Tensor, "... n m"], *, gamma: float = 1.0, lengths: Lengths = None
) -> Float[Tensor, "..."]:
    """As `soft_dtw`, from costs that are there: (n, m) or (batch, n, m). The gradient is `expected_alignment` of the pair.

    Args:
        costs: Cost of each pair of frames, of any sign.
        gamma: Smoothing > 0.
        lengths: Rows and columns in use of each matrix of a batch; all unless given.

    Relations:
        * soft_dtw_costs(costs + k) - soft_dtw_costs(costs) -> k times the expected number of cells as k -> 0.
    """
    _positive(gamma)
    if costs.ndim not in {2, 3} or 0 in costs.shape:
        raise ModalityError(
            f"soft_dtw_costs needs costs (n, m) or (batch, n, m), none empty, got {tuple(costs.shape)}."
        )
    c = costs if costs.ndim == 3 else costs[None]
    n, m = (
        frames_used(given, len(c), size, c.device)
        for given, size in zip(lengths or (None, None), c.shape[1:], strict=True)
    )
    value: Tensor = _OfCosts.apply(c, n, m, gamma)  # type: ignore[no-untyped-call]
    return value if costs.ndim == 3 else value[0]


def soft_dtw_divergence(
    a: Sequences, b: Sequences, *, gamma: float = 1.0, metric: Metric = "sqeuclidean", lengths: Lengths = None
) -> Float[Tensor, "..."]:
    r"""$\operatorname{dtw}_\gamma(a, b) - \tfrac12 \operatorname{dtw}_\gamma(a, a) - \tfrac12 \operatorname{dtw}_\gamma(b, b)$.

    Unlike `soft_dtw` it is 0 for equal sequences, and pulls b to a itself rather than to a smoothed a. That it is never negative is proved
    for costs whose kernel is suitable and only conjectured for squared distances.

    Args:
        a: As in `soft_dtw`.
        b: As in `soft_dtw`.
        gamma: Smoothing > 0.
        metric: As in `soft_dtw`.
        lengths: As in `soft_dtw`.

    Relations:
        * 0, with gradient 0, where a = b.
        * gamma -> 0: DTW under the same metric.

    References: Blondel, Mensch & Vert 2021.
    """
    own_a, own_b = ((lengths[0], lengths[0]), (lengths[1], lengths[1])) if lengths else (None, None)
    between = soft_dtw(a, b, gamma=gamma, metric=metric, lengths=lengths)
    within = soft_dtw(a, a, gamma=gamma, metric=metric, lengths=own_a) + soft_dtw(
        b, b, gamma=gamma, metric=metric, lengths=own_b
    )
    return between - 0.5 * within


def expected_alignment(
    a: Sequences, b: Sequences, *, gamma: float = 1.0, metric: Metric = "sqeuclidean", lengths: Lengths = None
) -> Float[Tensor, "... n m"]:
    """How often a random warping path visits each cell, where a path's probability is proportional to e^(-cost / gamma).

    The gradient of `soft_dtw` by the costs. Not differentiable itself.

    Args:
        a: As in `soft_dtw`.
        b: As in `soft_dtw`.
        gamma: Smoothing > 0.
        metric: As in `soft_dtw`.
        lengths: As in `soft_dtw`.

    Relations:
        * entries in [0, 1]; 1 in the first and in the last cell of each pair; every row and column sums to at least 1.
        * gamma -> 0: 1 on the cells of the DTW path, 0 elsewhere (where that path is unique).
    """
    x, y, n, m, single = pair(a, b, lengths)
    _positive(gamma)
    check_dense(
        x.shape[1] * len(x),
        y.shape[1],
        "The expected alignments",
        "Use soft_dtw, which needs no matrix.",
        item_bytes=16,
    )
    with torch.no_grad():
        found = _solve_costs(cost_matrices(x, y, metric), n, m, gamma, gradient=True)[1]
    return found[0] if single else found


@dataclass(frozen=True)
class SoftDTW:
    """Soft time warping as an aligner: the coupling is the expected alignment, the cost the value of `soft_dtw`.

    The path is the one that differs, in expectation, from a random path in the fewest cells.

    Args:
        gamma: Smoothing > 0, in units of the cost.
        metric: "sqeuclidean", "euclidean", "cityblock", "cosine", or a function of (n, d) and (m, d) frames that gives the (n, m) costs.

    Complexity: O(n m) time and memory; `distance` O(n + m) memory under "sqeuclidean".

    Relations:
        * gamma -> 0: cost and path of DTW under the same metric.
        * the path is monotone, from the first cell to the last.

    References: Cuturi & Blondel 2017; Holmes & Durbin 1998 (the reading of the path).
    """

    gamma: float = 1.0
    metric: _costs.Metric = "sqeuclidean"

    def __post_init__(self) -> None:
        _positive(self.gamma)
        if not callable(self.metric):
            _costs.codes(self.metric, False)

    def align(self, a: Any, b: Any) -> Alignment:
        """Expected alignment, its hard reading, and the value; see `align`."""
        (x, rate_a), (y, rate_b) = _costs.frames(a, "a"), _costs.frames(b, "b")
        check_dense(
            len(x),
            len(y),
            "The expected alignment",
            "Use distance, or DTW(), whose path needs no matrix.",
            item_bytes=24,
        )
        return self._align(_costs.matrix(x, y, self.metric), (rate_a, rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """The same, given what each pair of frames costs; `metric` is not used."""
        given = _costs.of_matrix(costs, squared=False)
        return self._align(given.a.reshape(given.shape), (1.0, 1.0))

    def distance(self, a: Any, b: Any) -> float:
        """The value alone."""
        x, y = _costs.frames(a, "a")[0], _costs.frames(b, "b")[0]
        _costs.same_features(x, y)
        if self.metric == "sqeuclidean":
            return float(_solve_frames(x, y, self.gamma)[0])
        return float(_solve_matrix(_costs.matrix(x, y, self.metric), self.gamma, gradient=False)[0])

    def _align(self, costs: Float[np.ndarray, "n m"], rates: tuple[float, float]) -> Alignment:
        value, coupling = _solve_matrix(costs, self.gamma, gradient=True)
        n, m = coupling.shape
        differs = _costs.CellCosts((1.0 - 2.0 * coupling).ravel(), np.empty(0), (n, m), 1, MATRIX, PLAIN)
        path = shortest_path(Problem(differs, *whole(n, m), False, False))
        coupling[coupling < NEGLIGIBLE] = 0.0
        return Alignment.of_coupling(coupling, self, cost=value, path=path, rates=rates)


class _OfFrames(torch.autograd.Function):
    """Squared distances on the CPU: gradients by the frames come with the value, one pair at a time, and no matrix is left."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, n: Tensor, m: Tensor, gamma: float) -> Tensor:
        wanted = bool(ctx.needs_input_grad[0] or ctx.needs_input_grad[1])
        values = np.empty(len(x))
        grads = [torch.zeros_like(s) for s in (x, y)] if wanted else []
        xs, ys, sizes = x.detach().numpy(), y.detach().numpy(), torch.stack([n, m], 1).tolist()

        def work(p: int) -> None:
            k, q = sizes[p]
            values[p], *found = _solve_frames(xs[p, :k], ys[p, :q], gamma, gradient=wanted)
            for grad, part in zip(grads, found, strict=True):
                grad[p, : len(part)] = torch.from_numpy(part)

        in_threads(work, range(len(x)), torch.get_num_threads())
        ctx.save_for_backward(*grads)
        return torch.from_numpy(values).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        scale = grad[:, None, None]
        return a * scale, b * scale, None, None, None


class _OfCosts(torch.autograd.Function):
    """Any costs on any device; the expected alignment is the gradient."""

    @staticmethod
    def forward(ctx: Any, costs: Tensor, n: Tensor, m: Tensor, gamma: float) -> Tensor:
        values, visits = _solve_costs(costs, n, m, gamma, gradient=ctx.needs_input_grad[0])
        ctx.save_for_backward(visits)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (visits,) = ctx.saved_tensors
        return visits * grad[:, None, None], None, None, None


def _solve_costs(
    costs: Tensor, n: Tensor, m: Tensor, gamma: float, *, gradient: bool
) -> tuple[Tensor, Tensor]:
    """Values and expected alignments (empty unless wanted) of a batch of cost matrices."""
    costs = costs.detach()
    if costs.device.type != "cpu":
        return _solve_diagonals(costs, n, m, gamma, gradient=gradient)
    values, visits = np.empty(len(costs)), torch.zeros_like(costs) if gradient else costs.new_empty(0)
    sizes = torch.stack([n, m], 1).tolist()

    def work(p: int) -> None:
        k, q = sizes[p]
        values[p], found = _solve_matrix(
            costs[p, :k, :q].double().contiguous().numpy(), gamma, gradient=gradient
        )
        if gradient:
            visits[p, :k, :q] = torch.from_numpy(found)

    in_threads(work, range(len(costs)), torch.get_num_threads())
    return torch.from_numpy(values).to(costs.dtype), visits


def _solve_diagonals(
    costs: Tensor, n: Tensor, m: Tensor, gamma: float, *, gradient: bool
) -> tuple[Tensor, Tensor]:
    """As `_solve_costs`, in plain torch."""
    rows, columns = (torch.arange(size, device=costs.device) for size in costs.shape[1:])
    used = (rows[:, None] < n[:, None, None]) & (columns < m[:, None, None])
    total = diagonals.accumulated(torch.where(used, costs, 0.0), gamma)
    visits = diagonals.expected(total, n, m, gamma) if gradient else costs.new_empty(0)
    return diagonals.values(total, n, m), visits


def _solve_frames(x: np.ndarray, y: np.ndarray, gamma: float, *, gradient: bool = False) -> tuple[Any, ...]:
    """Value of one pair under squared distances, and the gradients by its frames if wanted."""
    a = np.ascontiguousarray(x.T, dtype=np.float64)
    b = np.ascontiguousarray(y.T[:, ::-1], dtype=np.float64)
    grad_a, grad_b = (np.zeros_like(a), np.zeros_like(b)) if gradient else (NONE, NONE)
    shape = (a.shape[1], b.shape[1])
    value = kernels.solve(a, b, NONE, shape, float(gamma), STRIP, _kept(*shape), grad_a, grad_b, NONE)
    return (value, grad_a.T, grad_b[:, ::-1].T.copy()) if gradient else (value,)


def _solve_matrix(
    costs: Float[np.ndarray, "n m"], gamma: float, *, gradient: bool
) -> tuple[float, np.ndarray]:
    """Value of one matrix of costs, and the expected alignment if wanted."""
    visits = np.zeros(costs.shape) if gradient else NONE
    value = kernels.solve(
        NONE, NONE, costs, costs.shape, float(gamma), STRIP, _kept(*costs.shape), NONE, NONE, visits
    )
    return float(value), visits


def _kept(n: int, m: int) -> int:
    """Strips whose weights fit the memory given."""
    return max(1, KEPT // (min(n, STRIP) * (m + STRIP)))


def _positive(gamma: float) -> None:
    if not 0 < gamma < float("inf"):
        raise ModalityError(
            f"soft-DTW needs gamma > 0, in units of the cost, got {gamma}. For gamma 0 use DTW('sqeuclidean')."
        )
