from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.datasets import (
    drop_modalities,
    make_redundant_unique_synergistic,
    make_shared_private,
    make_warped,
)


def entropy_bits(*columns: np.ndarray) -> float:
    _, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def information_bits(x: np.ndarray, y: np.ndarray) -> float:
    return entropy_bits(x) + entropy_bits(y) - entropy_bits(x, y)


@pytest.mark.parametrize(
    ("redundant", "unique", "synergistic"),
    [(1, None, 1), (0, {}, 1), (2, {"a": 1}, 0), (0, {"a": 1, "b": 2}, 2)],
)
def test_information_is_what_the_truth_says(redundant, unique, synergistic):
    d, truth = make_redundant_unique_synergistic(
        40_000, redundant=redundant, unique=unique, synergistic=synergistic, distractors=1, random_state=0
    )
    signs = {m: (d.data[m].values()[:, :-1] > 0).astype(int) for m in "ab"}
    for m in "ab":
        expected = truth.redundant_bits + truth.unique_bits[m]
        assert information_bits(signs[m], d["label"]) == pytest.approx(expected, abs=0.01)
    both = np.concatenate([signs["a"], signs["b"]], axis=1)
    assert information_bits(both, d["label"]) == pytest.approx(truth.total_bits, abs=0.01)


def test_coins_are_read_off_their_columns():
    d, _ = make_redundant_unique_synergistic(500, noise=0.99, random_state=1)
    a, b = ((d.data[m].values() > 0).astype(int) for m in "ab")
    assert (a[:, 0] == d["redundant 0"]).all()
    assert (b[:, 0] == d["redundant 0"]).all()
    assert (a[:, 1] == d["unique a 0"]).all()
    assert (b[:, 1] == d["unique b 0"]).all()
    assert (a[:, 2] ^ b[:, 2] == d["synergistic 0"]).all()
    label = 8 * d["redundant 0"] + 4 * d["unique a 0"] + 2 * d["unique b 0"] + d["synergistic 0"]
    assert (label == d["label"]).all()


def test_coin_errors():
    with pytest.raises(ModalityError, match="'c'"):
        make_redundant_unique_synergistic(unique={"c": 1})
    with pytest.raises(ModalityError, match="noise"):
        make_redundant_unique_synergistic(noise=1.0)
    with pytest.raises(ModalityError, match="a column in each modality"):
        make_redundant_unique_synergistic(redundant=0, unique={"a": 1}, synergistic=0, distractors=0)
    with pytest.raises(ModalityError, match="coins"):
        make_redundant_unique_synergistic(redundant=0, unique={}, synergistic=0)


def test_covariance_and_canonical_correlations_are_the_populations():
    d, truth = make_shared_private(200_000, dims={"a": 4, "b": 5, "c": 3}, noise=0.5, random_state=0)
    x = {m: d.data[m].values() for m in "abc"}
    for a, b in (("a", "b"), ("a", "c"), ("b", "b")):
        np.testing.assert_allclose(x[a].T @ x[b] / len(d), truth.covariance(a, b), atol=0.04)
    q = {m: np.linalg.qr(x[m])[0] for m in "ab"}
    sample = np.linalg.svd(q["a"].T @ q["b"], compute_uv=False)
    np.testing.assert_allclose(sample[:2], truth.canonical_correlations("a", "b"), atol=0.01)
    np.testing.assert_allclose(sample[2:], 0, atol=0.02)
    assert truth.shared.shape == (200_000, 2)


def test_without_private_factors_and_noise_everything_correlates():
    _, truth = make_shared_private(5, n_private=0, noise=1e-4, random_state=0)
    np.testing.assert_allclose(truth.canonical_correlations("a", "b"), 1, atol=1e-6)
    assert truth.private["a"].shape == (5, 0)


def test_tanh_bounds_and_seeds():
    d, _ = make_shared_private(200, noise=1e-3, nonlinearity="tanh", random_state=3)
    again, _ = make_shared_private(200, noise=1e-3, nonlinearity="tanh", random_state=3)
    assert np.abs(d.data["a"].values()).max() < 1.01
    np.testing.assert_array_equal(d.data["a"].values(), again.data["a"].values())
    with pytest.raises(ModalityError, match="n_shared=3"):
        make_shared_private(n_shared=3, dims={"a": 2, "b": 9})
    with pytest.raises(ModalityError, match="noise=0"):
        make_shared_private(noise=0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 9))
