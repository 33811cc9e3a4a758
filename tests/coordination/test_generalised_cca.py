from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.coordination import CCA, GeneralisedCCA, MultisetCCA
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.core.modalities import Modalities


def three(rng, n=200, dims=(6, 4, 5), shared=2, noise=1.0):
    z = rng.standard_normal((n, shared))
    names = ("a", "b", "c", "d")
    return {
        name: z @ rng.standard_normal((shared, d)) + noise * rng.standard_normal((n, d)) + 5
        for name, d in zip(names, dims, strict=False)
    }


def holes(rng, data, share=0.3):
    """Every row keeps at least one modality."""
    frame = Modalities(data)
    absent = rng.random((len(frame), len(frame.names))) < share
    absent[np.arange(len(frame)), rng.integers(0, len(frame.names), len(frame))] = False
    for name, lacks in zip(frame.names, absent.T, strict=True):
        frame = frame.without(name, np.flatnonzero(lacks))
    return frame


def linnerud_views():
    from sklearn.datasets import load_linnerud

    f = load_linnerud()
    views = {"a": f.data[:, :2], "b": np.hstack([f.data[:, 2:], f.target[:, :1]]), "c": f.target[:, 1:]}
    return {name: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1).mean()) for name, x in views.items()}


def dense(data):
    """Zero-filled centred blocks and presence, written independently of the method."""
    blocks, present = [], []
    for name in sorted(data.names):
        has = data.present[name]
        x = np.zeros((len(data), data[name].shape[0]))
        x[has] = data[name].observed()
        x[has] -= x[has].mean(axis=0)
        blocks.append(x)
        present.append(has)
    return blocks, np.stack(present).astype(float)


def objective(blocks, present, G):
    """Smallest sum of K_m-masked squared residuals over all W."""
    total = 0.0
    for x, has in zip(blocks, present, strict=True):
        W = np.linalg.lstsq(x, G * has[:, None], rcond=None)[0]
        total += (((G - x @ W) * has[:, None]) ** 2).sum()
    return total


# --- closed forms ------------------------------------------------------------------------------------------------


def test_eigenvectors_of_the_sum_of_projectors(rng):
    data = three(rng, n=60)
    model = GeneralisedCCA().fit(data)
    projectors = []
    for x in data.values():
        q = np.linalg.qr(x - x.mean(axis=0))[0]
        projectors.append(q @ q.T)
    values, vectors = np.linalg.eigh(sum(projectors))
    k = len(model.eigenvalues_)
    np.testing.assert_allclose(model.eigenvalues_, values[::-1][:k], atol=1e-10)
    assert k == (values > 1 + 1e-9).sum()  # all on which the modalities agree
    G = model.latent(data)
    np.testing.assert_allclose(G.T @ G / 59, np.eye(k), atol=1e-9)
    np.testing.assert_allclose(
        abs(np.einsum("ik,ik->k", G, vectors[:, ::-1][:, :k])) / np.sqrt(59), 1, atol=1e-8
    )
    for name, x in data.items():  # each modality's part is the regression of G on it
        W = np.linalg.lstsq(x - x.mean(axis=0), G, rcond=None)[0]
        np.testing.assert_allclose(model.weights_[name], W, atol=1e-9)


def test_eigenvalues_are_one_more_than_multiset_ccas(rng):
    data = three(rng)
    generalised, multiset = GeneralisedCCA().fit(data), MultisetCCA().fit(data)
    np.testing.assert_allclose(generalised.eigenvalues_, 1 + multiset.eigenvalues_, atol=1e-10)
    for name in data:
        ratio = generalised.weights_[name] / multiset.weights_[name]
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-5)


def test_two_modalities_are_cca(rng):
    data = three(rng, dims=(6, 4))
    model, cca = GeneralisedCCA().fit(data), CCA().fit(data)
    np.testing.assert_allclose(model.eigenvalues_, 1 + cca.correlations_, atol=1e-10)
    np.testing.assert_allclose(model.correlations_, cca.correlations_, atol=1e-10)
    scale = np.sqrt((1 + cca.correlations_) / 2)  # the regression of G, which has unit variance
    for name in data:
        np.testing.assert_allclose(model.weights_[name], cca.weights_[name] * scale, atol=1e-8)


def test_full_ridge_is_principal_components_side_by_side(rng):
    data = three(rng)
    centred = [x - x.mean(axis=0) for x in data.values()]
    side_by_side = np.hstack([x / np.sqrt(x.var(axis=0, ddof=1).mean()) for x in centred])
    U, s, _ = np.linalg.svd(side_by_side, full_matrices=False)
    model = GeneralisedCCA(3, reg=1.0).fit(data)
    np.testing.assert_allclose(model.eigenvalues_, s[:3] ** 2 / 199, rtol=1e-10)
    G = model.latent(data)
    np.testing.assert_allclose(abs((G * U[:, :3]).sum(axis=0)) / np.sqrt(199), 1.0, atol=1e-9)


