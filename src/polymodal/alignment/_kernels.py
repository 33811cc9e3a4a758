# mypy: allow-untyped-defs, allow-untyped-decorators
# ruff: noqa: PLR0913, PLR0917, PLW3301 (a kernel takes what it needs; min of three is slower compiled than two of two)
"""Compiled loops of dynamic time warping. All in one file, since a cached kernel does not see another file change.

Two families. `sweep` walks anti-diagonals, along which no cell depends on another, so that the loop is vectorised; rows are
taken in strips whose diagonals stay in the nearest cache, and one row of accumulated costs goes from strip to strip.
`advance` walks rows and knows any step pattern.

Sequences come feature by feature, flattened: feature f of frame i is `a[f * stride + i]`. Feature counts above one are
padded with zeros to four, or to a multiple of eight. A plain cost matrix comes flattened, with `kind == MATRIX`.
No annotations here: the compiler infers types.
"""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled

SQUARES, ABSOLUTES, PRODUCTS, MATRIX = 0, 1, 2, 3  # what is added up over features
PLAIN, ROOT, SQUARE, COSINE, COSINE_SQUARE = 0, 1, 2, 3, 4  # what is done with the sum
U = np.uint64

_jit = compiled({"nnan", "nsz", "contract", "reassoc", "arcp"})


@_jit
def _relax(cost, before, earlier, now, low, n, extra):
    """One diagonal: cell k of it has its left neighbour at before[low + 1 + k], the upper one at before[low + k].

    Offsets are unsigned, and no views are made: the first keeps the loop vectorised, the second keeps short diagonals cheap.
    """
    u, v = U(low), U(low + 1)
    for q in range(n):
        k = U(q)
        now[v + k] = cost[k] + min(min(before[u + k], before[v + k]), earlier[u + k] + extra * cost[k])


@_jit
def _relax_absolute(a, at, b, bt, before, earlier, now, low, n, extra):
    u, v, x, y = U(low), U(low + 1), U(at), U(bt)
    for q in range(n):
        k = U(q)
        c = abs(a[x + k] - b[y + k])
        now[v + k] = c + min(min(before[u + k], before[v + k]), earlier[u + k] + extra * c)


@_jit
def _relax_square(a, at, b, bt, before, earlier, now, low, n, extra):
    u, v, x, y = U(low), U(low + 1), U(at), U(bt)
    for q in range(n):
        k = U(q)
        c = (a[x + k] - b[y + k]) * (a[x + k] - b[y + k])
        now[v + k] = c + min(min(before[u + k], before[v + k]), earlier[u + k] + extra * c)


@_jit
def _add_8_squares(a, p, sa, b, q, sb, out, n):
    p0, p1, p2, p3 = U(p), U(p + sa), U(p + 2 * sa), U(p + 3 * sa)
    p4, p5, p6, p7 = U(p + 4 * sa), U(p + 5 * sa), U(p + 6 * sa), U(p + 7 * sa)
    q0, q1, q2, q3 = U(q), U(q + sb), U(q + 2 * sb), U(q + 3 * sb)
    q4, q5, q6, q7 = U(q + 4 * sb), U(q + 5 * sb), U(q + 6 * sb), U(q + 7 * sb)
    for r in range(n):
        k = U(r)
        d0, d1, d2, d3 = (
            a[p0 + k] - b[q0 + k],
            a[p1 + k] - b[q1 + k],
            a[p2 + k] - b[q2 + k],
            a[p3 + k] - b[q3 + k],
        )
        d4, d5, d6, d7 = (
            a[p4 + k] - b[q4 + k],
            a[p5 + k] - b[q5 + k],
            a[p6 + k] - b[q6 + k],
            a[p7 + k] - b[q7 + k],
        )
        out[k] += ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7))


@_jit
def _add_4_squares(a, p, sa, b, q, sb, out, n):
    p0, p1, p2, p3 = U(p), U(p + sa), U(p + 2 * sa), U(p + 3 * sa)
    q0, q1, q2, q3 = U(q), U(q + sb), U(q + 2 * sb), U(q + 3 * sb)
    for r in range(n):
        k = U(r)
        d0, d1, d2, d3 = (
            a[p0 + k] - b[q0 + k],
            a[p1 + k] - b[q1 + k],
            a[p2 + k] - b[q2 + k],
            a[p3 + k] - b[q3 + k],
        )
        out[k] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)


