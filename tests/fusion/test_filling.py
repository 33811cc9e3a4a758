"""What stands for an absent modality: learned from training rows, each row by itself."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.fusion._filling import block_means, fill, patterns, with_gaps


def case(rng: np.random.Generator) -> tuple[dict, dict]:
    a = rng.normal(size=(50, 2))
    blocks = {"a": a, "b": a[:, :1] * 3.0 + 1.0}
    present = {"a": np.arange(50) >= 5, "b": np.arange(50) < 45}
    return blocks, present


def test_means_are_those_of_the_rows_that_have_it(rng: np.random.Generator) -> None:
    blocks, present = case(rng)
    means = block_means(blocks, present)
    np.testing.assert_allclose(means["a"], blocks["a"][5:].mean(axis=0))
    full = fill(blocks, present, strategy="mean", means=means, known={}, known_present={}, learned={})
    np.testing.assert_allclose(full["a"][:5], np.tile(means["a"], (5, 1)))
    np.testing.assert_array_equal(full["b"][:45], blocks["b"][:45])


@pytest.mark.parametrize("strategy", ["mean", "nearest", "regression"])
def test_a_row_is_filled_by_itself_and_absent_values_are_not_read(strategy, rng: np.random.Generator) -> None:
    blocks, present = case(rng)
    given = {
        "strategy": strategy,
        "means": block_means(blocks, present),
        "known_present": present,
        "learned": {},
    }
    poisoned = {name: np.where(present[name][:, None], blocks[name], np.nan) for name in blocks}
    whole = fill(blocks, present, known=blocks, **given)
    again = fill(poisoned, present, known=poisoned, **given)
    one = fill(
        {name: values[2:3] for name, values in blocks.items()},
        {name: has[2:3] for name, has in present.items()},
        known=blocks,
        **given,
    )
    for name in blocks:
        np.testing.assert_allclose(again[name], whole[name])
        np.testing.assert_allclose(one[name], whole[name][2:3])


def test_an_exact_line_is_found(rng: np.random.Generator) -> None:
    blocks, present = case(rng)
    full = fill(
        blocks,
        present,
        strategy="regression",
        means=block_means(blocks, present),
        known=blocks,
        known_present=present,
        learned={},
    )
    np.testing.assert_allclose(full["b"][45:], blocks["b"][45:], atol=1e-2)


def test_modalities_that_never_met_get_the_mean(rng: np.random.Generator) -> None:
    blocks, _ = case(rng)
    apart = {"a": np.arange(50) < 25, "b": np.arange(50) >= 25}
    means = block_means(blocks, apart)
    for strategy in ("nearest", "regression"):
        full = fill(
            blocks, apart, strategy=strategy, means=means, known=blocks, known_present=apart, learned={}
        )
        np.testing.assert_allclose(full["b"][:25], np.tile(means["b"], (25, 1)))


def test_patterns_and_gaps() -> None:
    present = {"a": np.array([True, False, True]), "b": np.array([True, True, True])}
    found = {has: rows.tolist() for rows, has in patterns(present, ["a", "b"])}
    assert found == {("a", "b"): [0, 2], ("b",): [1]}
    gaps = with_gaps({"a": np.zeros((3, 1)), "b": np.ones((3, 2))}, present, ["a", "b"])
    np.testing.assert_array_equal(np.isnan(gaps), [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
