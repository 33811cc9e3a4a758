from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import CCA, KernelCCA, kernel_cca
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.persistence import load, save
from polymodal.similarity import RBF, Linear, Polynomial


def pair(rng, n=80, d_a=5, d_b=4):
    z = rng.standard_normal((n, 2))
    a = z @ rng.standard_normal((2, d_a)) + rng.standard_normal((n, d_a))
    b = z @ rng.standard_normal((2, d_b)) + rng.standard_normal((n, d_b))
    return {"a": a + 3, "b": b - 7}


def parabola(rng, n=150, noise=0.05):
    x = rng.uniform(-1, 1, (n, 1))
    return Modalities({"x": x, "y": x**2 + noise * rng.standard_normal((n, 1))})


def variates(model, data):
    return {name: column.values() for name, column in model.transform(data).items()}


def alike(x, y, data, tol):
    """Equal up to signs that do not matter: those of whole components."""
    ours, theirs = variates(x, data), variates(y, data)
    names = sorted(ours)
    sign = np.sign((ours[names[0]] * theirs[names[0]]).sum(axis=0))
    for name in names:
        np.testing.assert_allclose(ours[name], theirs[name] * sign, atol=tol)
    np.testing.assert_allclose(x.correlations_, y.correlations_, atol=tol)


# --- truths and relations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "nystroem"])
def test_linear_kernels_without_ridge_are_cca(rng, method):
    data = pair(rng)
    model = KernelCCA(2, kernel="linear", reg=0.0, method=method).fit(data)
    linear = CCA(2).fit(data)
    np.testing.assert_allclose(model.correlations_, linear.correlations_, atol=1e-9)
    np.testing.assert_allclose(model.eigenvalues_, linear.correlations_, atol=1e-9)
    alike(model, linear, pair(rng, 10), 1e-6)


@pytest.mark.parametrize("t", [1.0, 0.25])
def test_linear_kernels_with_ridge_are_cca_with_the_equivalent_ridge(rng, t):
    c = 0.2
    data = {
        name: (x - x.mean(axis=0)) * np.sqrt(t / x.var(axis=0, ddof=1).mean())
        for name, x in pair(rng).items()
    }
    linear = CCA(2, reg=c / (c + (1 - c) * t)).fit(data)
    model = KernelCCA(2, kernel=Linear(), reg=c).fit(data)
    np.testing.assert_allclose(model.correlations_, linear.correlations_, atol=1e-9)
    for name, values in variates(model, data).items():
        scale = np.sqrt(c + (1 - c) * t)  # of unit variance under the one ridge, or the other
        ours = values * scale / np.sqrt(t)
        theirs = linear.transform(data)[name].values()
        np.testing.assert_allclose(
            np.abs(ours), np.abs(theirs * np.linalg.norm(ours) / np.linalg.norm(theirs)), atol=1e-6
        )


def test_every_row_a_landmark_is_exact(rng):
    data, fresh = pair(rng), pair(rng, 12)
    exact = KernelCCA(3, kernel=RBF(2.0), method="exact").fit(data)
    nystroem = KernelCCA(3, kernel=RBF(2.0), method="nystroem", n_features=80, random_state=1).fit(data)
    np.testing.assert_allclose(nystroem.eigenvalues_, exact.eigenvalues_, atol=1e-8)
    alike(nystroem, exact, fresh, 1e-5)


