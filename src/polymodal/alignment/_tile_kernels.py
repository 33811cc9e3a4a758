# mypy: allow-untyped-defs, allow-untyped-decorators
# ruff: noqa: PLR0913, PLR0917, PLW3301 (a kernel takes what it needs; min of three is slower compiled than two of two)
"""Accumulated costs where frames have several features: costs of a tile of cells first, then their sums.

What frames cost is worked out for four rows and four features at a time, so that each number read serves four cells. Then four rows go
together, each a column behind the one above, so that their chains of additions overlap.
Sequences come as (features, frames), features padded with zeros to a multiple of four.
"""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled
from polymodal.alignment._kernels import ABSOLUTES, SQUARES, _finish

U = np.uint64
OUTSIDE = 1e300  # cost of a cell outside the window; not infinity, which times 0 is not a number
HEIGHT, WIDTH = 128, 512  # cells of a tile, half a MiB: in the second cache

_jit = compiled({"nnan", "nsz", "contract", "reassoc", "arcp"})


@_jit
def _four_squares(a, i, f, b, j, tile, k, n):
    """Four features of frames i .. i + 3 of a against frames j .. j + n - 1 of b, into rows k .. k + 3 of the tile."""
    c0, c1, c2, c3 = tile[k], tile[k + 1], tile[k + 2], tile[k + 3]
    y0, y1, y2, y3 = b[f], b[f + 1], b[f + 2], b[f + 3]
    x00, x10, x20, x30 = a[f + 0, i], a[f + 0, i + 1], a[f + 0, i + 2], a[f + 0, i + 3]
    x01, x11, x21, x31 = a[f + 1, i], a[f + 1, i + 1], a[f + 1, i + 2], a[f + 1, i + 3]
    x02, x12, x22, x32 = a[f + 2, i], a[f + 2, i + 1], a[f + 2, i + 2], a[f + 2, i + 3]
    x03, x13, x23, x33 = a[f + 3, i], a[f + 3, i + 1], a[f + 3, i + 2], a[f + 3, i + 3]
    for q in range(n):
        t, u = U(q), U(j) + U(q)
        v0, v1, v2, v3 = y0[u], y1[u], y2[u], y3[u]
        c0[t] += (
            (x00 - v0) * (x00 - v0)
            + (x01 - v1) * (x01 - v1)
            + (x02 - v2) * (x02 - v2)
            + (x03 - v3) * (x03 - v3)
        )
        c1[t] += (
            (x10 - v0) * (x10 - v0)
            + (x11 - v1) * (x11 - v1)
            + (x12 - v2) * (x12 - v2)
            + (x13 - v3) * (x13 - v3)
        )
        c2[t] += (
            (x20 - v0) * (x20 - v0)
            + (x21 - v1) * (x21 - v1)
            + (x22 - v2) * (x22 - v2)
            + (x23 - v3) * (x23 - v3)
        )
        c3[t] += (
            (x30 - v0) * (x30 - v0)
            + (x31 - v1) * (x31 - v1)
            + (x32 - v2) * (x32 - v2)
            + (x33 - v3) * (x33 - v3)
        )


@_jit
def _four_absolutes(a, i, f, b, j, tile, k, n):
    c0, c1, c2, c3 = tile[k], tile[k + 1], tile[k + 2], tile[k + 3]
    y0, y1, y2, y3 = b[f], b[f + 1], b[f + 2], b[f + 3]
    x00, x10, x20, x30 = a[f + 0, i], a[f + 0, i + 1], a[f + 0, i + 2], a[f + 0, i + 3]
    x01, x11, x21, x31 = a[f + 1, i], a[f + 1, i + 1], a[f + 1, i + 2], a[f + 1, i + 3]
    x02, x12, x22, x32 = a[f + 2, i], a[f + 2, i + 1], a[f + 2, i + 2], a[f + 2, i + 3]
    x03, x13, x23, x33 = a[f + 3, i], a[f + 3, i + 1], a[f + 3, i + 2], a[f + 3, i + 3]
    for q in range(n):
        t, u = U(q), U(j) + U(q)
        v0, v1, v2, v3 = y0[u], y1[u], y2[u], y3[u]
        c0[t] += abs(x00 - v0) + abs(x01 - v1) + abs(x02 - v2) + abs(x03 - v3)
        c1[t] += abs(x10 - v0) + abs(x11 - v1) + abs(x12 - v2) + abs(x13 - v3)
        c2[t] += abs(x20 - v0) + abs(x21 - v1) + abs(x22 - v2) + abs(x23 - v3)
        c3[t] += abs(x30 - v0) + abs(x31 - v1) + abs(x32 - v2) + abs(x33 - v3)


