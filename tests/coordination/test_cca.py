from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.coordination import CCA
from polymodal.coordination.cca import canonical_pairs_of_wide
from polymodal.core.errors import ModalityError, ModelFormatError, NotFittedError
from polymodal.core.linalg import canonical_pairs
from polymodal.core.modalities import Modalities, Modality


def pair(rng, n=200, d_a=6, d_b=4, shared=2, noise=1.0):
    z = rng.standard_normal((n, shared))
    a = z @ rng.standard_normal((shared, d_a)) + noise * rng.standard_normal((n, d_a))
    b = z @ rng.standard_normal((shared, d_b)) + noise * rng.standard_normal((n, d_b))
    return {"a": a + 3, "b": b - 7}


def alike(x, y, tol=1e-9):
    np.testing.assert_allclose(x.correlations_, y.correlations_, atol=tol)
    for name in x.weights_:
        np.testing.assert_allclose(x.weights_[name], y.weights_[name], atol=tol * 100)
        np.testing.assert_allclose(x.means_[name], y.means_[name], atol=tol)


# --- published numbers ------------------------------------------------------------------------------------------


def test_linnerud_as_published():
    from sklearn.datasets import load_linnerud

    frame = load_linnerud()
    model = CCA().fit({"exercise": frame.data, "body": frame.target})
    np.testing.assert_allclose(model.correlations_, [0.79560815, 0.20055604, 0.07257029], atol=5e-9)
    np.testing.assert_allclose(model.wilks_test().p_values, [0.0635, 0.9491, 0.7748], atol=1e-4)


def test_topics_that_sum_to_one_leave_nine_pairs(real_data):
    file = np.load(real_data / "wikipedia_xmodal" / "wikipedia_train.npz")
    model = CCA().fit({"image": file["image"], "text": file["text"]})
    np.testing.assert_allclose(
        model.correlations_, [0.558, 0.448, 0.437, 0.372, 0.347, 0.330, 0.293, 0.280, 0.248], atol=6e-4
    )
    with pytest.raises(ModalityError, match=r"n_components <= 9.*'text': 9"):
        CCA(10).fit({"image": file["image"], "text": file["text"]})
    # and far fewer of them are there on articles not fitted on
    held = model.held_out({"image": file["image"], "text": file["text"]}, random_state=0)
    assert 0.35 < held.held_out[0] < held.fitted[0]


def test_digit_views_against_an_independent_formula(real_data):
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    a, b = file["fou"].astype(float), file["kar"].astype(float)
    Qa, Qb = (np.linalg.qr(x - x.mean(axis=0))[0] for x in (a, b))
    truth = np.linalg.svd(Qa.T @ Qb, compute_uv=False)
    np.testing.assert_allclose(CCA().fit({"a": a, "b": b}).correlations_, truth, atol=1e-10)


# --- parity -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parity_with_statsmodels(rng):
    multivariate = pytest.importorskip("statsmodels.multivariate.cancorr")
    data = pair(rng)
    peer = multivariate.CanCorr(data["a"], data["b"])
    model = CCA().fit(data)
    np.testing.assert_allclose(model.correlations_, peer.cancorr, atol=1e-10)
    table, stats = model.wilks_test(), peer.corr_test().stats
    np.testing.assert_allclose(table.wilks, stats["Wilks' lambda"].to_numpy(float), atol=1e-10)
    # later rows: their residual degrees of freedom differ from SAS's and ours (the published table above decides)
    assert table.p_values[0] == pytest.approx(float(stats["Pr > F"].iloc[0]), rel=1e-6)


def test_parity_with_cca_zoo_under_ridge(rng):
    linear = pytest.importorskip("cca_zoo.linear")
    data = pair(rng)
    # their ridge adds c I where ours adds c times the mean variance: the same on data of mean variance 1
    unit = {name: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1).mean()) for name, x in data.items()}
    peer = linear.RidgeCCA(n_components=2, shrinkage=0.3).fit(list(unit.values()))
    ours = CCA(2, reg=0.3).fit(unit)
    for name, weights in zip(("a", "b"), peer.weights_, strict=True):
        cosine = (
            (ours.weights_[name] * weights).sum(axis=0)
            / np.linalg.norm(ours.weights_[name], axis=0)
            / np.linalg.norm(weights, axis=0)
        )
        np.testing.assert_allclose(abs(cosine), 1.0, atol=1e-8)


# --- definitions ------------------------------------------------------------------------------------------------


def test_variates_are_uncorrelated_with_all_others_but_their_partner_and_weights_are_not_orthogonal(rng):
    data = pair(rng)
    model = CCA().fit(data)
    z = {name: column.values() for name, column in model.transform(data).items()}
    k = len(model.correlations_)
    joint = np.cov(z["a"].T, z["b"].T)
    np.testing.assert_allclose(joint[:k, :k], np.eye(k), atol=1e-10)
    np.testing.assert_allclose(joint[k:, k:], np.eye(k), atol=1e-10)
    np.testing.assert_allclose(
        joint[:k, k:], np.diag(model.correlations_), atol=1e-10
    )  # positive: signs are paired
    gram = model.weights_["a"].T @ model.weights_["a"]
    assert abs(gram - np.diag(np.diag(gram))).max() > 1e-3


