"""torch's random numbers, borrowed: seeded inside a block, and left as they were found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from polymodal.core.random import RandomState
from polymodal.core.random import seed as seed_of


@contextmanager
def seeded(random_state: RandomState) -> Iterator[int]:
    """Inside, torch draws from a stream that `random_state` fixes; after it, torch's global state is what it was.

    Yields:
        The seed used.

    Examples:
        >>> with seeded(0):
        ...     first = torch.rand(1)
        >>> with seeded(0):
        ...     bool(torch.rand(1) == first)
        True
    """
    number = seed_of(random_state)
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # asking for its state would start it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if started else []):
        torch.manual_seed(number)
        yield number
