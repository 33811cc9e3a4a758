from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import IntactSpace
from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities

DIMS = {"image": 8, "sound": 10, "text": 6}


def planted(seed=0, n=200, k=3, noise=0.1, outliers=0.0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, k))
    columns, wrong = {}, {}
    for name, d in DIMS.items():
        x = z @ rng.standard_normal((k, d)) + noise * rng.standard_normal((n, d)) + 4
        wrong[name] = rng.random(n) < outliers
        x[wrong[name]] += 30 * rng.standard_normal((wrong[name].sum(), d))
        columns[name] = x
    return Modalities(columns), z, wrong


def r2(z, codes):
    """Share of z's variance that a linear map of the codes explains."""
    design = np.column_stack([codes, np.ones(len(codes))])
    left = z - design @ np.linalg.lstsq(design, z, rcond=None)[0]
    return 1 - (left**2).sum() / ((z - z.mean(axis=0)) ** 2).sum()


def test_finds_the_planted_space_although_a_tenth_is_grossly_wrong():
    data, z, wrong = planted(outliers=0.1)
    model = IntactSpace(3).fit(data)
    assert r2(z, model.codes_) > 0.95
    least_squares = IntactSpace(3, scale=1e3, reg=1e-9).fit(data)
    assert r2(z, least_squares.codes_) < 0.6
    stacked = np.hstack([(x := data[name].values()) - x.mean(axis=0) for name in DIMS])
    U, s, _ = np.linalg.svd(stacked, full_matrices=False)
    assert r2(z, U[:, :3] * s[:3]) < 0.6
    for name, shares in model.trust(data).items():
        assert shares[wrong[name]].max() < 0.05
        assert np.median(shares[~wrong[name]]) > 0.4


def test_each_modality_alone_estimates_the_same_code():
    data, _z, _ = planted()
    fresh, fresh_z, _ = planted()
    model = IntactSpace(3).fit(data[:150])
    alone = model.transform(fresh[150:])
    for name in DIMS:
        assert r2(fresh_z[150:], alone[name].values()) > 0.95
        joint = model.joint(fresh[150:])
        gap = np.abs(alone[name].values() - joint).mean() / np.abs(joint).mean()
        assert gap < 0.15


def test_joint_codes_of_the_training_rows_are_the_codes():
    data, _, _ = planted(outliers=0.05)
    model = IntactSpace(3, tol=1e-12, max_iter=5000).fit(data)
    np.testing.assert_allclose(model.joint(data), model.codes_, atol=1e-6)


def test_the_objective_never_rises_and_codes_lie_along_their_axes():
    data, _, _ = planted(outliers=0.1)
    model = IntactSpace(3, scale=0.5).fit(data)
    assert len(model.objective_) > 2
    assert (np.diff(model.objective_) <= 1e-12).all()
    products = model.codes_.T @ model.codes_
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-8)
    assert (np.diff(np.diag(products)) < 0).all()


def test_units_and_origins_do_not_matter():
    data, _, _ = planted(n=80)
    moved = data.assign({"sound": data["sound"].values() * 1000 - 7})
    a, b = IntactSpace(3).fit(data), IntactSpace(3).fit(moved)
    np.testing.assert_allclose(a.codes_, b.codes_, atol=1e-6)
    np.testing.assert_allclose(a.joint(data), b.joint(moved), atol=1e-6)
    assert b.scales_["sound"] == pytest.approx(1000 * a.scales_["sound"], rel=1e-6)


def test_missing_modalities_in_training_and_after():
    data, z, _ = planted()
    rng = np.random.default_rng(1)
    holes = data
    for name in ("image", "text"):
        holes = holes.without(name, np.flatnonzero(rng.random(len(data)) < 0.3))
    model = IntactSpace(3).fit(holes)
    assert r2(z, model.codes_) > 0.95
    out = model.transform(holes)
    assert (out["image"].present == holes["image"].present).all()
    filled = model.reconstruct(holes)["image"].values()
    gone = ~holes["image"].present
    truth = data["image"].values()
    assert ((filled - truth)[gone] ** 2).sum() < 0.05 * ((truth - truth.mean(axis=0))[gone] ** 2).sum()
    assert np.isnan(model.trust(holes)["image"][gone]).all()