def test_means_do_not_matter_and_eigenvalues_are_squares(rng):
    data = pair(rng)
    model = CCA().fit(data)
    alike_shifted = CCA().fit({"a": data["a"] + 1000, "b": data["b"] - 50})
    np.testing.assert_allclose(alike_shifted.correlations_, model.correlations_, atol=1e-9)
    S = np.cov(data["a"].T, data["b"].T)
    M = np.linalg.solve(S[:6, :6], S[:6, 6:]) @ np.linalg.solve(S[6:, 6:], S[6:, :6])
    np.testing.assert_allclose(
        np.sort(np.linalg.eigvals(M).real)[::-1][:4], model.correlations_**2, atol=1e-10
    )


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_unchanged_by_invertible_linear_maps(seed):
    rng = np.random.default_rng(seed)
    data = pair(rng)
    mapped = {"a": data["a"] @ rng.standard_normal((6, 6)), "b": data["b"] @ rng.standard_normal((4, 4))}
    np.testing.assert_allclose(CCA().fit(mapped).correlations_, CCA().fit(data).correlations_, atol=1e-6)


def test_one_feature_each_is_pearson(rng):
    x, y = rng.standard_normal((2, 30, 1))
    y -= 0.5 * x
    assert CCA().fit({"a": x, "b": y}).correlations_[0] == pytest.approx(
        abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    )


def test_a_modality_with_itself_is_one(rng):
    x = rng.standard_normal((50, 5))
    np.testing.assert_allclose(CCA().fit({"a": x, "b": x @ rng.standard_normal((5, 5))}).correlations_, 1.0)


def test_full_ridge_is_partial_least_squares(rng):
    data = pair(rng)
    model = CCA(reg=1.0).fit(data)
    U, _, Vt = np.linalg.svd(np.cov(data["a"].T, data["b"].T)[:6, 6:], full_matrices=False)
    for weights, truth in ((model.weights_["a"], U), (model.weights_["b"], Vt.T)):
        np.testing.assert_allclose(
            abs((weights / np.linalg.norm(weights, axis=0) * truth).sum(axis=0)), 1.0, atol=1e-9
        )
    z = model.transform(data)
    a, b = z["a"].values(), z["b"].values()
    np.testing.assert_allclose(
        model.correlations_, [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)], atol=1e-9
    )


def test_ridge_has_no_units(rng):
    data = pair(rng)
    scaled = {"a": data["a"] * 1e4, "b": data["b"] * 1e-3}
    np.testing.assert_allclose(
        CCA(reg=0.2).fit(scaled).correlations_, CCA(reg=0.2).fit(data).correlations_, atol=1e-10
    )


# --- rank -------------------------------------------------------------------------------------------------------


def test_copies_and_constants_add_no_pairs(rng):
    data = pair(rng)
    wide = {"a": np.hstack([data["a"], data["a"][:, :2] * 3, np.full((200, 1), 0.1)]), "b": data["b"]}
    np.testing.assert_allclose(CCA().fit(wide).correlations_, CCA().fit(data).correlations_, atol=1e-9)
    with pytest.raises(ModalityError, match="vary in both"):
        CCA().fit({"a": np.ones((10, 2)), "b": data["b"][:10]})


@pytest.mark.parametrize("reg", [0.0, 0.2, 1.0])
def test_more_features_than_rows(rng, reg):
    data = pair(rng, n=15, d_a=40, d_b=30)
    centred = [x - x.mean(axis=0) for x in data.values()]
    S = np.cov(np.hstack(centred).T)
    by_rows = canonical_pairs_of_wide(*data.values(), reg=reg)
    by_covariance = canonical_pairs(S[:40, :40], S[40:, 40:], S[:40, 40:], reg=reg)
    k = 14
    assert len(by_rows.correlations) == k
    np.testing.assert_allclose(by_rows.singular_values, by_covariance.singular_values[:k], atol=1e-9)
    model = CCA(reg=reg).fit(data)
    assert len(model.correlations_) == k
    if reg == 0:
        np.testing.assert_allclose(model.correlations_, 1.0)
        with pytest.raises(ModalityError, match="permutation_test"):
            model.wilks_test()
    else:
        np.testing.assert_allclose(
            abs(by_rows.weights_a[:, 0]), abs(by_covariance.weights_a[:, 0]), atol=1e-8
        )


def test_very_wide_data_take_the_short_way(rng):
    data = pair(rng, n=20, d_a=1500, d_b=8)
    model = CCA(2, reg=0.3).fit(data)
    truth = CCA(2, reg=0.3).partial_fit(data)
    np.testing.assert_allclose(model.correlations_, truth.correlations_, atol=1e-9)
    np.testing.assert_allclose(model.weights_["a"], truth.weights_["a"], atol=1e-9)
    assert model.n_samples_ == 20
    assert model.score(data) == pytest.approx(model.correlations_.mean())
    with pytest.raises(ModalityError, match="partial_fit on a new model"):
        model.partial_fit(data)
    with pytest.raises(ModalityError, match="Use partial_fit"):
        model.merge(truth)


