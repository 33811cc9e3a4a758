# mypy: allow-untyped-defs, allow-untyped-decorators
# ruff: noqa: PLR0913, PLR0917, PLR0912, C901 (a kernel takes what it needs, and stands in one piece)
"""Compiled recursions of hidden Markov models. All in one file, since a cached kernel does not see another file change.

Logarithms between frames, sums in plain numbers within a frame: a frame costs K exponentials and K logarithms instead of K^2.
A sum that comes out smaller than 1e-280 may have lost terms; it, and only it, is done again in logarithms. So the results are
those of the recursion in logarithms, for forbidden transitions and states hundreds of nats apart too. Each frame is taken
relative to its best state, so that rounding does not grow with the length.

`frames` of all sequences stand one after the other; sequence i is `offsets[i]:offsets[i + 1]`. No annotations here: the compiler
infers types.
"""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled

TINY = 1e-280  # below this a sum of products may have lost terms
LOST = 1e-200  # the same for a sum over pairs of states

_jit = compiled({"nsz", "contract", "reassoc"})


@_jit
def _log_dot(x, log_matrix, row, column):
    """Log sum_j exp(x_j + M_j), M a row or (row < 0) a column of the matrix of logarithms."""
    best = -np.inf
    for j in range(len(x)):
        e = x[j] + (log_matrix[row, j] if row >= 0 else log_matrix[j, column])
        best = max(best, e)
    if best == -np.inf:
        return best
    total = 0.0
    for j in range(len(x)):
        e = x[j] + (log_matrix[row, j] if row >= 0 else log_matrix[j, column])
        if e > best - 745:
            total += np.exp(e - best)
    return best + np.log(total)


@_jit
def _forward(log_b, start, a, log_a, end, la):
    """Fill `la` with log alpha relative to each frame's best state; gives the log-likelihood."""
    n, k = log_b.shape
    u, sums = np.empty(k), np.empty(k)
    total, lost = 0.0, 0.0  # Kahan's sum: the offsets of many frames
    for t in range(n):
        if t == 0:
            for j in range(k):
                sums[j] = start[j]
        else:
            for j in range(k):
                sums[j] = 0.0
            for i in range(k):
                w = u[i]
                if w > 0.0:
                    for j in range(k):
                        sums[j] += w * a[i, j]
        best = -np.inf
        for j in range(k):
            if sums[j] >= TINY or t == 0:
                e = np.log(sums[j]) + log_b[t, j]
            else:
                e = _log_dot(la[t - 1], log_a, -1, j) + log_b[t, j]
            la[t, j] = e
            best = max(best, e)
        if not best > -np.inf:
            return -np.inf
        y = best - lost
        s = total + y
        lost = (s - total) - y
        total = s
        for j in range(k):
            la[t, j] -= best
            u[j] = np.exp(la[t, j])
    tail = 0.0
    for j in range(k):
        tail += u[j] * end[j]
    if tail >= TINY:
        return total + np.log(tail)
    best = -np.inf
    for j in range(k):
        if end[j] > 0:
            best = max(best, la[n - 1, j] + np.log(end[j]))
    if best == -np.inf:
        return best
    tail = 0.0
    for j in range(k):
        if end[j] > 0:
            tail += np.exp(la[n - 1, j] + np.log(end[j]) - best)
    return total + best + np.log(tail)