def test_random_features_approach_the_exact_form(rng):
    data = pair(rng)
    exact = KernelCCA(2, kernel=RBF(3.0)).fit(data)
    gaps = [
        np.abs(
            KernelCCA(2, kernel=RBF(3.0), method="fourier", n_features=D, random_state=0)
            .fit(data)
            .eigenvalues_
            - exact.eigenvalues_
        ).max()
        for D in (20, 150, 1000)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.02


@pytest.mark.parametrize("method", ["exact", "nystroem", "fourier"])
def test_finds_the_parabola_that_linear_cca_cannot(rng, method):
    data, fresh = parabola(rng), parabola(rng)
    assert abs(CCA(1).fit(data).score(fresh)) < 0.2
    model = KernelCCA(1, reg=1e-3, method=method, n_features=100, random_state=0).fit(data)
    assert model.score(fresh) > 0.97
    np.testing.assert_allclose(model.score(data), model.correlations_.mean(), atol=1e-9)


def test_full_ridge_is_partial_least_squares_in_feature_space(rng):
    data = pair(rng)
    model = KernelCCA(2, kernel="linear", reg=1.0).fit(data)
    a, b = (x - x.mean(axis=0) for x in data.values())
    truth = np.linalg.svd(a.T @ b / (len(a) - 1), compute_uv=False)
    np.testing.assert_allclose(model.eigenvalues_, truth[:2], rtol=1e-8)


@pytest.mark.parametrize("method", ["exact", "nystroem", "fourier"])
def test_variates_have_mean_zero_and_unit_ridged_variance(rng, method):
    data = pair(rng)
    model = KernelCCA(2, kernel=RBF(2.0), reg=0.1, method=method, n_features=50, random_state=0).fit(data)
    a, b = variates(model, data).values()
    np.testing.assert_allclose([a.mean(axis=0), b.mean(axis=0)], 0, atol=1e-8)
    assert (a.var(axis=0, ddof=1) < 1).all()
    np.testing.assert_allclose((a * b).sum(axis=0) / (len(a) - 1), model.eigenvalues_, atol=1e-8)


def test_three_modalities(rng):
    x = rng.uniform(-2, 2, (200, 1))
    noise = rng.standard_normal((3, 200, 1)) * 0.1
    data = Modalities({"a": x + noise[0], "b": np.sin(2 * x) + noise[1], "c": np.abs(x) + noise[2]})
    for method in ("exact", "nystroem", "fourier"):
        model = KernelCCA(1, reg=1e-3, method=method, n_features=100, random_state=0).fit(data)
        assert model.correlations_[0] > 0.6
        assert model.score(data) == pytest.approx(model.correlations_[0], abs=1e-9)


def test_one_kernel_a_modality(rng):
    data = parabola(rng)
    model = KernelCCA(1, kernel={"x": Polynomial(2), "y": "linear"}, reg=0.0).fit(data)
    assert model.kernels_ == {"x": Polynomial(2), "y": Linear()}
    assert model.correlations_[0] == pytest.approx(
        CCA(1)
        .fit({"x": np.hstack([data["x"].store, data["x"].store ** 2]), "y": data["y"].store})
        .correlations_[0],
        abs=1e-9,
    )


def test_the_width_is_the_median_distance(rng):
    from scipy.spatial.distance import pdist

    data = pair(rng)
    model = KernelCCA().fit(data)
    assert model.kernels_ == {name: RBF(float(np.median(pdist(x)))) for name, x in data.items()}


# --- parity -----------------------------------------------------------------------------------------------------


def test_parity_with_cca_zoo(rng):
    """Frozen from cca_zoo 4.0.1: KCCA(2, kernel="rbf", gamma=1/8, shrinkage=.1) on these very numbers."""
    x, y = parity_data()
    model = KernelCCA(2, kernel=RBF(2.0), reg=0.1).fit({"x": x, "y": y})
    np.testing.assert_allclose(model.correlations_, PARITY_CORRELATIONS, atol=1e-8)
    fresh = model.transform({"x": x[:3] + 0.5})["x"].values()
    ratio = fresh / np.array(PARITY_FRESH)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-6)


def parity_data():
    t = np.arange(40.0)
    x = np.column_stack([np.sin(t), np.cos(1.7 * t), np.sin(0.3 * t * t)])
    y = np.column_stack([np.sin(t) ** 2, np.cos(2.3 * t) + x[:, 2]])
    return x, y


PARITY_CORRELATIONS = [0.7073241246549761, 0.42056430572568837]
PARITY_FRESH = [
    [-0.5857804275308413, -0.8926493957687647],
    [-0.8064924397072527, -0.44093567465070904],
    [-0.9571307498857954, -0.1363486926665176],
]


# --- streaming --------------------------------------------------------------------------------------------------


def test_blocks_of_any_size_equal_one_fit(rng):
    data = Modalities(pair(rng))
    make = lambda: KernelCCA(2, kernel=RBF(2.0), method="fourier", n_features=40, random_state=3)  # noqa: E731
    streamed = make()
    for rows in (slice(0, 1), slice(1, 50), slice(50, 80)):
        streamed.partial_fit(data[rows])
    whole = make().fit(data)
    assert streamed.n_samples_ == whole.n_samples_ == 80
    alike(streamed, whole, data, 1e-9)


def test_going_on_from_a_fit_keeps_its_landmarks(rng):
    data = Modalities(pair(rng))
    model = KernelCCA(1, method="nystroem", n_features=15, random_state=0).fit(data[:50])
    landmarks = model.maps_["a"].landmarks
    model.partial_fit(data[50:])
    assert model.n_samples_ == 80
    assert model.maps_["a"].landmarks is landmarks
    assert model.correlations_[0] == pytest.approx(model.score(data), abs=1e-9)


def test_partial_fit_needs_features_fixed_in_advance(rng):
    data = pair(rng)
    with pytest.raises(ConfigError, match="\"rbf\" for \\['a', 'b'\\]"):
        KernelCCA(method="fourier").partial_fit(data)
    with pytest.raises(ConfigError, match="method='nystroem'"):
        KernelCCA(kernel=RBF(2.0), method="nystroem").partial_fit(data)
    with pytest.raises(ModalityError, match="exact"):
        KernelCCA().fit(data).partial_fit(data)
    early = KernelCCA(kernel=RBF(2.0), method="fourier", random_state=0).partial_fit(
        {name: x[:1] for name, x in data.items()}
    )
    with pytest.raises(ModalityError, match=r"\['a', 'b'\].*has seen 1"):
        early.correlations_  # noqa: B018


def test_single_precision_is_close(rng):
    data = pair(rng)
    double, single = (
        KernelCCA(2, kernel=RBF(2.0), method="fourier", n_features=60, precision=p, random_state=0).fit(data)
        for p in ("float64", "float32")
    )
    np.testing.assert_allclose(single.correlations_, double.correlations_, atol=1e-4)


