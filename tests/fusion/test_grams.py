from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.fusion import _grams
from polymodal.fusion._grams import Grams, Member, expand_modality
from polymodal.similarity import RBF, Linear, Polynomial


def member(values, index=None, kernel=None, label="k"):
    index = np.arange(len(values)) if index is None else np.asarray(index)
    return Member("image", label, Linear() if kernel is None else kernel, values, index)


def test_linear_kernels_are_those_of_centred_vectors(rng):
    x = rng.standard_normal((9, 3)) + 4
    z = x - x.mean(axis=0)
    (K,) = Grams([member(x)], "none")
    np.testing.assert_allclose(K, z @ z.T, atol=1e-12)
    (K,) = Grams([member(x)], "variance")
    np.testing.assert_allclose(K, z @ z.T / z.var(axis=0).sum(), atol=1e-12)
    np.testing.assert_allclose(np.trace(K), 9)
    u = x / np.linalg.norm(x, axis=1)[:, None]
    (K,) = Grams([member(x)], "cosine")
    np.testing.assert_allclose(K, (u - u.mean(axis=0)) @ (u - u.mean(axis=0)).T, atol=1e-12)


def test_a_row_that_lacks_the_modality_is_the_mean_of_the_others(rng):
    x = rng.standard_normal((5, 3)) + 4
    index = [0, -1, 2, 3, -1, 4, 4, 1]  # two rows lack it, two share a value
    full = np.where(
        np.array(index)[:, None] < 0, x[np.array(index)[np.array(index) >= 0]].mean(axis=0), x[index]
    )
    z = full - full.mean(axis=0)
    (K,) = Grams([member(x, index)], "none")
    np.testing.assert_allclose(K, z @ z.T, atol=1e-12)
    assert not K[[1, 4]].any()
    np.testing.assert_allclose(K.sum(axis=0), 0, atol=1e-12)
    (K,) = Grams([member(x, index)], "variance")
    np.testing.assert_allclose(np.trace(K), 6)


@pytest.mark.parametrize("kernel", [RBF(1.5), Polynomial(2), None])
@pytest.mark.parametrize("normalise", ["variance", "none", "cosine"])
@pytest.mark.parametrize("index", [list(range(7)), [0, 1, -1, 2, 3, 3, 4, -1, 5, 6]])
def test_the_function_kept_gives_the_training_rows_their_values(rng, kernel, normalise, index):
    x = rng.standard_normal((7, 3)) + 1
    values = x
    if kernel is None:
        if normalise == "cosine":
            return
        values = x @ x.T
    one = Member("image", "k", kernel, values, np.array(index))
    grams = Grams([one], normalise)
    duals = rng.standard_normal((len(index), 2))
    duals[rng.permutation(len(index))[:2]] = 0
    duals -= duals.mean(axis=0)
    part = expand_modality(grams, [0], np.array([0.7]), duals)
    assert part is not None
    has = one.index >= 0
    got = part(values[one.index[has]], normalise)
    np.testing.assert_allclose(got, 0.7 * (grams[0] @ duals)[has], atol=1e-10)


def test_only_support_vectors_are_kept_where_nothing_is_missing(rng):
    x = rng.standard_normal((8, 2))
    duals = np.zeros((8, 1))
    duals[[1, 5], 0] = [2.0, -2.0]
    grams = Grams([member(x), member(x, kernel=RBF(1.0), label="r")], "variance")
    part = expand_modality(grams, [0, 1], np.array([1.0, 0.0]), duals)
    assert part is not None
    assert part.columns.tolist() == [1, 5]
    assert list(part.kernels) == ["k"]  # no weight, no work
    assert expand_modality(grams, [0, 1], np.zeros(2), duals) is None


def test_kernels_are_kept_or_computed_again(rng, monkeypatch):
    x = rng.standard_normal((6, 2))
    kept = Grams([member(x)], "none")
    assert kept[0] is kept[0]
    monkeypatch.setattr(_grams, "KEPT_BYTES", 0)
    again = Grams([member(x)], "none")
    assert again[0] is not again[0]
    np.testing.assert_array_equal(again[0], kept[0])
    assert len(again) == 1
    with pytest.raises(IndexError):
        again[1]


def test_constant_kernels_are_zero(rng):
    (K,) = Grams([member(np.full((5, 2), 1e6))], "variance")
    assert not K.any()


def test_infinite_kernels_are_refused():
    with pytest.raises(ModalityError, match="'k' of modality 'image'.*finite"), np.errstate(all="ignore"):
        Grams([member(np.full((3, 2), 1e200))], "none")[0]


class Wrong:
    """Not positive semi-definite, and not ours."""

    def __call__(self, a, b):
        return -(a * b).sum(axis=1)

    def pairwise(self, a, b):
        return -(a @ b.T)


def test_kernels_of_others_are_checked(rng):
    with pytest.raises(ModalityError, match="'k' of modality 'image'.*semi-definite"):
        Grams([member(rng.standard_normal((5, 2)), kernel=Wrong())], "none")[0]
