from __future__ import annotations

import numpy as np
import pytest

from polymodal.core import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fission import ProjectOut


@pytest.fixture
def data(rng: np.random.Generator) -> Modalities:
    r = rng.normal(size=(60, 3))
    a = r @ rng.normal(size=(3, 4)) + rng.normal(size=(60, 4)) + 5
    c = r @ rng.normal(size=(3, 2)) + a @ rng.normal(size=(4, 2)) + rng.normal(size=(60, 2))
    return Modalities({"r": 100 * r - 3, "c": c, "a": a})


def test_what_is_left_is_uncorrelated(data: Modalities) -> None:
    parts = ProjectOut("r").fit(data).transform(data)
    x = {name: column.values() for name, column in data.items()}
    p = {name: column.values() for name, column in parts.items()}
    for name in "ac":
        assert np.abs(np.corrcoef(x["r"].T, p[name].T)[:3, 3:]).max() < 1e-10
    assert np.abs(np.corrcoef(np.hstack([x["a"], x["c"]]).T, p["r"].T)[:6, 6:]).max() < 1e-10
    design = np.column_stack([np.ones(60), x["r"]])
    residual = x["a"] - design @ np.linalg.lstsq(design, x["a"], rcond=None)[0]
    np.testing.assert_allclose(p["a"], residual, atol=1e-10)
    np.testing.assert_allclose(p["shared"], x["r"] - x["r"].mean(0))


def test_partial_correlation(rng: np.random.Generator) -> None:
    r, a, c = rng.normal(size=(3, 80, 1))
    a, c = a + 0.7 * r, c - 0.4 * r + 0.5 * a
    parts = ProjectOut("r").fit({"r": r, "a": a, "c": c}).transform({"r": r, "a": a, "c": c})
    ac, ar, cr = (np.corrcoef(x.T, y.T)[0, 1] for x, y in [(a, c), (a, r), (c, r)])
    partial = (ac - ar * cr) / np.sqrt((1 - ar**2) * (1 - cr**2))
    got = np.corrcoef(parts["a"].values().T, parts["c"].values().T)[0, 1]
    assert got == pytest.approx(partial, abs=1e-12)


def test_scale_and_shift_of_the_reference_do_not_matter(data: Modalities) -> None:
    other = data.assign({"r": -0.01 * data["r"].values() + 7})
    np.testing.assert_allclose(
        ProjectOut("r").fit(data).transform(data)["a"].values(),
        ProjectOut("r").fit(other).transform(other)["a"].values(),
        atol=1e-9,
    )


def test_the_same_twice_leaves_nothing(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 3))
    model = ProjectOut().fit({"a": x, "b": 2 * x + 1})
    parts = model.transform({"a": x, "b": 2 * x + 1})
    assert model.reference_ == "a"
    assert max(np.abs(parts[name].values()).max() for name in "ab") < 1e-12
    assert model.score({"a": x, "b": 2 * x + 1}) == pytest.approx(1)


def test_score_is_the_share_of_variance(rng: np.random.Generator) -> None:
    """x = 2 z + e, both standard normal: the reference z accounts for 4/5."""
    z, e = rng.normal(size=(2, 4000, 1))
    assert ProjectOut("z").fit({"z": z, "x": 2 * z + e}).score({"z": z, "x": 2 * z + e}) == pytest.approx(
        0.8, abs=0.02
    )


def test_without_the_reference_the_part_is_its_conditional_mean(data: Modalities) -> None:
    """Averaged over the rows, as a regression of the true private part on the modality that is there gives."""
    model = ProjectOut("r").fit(data)
    full = model.transform(data)["a"].values()
    a = data["a"].values()
    design = np.column_stack([np.ones(60), a])
    expected = design @ np.linalg.lstsq(design, full, rcond=None)[0]
    np.testing.assert_allclose(model.transform(data.select("a"))["a"].values(), expected, atol=1e-10)


def test_missing_rows(data: Modalities) -> None:
    holes = data.without("r", [0, 1]).without("a", [1]).without("c", [1])
    model = ProjectOut("r").fit(holes)
    np.testing.assert_array_equal(
        model.transform(data)["a"].values(), ProjectOut("r").fit(data[2:]).transform(data)["a"].values()
    )
    parts = model.transform(holes)
    assert np.flatnonzero(~parts["shared"].present).tolist() == [1]
    assert np.flatnonzero(~parts["r"].present).tolist() == [0, 1]


def test_refusals(data: Modalities) -> None:
    with pytest.raises(ModalityError, match="needs a reference among .*, got 'rr'"):
        ProjectOut("rr").fit(data)
    with pytest.raises(ModalityError, match='the name "shared"'):
        ProjectOut().fit({"shared": np.eye(3), "a": np.eye(3)})
    with pytest.raises(ModalityError, match="ProjectOut.score needs rows that have 'r'"):
        ProjectOut("r").fit(data).score(data.select("a"))
