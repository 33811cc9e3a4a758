from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import holes, three

from polymodal.coordination import CCA, PLS
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities


def test_two_modalities_are_scikit_learns_plssvd(rng):
    from sklearn.cross_decomposition import PLSSVD

    data = three(rng, dims=(6, 4))
    peer = PLSSVD(n_components=3, scale=False).fit(data["a"], data["b"])
    model = PLS(3).fit(data)
    s = np.linalg.svd(np.cov(data["a"].T, data["b"].T)[:6, 6:], compute_uv=False)
    np.testing.assert_allclose(model.covariances_, s[:3], atol=1e-10)
    for name, theirs in (("a", peer.x_weights_), ("b", peer.y_weights_)):
        np.testing.assert_allclose(abs(model.weights_[name]), abs(theirs), atol=1e-8)
    z = model.transform(data)
    scores = peer.transform(data["a"], data["b"])
    np.testing.assert_allclose(abs(z["b"].values()), abs(scores[1]), atol=1e-7)


def test_two_modalities_are_cca_under_full_ridge(rng):
    data = three(rng, dims=(6, 4))
    a, b = PLS().fit(data), CCA(reg=1.0).fit(data)
    for name in data:
        theirs = b.weights_[name] / np.linalg.norm(b.weights_[name], axis=0)
        np.testing.assert_allclose(a.weights_[name], theirs, atol=1e-8)


def test_three_modalities_are_the_identity_constrained_pencil(rng):
    data = three(rng)
    S = np.cov(np.hstack(list(data.values())).T)
    for part in (slice(0, 6), slice(6, 10), slice(10, 15)):
        S[part, part] = 0
    values, vectors = np.linalg.eigh(S)
    model = PLS(2).fit(data)
    np.testing.assert_allclose(model.covariances_, values[::-1][:2], atol=1e-10)
    w = np.vstack([model.weights_[name] for name in "abc"])
    np.testing.assert_allclose(abs(w), abs(vectors[:, ::-1][:, :2]) * np.sqrt(3), atol=1e-9)


def test_streamed_and_merged_with_missing_rows(rng):
    data = holes(rng, three(rng, n=100))
    whole = PLS(3).fit(data)
    streamed = PLS(3).partial_fit(data[:33]).partial_fit(data[33:])
    merged = PLS(3).fit(data[:50]).merge(PLS(3).fit(data[50:]))
    for model in (streamed, merged):
        np.testing.assert_allclose(model.covariances_, whole.covariances_, atol=1e-9)
        np.testing.assert_allclose(model.weights_["b"], whole.weights_["b"], atol=1e-8)


def test_significance_and_limits(rng):
    data = three(rng, n=60, dims=(80, 90))
    model = PLS(2).fit(data)
    assert model.permutation_test(data, n_permutations=49, random_state=0).p_values[0] == 0.02
    assert model.held_out(data, random_state=0).held_out[0] > 0.5
    with pytest.raises(ModalityError, match="n_components <= 4"):
        PLS(5).fit(three(rng, dims=(6, 4)))
    with pytest.raises(ModalityError, match="vary in both"):
        PLS().fit({"a": np.ones((5, 2)), "b": np.ones((5, 3))})
    with pytest.raises(ModalityError, match="both 'a' and 'b', got 1"):
        PLS(1).fit(
            Modalities(three(rng, dims=(3, 3))).without("a", np.arange(100)).without("b", np.arange(101, 200))
        )