@_jit
def _backward(log_b, a, at, log_a, end, la, counts):
    """Turn `la` into posteriors; add expected transitions (over the transition probabilities) to `counts`, fallbacks apart."""
    n, k = log_b.shape
    u, v, lv, w, lb = np.empty(k), np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    direct = np.zeros((k, k))
    for j in range(k):
        lb[j] = np.log(end[j])
    _softmax(la[n - 1], lb)
    for t in range(n - 2, -1, -1):
        best = -np.inf
        for j in range(k):
            lv[j] = log_b[t + 1, j] + lb[j]
            best = max(best, lv[j])
        for j in range(k):
            lv[j] -= best
            v[j] = np.exp(lv[j])
            u[j] = np.exp(la[t, j])
            w[j] = 0.0
        for i in range(k):
            x = v[i]
            if x > 0.0:
                for j in range(k):
                    w[j] += x * at[i, j]
        best = -np.inf
        for j in range(k):
            lb[j] = np.log(w[j]) if w[j] >= TINY else _log_dot(lv, log_a, j, -1)
            best = max(best, lb[j])
        z = 0.0
        for j in range(k):
            z += u[j] * w[j]
        if z >= LOST:
            for i in range(k):
                la[t, i] = u[i] * w[i] / z
                x = u[i] / z
                if x > 0.0:
                    for j in range(k):
                        counts[i, j] += x * v[j]
        else:
            _pairs(la[t], lv, log_a, direct)
            _softmax(la[t], lb)
        for j in range(k):
            lb[j] -= best
    for i in range(k):
        for j in range(k):
            counts[i, j] = counts[i, j] * a[i, j] + direct[i, j]


@_jit
def _softmax(la, lb):
    best, total = -np.inf, 0.0
    for j in range(len(la)):
        la[j] += lb[j]
        best = max(best, la[j])
    for j in range(len(la)):
        la[j] = np.exp(la[j] - best)
        total += la[j]
    for j in range(len(la)):
        la[j] /= total


@_jit
def _pairs(la, lv, log_a, direct):
    """Posterior of the pair of states, in logarithms: rare."""
    k = len(la)
    best, total = -np.inf, 0.0
    for i in range(k):
        for j in range(k):
            best = max(best, la[i] + log_a[i, j] + lv[j])
    for i in range(k):
        for j in range(k):
            total += np.exp(la[i] + log_a[i, j] + lv[j] - best)
    for i in range(k):
        for j in range(k):
            direct[i, j] += np.exp(la[i] + log_a[i, j] + lv[j] - best) / total


@_jit
def log_likelihoods(log_b, offsets, start, a, log_a, end, out):
    """Log-likelihood of each sequence; -inf where the model forbids it."""
    for i in range(len(offsets) - 1):
        part = log_b[offsets[i] : offsets[i + 1]]
        out[i] = _forward(part, start, a, log_a, end, np.empty_like(part)) if len(part) else 0.0


@_jit
def expectations(log_b, offsets, start, a, at, log_a, end, posteriors, counts, out):
    """Posteriors of states, expected transitions summed over all sequences, and log-likelihoods; forbidden sequences add nothing."""
    k = len(start)
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        out[i] = 0.0
        if first == last:
            continue
        out[i] = _forward(log_b[first:last], start, a, log_a, end, posteriors[first:last])
        if out[i] == -np.inf:
            posteriors[first:last] = 0.0
            continue
        own = np.zeros((k, k))
        _backward(log_b[first:last], a, at, log_a, end, posteriors[first:last], own)
        counts += own


@_jit
def best_paths(log_b, offsets, log_start, log_a, log_end, states, out):
    """The most probable states of each sequence, and their log-probability; ties go to the first state."""
    k = len(log_start)
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        n = last - first
        out[i] = 0.0
        if n == 0:
            continue
        back = np.zeros((n, k), dtype=np.int32)
        now, before, total = np.empty(k), np.empty(k), 0.0
        for j in range(k):
            before[j] = log_start[j] + log_b[first, j]
        for t in range(1, n):
            for j in range(k):
                now[j] = -np.inf
            for s in range(k):
                x = before[s]
                if x > -np.inf:
                    for j in range(k):
                        e = x + log_a[s, j]
                        if e > now[j]:
                            now[j] = e
                            back[t, j] = s
            best = -np.inf
            for j in range(k):
                now[j] += log_b[first + t, j]
                best = max(best, now[j])
            shift = best if best > -np.inf else 0.0
            total += shift
            for j in range(k):
                before[j] = now[j] - shift
        state, best = 0, -np.inf
        for j in range(k):
            if before[j] + log_end[j] > best:
                state, best = j, before[j] + log_end[j]
        out[i] = total + best
        for t in range(n - 1, -1, -1):
            states[first + t] = state
            state = back[t, state]