# --- streaming --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 33, 200])
def test_streamed_equals_at_once(rng, step):
    data = Modalities(pair(rng))
    model = CCA(3)
    for start in range(0, 200, step):
        model.partial_fit(data[start : start + step])
    alike(model, CCA(3).fit(data))
    assert model.n_samples_ == 200


def test_merged_shards_equal_at_once(rng):
    data = Modalities(pair(rng))
    merged = CCA().fit(data[:50]).merge(CCA().fit(data[50:120])).merge(CCA().fit(data[120:]))
    alike(merged, CCA().fit(data))


def test_partial_fit_after_fit_adds_and_fit_starts_again(rng):
    data = Modalities(pair(rng))
    model = CCA().fit(data[:100]).partial_fit(data[100:])
    alike(model, CCA().fit(data))
    alike(model.fit(data[:100]), CCA().fit(data[:100]))


def test_float32_products_are_close_and_refused_where_they_are_not(rng):
    data = pair(rng, n=3000)
    exact = CCA().fit(data)
    coarse = CCA(precision="float32").fit(data)
    assert coarse.moments_.precision == "float32"
    np.testing.assert_allclose(coarse.correlations_, exact.correlations_, atol=1e-6)
    hard = {
        "a": np.hstack([data["a"], data["a"][:, :1] + 1e-4 * rng.standard_normal((3000, 1))]),
        "b": data["b"],
    }
    repeated = CCA(precision="float32").fit(hard)
    assert repeated.moments_.precision == "float64"
    alike(repeated, CCA().fit(hard), tol=1e-12)
    with pytest.warns(RuntimeWarning, match="too coarse"):
        CCA(precision="float32").partial_fit(hard).correlations_  # noqa: B018


# --- use --------------------------------------------------------------------------------------------------------


def test_shared_values_stay_shared_and_missing_stays_missing(rng):
    data = pair(rng, n=20)
    model = CCA(2).fit(data)
    column = Modality(data["a"], np.array([3, 3, -1, 5]))
    z = model.transform({"a": column})
    assert len(z["a"].store) == 2
    assert z["a"].present.tolist() == [True, True, False, True]
    np.testing.assert_allclose(
        z["a"].observed()[0], (data["a"][3] - data["a"].mean(axis=0)) @ model.weights_["a"]
    )


def test_score_is_the_mean_correlation_on_the_rows_given(rng):
    data = Modalities(pair(rng))
    model = CCA(2).fit(data)
    assert model.score(data) == pytest.approx(model.correlations_.mean())
    flipped = {"a": -data["a"].values(), "b": data["b"].values()}
    assert model.score(flipped) == pytest.approx(-model.correlations_.mean())
    assert model.score(data.without("b", np.arange(0, 0))) == pytest.approx(model.correlations_.mean())
    with pytest.raises(ModalityError, match=r"\['b'\] are not in the data"):
        model.score(data.select("a"))


def test_tests_of_pairs(rng):
    data = pair(rng, noise=0.5)
    model = CCA(3).fit(data)
    assert (model.wilks_test().p_values[:2] < 1e-6).all()
    assert model.permutation_test(data, n_permutations=49, random_state=0).p_values[:2].tolist() == [
        0.02,
        0.02,
    ]
    assert model.held_out(data, random_state=0).held_out[0] > 0.5
    with pytest.raises(ModalityError, match=r"reg=0\.1"):
        CCA(reg=0.1).fit(data).wilks_test()


def test_wrong_use_is_named(rng):
    data = pair(rng)
    with pytest.raises(NotFittedError, match="CCA is not fitted"):
        CCA().correlations_  # noqa: B018
    with pytest.raises(ModalityError, match=r"'b': 3.*data.complete\(\)"):
        CCA().fit(Modalities(data).without("b", [0, 1, 2]))
    with pytest.raises(ValueError, match=r"reg <= 1.*got 2"):
        CCA(reg=2.0).fit(data)
    with pytest.raises(ValueError, match="n_components >= 1"):
        CCA(0).fit(data)
    with pytest.raises(ValueError, match="precision"):
        CCA(2).set_params(precision="half").fit(data)
    with pytest.raises(ValueError, match="block_size"):
        CCA(block_size=0).fit(data)
    with pytest.raises(ModalityError, match="at least 2 rows"):
        CCA().partial_fit({name: x[:1] for name, x in data.items()}).correlations_  # noqa: B018


def test_models_of_earlier_versions(rng):
    model = CCA(2).fit(pair(rng))
    state = model._get_state()
    earlier = {name: state[name] for name in ("modalities_", "moments_", "solution_")}
    again = CCA(2)
    again._set_state(earlier)
    assert again.n_samples_ == 200
    alike(again, model)
    with pytest.raises(ModelFormatError, match="Fit and save it again"):
        CCA(2)._set_state({**earlier, "moments_": None})
