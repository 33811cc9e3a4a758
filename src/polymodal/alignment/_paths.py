"""Costs and paths over `CellCosts`: one sweep, divide and conquer in linear memory, and checkpoints for any step pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymodal.alignment import _kernels as k
from polymodal.alignment import _tile_kernels as tiles
from polymodal.alignment._costs import CellCosts
from polymodal.alignment.steps import StepPattern
from polymodal.core.typing import Float, Int

SMALL = 2**15  # cells below which a path is traced directly: one byte each
LONGEST_TRACED = 200_000  # frames, beyond which even the kept rows and the bytes beside the path are many
BLOCK = 2**24  # cells whose choices are kept at once before checkpoints pay


@dataclass(frozen=True, eq=False)
class Problem:
    """Cells, the window on them, and which ends are open (on b)."""

    costs: CellCosts
    first: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    open_begin: bool
    open_end: bool

    def border(self, extra: float) -> Float[np.ndarray, " m1"]:
        """The row above the first: what it costs to start in each column."""
        border = np.full(self.costs.shape[1] + 1, np.inf)
        if self.open_begin:
            border[:] = 0.0
        else:
            zero = np.zeros(1, dtype=np.int64)
            border[0] = -extra * self.costs.at(zero, zero)[0] if extra else 0.0
        return border

    def end(self, row: Float[np.ndarray, " m"]) -> int:
        """Where the path ends, given the last row: at the end, or at its first smallest cell."""
        return int(np.argmin(row)) if self.open_end else len(row) - 1


def sweep_forward(
    p: Problem, rows: range, columns: range, border: Float[np.ndarray, " c1"], extra: float
) -> Float[np.ndarray, " c"]:
    """Costs of arriving at each cell of the last of `rows`, over the given columns."""
    c = p.costs
    first, last = _clip(p.first[rows.start : rows.stop], p.last[rows.start : rows.stop], columns)
    if c.in_tiles:
        x, y = c.a.reshape(-1, c.shape[0]), c.b.reshape(-1, c.shape[1])
        edge = tiles.sweep(
            x, rows.start, y, columns.start, len(columns), c.kind, c.post, extra, first, last, border
        )
        return np.asarray(edge[1:])
    if c.kind == k.MATRIX:
        b, a_at, b_at = c.b, rows.start * c.shape[1] + columns.start, 1
    else:
        b, a_at, b_at = c.b_reversed, rows.start, c.shape[1] - 1 - columns.start
    edge = k.sweep(
        c.a, a_at, c.stride_a, b, b_at, c.shape[1], c.features, c.kind, c.post, extra, first, last, len(columns), border, c.height
    )  # fmt: skip
    return np.asarray(edge[1:])


def sweep_backward(p: Problem, rows: range, columns: range) -> Float[np.ndarray, " c"]:
    """Costs of going from each cell of the first of `rows` (its own included) to the last row's last column."""
    c = p.costs
    n, m = c.shape
    first, last = _clip(p.first[rows.start : rows.stop], p.last[rows.start : rows.stop], columns)
    first, last = len(columns) - 1 - last[::-1], len(columns) - 1 - first[::-1]
    border = np.full(len(columns) + 1, np.inf)
    border[0] = 0.0
    if c.in_tiles:
        x, y = c.a_reversed.reshape(-1, n), c.b_reversed.reshape(-1, m)
        edge = tiles.sweep(
            x, n - rows.stop, y, m - columns.stop, len(columns), c.kind, c.post, 0.0, first, last, border
        )
        return np.asarray(edge[:0:-1])
    if c.kind == k.MATRIX:
        a, b, a_at, b_at = c.a, c.b, (rows.stop - 1) * m + columns.stop - 1, -1
    else:
        a, b, a_at, b_at = c.a_reversed, c.b, n - rows.stop, columns.stop - 1
    edge = k.sweep(
        a,
        a_at,
        c.stride_a,
        b,
        b_at,
        m,
        c.features,
        c.kind,
        c.post,
        0.0,
        first,
        last,
        len(columns),
        border,
        c.height,
    )
    return np.asarray(edge[:0:-1])


def _clip(first: np.ndarray, last: np.ndarray, columns: range) -> tuple[np.ndarray, np.ndarray]:
    first = np.clip(first - columns.start, 0, len(columns))
    return first, np.clip(last - columns.start, -1, len(columns) - 1)