@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_unchanged_by_invertible_linear_maps(seed):
    rng = np.random.default_rng(seed)
    data = three(rng)
    mapped = {name: x @ rng.standard_normal((x.shape[1],) * 2) for name, x in data.items()}
    a, b = GeneralisedCCA(3).fit(data), GeneralisedCCA(3).fit(mapped)
    np.testing.assert_allclose(a.eigenvalues_, b.eigenvalues_, atol=1e-6)


def test_numbers_of_cca_zoo():
    """Computed with cca_zoo 4.0.1: linear.GCCA(n_components=2, shrinkage=c) on these three tables of the fitness club."""
    views = linnerud_views()
    plain, ridged = GeneralisedCCA(2).fit(views), GeneralisedCCA(2, reg=0.3).fit(views)
    np.testing.assert_allclose(plain.correlations_, [0.7131344052, 0.0535109224], atol=1e-9)
    np.testing.assert_allclose(ridged.correlations_, [0.5874247792, 0.0960329602], atol=1e-9)
    for model, first in (
        (plain, [0.6042198113, 0.1909407711, 0.1025781649, -0.4792753267, -0.598499437, 0.0055988196]),
        (ridged, [0.0427438113, 0.5582233402, 0.4280886515, -0.4452871258, -0.5225672955, 0.178724852]),
    ):
        w = np.concatenate([model.weights_[name][:, 0] for name in "abc"])
        np.testing.assert_allclose(w / np.linalg.norm(w), first, atol=1e-9)


# --- missing rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_missing_rows_the_masked_objective_is_minimised(rng, k):
    data = holes(rng, three(rng, n=80))
    blocks, present = dense(data)
    K = present.sum(axis=0)
    model = GeneralisedCCA(k).fit(data)
    G = model.latent(data)
    N = present.sum() - 3
    np.testing.assert_allclose(G.T @ (K[:, None] * G), N * np.eye(k), atol=1e-8 * N)
    np.testing.assert_allclose(K @ G, 0, atol=1e-8)
    # an independent eigendecomposition in row space
    P = sum(x @ np.linalg.pinv(x) for x in blocks)
    root = 1 / np.sqrt(K)
    values = np.linalg.eigvalsh(root[:, None] * P * root)[::-1]
    np.testing.assert_allclose(model.eigenvalues_, 3 * values[:k], atol=1e-9)
    best = objective(blocks, present, G)
    assert best == pytest.approx(N * (k - values[:k].sum()))
    for _ in range(20):  # no other G that meets the constraint does better
        other = G + 0.1 * rng.standard_normal(G.shape)
        L = np.linalg.cholesky(other.T @ (K[:, None] * other) / N)
        assert objective(blocks, present, other @ np.linalg.inv(L).T) > best
    for name, x, has in zip("abc", blocks, present, strict=True):
        W = np.linalg.lstsq(x, G * has[:, None], rcond=None)[0]
        np.testing.assert_allclose(model.weights_[name], W, atol=1e-8)


def test_modalities_that_never_occur_together_are_linked_by_a_third(rng):
    data = three(rng, n=400, noise=0.3)
    frame = Modalities(data).without("a", np.arange(200)).without("c", np.arange(200, 400))
    model = GeneralisedCCA(2).fit(frame)
    assert model.correlations_.min() > 0.85  # of a with b, and of b with c
    z = model.transform(data)
    assert abs(np.corrcoef(z["a"].values()[:, 0], z["c"].values()[:, 0])[0, 1]) > 0.9
    paired = GeneralisedCCA(2).fit(data)

    def error(fitted, sources, target):
        return ((fitted.predict({name: data[name] for name in sources}, target) - data[target]) ** 2).mean()

    assert error(model, "a", "c") < 1.2 * error(paired, "a", "c")  # from a to c, through G
    assert error(model, "ac", "b") < 1.2 * error(paired, "ac", "b")
    apart = frame.without("b", np.arange(200))
    with pytest.raises(ModalityError, match=r"no row has one of \['c'\] together with"):
        GeneralisedCCA(2).fit(apart)


def test_streamed_and_merged_equal_at_once_with_missing_rows(rng):
    data = holes(rng, three(rng, n=90))
    whole = GeneralisedCCA(2).fit(data)
    streamed = GeneralisedCCA(2)
    for start in range(0, 90, 7):
        streamed.partial_fit(data[start : start + 7])
    merged = GeneralisedCCA(2).fit(data[:40]).merge(GeneralisedCCA(2).fit(data[40:]))
    lacking = GeneralisedCCA(2).fit(data)
    lacking.partial_fit({"a": data["a"].observed()[:3]})  # a block of one modality
    assert lacking.n_samples_ == 93
    for model in (streamed, merged):
        assert model.n_samples_ == 90
        np.testing.assert_allclose(model.eigenvalues_, whole.eigenvalues_, atol=1e-9)
        for name in data.names:
            np.testing.assert_allclose(model.weights_[name], whole.weights_[name], atol=1e-7)


def test_missing_entirely_at_random_finds_the_same_components(rng):
    data = three(rng, n=2000, noise=0.5)
    full, some = GeneralisedCCA(2).fit(data), GeneralisedCCA(2).fit(holes(rng, data))
    a, b = full.transform(data), some.transform(data)
    for name in data:
        for k in range(2):
            assert abs(np.corrcoef(a[name].values()[:, k], b[name].values()[:, k])[0, 1]) > 0.97


