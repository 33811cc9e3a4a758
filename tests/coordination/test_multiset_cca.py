from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import holes, linnerud_views, three

from polymodal.coordination import CCA, PLS, MultisetCCA
from polymodal.coordination.multiset_cca import multiset_pencil
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities


@pytest.mark.parametrize("reg", [0.0, 0.3, 1.0])
def test_two_modalities_are_cca_weights_and_all(rng, reg):
    data = three(rng, dims=(6, 4))
    model, cca = MultisetCCA(reg=reg).fit(data), CCA(reg=reg).fit(data)
    np.testing.assert_allclose(model.correlations_, cca.correlations_, atol=1e-9)
    np.testing.assert_allclose(model.eigenvalues_, cca.solution_.singular_values, atol=1e-9)
    for name in data:
        np.testing.assert_allclose(model.weights_[name], cca.weights_[name], atol=1e-7)


def test_the_pencil_by_another_solver(rng):
    from scipy.linalg import block_diag, eigh

    data = three(rng)
    S = np.cov(np.hstack(list(data.values())).T)
    D = block_diag(S[:6, :6], S[6:10, 6:10], S[10:, 10:])
    values, vectors = eigh(S - D, D)
    model = MultisetCCA().fit(data)
    k = len(model.eigenvalues_)
    np.testing.assert_allclose(model.eigenvalues_, values[::-1][:k], atol=1e-10)
    assert k == (values > 1e-9).sum()
    w = np.vstack([model.weights_[name] for name in "abc"])
    np.testing.assert_allclose(w.T @ D @ w, 3 * np.eye(k), atol=1e-9)
    np.testing.assert_allclose(abs(w), abs(vectors[:, ::-1][:, :k]) * np.sqrt(3), atol=1e-8)


def test_numbers_of_cca_zoo():
    """Computed with cca_zoo 4.0.1: linear.MCCA(n_components=2, shrinkage=0.3) on these three tables of the fitness club."""
    model = MultisetCCA(2, reg=0.3).fit(linnerud_views())
    np.testing.assert_allclose(model.correlations_, [0.6544882457, 0.0601802473], atol=1e-9)
    w = np.concatenate([model.weights_[name][:, 0] for name in "abc"])
    first = [0.04620643, 0.4583039069, 0.3137230039, -0.5285759751, -0.6296416677, 0.1164438935]
    np.testing.assert_allclose(w / np.linalg.norm(w), first, atol=1e-8)


def test_parity_with_cca_zoo(rng):
    linear = pytest.importorskip("cca_zoo.linear")
    data = three(rng)
    peer = linear.MCCA(n_components=3).fit(list(data.values()))
    ours = MultisetCCA(3).fit(data)
    for name, theirs in zip("abc", peer.weights_, strict=True):
        cosine = (ours.weights_[name] * theirs).sum(axis=0) / np.linalg.norm(ours.weights_[name], axis=0)
        np.testing.assert_allclose(abs(cosine) / np.linalg.norm(theirs, axis=0), 1, atol=1e-6)


def test_full_ridge_is_pls_on_equal_mean_variances(rng):
    data = {
        name: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1).mean()) for name, x in three(rng).items()
    }
    a, b = MultisetCCA(3, reg=1.0).fit(data), PLS(3).fit(data)
    for name in data:
        np.testing.assert_allclose(a.weights_[name], b.weights_[name], atol=1e-9)


def test_unchanged_by_invertible_maps(rng):
    data = three(rng)
    mapped = {name: x @ rng.standard_normal((x.shape[1],) * 2) for name, x in data.items()}
    np.testing.assert_allclose(
        MultisetCCA(3).fit(data).eigenvalues_, MultisetCCA(3).fit(mapped).eigenvalues_, atol=1e-8
    )


def test_components_are_uncorrelated_side_by_side(rng):
    data = three(rng)
    z = MultisetCCA(4).fit(data).transform(data)
    total = sum(np.cov(column.values().T) for _, column in z.items())
    np.testing.assert_allclose(total, 3 * np.eye(4), atol=1e-9)