def test_reconstruction_mends_a_wrong_value():
    data, _, _ = planted()
    model = IntactSpace(3).fit(data)
    broken = {name: data[name].values()[:5].copy() for name in DIMS}
    broken["sound"] += 50
    mended = model.reconstruct(broken)["sound"].values()
    assert np.abs(mended - data["sound"].values()[:5]).max() < 1


def test_score_predicts_each_modality_from_the_others():
    data, _, _ = planted()
    train, test = data[:150], data[150:]
    scores = {k: IntactSpace(k).fit(train).score(test) for k in (1, 3)}
    assert 0.5 < scores[3] <= 1
    assert scores[1] < scores[3]
    noise = Modalities(
        {name: np.random.default_rng(0).standard_normal((200, d)) @ np.eye(d) for name, d in DIMS.items()}
    )
    assert IntactSpace(2).fit(noise[:150]).score(noise[150:]) < 0.3
    with pytest.raises(ModalityError, match="'text'.*alone"):
        IntactSpace(1).fit(data).score({"text": data["text"]})


def test_a_given_scale_is_in_units_of_the_median_distance():
    data, _, _ = planted(n=50)
    model = IntactSpace(2, scale=0.5).fit(data)
    x = data["text"].values()
    median = np.median(np.linalg.norm(x - np.median(x, axis=0), axis=1))
    assert model.scales_["text"] == pytest.approx(0.5 * median)


def test_refusals():
    data, _, _ = planted(n=20)
    with pytest.raises(ConfigError, match="reg > 0"):
        IntactSpace(reg=0.0).fit(data)
    with pytest.raises(ConfigError, match="smaller reg: at 5.*'text'.*all are 0"):
        IntactSpace(reg=5.0).fit(data)
    with pytest.raises(ConfigError, match="scale > 0"):
        IntactSpace(scale=0.0).fit(data)
    with pytest.raises(ModalityError, match=r"n_components <= 19.*'text': 6"):
        IntactSpace(20).fit(data)
    with pytest.raises(ModalityError, match="'text' are the same"):
        IntactSpace(1).fit(data.assign({"text": np.ones((20, 6))}))
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        IntactSpace(2, max_iter=1, tol=1e-12).fit(data)


def test_a_row_without_anything_has_no_joint_code():
    data, _, _ = planted(n=30)
    model = IntactSpace(2).fit(data)
    empty = data.select("text").without("text", [4])
    with pytest.raises(ModalityError, match=r"1 of 30 rows have none \(ids \[4\]\)"):
        model.joint(empty)
    assert not model.transform(empty)["text"].present[4]


def test_mostly_equal_rows_have_a_spread():
    data, _, _ = planted(n=60)
    sparse = np.zeros((60, 3))
    sparse[:20] = data["text"].values()[:20, :3]
    model = IntactSpace(2).fit(data.assign({"text": sparse}))
    assert np.isfinite(model.codes_).all()


def test_digits_with_spoiled_features(real_data):
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.arange(0, 2000, 8)
    clean = {
        name: ((x := file[name][rows].astype(float)) - x.mean(axis=0)) / x.std(axis=0)
        for name in ("fou", "kar", "zer")
    }
    rng = np.random.default_rng(0)
    spoiled = {name: x.copy() for name, x in clean.items()}
    for x in spoiled.values():
        hit = rng.random(len(x)) < 0.1
        x[hit] += 20 * rng.standard_normal((hit.sum(), x.shape[1]))
    model = IntactSpace(5, tol=1e-4).fit(spoiled)
    truth = IntactSpace(5, tol=1e-4).fit(clean).codes_
    least_squares = IntactSpace(5, scale=1e3, reg=1e-9, tol=1e-4).fit(spoiled).codes_
    assert r2(truth, model.codes_) > 0.8
    assert r2(truth, least_squares) < 0.5
