from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from polymodal.core.errors import ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.fission import SharedIndividual

RANKS = {"image": 1, "sound": 2, "text": 1}


def planted(rng, noise=0.0, n=150, shared=2):
    """Two shared factors, one or two private ones a modality; returns the factors and the data."""
    S = rng.standard_normal((n, shared))
    P = {name: rng.standard_normal((n, q)) for name, q in RANKS.items()}
    data = {}
    for name, d in zip(RANKS, (8, 10, 7), strict=True):
        data[name] = (
            S @ rng.standard_normal((shared, d)) + P[name] @ rng.standard_normal((RANKS[name], d)) + 3
        )
        data[name] += noise * rng.standard_normal((n, d))
    return S - S.mean(axis=0), {k: p - p.mean(axis=0) for k, p in P.items()}, data


def off(a, b):
    return float(subspace_angles(a, b).max())


def residual_of(a, b):
    """What b does not explain of a, columns centred."""
    return a - b @ np.linalg.lstsq(b, a, rcond=None)[0]


def test_planted_spaces_without_noise(rng):
    S, P, data = planted(rng)
    model = SharedIndividual(2, n_private=RANKS).fit(data)
    z = model.transform(data)
    assert z.names == ("shared", *data)
    assert off(z["shared"].values(), S) < 1e-6
    for name in data:  # private scores are what is left of the planted ones outside the shared space
        assert off(z[name].values(), residual_of(P[name], S)) < 1e-6
        assert model.explained_[name].residual < 1e-12
    assert model.score(data) == pytest.approx(1.0)


def test_one_modality_finds_the_shared_factors_of_new_rows(rng):
    _, _, data = planted(rng, n=200)
    train, new = ({k: x[rows] for k, x in data.items()} for rows in (slice(0, 150), slice(150, None)))
    model = SharedIndividual(2, n_private=RANKS).fit(train)
    full = model.transform(new)["shared"].values()
    for name in data:
        alone = model.transform({name: new[name]})
        assert alone.names == ("shared", name)
        np.testing.assert_allclose(alone["shared"].values(), full, atol=1e-8)
    # and predicts the shared part of the modalities it was not given
    predicted = model.reconstruct({"image": new["image"]})
    np.testing.assert_allclose(predicted["image"].values(), new["image"], atol=1e-8)
    part = model.decompose(new)["text"]
    np.testing.assert_allclose(predicted["text"].values(), part.mean + part.shared, atol=1e-8)


def test_missing_modalities_in_training(rng):
    S, _, data = planted(rng, noise=0.1)
    holes = (
        Modalities(data)
        .without("image", np.arange(30))
        .without("sound", np.arange(30, 70))
        .without("text", np.arange(60, 100))
    )
    model = SharedIndividual(2, n_private=RANKS).fit(holes)
    assert off(model.transform(data)["shared"].values(), S) < 0.05
    z = model.transform(holes)
    assert z["shared"].present.all()
    assert z["sound"].present.tolist() == holes["sound"].present.tolist()
    for name, share in model.explained_.items():
        assert share.shared + share.private + share.residual == pytest.approx(1.0, abs=1e-4), name


def test_values_where_a_modality_is_missing_never_enter(rng):
    _, _, data = planted(rng, noise=0.5)
    poisoned = {name: x.copy() for name, x in data.items()}
    poisoned["sound"][:40] = 1e9
    clean, bad = (Modalities(d).without("sound", np.arange(40)) for d in (data, poisoned))
    a, b = (SharedIndividual(2).fit(d) for d in (clean, bad))
    np.testing.assert_array_equal(a.transform(clean)["shared"].values(), b.transform(bad)["shared"].values())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), noise=st.floats(0.1, 2.0))
