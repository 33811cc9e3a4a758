"""One way for chance to enter: `random_state`, turned into a Generator once."""

from __future__ import annotations

import numpy as np

RandomState = int | np.random.Generator | np.random.RandomState | None


def generator(random_state: RandomState) -> np.random.Generator:
    """Turn `random_state` into a numpy Generator.

    An int always gives the same stream. A Generator is used as it is (and advances). `None` draws fresh
    entropy. scikit-learn's legacy `RandomState` is accepted, and seeds a Generator.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**31 - 1, size=4))
    return np.random.default_rng(random_state)


def seed(random_state: RandomState) -> int:
    """An integer seed below 2**31 for libraries that take nothing else (torch, faiss, scikit-learn)."""
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    return int(generator(random_state).integers(2**31))
