from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import moments


def paired(rng, n=50):
    return Modalities({"a": rng.standard_normal((n, 4)) + 5, "b": rng.standard_normal((n, 3)) * 10})


def same(x, y, tol=1e-10):
    for a in x.names:
        np.testing.assert_allclose(x.mean(a), y.mean(a), atol=tol)
        for b in x.names:
            assert x.count(a, b) == y.count(a, b)
            np.testing.assert_allclose(x.covariance(a, b), y.covariance(a, b), atol=tol)


def test_equals_numpy(rng):
    data = paired(rng)
    m = moments(data, block_size=7)
    a, b = data["a"].values(), data["b"].values()
    np.testing.assert_allclose(m.mean("a"), a.mean(axis=0))
    np.testing.assert_allclose(m.covariance("a"), np.cov(a.T), atol=1e-12)
    np.testing.assert_allclose(m.covariance("a", "b"), np.cov(a.T, b.T)[:4, 4:], atol=1e-12)
    np.testing.assert_allclose(m.covariance("b", "a"), m.covariance("a", "b").T, atol=1e-15)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 50), max_size=3), block_size=st.integers(1, 60), seed=st.integers(0, 100))
def test_merging_is_addition_whatever_the_cuts_and_blocks(cuts, block_size, seed):
    data = paired(np.random.default_rng(seed)).without("b", np.arange(5, 15))
    edges = [0, *sorted(cuts), 50]
    parts = [moments(data[i:j], block_size=block_size) for i, j in pairwise(edges)]
    merged = parts[-1]
    for part in parts[:-1]:
        merged = merged.merge(part)
    same(merged, moments(data), tol=1e-9)


def test_missing_rows_are_pairwise_complete_and_never_enter(rng):
    a, b = rng.standard_normal((40, 4)), rng.standard_normal((40, 3))
    a[3:9] = np.nan
    poisoned = Modality(b.copy(), np.where(np.arange(40) < 12, -1, np.arange(40)))
    poisoned.store[:12] = 1e9
    data = Modalities({"a": Modalities({"a": a}, nan="missing")["a"], "b": poisoned})
    m = moments(data, block_size=5)
    has_a, has_b = data.present["a"], data.present["b"]
    assert (m.count("a"), m.count("b"), m.count("a", "b")) == (34, 28, 28)
    np.testing.assert_allclose(m.covariance("a"), np.cov(a[has_a].T), atol=1e-12)
    both = has_a & has_b
    np.testing.assert_allclose(m.covariance("a", "b"), np.cov(a[both].T, b[both].T)[:4, 4:], atol=1e-12)


def test_shared_values_count_once_a_row(rng):
    store = rng.standard_normal((4, 2))
    index = np.array([0, 0, 1, 3, 3, 3])
    m = moments(Modalities({"a": Modality(store, index)}))
    np.testing.assert_allclose(m.covariance("a"), np.cov(store[index].T))


def test_a_far_mean_does_not_cancel_and_a_constant_has_no_variance(rng):
    x = rng.standard_normal((3000, 2)) + 1e7
    x[:, 1] = 0.1
    m = moments(Modalities({"a": x}))
    assert m.covariance("a")[0, 0] == pytest.approx(x[:, 0].var(ddof=1), rel=1e-9)
    assert m.covariance("a")[1, 1] == 0.0
    assert m.merge(m).covariance("a")[1, 1] == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_any_dtype_in_either_precision(dtype, precision, rng):
    x = (rng.standard_normal((500, 3)) * 3).astype(dtype)
    m = moments(Modalities({"a": x}), precision=precision, block_size=64)
    np.testing.assert_allclose(m.covariance("a"), np.cov(x.T.astype(float)), rtol=1e-5, atol=1e-5)
    assert m.precision == precision


def test_wrong_use_is_named(rng):
    data = paired(rng)
    with pytest.raises(ModalityError, match=r"'a': 4.*'a': 2"):
        moments(data).merge(moments(Modalities({"a": data["a"].values()[:, :2], "b": data["b"]})))
    with pytest.raises(ModalityError, match="at least 2 rows"):
        moments(data[:1]).covariance("a")


def test_moved_and_scaled(rng):
    data = paired(rng).without("a", [1, 2])
    m = moments(data)
    origin = rng.standard_normal(7)
    x = np.zeros((50, 7))
    for name, part in (("a", slice(0, 4)), ("b", slice(4, 7))):
        x[data.present[name], part] = data[name].observed() - origin[part]
    np.testing.assert_allclose(m.moved(origin).products[:7, :7], x.T @ x, atol=1e-9)
    same(m.moved(origin), m)
    np.testing.assert_allclose(m.scaled(0.5).products, m.products / 2)


def test_joint_and_complete(rng):
    data = paired(rng)
    m = moments(data)
    assert m.complete
    np.testing.assert_allclose(
        m.joint(), np.cov(np.hstack([data["a"].values(), data["b"].values()]).T), atol=1e-12
    )
    assert not moments(data.without("b", [0])).complete