@_jit
def _log_add(x, y):
    if x < y:
        x, y = y, x
    return x if y == -np.inf else x + np.log1p(np.exp(y - x))


@_jit
def _sparse_forward(log_b, emits, first, heads, sources, weights, last, la):
    """As `_forward` for a long chain where a position has few predecessors: edges heads[p]:heads[p + 1] lead to p."""
    n, places = len(log_b), len(emits)
    for p in range(places):
        la[0, p] = first[p] + log_b[0, emits[p]]
    for t in range(1, n):
        for p in range(places):
            e = -np.inf
            for q in range(heads[p], heads[p + 1]):
                x = la[t - 1, sources[q]]
                if x > -np.inf:
                    e = _log_add(e, x + weights[q])
            la[t, p] = e + log_b[t, emits[p]]
    total = -np.inf
    for p in range(places):
        total = _log_add(total, la[n - 1, p] + last[p])
    return total


@_jit
def sparse_expectations(log_b, emits, first, heads, sources, weights, last, la, edges):
    """Log-likelihood; `la` becomes the posteriors of positions and `edges` gets the expected uses of every edge added."""
    n, places = len(log_b), len(emits)
    total = _sparse_forward(log_b, emits, first, heads, sources, weights, last, la)
    if total == -np.inf:
        return total
    ahead, here = last.copy(), np.empty(places)
    for t in range(n - 1, -1, -1):
        if t < n - 1:
            for p in range(places):
                here[p] = -np.inf
            for p in range(places):
                x = ahead[p] + log_b[t + 1, emits[p]]
                if x == -np.inf:
                    continue
                for q in range(heads[p], heads[p + 1]):
                    s = sources[q]
                    here[s] = _log_add(here[s], x + weights[q])
                    edges[q] += np.exp(la[t, s] + weights[q] + x - total)
            for p in range(places):
                ahead[p] = here[p]
        # only now: the edges above needed the logarithms of this frame
        row = 0.0
        for p in range(places):
            here[p] = np.exp(la[t, p] + ahead[p] - total)
            row += here[p]
        for p in range(places):
            la[t, p] = here[p] / row
    return total


@_jit
def sparse_best_path(log_b, emits, first, heads, sources, weights, last, path):
    """The most probable positions, and their log-probability; back-pointers take one byte a cell."""
    n, places = len(log_b), len(emits)
    back = np.zeros((n, places), dtype=np.uint8)
    before, now = np.empty(places), np.empty(places)
    for p in range(places):
        before[p] = first[p] + log_b[0, emits[p]]
    for t in range(1, n):
        for p in range(places):
            best = -np.inf
            for q in range(heads[p], heads[p + 1]):
                e = before[sources[q]] + weights[q]
                if e > best:
                    best = e
                    back[t, p] = q - heads[p]
            now[p] = best + log_b[t, emits[p]]
        before, now = now, before
    place, best = 0, -np.inf
    for p in range(places):
        if before[p] + last[p] > best:
            place, best = p, before[p] + last[p]
    if best == -np.inf:
        return best
    for t in range(n - 1, -1, -1):
        path[t] = place
        place = sources[heads[place] + back[t, place]] if t else place
    return best


@_jit
def diagonal_log_density(x, means, precisions, constants, out):
    """Gaussian log-densities; means and precisions come features first, (d, k). A NaN feature adds nothing."""
    n, d = x.shape
    k = means.shape[1]
    for t in range(n):
        for j in range(k):
            out[t, j] = constants[j]
        for f in range(d):
            e = x[t, f]
            if np.isnan(e):
                for j in range(k):
                    out[t, j] += 0.5 * (np.log(2 * np.pi) - np.log(precisions[f, j]))
            else:
                for j in range(k):
                    out[t, j] -= 0.5 * (e - means[f, j]) * (e - means[f, j]) * precisions[f, j]
