from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.fission import ComponentFission
from polymodal.fission.components import independent_loadings, principal_loadings


def sources(rng, n=600, k=3):
    """Independent and far from Gaussian: uniform, Laplace, coin."""
    found = np.column_stack(
        [
            rng.uniform(-1, 1, n),
            rng.laplace(size=n),
            rng.choice([-1.0, 1.0], n) + 0.05 * rng.standard_normal(n),
        ]
    )[:, :k]
    return (found - found.mean(axis=0)) / found.std(axis=0)


def matched(found, truth):
    """|correlation| of each true source with the recovered one that fits best; every one found once."""
    strength = np.abs(np.corrcoef(found.T, truth.T)[: found.shape[1], found.shape[1] :])
    assert len(set(strength.argmax(axis=0))) == truth.shape[1]
    return strength.max(axis=0)


def planted(rng):
    s = sources(rng)
    data = {"a": s @ rng.standard_normal((3, 5)) + 4, "b": s @ rng.standard_normal((3, 6)) - 2}
    return s, {k: x + 0.01 * rng.standard_normal(x.shape) for k, x in data.items()}


def test_independent_sources_come_back(rng):
    s, data = planted(rng)
    model = ComponentFission(3, n_private=0, method="ica")
    found = model.fit_transform(data)["shared"].values()
    assert matched(found, s).min() > 0.95
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-6)
    # principal components mix them
    mixed = ComponentFission(3, n_private=0).fit_transform(data)["shared"].values()
    assert np.abs(np.corrcoef(mixed.T, s.T)[:3, 3:]).max(axis=0).min() < 0.95


def test_private_sources_of_each_residual(rng):
    own = sources(rng, k=2)
    z = rng.standard_normal((600, 1))
    W = 20 * np.eye(1, 4)
    data = {
        "a": z @ W + own @ np.vstack([np.eye(4)[1] + np.eye(4)[2], np.eye(4)[2] - np.eye(4)[3]]),
        "b": z @ W,
    }
    parts = ComponentFission(1, n_private={"a": 2, "b": 0}, method="ica", scale="none").fit_transform(data)
    assert matched(parts["a"].values(), own).min() > 0.95
    assert matched(parts["shared"].values(), z).min() > 0.99


def test_parity_with_scikit_learn(rng):
    decomposition = pytest.importorskip("sklearn.decomposition")
    _s, data = planted(rng)
    wide = np.hstack([data["a"], data["b"]])
    joint = ComponentFission(3, n_private=0, scale="none").fit_transform(data)["shared"].values()
    wanted = decomposition.PCA(3).fit_transform(wide)
    np.testing.assert_allclose(np.abs(joint), np.abs(wanted), atol=1e-8)
    alone = ComponentFission(0, n_private=2, scale="none").fit_transform(data)
    for name, x in data.items():
        wanted = decomposition.PCA(2).fit_transform(x)
        np.testing.assert_allclose(np.abs(alone[name].values()), np.abs(wanted), atol=1e-8)
    joint = (
        ComponentFission(3, n_private=0, scale="none", method="ica").fit_transform(data)["shared"].values()
    )
    peer = decomposition.FastICA(
        3, whiten="unit-variance", random_state=0, max_iter=1000, whiten_solver="svd"
    )
    assert matched(joint, peer.fit_transform(wide)).min() > 0.99999


def test_both_methods_explain_the_same(rng):
    _, data = planted(rng)
    scores = [
        ComponentFission(2, n_private=1, method=method).fit(data).score(data) for method in ("pca", "ica")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    whole = ComponentFission(3, n_private={"a": 5, "b": 6}).fit(data)
    assert whole.score(data) == pytest.approx(1.0)


def test_the_functions_span_the_same(rng):
    x = sources(rng) @ rng.standard_normal((3, 4))
    W, A = principal_loadings(x, 2), independent_loadings(x, 2)
    np.testing.assert_allclose(W @ W.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.linalg.pinv(A) @ A, W.T @ W, atol=1e-8)
    one = independent_loadings(x, 1)[0]
    np.testing.assert_allclose(one / np.linalg.norm(one), W[0], atol=1e-8)


def test_one_modality_is_enough_for_exact_data(rng):
    s = rng.standard_normal((80, 2))
    data = {"a": s @ rng.standard_normal((2, 4)), "b": s @ rng.standard_normal((2, 5))}
    model = ComponentFission(2, n_private=0).fit(data)
    full = model.transform(data)["shared"].values()
    np.testing.assert_allclose(model.transform({"b": data["b"]})["shared"].values(), full, atol=1e-8)
    patchy = Modalities(data).without("a", [0, 1]).without("b", [1])
    found = model.transform(patchy)
    np.testing.assert_allclose(found["shared"][2:].values(), full[2:], atol=1e-8)
    assert not found["shared"].present[1]
    assert found["shared"].present[0]


def test_missing_rows_are_refused_in_fitting(rng):
    data = Modalities({"a": rng.standard_normal((9, 2)), "b": rng.standard_normal((9, 2))})
    with pytest.raises(ModalityError, match="'a': 1"):
        ComponentFission().fit(data.without("a", [0]))


def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(ModalityError, match="'a'"):
        ComponentFission(1, n_private=3).fit({"a": np.hstack([x[:, :1]] * 3), "b": x})
    with pytest.raises(ModalityError, match="some components"):
        ComponentFission(0, n_private=0).fit({"a": x, "b": x})
    with pytest.raises(ModalityError, match="shared"):
        ComponentFission().fit({"a": x, "shared": x})
    with pytest.raises(ModalityError, match="one number for each"):
        ComponentFission(1, n_private={"a": 1}).fit({"a": x, "b": x})


def test_unfinished_rotation_is_told(rng):
    x = rng.standard_normal((60, 6))
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        independent_loadings(x - x.mean(axis=0), 4, max_iter=1)
