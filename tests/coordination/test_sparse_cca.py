from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import three

from polymodal.coordination import PLS, SparseCCA
from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities


def planted(rng, n=100, dims=(60, 80, 50), support=5):
    """One factor behind the first few features of each modality."""
    z = rng.standard_normal(n)
    data = {}
    for name, d in zip("abc", dims, strict=False):
        data[name] = rng.standard_normal((n, d))
        data[name][:, :support] += 1.5 * z[:, None]
    return data


@pytest.mark.parametrize("dims", [(60, 80), (60, 80, 50)], ids=["two", "three"])
def test_planted_supports_are_found(rng, dims):
    data = planted(rng, dims=dims)
    model = SparseCCA(l1=0.27).fit(data)
    for w in model.weights_.values():
        assert set(np.argsort(-abs(w[:, 0]))[:5]) == set(range(5))
        assert np.square(w[:5]).sum() > 0.9 * np.square(w).sum()
        assert (w != 0).sum() < 20
    assert model.correlations_[0] > 0.85
    assert model.held_out(data, random_state=0).held_out[0] > 0.8
    assert model.permutation_test(data, n_permutations=49, random_state=0).p_values[0] == 0.02


def test_without_bound_it_is_pls(rng):
    data = three(rng, dims=(6, 4))
    model, pls = SparseCCA(3, l1=1.0, scale="none", tol=1e-14).fit(data), PLS(3).fit(data)
    np.testing.assert_allclose(model.covariances_, pls.covariances_, atol=1e-7)
    for name in data:
        np.testing.assert_allclose(model.weights_[name], pls.weights_[name], atol=1e-4)
    np.testing.assert_allclose(model.correlations_, pls.correlations_, atol=1e-6)


def test_units_do_not_matter_when_features_are_scaled(rng):
    data = planted(rng)
    other = {name: x * rng.uniform(0.01, 100, x.shape[1]) for name, x in data.items()}
    a, b = SparseCCA(2, l1=0.4).fit(data), SparseCCA(2, l1=0.4).fit(other)
    za, zb = a.transform(data), b.transform(other)
    for name in data:
        np.testing.assert_allclose(za[name].values(), zb[name].values(), atol=1e-7)


def test_the_bound_is_chosen_by_permutation(rng):
    data = planted(rng, n=60)
    model = SparseCCA()
    choice = model.choose_l1(data, candidates=(0.15, 0.3, 0.9), n_permutations=9, random_state=0)
    assert choice.best < 0.9  # not the one that keeps all features
    assert model.l1 == 0.5  # nothing was changed
    assert not hasattr(model, "modalities_")
    assert choice.p_values[1] == 0.1
    assert (np.diff(choice.n_features) > 0).all()
    noise = {name: rng.standard_normal((40, 20)) for name in "ab"}
    assert (
        model.choose_l1(noise, candidates=(0.3, 0.6), n_permutations=19, random_state=1).p_values.min() > 0.05
    )


def test_bounds_by_modality_and_missing_rows(rng):
    data = planted(rng)
    model = SparseCCA(l1={"a": 0.2, "b": 1.0, "c": 0.2}).fit(data)
    assert (model.weights_["b"] != 0).all()
    assert (model.weights_["a"] != 0).sum() < 15
    frame = Modalities(data).without("a", np.arange(10)).without("c", np.arange(5, 25))
    some = SparseCCA(l1=0.27).fit(frame)
    for w in some.weights_.values():
        assert set(np.argsort(-abs(w[:, 0]))[:5]) == set(range(5))
    choice = SparseCCA().choose_l1(frame, candidates=(0.3,), n_permutations=3, random_state=0)
    assert choice.p_values[0] == 0.25


def test_genes_and_proteins_of_tumours(real_data):
    views = {}
    for name in ("mirna", "mrna", "protein"):
        table = np.loadtxt(real_data / "omics_breast_tcga" / f"train_{name}.csv", delimiter=",", dtype=str)
        views[name] = table[1:, 1:].astype(float)
    model = SparseCCA(2, l1=0.3).fit(views)
    held = model.held_out(views, random_state=0)
    assert held.held_out[0] > 0.75
    assert all((w[:, 0] != 0).sum() < 40 for w in model.weights_.values())


def test_wrong_use_is_named(rng):
    data = planted(rng, n=20)
    with pytest.raises(ConfigError, match="0 < l1 <= 1"):
        SparseCCA(l1=0.0).fit(data)
    with pytest.raises(ConfigError, match="0 < l1 <= 1"):
        SparseCCA().choose_l1(data, candidates=(2.0,))
    with pytest.raises(ModalityError, match=r"\['a', 'b', 'c'\].*'a': 0.5"):
        SparseCCA(l1={"a": 0.5}).fit(data)
    with pytest.raises(ConfigError, match="scale"):
        SparseCCA().set_params(scale="all").fit(data)
    with pytest.raises(ModalityError, match=r"n_components <= 19.*'a': \(20, 60\)"):
        SparseCCA(20).fit(data)
    with pytest.raises(ModalityError, match="found none in"):
        SparseCCA().fit({"a": np.ones((9, 2)), "b": data["b"][:9]})
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        SparseCCA(l1=0.4, max_iter=1).fit({name: rng.standard_normal((30, 40)) for name in "ab"})
