from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.fission import Ranks, choose_ranks


def test_counts_planted_factors(rng):
    S = rng.standard_normal((200, 2))
    data = {}
    for name, private, d in (("a", 1, 12), ("b", 3, 15)):
        data[name] = S @ rng.standard_normal((2, d)) + rng.standard_normal(
            (200, private)
        ) @ rng.standard_normal((private, d))
        data[name] += 0.5 * rng.standard_normal((200, d))
    assert choose_ranks(data, random_state=0) == Ranks(2, {"a": 1, "b": 3})


def test_a_factor_of_two_modalities_is_not_shared_by_three(rng):
    z = rng.standard_normal((200, 1))
    data = {name: rng.standard_normal((200, 6)) for name in "abc"}
    for name in "ab":
        data[name] += 2 * z @ np.ones((1, 6))
    assert choose_ranks(data, random_state=0) == Ranks(0, {"a": 1, "b": 1, "c": 0})


def test_noise_has_no_factors(rng):
    found = [
        choose_ranks({"a": rng.standard_normal((50, 5)), "b": rng.standard_normal((50, 6))}, random_state=i)
        for i in range(10)
    ]
    assert sum(r.n_shared for r in found) == 0
    assert sum(sum(r.n_private.values()) for r in found) <= 2


def test_needs_rows():
    with pytest.raises(ModalityError, match="at least 3 rows"):
        choose_ranks({"a": np.eye(2), "b": np.eye(2)})