@_jit
def _four_products(a, i, f, b, j, tile, k, n):
    c0, c1, c2, c3 = tile[k], tile[k + 1], tile[k + 2], tile[k + 3]
    y0, y1, y2, y3 = b[f], b[f + 1], b[f + 2], b[f + 3]
    x00, x10, x20, x30 = a[f + 0, i], a[f + 0, i + 1], a[f + 0, i + 2], a[f + 0, i + 3]
    x01, x11, x21, x31 = a[f + 1, i], a[f + 1, i + 1], a[f + 1, i + 2], a[f + 1, i + 3]
    x02, x12, x22, x32 = a[f + 2, i], a[f + 2, i + 1], a[f + 2, i + 2], a[f + 2, i + 3]
    x03, x13, x23, x33 = a[f + 3, i], a[f + 3, i + 1], a[f + 3, i + 2], a[f + 3, i + 3]
    for q in range(n):
        t, u = U(q), U(j) + U(q)
        v0, v1, v2, v3 = y0[u], y1[u], y2[u], y3[u]
        c0[t] += x00 * v0 + x01 * v1 + x02 * v2 + x03 * v3
        c1[t] += x10 * v0 + x11 * v1 + x12 * v2 + x13 * v3
        c2[t] += x20 * v0 + x21 * v1 + x22 * v2 + x23 * v3
        c3[t] += x30 * v0 + x31 * v1 + x32 * v2 + x33 * v3


@_jit
def _one_row(a, i, b, j, kind, c):
    """Frame i of a against frames j .. of b, as many as `c` has room for."""
    for f in range(a.shape[0]):
        x, y = a[f, i], b[f, j : j + c.shape[0]]
        for q in range(c.shape[0]):
            if kind == SQUARES:
                c[q] += (x - y[q]) * (x - y[q])
            elif kind == ABSOLUTES:
                c[q] += abs(x - y[q])
            else:
                c[q] += x * y[q]


@_jit
def _tile_costs(a, i, b, j, kind, post, tile):
    """Costs of frames i .. of a with frames j .. of b, as many as the tile has rows and columns."""
    rows, columns = tile.shape
    tile[:] = 0.0
    for k in range(0, rows - 3, 4):
        for f in range(0, a.shape[0], 4):
            if kind == SQUARES:
                _four_squares(a, i + k, f, b, j, tile, k, columns)
            elif kind == ABSOLUTES:
                _four_absolutes(a, i + k, f, b, j, tile, k, columns)
            else:
                _four_products(a, i + k, f, b, j, tile, k, columns)
    for k in range(rows - rows % 4, rows):
        _one_row(a, i + k, b, j, kind, tile[k])
    for k in range(rows):
        _finish(tile[k], columns, post)


@_jit
def _cell(cost, up, left, corner, extra):
    return cost + min(min(up, corner + extra * cost), left)


@_jit
def _row(c, columns, edge, at, corner, left, k, extra):
    """One row of a tile: `edge` is the row above, and becomes this one; `left[k]` the cell before, and becomes the last."""
    here = left[k]
    for j in range(columns):
        up = edge[at + j]
        here = _cell(c[k, j], up, here, corner, extra)
        corner = up
        edge[at + j] = here
    left[k] = here