def shortest_path(p: Problem) -> Int[np.ndarray, "p 2"]:
    """The cheapest path of single, equally weighted moves, in memory that grows with n + m.

    Where a cell costs much (several features), each is worked out once and kept rows show the way back; else twice, in less memory.
    """
    n, m = p.costs.shape
    if n * m <= SMALL:
        return stepped_path(p, _SYMMETRIC)[1]
    return traced_path(p) if p.costs.features > 1 and n * m <= LONGEST_TRACED**2 else linear_path(p)


def traced_path(p: Problem, kept: int = 64) -> Int[np.ndarray, "p 2"]:
    """As `linear_path`, at little more than the time of the cost: `kept` rows of accumulated costs, and one byte a cell beside the path.

    Between two kept rows the way back is looked for in the columns left of its end; in twice as many, if the cost
    found there is not the known one.
    """
    n, m = p.costs.shape
    block = max(64, -(-n // kept))
    starts = list(range(0, n, block))
    rows = [p.border(0.0)]
    for start in starts:
        arrived = sweep_forward(p, range(start, min(start + block, n)), range(m), rows[-1], 0.0)
        rows.append(np.concatenate([[np.inf], arrived]))
    pieces, j = [], p.end(rows[-1][1:])
    for start, before, after in zip(starts[::-1], rows[-2::-1], rows[:0:-1], strict=True):
        piece, j = _way_back(p, range(start, min(start + block, n)), j, before, after[j + 1], 2 * block)
        pieces.append(piece)
    return np.concatenate(pieces)[::-1].copy()


def _way_back(
    p: Problem, rows: range, end: int, before: Float[np.ndarray, " c1"], known: float, width: int
) -> tuple[Int[np.ndarray, "q 2"], int]:
    """The path through `rows` to column `end` of the last, end first, and the column where it enters from the row above."""
    (steps, weights), top = _SYMMETRIC.table(), max(rows.start - 1, 0)
    closed = rows.start == 0 and not p.open_begin
    # the same costs are added up in another order there; cosines near 0 are 1e-16 off, whatever the scale
    enough = 1e-12 * max(known, 1.0 if p.costs.kind == k.PRODUCTS else 0.0)
    while True:
        left = 0 if closed else max(end - width, 0)
        columns = range(left, end + 1)
        costs = p.costs.part(slice(top, rows.stop), slice(left, end + 1))
        part = Problem(
            costs, *_clip(p.first[top : rows.stop], p.last[top : rows.stop], columns), p.open_begin, False
        )
        acc = _rows_kept(part, steps)
        if rows.start:
            acc[0] = before[left + 1 : end + 2]
        acc, chosen = _advance(part, steps, weights, acc, rows.start - top, rows.stop - top, 1)
        if left == 0 or acc[(rows.stop - top - 1) % len(acc), -1] <= known + enough:
            break
        width *= 2
    piece = np.empty((len(rows) + len(columns), 2), dtype=np.int64)
    _, j, length = k.walk(chosen, rows.start - top, rows.stop - top - 1, end - left, steps, piece, 0)
    return piece[:length] + np.array([top, left]), left + int(j)


def linear_path(p: Problem) -> Int[np.ndarray, "p 2"]:
    """The cheapest path of single, equally weighted moves, in O(n + m) memory and twice the time of its cost (Hirschberg 1975)."""
    n, m = p.costs.shape
    end, start = m - 1, 0
    if p.open_end:
        end = p.end(sweep_forward(p, range(n), range(m), p.border(0.0), 0.0))
    if p.open_begin:
        back = sweep_backward(p, range(n), range(end + 1))
        start = int(np.flatnonzero(back == back.min())[-1])
    path, length = np.empty((n + end - start, 2), dtype=np.int64), 0
    todo = [(0, n - 1, start, end)]
    while todo:
        top, bottom, left, right = todo.pop()
        rows, columns = range(top, bottom + 1), range(left, right + 1)
        if len(rows) == 1:
            path[length : length + len(columns)] = np.stack(
                [np.full(len(columns), top), np.arange(left, right + 1)], axis=1
            )
            length += len(columns)
        elif len(rows) * len(columns) <= SMALL:
            piece = _piece(p, rows, columns)
            path[length : length + len(piece)] = piece
            length += len(piece)
        else:
            middle = (top + bottom) // 2
            j, step = _crossing(p, rows, columns, middle)
            todo += [(middle + 1, bottom, j + step, right), (top, middle, left, j)]
    return path[:length]


def _crossing(p: Problem, rows: range, columns: range, middle: int) -> tuple[int, int]:
    """Where a cheapest path leaves row `middle`, and whether it moves on in b as well. Of equals, that nearest the straight line."""
    border = np.full(len(columns) + 1, np.inf)
    border[0] = 0.0
    ahead = sweep_forward(p, range(rows.start, middle + 1), columns, border, 0.0)
    back = sweep_backward(p, range(middle + 1, rows.stop), columns)
    across, down = ahead[:-1] + back[1:], ahead + back
    best = min(across.min(initial=np.inf), down.min())
    line = (middle - rows.start) * (len(columns) - 1) / (len(rows) - 1)
    step = int(bool((across == best).any()))
    ties = np.flatnonzero(across == best) if step else np.flatnonzero(down == best)
    return columns.start + int(ties[np.argmin(np.abs(ties - line))]), step


def _piece(p: Problem, rows: range, columns: range) -> Int[np.ndarray, "p 2"]:
    costs = p.costs.part(slice(rows.start, rows.stop), slice(columns.start, columns.stop))
    first, last = _clip(p.first[rows.start : rows.stop], p.last[rows.start : rows.stop], columns)
    _, path = stepped_path(Problem(costs, first, last, False, False), _SYMMETRIC)
    return np.asarray(path + np.array([rows.start, columns.start]))


_SYMMETRIC = StepPattern.symmetric1()


def stepped_cost(p: Problem, pattern: StepPattern) -> float:
    """The cheapest path's cost under any step pattern, in O(m) memory."""
    steps, weights = pattern.table()
    acc, _ = _advance(p, steps, weights, _rows_kept(p, steps), 0, p.costs.shape[0], 0)
    row = acc[(p.costs.shape[0] - 1) % len(acc)]
    return float(row[p.end(row)])


def stepped_path(p: Problem, pattern: StepPattern) -> tuple[float, Int[np.ndarray, "p 2"]]:
    """Cost and cheapest path under any step pattern: choices of one block of rows at a time, from checkpoints before each.

    Memory O(m sqrt(n)), time twice that of the cost once there is more than one block. Cost infinity: no path, an empty one.
    """
    (n, m), (steps, weights) = p.costs.shape, pattern.table()
    start = _rows_kept(p, steps)
    block = n if n * m <= BLOCK else int(np.ceil(np.sqrt(8 * n * len(start))))
    checkpoints = [start]
    for row in range(0, n - block, block):
        checkpoints.append(_advance(p, steps, weights, checkpoints[-1], row, row + block, 0)[0])
    path, length, i, j, cost = np.empty((n + m, 2), dtype=np.int64), 0, n - 1, -1, np.inf
    for number in reversed(range(len(checkpoints))):
        row = number * block
        if j >= 0 and i < row:
            continue
        acc, chosen = _advance(p, steps, weights, checkpoints[number], row, min(row + block, n), 1)
        if j < 0:
            ends = acc[(n - 1) % len(acc)]
            j = p.end(ends)
            cost = float(ends[j])
            if not np.isfinite(cost):
                return cost, path[:0]
        i, j, length = k.walk(chosen, row, i, j, steps, path, length)
    return cost, path[:length][::-1].copy()


def _rows_kept(p: Problem, steps: np.ndarray) -> Float[np.ndarray, "k m"]:
    return np.full((int(steps[:, 0, 0].max()) + 1, p.costs.shape[1]), np.inf)


def _advance(
    p: Problem, steps: np.ndarray, weights: np.ndarray, before: np.ndarray, row: int, stop: int, record: int
) -> tuple[np.ndarray, np.ndarray]:
    """Accumulated costs of the rows up to `stop`, and the steps chosen if they are to be recorded."""
    c, acc = p.costs, before.copy()
    chosen = np.empty(((stop - row) * record, c.shape[1]), dtype=np.uint8)
    k.advance(
        c.a, c.stride_a, c.b, c.shape[1], c.features, c.kind, c.post, p.first, p.last, steps, weights, p.open_begin, row, stop, acc,
        np.full_like(acc, np.inf), chosen,
    )  # fmt: skip
    return acc, chosen