@_jit
def _add_4_absolutes(a, p, sa, b, q, sb, out, n):
    p0, p1, p2, p3 = U(p), U(p + sa), U(p + 2 * sa), U(p + 3 * sa)
    q0, q1, q2, q3 = U(q), U(q + sb), U(q + 2 * sb), U(q + 3 * sb)
    for r in range(n):
        k = U(r)
        d0, d1, d2, d3 = (
            a[p0 + k] - b[q0 + k],
            a[p1 + k] - b[q1 + k],
            a[p2 + k] - b[q2 + k],
            a[p3 + k] - b[q3 + k],
        )
        out[k] += (abs(d0) + abs(d1)) + (abs(d2) + abs(d3))


@_jit
def _add_4_products(a, p, sa, b, q, sb, out, n):
    p0, p1, p2, p3 = U(p), U(p + sa), U(p + 2 * sa), U(p + 3 * sa)
    q0, q1, q2, q3 = U(q), U(q + sb), U(q + 2 * sb), U(q + 3 * sb)
    for r in range(n):
        k = U(r)
        out[k] += (a[p0 + k] * b[q0 + k] + a[p1 + k] * b[q1 + k]) + (
            a[p2 + k] * b[q2 + k] + a[p3 + k] * b[q3 + k]
        )


@_jit
def _finish(out, n, post):
    if post == ROOT:
        for q in range(n):
            out[U(q)] = np.sqrt(out[U(q)])
    elif post == SQUARE:
        for q in range(n):
            out[U(q)] = out[U(q)] * out[U(q)]
    elif post == COSINE:
        for q in range(n):
            out[U(q)] = max(1.0 - out[U(q)], 0.0)
    elif post == COSINE_SQUARE:
        for q in range(n):
            out[U(q)] = max(1.0 - out[U(q)], 0.0) ** 2


@_jit
def _vector_costs(a, at, a_stride, b, bt, b_stride, features, kind, post, out, n):
    """Costs of n pairs of frames, (at + k, bt + k)."""
    for q in range(n):
        out[U(q)] = 0.0
    if features == 1:
        for q in range(n):
            x, y = a[U(at) + U(q)], b[U(bt) + U(q)]
            if kind == SQUARES:
                out[q] = (x - y) * (x - y)
            elif kind == ABSOLUTES:
                out[q] = abs(x - y)
            else:
                out[q] = x * y
    elif kind == SQUARES and features % 8 == 0:
        for f in range(0, features, 8):
            _add_8_squares(a, at + f * a_stride, a_stride, b, bt + f * b_stride, b_stride, out, n)
    else:
        for f in range(0, features, 4):
            p, q = at + f * a_stride, bt + f * b_stride
            if kind == SQUARES:
                _add_4_squares(a, p, a_stride, b, q, b_stride, out, n)
            elif kind == ABSOLUTES:
                _add_4_absolutes(a, p, a_stride, b, q, b_stride, out, n)
            else:
                _add_4_products(a, p, a_stride, b, q, b_stride, out, n)
    _finish(out, n, post)