@_jit
def _four_rows(c, columns, edge, at, corner, left, k, extra):
    """Rows k .. k + 3 of a tile of at least four columns. Of each row: v its latest cell, w the one before."""
    c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
    v0, v1, v2, v3 = left[k], left[k + 1], left[k + 2], left[k + 3]
    up = edge[at]
    w0, v0, corner = v0, _cell(c0[0], up, v0, corner, extra), up
    w1, v1 = v1, _cell(c1[0], v0, v1, w0, extra)
    up = edge[at + 1]
    w0, v0, corner = v0, _cell(c0[1], up, v0, corner, extra), up
    w2, v2 = v2, _cell(c2[0], v1, v2, w1, extra)
    w1, v1 = v1, _cell(c1[1], v0, v1, w0, extra)
    up = edge[at + 2]
    w0, v0, corner = v0, _cell(c0[2], up, v0, corner, extra), up
    for s in range(3, columns):
        q, up = U(s), edge[U(at) + U(s)]
        n3 = _cell(c3[q - U(3)], v2, v3, w2, extra)
        n2 = _cell(c2[q - U(2)], v1, v2, w1, extra)
        n1 = _cell(c1[q - U(1)], v0, v1, w0, extra)
        n0 = _cell(c0[q], up, v0, corner, extra)
        corner, w0, w1, w2 = up, v0, v1, v2
        v0, v1, v2, v3 = n0, n1, n2, n3
        edge[U(at) + q - U(3)] = n3
    for s in range(columns, columns + 3):
        v3 = _cell(c3[s - 3], v2, v3, w2, extra)
        edge[at + s - 3] = v3
        if s < columns + 2:
            w2, v2 = v2, _cell(c2[s - 2], v1, v2, w1, extra)
        if s < columns + 1:
            w1, v1 = v1, _cell(c1[s - 1], v0, v1, w0, extra)
    left[k], left[k + 1], left[k + 2], left[k + 3] = v0, v1, v2, v3


@_jit
def _tile(c, edge, at, corner, left, extra):
    """All rows of a tile. `corner` is the cell diagonally before its first, `left` (rows) those before each row."""
    rows, columns = c.shape
    k = 0
    while k < rows:
        together = 4 if k + 4 <= rows and columns >= 4 else 1
        after = left[k + together - 1]
        if together == 4:
            _four_rows(c, columns, edge, at, corner, left, k, extra)
        else:
            _row(c, columns, edge, at, corner, left, k, extra)
        corner = after
        k += together


@_jit
def sweep(a, at, b, bt, columns, kind, post, extra, first, last, border):
    """Accumulated costs of the last row, column j at j + 1, of the cells of frames at + i and bt + j (rows: as many as bounds).

    `border` (columns + 1): the row before.
    """
    total, edge = first.shape[0], border.copy()
    space, left = np.empty(HEIGHT * WIDTH), np.empty(HEIGHT)
    for row in range(0, total, HEIGHT):
        rows = min(HEIGHT, total - row)
        begin, end = first[row], last[row + rows - 1] + 1
        corner = edge[begin]
        edge[: begin + 1] = np.inf
        left[:] = np.inf
        for column in range(begin, end, WIDTH):
            wide = min(WIDTH, end - column)
            tile = space[: rows * wide].reshape(rows, wide)
            _tile_costs(a, at + row, b, bt + column, kind, post, tile)
            for i in range(rows):
                tile[i, : max(first[row + i] - column, 0)] = OUTSIDE
                tile[i, max(last[row + i] + 1 - column, 0) :] = OUTSIDE
            beyond = edge[column + wide]
            _tile(tile, edge, column + 1, corner, left, extra)
            corner = beyond
        edge[end + 1 :] = np.inf
    edge[: first[total - 1] + 1] = np.inf
    edge[last[total - 1] + 2 :] = np.inf
    return edge


@_jit
def sweep_pairs(a, starts_a, b, starts_b, columns, kind, post, extra, first, last, ends):
    """Accumulated cost of each of several pairs of the same two lengths, closed at both ends."""
    border, one = np.full(columns + 1, np.inf), np.empty((1, 1))
    for p in range(ends.shape[0]):
        border[0] = 0.0
        if extra != 0.0:
            _tile_costs(a, starts_a[p], b, starts_b[p], kind, post, one)
            border[0] = -extra * one[0, 0]
        ends[p] = sweep(a, starts_a[p], b, starts_b[p], columns, kind, post, extra, first, last, border)[
            columns
        ]
