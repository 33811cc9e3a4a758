from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import holes, three

from polymodal.coordination import CCA, PLS, GeneralisedCCA, MultisetCCA
from polymodal.coordination._prediction import coefficients
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities


def least_squares(x, y, new):
    W = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]
    return y.mean(axis=0) + (new - x.mean(axis=0)) @ W


def test_all_components_are_multivariate_least_squares(rng):
    data = three(rng, dims=(6, 4))
    new = three(rng, n=30, dims=(6, 4))
    truth = least_squares(data["a"], data["b"], new["a"])  # all four pairs carry all that a says of b
    for model in (CCA(), GeneralisedCCA(), MultisetCCA()):
        np.testing.assert_allclose(model.fit(data).predict({"a": new["a"]}, "b"), truth, atol=1e-8)
    # PLS spans as many directions of a as there are components: with as many as features, all of a
    square = {"a": data["a"][:, :4], "b": data["b"]}
    truth = least_squares(square["a"], data["b"], new["a"][:, :4])
    np.testing.assert_allclose(PLS().fit(square).predict({"a": new["a"][:, :4]}, "b"), truth, atol=1e-8)


@pytest.mark.parametrize("model", [GeneralisedCCA(15), MultisetCCA()], ids=["generalised", "multiset"])
def test_several_sources_are_least_squares_on_all_of_them(rng, model):
    data = three(rng)
    truth = least_squares(np.hstack([data["a"], data["c"]]), data["b"], np.hstack([data["a"], data["c"]]))
    model.fit(data)
    if len(model.correlations_) >= 6:  # components span each source
        np.testing.assert_allclose(model.predict(data, "b"), truth, atol=1e-7)


def test_few_components_of_cca_are_reduced_rank_regression(rng):
    """Izenman 1975: the rank-k least squares under the inverse covariance of the target projects on its leading canonical variates."""
    data = three(rng, dims=(6, 4))
    x, y = (v - v.mean(axis=0) for v in data.values())
    L = np.linalg.cholesky(np.linalg.inv(np.cov(y.T)))
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    Vt = np.linalg.svd(fitted @ L, full_matrices=False)[2][:2]
    truth = fitted @ L @ Vt.T @ Vt @ np.linalg.inv(L)
    predicted = CCA(2).fit(data).predict({"a": data["a"]}, "b") - data["b"].mean(axis=0)
    np.testing.assert_allclose(predicted, truth, atol=1e-8)


def test_each_row_takes_the_regression_of_what_it_has(rng):
    data = three(rng)
    model = MultisetCCA(2).fit(data)
    frame = Modalities(data).without("a", [0, 1]).without("c", [1, 2])[:4].without("b", [1])
    frame = frame[[0, 2, 3]]
    mixed = model.predict(frame, "b")
    both = {name: data[name] for name in ("a", "c")}
    np.testing.assert_allclose(mixed[0], model.predict({"c": data["c"][:1]}, "b")[0])
    np.testing.assert_allclose(mixed[1], model.predict({"a": data["a"][2:3]}, "b")[0])
    np.testing.assert_allclose(mixed[2], model.predict(both, "b")[3])
    with pytest.raises(ModalityError, match=r"Predicting 'b' needs at least one of \['a', 'c'\].*ids \[1\]"):
        model.predict(Modalities(data).without("a", [1]).without("c", [1]), "b")
    with pytest.raises(ModalityError, match="needs another of"):
        model.predict({"b": data["b"]}, "b")
    with pytest.raises(ModalityError, match="Unknown target 'bb'.*'b'"):
        model.predict(data, "bb")


def test_fitted_on_missing_rows_it_is_nearly_as_good(rng):
    data = three(rng, n=1500, noise=0.5)
    train = {name: x[:1000] for name, x in data.items()}
    test = {name: x[1000:] for name, x in data.items()}
    spread = ((test["b"] - train["b"].mean(axis=0)) ** 2).sum()

    def r2(model):
        return 1 - ((test["b"] - model.predict({n: test[n] for n in "ac"}, "b")) ** 2).sum() / spread

    for kind in (GeneralisedCCA, MultisetCCA, PLS):
        full, some = r2(kind(2).fit(train)), r2(kind(2).fit(holes(rng, train)))
        assert full > 0.5
        assert some > full - 0.05


def test_chance_is_not_divided_by():
    """z_1 and z_2 nearly equal, yet with different covariances to x: possible only because they come from different rows."""
    S_zz = np.array([[1.0, 0.999], [0.999, 1.0]])
    S_zx = np.array([[0.9], [0.5]])
    assert np.abs(coefficients(S_zz, S_zx)).max() > 100
    np.testing.assert_allclose(coefficients(S_zz, S_zx, n_rows=100), 0.35, atol=1e-3)
    np.testing.assert_allclose(coefficients(S_zz, S_zx, n_rows=10**9), coefficients(S_zz, S_zx), atol=1e-6)
    np.testing.assert_allclose(coefficients(np.zeros((2, 2)), S_zx, n_rows=5), 0.0)