@_jit
def _strip(
    a, a_at, a_stride, b, b_at, b_stride, features, kind, post, extra, first, last, row, rows, edge, out, work
):
    """Rows row .. row + rows - 1: reads the row above them from `edge`, writes their last row to `out`.

    Frame i of a is at a[a_at + i]. `b` lies reversed: its frame j is at b[b_at - j], so that both run upwards along a diagonal.
    Of a cost matrix (in `a`), cell (i, j) is a[a_at + b_at * (i * a_stride + j)], b_at = 1 or -1.
    Both rows hold column j at j + 1; column -1 is the border.
    """
    columns = edge.shape[0] - 1
    now, before, earlier, cost = work[0], work[1], work[2], work[3]
    work[:3, : rows + 3] = np.inf
    begin = first[row]
    above, below = (first[row - 1], last[row - 1]) if row else (-1, columns - 1)  # columns that `edge` holds
    earlier[0] = edge[begin] if above <= begin - 1 <= below else np.inf
    low, high = 0, -1
    fused = features == 1 and kind != MATRIX
    use_square = fused and kind == SQUARES and post == PLAIN
    use_absolute = fused and ((kind == SQUARES and post == ROOT) or (kind == ABSOLUTES and post == PLAIN))
    for t in range(begin, rows + last[row + rows - 1]):
        before[0] = edge[t + 1] if above <= t <= below else np.inf
        while high + 1 < rows and high + 1 + first[row + high + 1] <= t:
            high += 1
        while low < rows and low + last[row + low] < t:
            low += 1
        n = high - low + 1
        at, bt = a_at + row + low, b_at - t + low
        if use_absolute:
            _relax_absolute(a, at, b, bt, before, earlier, now, low, n, extra)
        elif use_square:
            _relax_square(a, at, b, bt, before, earlier, now, low, n, extra)
        else:
            if kind == MATRIX:
                at, step = a_at + b_at * ((row + low) * a_stride + t - low), b_at * (a_stride - 1)
                for k in range(n):
                    cost[k] = a[at + k * step]
            else:
                _vector_costs(a, at, a_stride, b, bt, b_stride, features, kind, post, cost, n)
            _relax(cost, before, earlier, now, low, n, extra)
        now[low] = np.inf
        now[high + 2] = np.inf
        if high == rows - 1 and low < rows:
            out[t - rows + 2] = now[rows]
        now, before, earlier = earlier, now, before


@_jit
def _pack(source, start, stride, features, n, target, target_stride):
    """Copy n frames, every feature; a copy's features lie an odd number of cache lines apart, so that they do not share places."""
    for f in range(features):
        for i in range(n):
            target[f * target_stride + i] = source[f * stride + start + i]


