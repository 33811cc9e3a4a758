"""Chance enters in one way."""

from __future__ import annotations

import numpy as np

from polymodal.core.random import generator, seed


def test_the_same_seed_gives_the_same_stream() -> None:
    assert generator(3).integers(1000) == generator(3).integers(1000)


def test_a_generator_is_used_as_it_is(rng: np.random.Generator) -> None:
    assert generator(rng) is rng


def test_legacy_states_seed_a_generator() -> None:
    draws = {generator(np.random.RandomState(3)).integers(10**9) for _ in range(2)}
    assert len(draws) == 1


def test_seeds_fit_every_library() -> None:
    assert seed(5) == 5
    assert 0 <= seed(2**40) < 2**31
    assert 0 <= seed(None) < 2**31
