# mypy: allow-untyped-defs, allow-untyped-decorators
# ruff: noqa: PLR0913, PLR0917, C901 (a kernel takes what it needs)
"""Compiled expectation steps of word alignment models. No annotations here: the compiler infers types.

The corpus comes flattened. Sentence pair k has `lengths_a[k]` words of a and `lengths_b[k]` of b; its links stand in `entries` from
`begins[k]` on, word of b by word of b, each with the `lengths_a[k] + 1` entries of the translation table that it may use: first the
empty word's. `t` is that table, one number for each pair of words that meets in some sentence pair.
"""

from __future__ import annotations

import numpy as np

from polymodal.alignment._compile import compiled


@compiled()
def lexical_expectation(
    entries, begins, lengths_a, lengths_b, t, p_empty, prior, prior_begins, counts, prior_counts
):
    """Add the expected uses of each entry of t, and of each position, to the counts; gives the log-likelihood.

    `prior` holds p(i | j, lengths) of sentence pair k from `prior_begins[k]` on. Where it is empty (IBM 1) the empty word has `p_empty`
    (negative: as much as every other) and the others share the rest.
    """
    total = 0.0
    uniform = len(prior) == 0
    for k in range(len(lengths_a)):
        width = lengths_a[k] + 1
        first = 1.0 / width if p_empty < 0 else p_empty
        other = (1.0 - first) / (width - 1)
        for j in range(lengths_b[k]):
            at = begins[k] + j * width
            place = 0 if uniform else prior_begins[k] + j * width
            norm = 0.0
            for i in range(width):
                norm += t[entries[at + i]] * ((first if i == 0 else other) if uniform else prior[place + i])
            total += np.log(norm)
            for i in range(width):
                share = (
                    t[entries[at + i]]
                    * ((first if i == 0 else other) if uniform else prior[place + i])
                    / norm
                )
                counts[entries[at + i]] += share
                if not uniform:
                    prior_counts[place + i] += share
    return total


@compiled()
def jump_norms(jumps, length, norms):
    """Z(p): what the jump weights of a sentence of `length` words add up to, from position p (0: before the first word)."""
    middle = len(jumps) // 2
    for p in range(length + 1):
        total = 0.0
        for i in range(1, length + 1):
            total += jumps[min(max(i - p, -middle), middle) + middle]
        norms[p] = total


@compiled()
def hmm_posteriors(emission, empty, jumps, p_empty, posterior, from_counts, jump_counts):
    """Forward and backward through one sentence pair; gives its log-likelihood.

    The state after each word of b is the position in a that was last used (0: none yet). `emission[j, i]` is t of word i + 1 of a,
    `empty[j]` of the empty word. Fills `posterior[j, i]` (column 0: the empty word); adds the expected numbers of departures from each
    position and of jumps of each width.
    """
    m, n = emission.shape
    middle = len(jumps) // 2
    norms = np.empty(n + 1)
    jump_norms(jumps, n, norms)
    step = np.zeros((n + 1, n + 1))
    for p in range(n + 1):
        for i in range(1, n + 1):
            step[p, i] = (1 - p_empty) * jumps[min(max(i - p, -middle), middle) + middle] / norms[p]
    alpha = np.zeros((m + 1, n + 1))
    scale = np.empty(m + 1)
    alpha[0, 0] = 1.0
    total = 0.0
    for j in range(m):
        norm = 0.0
        for i in range(n + 1):
            arrive = 0.0
            if i > 0:
                for p in range(n + 1):
                    arrive += alpha[j, p] * step[p, i]
                arrive *= emission[j, i - 1]
            stay = alpha[j, i] * p_empty * empty[j]
            alpha[j + 1, i] = arrive + stay
            norm += arrive + stay
        scale[j + 1] = norm
        for i in range(n + 1):
            alpha[j + 1, i] /= norm
        total += np.log(norm)
    beta = np.ones(n + 1)
    earlier = np.empty(n + 1)
    for j in range(m - 1, -1, -1):
        posterior[j, 0] = 0.0
        for i in range(1, n + 1):
            posterior[j, i] = 0.0
        for p in range(n + 1):
            back = 0.0
            departures = 0.0
            for i in range(1, n + 1):
                use = step[p, i] * emission[j, i - 1] * beta[i] / scale[j + 1]
                back += use
                share = alpha[j, p] * use
                posterior[j, i] += share
                departures += share
                jump_counts[min(max(i - p, -middle), middle) + middle] += share
            from_counts[p] += departures
            stay = p_empty * empty[j] * beta[p] / scale[j + 1]
            posterior[j, 0] += alpha[j, p] * stay
            earlier[p] = back + stay
        for p in range(n + 1):
            beta[p] = earlier[p]
    return total


@compiled()
def hmm_best(log_emission, log_empty, log_jumps_from, log_p_empty, log_stay):
    """The likeliest sequence of links: for each word of b the word of a, from 1, or 0 for the empty word."""
    m, n = log_emission.shape
    score = np.full(n + 1, -np.inf)
    score[0] = 0.0
    came = np.zeros((m, n + 1), dtype=np.int64)
    linked = np.zeros((m, n + 1), dtype=np.bool_)
    for j in range(m):
        new = np.full(n + 1, -np.inf)
        for i in range(n + 1):
            new[i] = score[i] + log_p_empty + log_empty[j]
            came[j, i] = i
            if i == 0:
                continue
            for p in range(n + 1):
                reach = score[p] + log_stay + log_jumps_from[p, i] + log_emission[j, i - 1]
                if reach > new[i]:
                    new[i], came[j, i], linked[j, i] = reach, p, True
        score = new
    best = np.zeros(m, dtype=np.int64)
    at = 0
    for i in range(1, n + 1):
        if score[i] > score[at]:
            at = i
    for j in range(m - 1, -1, -1):
        best[j] = at if linked[j, at] else 0
        at = came[j, at]
    return best