def test_missing_rows_keep_correlations_within_one_and_are_close_to_all_rows(rng):
    data = three(rng, n=2000, noise=0.5)
    full, some = MultisetCCA(2).fit(data), MultisetCCA(2).fit(holes(rng, data))
    np.testing.assert_allclose(some.correlations_, full.correlations_, atol=0.05)
    few = holes(rng, three(rng, n=16, noise=0.1), share=0.5)
    model = MultisetCCA().fit(few)
    assert model.eigenvalues_.max() <= 2 + 1e-9  # what a joint matrix without negative eigenvalues allows
    streamed = MultisetCCA().partial_fit(few[:9]).partial_fit(few[9:])
    np.testing.assert_allclose(streamed.eigenvalues_, model.eigenvalues_, atol=1e-8)


def test_modalities_that_never_occur_together_are_named(rng):
    frame = Modalities(three(rng)).without("a", np.arange(100)).without("c", np.arange(100, 200))
    with pytest.raises(ModalityError, match="both 'a' and 'c', got 0"):
        MultisetCCA(1).fit(frame)


def test_topics_that_sum_to_one(real_data):
    file = np.load(real_data / "wikipedia_xmodal" / "wikipedia_train.npz")
    views = {name: file[name].astype(float) for name in ("image", "text", "text_en10")}
    model = MultisetCCA().fit(views)
    assert model.solution_.ranks == (127, 9, 10)  # the picture words are shares of one, too
    assert len(model.eigenvalues_) <= 128
    two = MultisetCCA().fit({name: views[name] for name in ("image", "text")})
    np.testing.assert_allclose(two.correlations_[:3], [0.558, 0.448, 0.437], atol=6e-4)
    with pytest.raises(ModalityError, match=r"n_components <= 9.*'text': 9"):
        MultisetCCA(10).fit({name: views[name] for name in ("image", "text")})


def test_mice_have_more_genes_than_rows(real_data):
    folder = real_data / "omics_nutrimouse"
    views = {
        name: np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1, usecols=range(1, d + 1))
        for name, d in (("gene", 120), ("lipid", 21))
    }
    model = MultisetCCA(2, reg=0.5).fit(views)
    held = model.held_out(views, random_state=0)
    assert held.held_out[0] > 0.6
    np.testing.assert_allclose(MultisetCCA(1).fit(views).correlations_, 1.0)  # without ridge


def test_wrong_use_is_named(rng):
    data = three(rng)
    with pytest.raises(ConfigError, match="MultisetCCA needs 0 <= reg <= 1"):
        MultisetCCA(reg=-1.0).fit(data)
    with pytest.raises(ModalityError, match="reg=0.1"):
        MultisetCCA(reg=0.1).fit(data).wilks_test()
    with pytest.raises(ModalityError, match="at least 2 modalities"):
        MultisetCCA().fit({"a": data["a"]})
    with pytest.raises(ModalityError, match="NaN"):
        MultisetCCA().fit({**data, "a": np.full((200, 2), np.nan)})
    with pytest.raises(ModalityError, match="'nobody'"):
        MultisetCCA(1).fit(data).predict(data, "nobody")


def test_wilks_of_two_modalities_is_the_product(rng):
    data = three(rng, dims=(3, 2), noise=3.0)
    rho = CCA().fit(data).correlations_
    test = MultisetCCA().fit(data).wilks_test()
    assert test.wilks == pytest.approx(np.prod(1 - rho**2))
    assert test.df == 6


def test_pencil_as_a_function(rng):
    S = np.eye(3)
    S[0, 2] = S[2, 0] = 0.5
    pencil = multiset_pencil(S, (2, 1))
    np.testing.assert_allclose(pencil.eigenvalues, [0.5], atol=1e-12)
    np.testing.assert_allclose(pencil.weights[0], [[1.0], [0.0]], atol=1e-12)