# --- use, and wrong use -------------------------------------------------------------------------------------------


def test_more_components_than_there_are(rng):
    data = three(rng, n=8)
    with pytest.raises(ModalityError, match=r"n_components <= 7, .*8 rows\), got 9"):
        GeneralisedCCA(9).fit(data)
    with pytest.raises(ModalityError, match=r"vary in both modalities.*'a': 0"):
        GeneralisedCCA(1).fit({name: np.ones((5, 2)) for name in "ab"})
    with pytest.raises(NotFittedError):
        GeneralisedCCA().eigenvalues_  # noqa: B018
    with pytest.raises(ModalityError, match="'a': 1"):
        GeneralisedCCA().partial_fit({name: x[:1] for name, x in data.items()}).weights_  # noqa: B018


def test_wide_modalities_take_the_short_way(rng):
    data = three(rng, n=25, dims=(1100, 8, 30))
    frame = Modalities(data).without("a", [1, 2])
    model = GeneralisedCCA(2, reg=0.5).fit(frame)
    truth = GeneralisedCCA(2, reg=0.5).partial_fit(frame)
    np.testing.assert_allclose(model.eigenvalues_, truth.eigenvalues_, rtol=1e-8)
    np.testing.assert_allclose(model.latent(frame), truth.latent(frame), atol=1e-8)
    np.testing.assert_allclose(
        model.predict(frame.select("b"), "a"), truth.predict(frame.select("b"), "a"), atol=1e-7
    )


def test_latent_needs_a_modality_on_every_row(rng):
    model = GeneralisedCCA(1).fit(three(rng))
    frame = Modalities(three(rng)).select("a").without("a", [3])
    with pytest.raises(ModalityError, match=r"at least one of \['a', 'b', 'c'\].*ids \[3\]"):
        model.latent(frame)


def test_significance(rng):
    data = three(rng, n=100, noise=2.0)
    model = GeneralisedCCA(3).fit(data)
    test = model.permutation_test(data, n_permutations=49, random_state=0)
    assert test.p_values[0] == 0.02
    np.testing.assert_allclose(test.correlations, model.correlations_, atol=1e-9)
    assert model.wilks_test().p_value < 1e-6
    noise = {name: rng.standard_normal((100, 3)) for name in "abc"}
    assert GeneralisedCCA(1).fit(noise).wilks_test().p_value > 0.01
    with pytest.raises(ModalityError, match="without missing rows"):
        GeneralisedCCA(1).fit(Modalities(data).without("a", [0])).wilks_test()
    held = model.held_out(Modalities(data).without("a", [0, 1]), random_state=0)
    assert 0.2 < held.held_out[0] < held.fitted[0]


# --- real data ----------------------------------------------------------------------------------------------------


def test_six_views_of_digits(real_data):
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    views = {name: file[name].astype(float) for name in ("fac", "fou", "kar", "mor", "pix", "zer")}
    model = GeneralisedCCA(5).fit(views)
    # the sum of projectors, through an orthonormal basis of each view
    Q = np.hstack(
        [np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0][:, : _rank(x)] for x in views.values()]
    )
    np.testing.assert_allclose(model.eigenvalues_, np.linalg.svd(Q, compute_uv=False)[:5] ** 2, atol=1e-6)
    multiset = MultisetCCA(5).fit(views)
    np.testing.assert_allclose(model.eigenvalues_, 1 + multiset.eigenvalues_, atol=1e-8)
    # the first components tell the digits apart, without having seen a label
    half = np.arange(0, 2000, 2)
    G, label = model.latent(views), file["label"].astype(int)
    means = np.stack([G[half][label[half] == c].mean(axis=0) for c in range(10)])
    guess = ((G[half + 1][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (guess == label[half + 1]).mean() > 0.8


def _rank(x):
    s = np.linalg.svd((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-300), compute_uv=False)
    return int((s**2 > 1e-11 * s[0] ** 2).sum())


def test_proteins_of_tumours_from_genes_alone(real_data):
    views = {}
    for name in ("mirna", "mrna", "protein"):
        file = real_data / "omics_breast_tcga" / f"train_{name}.csv"
        table = np.loadtxt(file, delimiter=",", dtype=str)
        views[name] = table[1:, 1:].astype(float)
    frame = Modalities(views)
    order = np.random.default_rng(0).permutation(150)
    lacking = frame.without(
        "protein", order[100:]
    )  # the tumours to predict lack their proteins, and still help the fit
    model = GeneralisedCCA(5, reg=0.5).fit(lacking)
    test = frame[order[100:]]
    predicted = model.predict(test.select("mirna", "mrna"), "protein")
    truth = test["protein"].values()
    r2 = (
        1
        - ((truth - predicted) ** 2).sum() / ((truth - views["protein"][order[:100]].mean(axis=0)) ** 2).sum()
    )
    assert r2 > 0.1
    assert model.score(test) > 0.5