def test_parts_add_up_and_private_is_uncorrelated_with_shared(seed, noise):
    _, _, data = planted(np.random.default_rng(seed), noise=noise, n=60)
    model = SharedIndividual(2, n_private=RANKS).fit(data)
    z = model.transform(data)
    shared = z["shared"].values()
    np.testing.assert_allclose(shared.mean(axis=0), 0, atol=1e-9)
    for name, part in model.decompose(data).items():
        np.testing.assert_allclose(
            part.mean + part.shared + part.private + part.residual, data[name], atol=1e-9
        )
        np.testing.assert_allclose(shared.T @ z[name].values(), 0, atol=1e-7)
        share = model.explained_[name]
        assert share.shared + share.private + share.residual == pytest.approx(1.0, abs=1e-3)
        V = model.loadings_[name].private
        np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=1e-9)
    W = np.hstack([part.shared for part in model.loadings_.values()])
    np.testing.assert_allclose(W @ W.T, np.eye(2), atol=1e-9)


@pytest.mark.parametrize("scale", ["none", "modality"])
def test_without_private_factors_it_is_pca_of_all_side_by_side(rng, scale):
    from sklearn.decomposition import PCA

    _, _, data = planted(rng, noise=1.0)
    model = SharedIndividual(3, n_private=0, scale=scale).fit(data)
    ours = model.transform(data)["shared"].values()
    pca = PCA(3).fit_transform(np.hstack([data[name] / model.scales_[name] for name in data]))
    np.testing.assert_allclose(ours * np.sign((ours * pca).sum(axis=0)), pca, atol=1e-8)


def test_without_shared_factors_it_is_pca_of_each(rng):
    from sklearn.decomposition import PCA

    _, _, data = planted(rng, noise=1.0)
    model = SharedIndividual(0, n_private=2, scale="none").fit(data)
    z = model.transform(data)
    assert z["shared"].store.shape == (150, 0)
    for name, x in data.items():
        pca, ours = PCA(2).fit_transform(x), z[name].values()
        np.testing.assert_allclose(ours * np.sign((ours * pca).sum(axis=0)), pca, atol=1e-8)


def test_numbers_counted_by_permutation(rng):
    S, _, data = planted(rng, noise=0.3)
    model = SharedIndividual(None, n_private=None).fit(data)
    z = model.transform(data)
    assert z["shared"].store.shape[1] == 2
    assert {name: z[name].store.shape[1] for name in data} == RANKS
    assert off(z["shared"].values(), S) < 0.15
    assert SharedIndividual(1, n_private=None).fit(data).loadings_["sound"].private.shape[0] == 3


def test_order_of_modalities_and_units_do_not_matter(rng):
    _, _, data = planted(rng, noise=0.5)
    base = SharedIndividual(2).fit(data).transform(data)["shared"].values()
    turned = {name: data[name] * 1000 for name in reversed(data)}
    np.testing.assert_allclose(
        SharedIndividual(2).fit(turned).transform(turned)["shared"].values(), base, atol=1e-8
    )


def test_a_row_without_anything_has_no_shared_part(rng):
    _, _, data = planted(rng)
    model = SharedIndividual(2, n_private=RANKS).fit(data)
    empty = Modalities(data).select("image").without("image", [4])
    assert np.flatnonzero(~model.transform(empty)["shared"].present).tolist() == [4]
    assert np.flatnonzero(~model.reconstruct(empty)["text"].present).tolist() == [4]


def test_wrong_use_is_named(rng):
    _, _, data = planted(rng, noise=1.0)
    with pytest.raises(ModalityError, match='name "shared"'):
        SharedIndividual().fit({"shared": data["image"], "text": data["text"]})
    with pytest.raises(ModalityError, match=r"'text' has 7 features.*got 2 \+ 6"):
        SharedIndividual(2, n_private=6).fit(data)
    with pytest.raises(ModalityError, match="Did you mean 'image'"):
        SharedIndividual(2, n_private={"imag": 1, "sound": 1, "text": 1}).fit(data)
    with pytest.raises(ModalityError, match="needs some factors"):
        SharedIndividual(0, n_private=0).fit(data)
    with pytest.raises(ValueError, match='scale "modality"'):
        SharedIndividual().set_params(scale="unit").fit(data)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        SharedIndividual(2, max_iter=1).fit(data)