def test_auto_counts_rows(rng, monkeypatch):
    data = pair(rng)
    assert KernelCCA().fit(data).method_ == "exact"
    monkeypatch.setattr(kernel_cca, "EXACT_ROWS", 79)
    assert KernelCCA(random_state=0).fit(data).method_ == "nystroem"


# --- refusals ---------------------------------------------------------------------------------------------------


def test_no_ridge_says_nothing_when_everything_correlates(rng):
    data = pair(rng)
    with pytest.raises(
        ConfigError, match=r"\['a', 'b'\] have full rank.*every correlation is 1 whatever the data"
    ):
        KernelCCA(reg=0.0).fit(data)
    with pytest.raises(ConfigError, match="21 correlations are 1 whatever the data"):
        KernelCCA(reg=0.0, kernel=RBF(0.5), method="fourier", n_features=50, random_state=0).fit(data)
    # and so it is: independent noise, hardly any ridge
    noise = {name: rng.standard_normal((40, 3)) for name in "ab"}
    assert KernelCCA(2, kernel=RBF(0.5), reg=1e-8).fit(noise).correlations_.min() > 0.999


def test_too_many_rows_for_the_exact_form(rng):
    x = np.arange(10_001.0)[:, None]
    with pytest.raises(ModalityError, match=r"\['a', 'b'\].*10,001 rows need about 6 GiB.*nystroem"):
        KernelCCA(kernel=RBF(1.0), method="exact").fit({"a": x, "b": x})


def test_a_constant_modality_is_named(rng):
    data = {"a": rng.standard_normal((30, 2)), "b": np.full((30, 2), 7.0)}
    for settings in (
        {},
        {"method": "nystroem"},
        {"kernel": "linear"},
        {"kernel": RBF(1.0), "method": "fourier"},
    ):
        with pytest.raises(ModalityError, match="'b'"):
            KernelCCA(**settings, random_state=0).fit(data)


def test_a_ridge_lost_in_rounding_is_said(rng):
    data = pair(rng)
    with pytest.raises(ModalityError, match="'a': .*e\\+.*Standardise"):
        KernelCCA(kernel=Polynomial(3), reg=1e-3).fit({"a": data["a"] * 1e4, "b": data["b"]})


def test_more_components_than_the_data_have(rng):
    with pytest.raises(ModalityError, match="n_components <= 1.*'y': 1"):
        KernelCCA(2, kernel="linear", reg=0.0).fit(parabola(rng))
    with pytest.raises(ModalityError, match="n_components <= 1"):
        KernelCCA(2, kernel="linear", method="nystroem", n_features=20, random_state=0).fit(parabola(rng))


def test_parameters_are_refused_together(rng):
    with pytest.raises(
        ConfigError, match="n_components >= 1, got 0; 0 <= reg <= 1, got 2;.*'exct'.*n_features.*'half'"
    ):
        KernelCCA().set_params(n_components=0, reg=2, method="exct", n_features=0, precision="half").fit(
            pair(rng)
        )


def test_score_needs_every_modality(rng):
    data = pair(rng)
    with pytest.raises(ModalityError, match=r"\['a', 'b'\]"):
        KernelCCA().fit(data).score({"a": data["a"]})


# --- around -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "nystroem", "fourier"])
def test_saved_and_loaded(rng, tmp_path, method):
    data = pair(rng)
    model = KernelCCA(2, method=method, n_features=30, random_state=0).fit(data)
    again = load(save(model, tmp_path / "model"))
    alike(again, model, data, 1e-12)
    assert again.kernels_ == model.kernels_


def test_stored_values_are_mapped_once(rng):
    data = Modalities(pair(rng))
    model = KernelCCA().fit(data)
    out = model.transform(data[[4, 4, 2]])
    assert len(out["a"].store) == 2
    assert out["a"].index.tolist() == [1, 1, 0]


def standardised(folder, names, step):
    file = np.load(folder / "mfeat_digits" / "mfeat.npz")
    columns = {name: file[name].astype(float) for name in names}
    return Modalities(
        {name: ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9))[::step] for name, x in columns.items()}
    )


def test_landmarks_do_as_well_as_all_rows_on_unseen_digits(real_data):
    data = standardised(real_data, ("fou", "mor"), 4)
    rows = np.random.default_rng(0).permutation(len(data))
    train, test = data[rows[:300]], data[rows[300:]]
    exact = KernelCCA(3).fit(train).score(test)
    landmarks = KernelCCA(3, method="nystroem", n_features=100, random_state=0).fit(train).score(test)
    assert exact > 0.75
    assert abs(landmarks - exact) < 0.03


def test_articles_correlate_more_when_curves_are_allowed(real_data):
    file = np.load(real_data / "wikipedia_xmodal" / "wikipedia_train.npz")
    train = {"image": file["image"][:900], "text": file["text"][:900]}
    test = {"image": file["image"][900:1500], "text": file["text"][900:1500]}
    curved = KernelCCA(3, reg=0.01, random_state=0).fit(train).score(test)
    assert curved > CCA(3).fit(train).score(test)
