# mypy: allow-untyped-defs, allow-untyped-decorators
# ruff: noqa: PLR0913, PLR0917, PLW3301 (a kernel takes what it needs; min of three is slower compiled than two of two)
"""Compiled loops of soft-DTW: value and expected alignment of one pair of sequences.

Cells are visited along anti-diagonals, where none depends on another, in strips of rows; the accumulated row below each strip is kept.
With it a strip can be worked out again on the way back, so that weights (three a cell) are kept for as many strips as memory is given for.
Sequences are features first, (features, frames), b from its last frame to its first; or their costs are a matrix. `exp` and `log` are
written out, since the compiler vectorises no library call.
"""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled

U = np.uint64
LEFT, UP, DIAGONAL = 0, 1, 2
_jit = compiled(
    {"nnan", "nsz", "contract", "arcp"}
)  # no "reassoc": it would undo the rounding to whole numbers in _exp


@_jit
def _exp(x):
    """e^x for x <= 0, to rounding; below e^-708 stays e^-708."""
    x = max(x, -708.0)
    y = x * 1.4426950408889634 + 6755399441055744.0  # 1.5 * 2^52: the whole part goes to the low bits
    n = y - 6755399441055744.0
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    power = (np.float64(y).view(np.int64) + 1023) << 52
    return p * np.int64(power).view(np.float64)


@_jit
def _log(s):
    """Natural logarithm of 1 <= s <= 3, to rounding."""
    high = s > 1.5
    z = s * 0.5 if high else s
    t = (z - 1.0) / (z + 1.0)
    w = t * t
    p = 1.0 / 21.0
    p = p * w + 1.0 / 19.0
    p = p * w + 1.0 / 17.0
    p = p * w + 1.0 / 15.0
    p = p * w + 1.0 / 13.0
    p = p * w + 1.0 / 11.0
    p = p * w + 1.0 / 9.0
    p = p * w + 1.0 / 7.0
    p = p * w + 1.0 / 5.0
    p = p * w + 1.0 / 3.0
    p = p * w + 1.0
    return 2.0 * t * p + (0.6931471805599453 if high else 0.0)


@_jit
def _relax(cost, before, earlier, now, low, n, gamma):
    """One diagonal: cell k of it has its left neighbour at before[low + 1 + k], the upper one at before[low + k]."""
    u, v, scale = U(low), U(low + 1), 1.0 / gamma
    for q in range(n):
        k = U(q)
        left, up, corner = before[v + k], before[u + k], earlier[u + k]
        low2, high2 = min(left, up), max(left, up)
        least, most = min(low2, corner), max(high2, corner)
        middle = max(low2, min(high2, corner))
        total = 1.0 + (_exp((least - middle) * scale) + _exp((least - most) * scale))
        now[v + k] = cost[k] + (least - gamma * _log(total))


@_jit
def _relax_weighing(cost, before, earlier, now, low, n, gamma, w_left, w_up, w_corner):
    """As `_relax`, and the share of each of the three ways into a cell."""
    u, v, scale = U(low), U(low + 1), 1.0 / gamma
    for q in range(n):
        k = U(q)
        left, up, corner = before[v + k], before[u + k], earlier[u + k]
        least = min(min(left, up), corner)
        x, y, z = _exp((least - left) * scale), _exp((least - up) * scale), _exp((least - corner) * scale)
        total = x + (y + z)
        share = 1.0 / total
        now[v + k] = cost[k] + (least - gamma * _log(total))
        w_left[u + k], w_up[u + k], w_corner[u + k] = x * share, y * share, z * share


@_jit
def _costs(a, at, b, bt, costs, i, j, out, n):
    """Costs of n cells going down a diagonal, (i + k, j - k): frames at + k of a, bt + k of b (reversed), or of the matrix."""
    if costs.shape[0] > 0:
        for step in range(n):
            out[step] = costs[i + step, j - step]
        return
    for q in range(n):
        out[U(q)] = 0.0
    for f in range(a.shape[0]):
        x, y, p, r = a[f], b[f], U(at), U(bt)
        for q in range(n):
            k = U(q)
            out[k] += (x[p + k] - y[r + k]) * (x[p + k] - y[r + k])