def test_sequences_are_equal_along_the_path(length, repeats, seed):
    d, truth = make_warped(3, length=length, max_repeats=repeats, random_state=seed)
    for i, path in enumerate(truth.paths):
        a, b = d.data["a"].store[i], d.data["b"].store[i]
        np.testing.assert_array_equal(a[path[:, 0]], b[path[:, 1]])
        assert path[0].tolist() == [0, 0]
        assert path[-1].tolist() == [len(a) - 1, len(b) - 1]
        steps = np.diff(path, axis=0)
        assert ((steps >= 0) & (steps <= 1)).all()
        assert (steps.sum(axis=1) >= 1).all()
        assert (truth.times["a"][i][path[:, 0]] == truth.times["b"][i][path[:, 1]]).all()


def test_warped_noise_and_errors():
    d, _ = make_warped(200, length=50, random_state=0)
    assert d.data["a"].store.values.std() == pytest.approx(1, abs=0.1)
    plain, _ = make_warped(1, max_repeats=1, noise=0.1, random_state=0)
    assert len(plain.data["a"].store[0]) == len(plain.data["b"].store[0]) == 40
    with pytest.raises(ModalityError, match="length"):
        make_warped(length=0)


DATA = Modalities({m: np.arange(400.0).reshape(400, 1) for m in ("image", "text", "sound")})


def present(data: Modalities) -> np.ndarray:
    return np.column_stack([data.present[m] for m in sorted(data.names)])


def test_missing_at_random():
    kept = present(drop_modalities(DATA, 0.3, random_state=0))
    assert kept.any(axis=1).all()
    np.testing.assert_allclose(kept.mean(axis=0), 0.7 + 0.3**3 / 3, atol=0.06)


def test_a_modality_fails():
    assert present(drop_modalities(DATA, 0.25, pattern="modality", modality="text", random_state=0)).sum(
        axis=0
    ).tolist() == [
        400,
        400,
        300,
    ]
    lost = 400 - present(drop_modalities(DATA, 0.5, pattern="modality", random_state=0)).sum(axis=0)
    assert sorted(lost.tolist()) == [0, 0, 200]


def test_unpaired():
    kept = present(drop_modalities(DATA, 0.5, pattern="unpaired", random_state=0)).sum(axis=1)
    assert np.bincount(kept).tolist() == [0, 200, 0, 200]
    alone = present(drop_modalities(DATA, 1, pattern="unpaired", random_state=0))
    assert (alone.sum(axis=1) == 1).all()
    assert alone.sum(axis=0).min() > 100


def test_no_row_loses_everything_even_if_some_was_missing_before():
    before = DATA.without("image", slice(0, 200)).without("text", slice(0, 200))
    for pattern in ("random", "modality", "unpaired"):
        after = drop_modalities(before, 1, pattern=pattern, random_state=0)
        assert present(after).any(axis=1).all()
        assert not (present(after) & ~present(before)).any()


def test_the_order_of_modalities_and_rate_zero_change_nothing():
    a = drop_modalities(DATA, 0.4, random_state=5)
    b = drop_modalities(DATA.select("sound", "text", "image"), 0.4, random_state=5)
    np.testing.assert_array_equal(present(a), present(b))
    assert b.names == ("sound", "text", "image")
    assert present(drop_modalities(DATA, 0, random_state=0)).all()
    assert present(DATA).all()


def test_drop_errors():
    with pytest.raises(ModalityError, match="rate"):
        drop_modalities(DATA, 1.2)
    with pytest.raises(ModalityError, match="two modalities"):
        drop_modalities({"x": np.ones((3, 1))}, 0.1)
    with pytest.raises(ModalityError, match="'txt'"):
        drop_modalities(DATA, 0.1, pattern="modality", modality="txt")
    with pytest.raises(ModalityError, match="'text'"):
        drop_modalities(DATA, 0.1, modality="text")