@_jit
def sweep(
    a, a_at, a_stride, b, b_at, b_stride, features, kind, post, extra, first, last, columns, border, height
):
    """Accumulated costs of the last row, column j at j + 1. `border` (columns + 1) is the row before the first."""
    edge, out = border.copy(), np.empty(columns + 1)
    work = np.empty((4, height + 3))
    total = first.shape[0]
    packed = features > 1
    x_stride, y_stride = 16 * (height // 16) + 24, 16 * (columns // 16) + 24
    x, y = np.empty(features * x_stride if packed else 0), np.empty(features * y_stride if packed else 0)
    frames_a, frames_b, b_from = a, b, b_at
    if packed:
        _pack(b, b_at - columns + 1, b_stride, features, columns, y, y_stride)
        frames_a, frames_b, b_from = x, y, columns - 1
    else:
        x_stride, y_stride = a_stride, b_stride
    for row in range(0, total, height):
        rows, a_from = min(height, total - row), a_at
        if packed:
            _pack(a, a_at + row, a_stride, features, rows, x, x_stride)
            a_from = -row
        _strip(
            frames_a, a_from, x_stride, frames_b, b_from, y_stride,
            features, kind, post, extra, first, last, row, rows, edge, out, work,
        )  # fmt: skip
        edge, out = out, edge
    edge[: first[total - 1] + 1] = np.inf
    edge[last[total - 1] + 2 :] = np.inf
    return edge


@_jit
def sweep_pairs(
    a,
    starts_a,
    b,
    starts_b,
    stride_a,
    stride_b,
    features,
    kind,
    post,
    extra,
    first,
    last,
    columns,
    height,
    ends,
):
    """Accumulated cost of each of several pairs of the same two lengths, closed at both ends.

    `starts_b` point at each first frame, which lies highest, b being reversed.

    `ends` takes them, one per pair.
    """
    border = np.full(columns + 1, np.inf)
    one = np.empty(1)
    for p in range(ends.shape[0]):
        border[0] = 0.0
        if extra != 0.0:
            _vector_costs(a, starts_a[p], stride_a, b, starts_b[p], stride_b, features, kind, post, one, 1)
            border[0] = -extra * one[0]
        edge = sweep(
            a, starts_a[p], stride_a, b, starts_b[p], stride_b, features, kind, post, extra, first, last, columns, border, height
        )  # fmt: skip
        ends[p] = edge[columns]


@_jit
def _row_costs(a, i, a_stride, b, b_stride, features, kind, post, start, stop, out):
    """Costs of frame i of a with frames start .. stop - 1 of b (in its own order)."""
    n = stop - start
    c = out[start:stop]
    if kind == MATRIX:
        c[:] = a[i * a_stride + start : i * a_stride + stop]
        return
    c[:] = 0.0
    for f in range(features):
        x, y = a[f * a_stride + i], b[f * b_stride + start : f * b_stride + stop]
        if kind == SQUARES:
            for k in range(n):
                c[k] += (x - y[k]) * (x - y[k])
        elif kind == ABSOLUTES:
            for k in range(n):
                c[k] += abs(x - y[k])
        else:
            for k in range(n):
                c[k] += x * y[k]
    _finish(c, n, post)


@_jit
def advance(
    a,
    a_stride,
    b,
    b_stride,
    features,
    kind,
    post,
    first,
    last,
    steps,
    weights,
    is_open,
    row,
    stop,
    acc,
    cost,
    chosen,
):
    """Rows row .. stop - 1 under any step pattern.

    `steps` (p, s, 2) are the cells of each step as offsets back from its end: entry 0 is where the step comes from, the others are the
    cells it adds, `weights` (p, s) theirs; unused entries have offset -1. `acc` and `cost` (depth, columns) hold the last rows, row i at
    i % depth. `chosen` (rows, columns) takes the number of the step into each cell, 255 for none; with no rows nothing is recorded.
    """
    depth, columns = acc.shape
    line = np.empty(columns)
    for i in range(max(row - depth + 1, 0), row):
        cost[i % depth, :] = np.inf
        _row_costs(a, i, a_stride, b, b_stride, features, kind, post, first[i], last[i] + 1, cost[i % depth])
    for i in range(row, stop):
        here, begin, end = acc[i % depth], first[i], last[i] + 1
        here[:] = np.inf
        cost[i % depth, :] = np.inf
        _row_costs(a, i, a_stride, b, b_stride, features, kind, post, begin, end, cost[i % depth])
        record = chosen.shape[0] > 0
        if record:
            chosen[i - row, :] = 255
        if i == 0:
            for j in range(begin, end if is_open else min(begin + 1, end)):
                if is_open or j == 0:
                    here[j] = cost[0, j]
        for p in range(steps.shape[0]):
            back, aside = steps[p, 0, 0], steps[p, 0, 1]
            if back == 0 or back > i:
                continue
            low = max(begin, aside)
            _step_line(acc[(i - back) % depth], cost, steps[p], weights[p], i, low, end, line)
            for j in range(low, end):
                if line[j] < here[j]:
                    here[j] = line[j]
                    if record:
                        chosen[i - row, j] = p
        _steps_along(here, cost[i % depth], steps, weights, begin, end, chosen, i - row)


@_jit
def _step_line(source, cost, step, weight, i, low, end, line):
    """What one step would give in columns low .. end - 1 of row i."""
    aside = step[0, 1]
    for j in range(low, end):
        line[j] = source[j - aside]
    for s in range(1, step.shape[0]):
        if step[s, 0] >= 0 and weight[s] != 0.0:
            c, shift, w = cost[(i - step[s, 0]) % cost.shape[0]], step[s, 1], weight[s]
            for j in range(low, end):
                line[j] += w * c[j - shift]


@_jit
def _steps_along(here, cost, steps, weights, begin, end, chosen, row):
    """Steps that stay in the row: one cell depends on the one before, so this loop runs last and in order."""
    for p in range(steps.shape[0]):
        if steps[p, 0, 0] == 0:
            for j in range(max(begin, 1), end):
                value = here[j - 1] + weights[p, 1] * cost[j]
                if value < here[j]:
                    here[j] = value
                    if chosen.shape[0] > 0:
                        chosen[row, j] = p


@_jit
def walk(chosen, row, i, j, steps, path, length):
    """Go back from (i, j) to the rows above `row`, or to the start; cells are added to `path` (end first). Returns i, j, length."""
    while i >= row:
        p = chosen[i - row, j]
        if p == 255:
            path[length, 0], path[length, 1] = i, j
            return -1, j, length + 1
        for s in range(steps.shape[1] - 1, 0, -1):
            if steps[p, s, 0] >= 0:
                path[length, 0], path[length, 1] = i - steps[p, s, 0], j - steps[p, s, 1]
                length += 1
        i, j = i - steps[p, 0, 0], j - steps[p, 0, 1]
    return i, j, length