@_jit
def _forward(a, b, costs, gamma, row, rows, above, below, work, weights):
    """One strip of rows: reads the accumulated row `above` it (column j at j + 1), writes its last one to `below`.

    `weights` (diagonals, 3, rows + 1) takes the shares; none are kept where it is empty.
    """
    columns = above.shape[0] - 1
    now, before, earlier, cost = work[0], work[1], work[2], work[3]
    work[:3] = np.inf
    keep = weights.shape[0] > 0
    earlier[0] = above[0]
    for t in range(rows + columns - 1):
        before[0] = above[t + 1] if t < columns else np.inf
        low, high = max(0, t - columns + 1), min(rows - 1, t)
        n = high - low + 1
        _costs(a, row + low, b, columns - 1 - t + low, costs, row + low, t - low, cost, n)
        if keep:
            w = weights[t]
            _relax_weighing(cost, before, earlier, now, low, n, gamma, w[LEFT], w[UP], w[DIAGONAL])
        else:
            _relax(cost, before, earlier, now, low, n, gamma)
        if row == 0 and t == 0:
            now[1] = cost[0]
        now[low] = np.inf
        now[high + 2] = np.inf
        if t >= rows - 1:
            below[t - rows + 2] = now[rows]
        now, before, earlier = earlier, now, before
    below[0] = np.inf


@_jit
def _share(here, after, second, w1, w2, low, n):
    """Expected visits of a diagonal's cells from the two diagonals after it; cell k lies at k + 1 in the first three."""
    left, up, corner = w1[LEFT], w1[UP], w2[DIAGONAL]
    for q in range(n):
        k = U(low) + U(q)
        below, far = k + U(1), k + U(2)
        here[below] = after[below] * left[k] + (after[far] * up[below] + second[far] * corner[below])


@_jit
def _differences(a, b, at, bt, visits, low, n, grad_a, grad_b):
    """Gradients by the frames: visits times twice their difference."""
    for f in range(a.shape[0]):
        x, y, gx, gy, p, r, v = a[f], b[f], grad_a[f], grad_b[f], U(at), U(bt), U(low + 1)
        for q in range(n):
            k = U(q)
            change = 2.0 * visits[v + k] * (x[p + k] - y[r + k])
            gx[p + k] += change
            gy[r + k] -= change


@_jit
def _backward(a, b, row, rows, into, out, work, weights, grad_a, grad_b, coupling):
    """One strip, last diagonal first: `into` is what comes into its last row from below (column j at j + 1), `out` what leaves upwards."""
    columns = into.shape[0] - 1
    here, after, second = work[0], work[1], work[2]
    work[:3] = 0.0
    out[:] = 0.0
    last = rows + columns - 2
    nothing = np.zeros((3, weights.shape[2]))
    for t in range(last, -1, -1):
        low, high = max(0, t - columns + 1), min(rows - 1, t)
        n = high - low + 1
        _share(here, after, second, weights[t + 1] if t < last else nothing,
               weights[t + 2] if t + 1 < last else nothing, low, n)  # fmt: skip
        if high == rows - 1:
            here[rows] += into[t - rows + 2]
        here[low] = 0.0
        here[high + 2] = 0.0
        if low == 0:
            out[t + 1] += here[1] * weights[t, UP, 0]
            out[t] += here[1] * weights[t, DIAGONAL, 0]
        if coupling.shape[0] > 0:
            for k in range(low, high + 1):
                coupling[row + k, t - k] = here[k + 1]
        if grad_a.shape[0] > 0:
            _differences(a, b, row + low, columns - 1 - t + low, here, low, n, grad_a, grad_b)
        here, after, second = second, here, after


@_jit
def solve(a, b, costs, shape, gamma, height, kept, grad_a, grad_b, coupling):
    """Soft-DTW of one pair. Gradients by the frames and the expected alignment are added where their arrays are not empty.

    `kept`: strips whose weights are held at once, at least 1 where anything but the value is asked.
    """
    n, m = shape
    height = min(height, n)
    strips = (n + height - 1) // height
    work = np.empty((4, height + 3))
    wanted = grad_a.shape[0] > 0 or coupling.shape[0] > 0
    held = min(kept, strips) if wanted else 0
    weights = np.zeros((held, height + m - 1, 3, height + 1))
    none = np.empty((0, 3, height + 1))
    edges = np.empty((strips + 1 if wanted else 2, m + 1))
    edges[0] = np.inf
    edges[0, 0] = 0.0
    for s in range(strips):
        row = s * height
        keep = s >= strips - held
        above, below = (edges[s], edges[s + 1]) if wanted else (edges[s % 2], edges[(s + 1) % 2])
        _forward(
            a,
            b,
            costs,
            gamma,
            row,
            min(height, n - row),
            above,
            below,
            work,
            weights[s % held] if keep else none,
        )
    value = edges[strips if wanted else strips % 2, m]
    if wanted:
        into, out = np.zeros(m + 1), np.zeros(m + 1)
        into[m] = 1.0
        for s in range(strips - 1, -1, -1):
            row = s * height
            rows, w = min(height, n - row), weights[s % held]
            if s < strips - held:
                _forward(a, b, costs, gamma, row, rows, edges[s], edges[s + 1], work, w)
            _backward(a, b, row, rows, into, out, work, w, grad_a, grad_b, coupling)
            into, out = out, into
    return value
