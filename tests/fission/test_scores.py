from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.datasets import make_shared_private
from polymodal.fission import SharedIndividual, leakage, part_scores


def test_what_is_planted_is_found(rng):
    z, u = rng.standard_normal((2, 300, 2))
    found = part_scores({"shared": z @ rng.standard_normal((2, 2)), "a": u}, {"z": z, "u": u})
    assert found["shared", "z"] > 0.999
    assert found["a", "u"] > 0.999
    assert abs(found["shared", "u"]) < 0.06
    assert abs(found["a", "z"]) < 0.06
    assert found.to_dict()["a"]["u"] == found["a", "u"]


def test_known_share_of_variance(rng):
    """y = x + e of equal variance: R2 = 1/2, less a little for what cannot be learned from few rows."""
    x, e = rng.standard_normal((2, 4000))
    assert part_scores({"p": x}, {"y": x + e})["p", "y"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("method", ["neighbours", "boosting"])
def test_bent_relations_need_a_bent_predictor(rng, method):
    x = rng.uniform(-2, 2, 500)
    assert part_scores({"p": x}, {"y": x**2})["p", "y"] < 0.1
    assert part_scores({"p": x}, {"y": x**2}, method=method)["p", "y"] > 0.95


def test_invertible_maps_change_nothing(rng):
    x, y = rng.standard_normal((2, 200, 3))
    y = y + x
    M = rng.standard_normal((3, 3))
    before, after = part_scores({"p": x}, {"y": y}), part_scores({"p": x @ M}, {"y": y})
    assert after["p", "y"] == pytest.approx(before["p", "y"], abs=0.02)


def test_only_rows_that_have_both(rng):
    x = rng.standard_normal((60, 2))
    rows = np.arange(0, 60, 3)
    stored = x.copy()
    part = Modalities({"p": stored}).without("p", rows)
    stored[rows] = 1e9
    assert (
        part_scores(part, {"y": x})["p", "y"]
        == part_scores({"p": np.delete(x, rows, 0)}, {"y": np.delete(x, rows, 0)})["p", "y"]
    )


def test_leaks_of_a_fitted_decomposition():
    data, truth = make_shared_private(800, n_shared=2, n_private=2, random_state=0)
    frame = data.data
    good = SharedIndividual(2, n_private=2).fit(frame).transform(frame)
    found = leakage(good, frame, private=truth.private)
    assert max(found.private_to_other.values()) < 0.05
    assert max(found.private_to_shared.values()) < 0.05
    assert max(found.shared_to_private.values()) < 0.05
    # parts in the wrong place are told: private holds everything, shared holds the private factors of a
    bad = Modalities({"shared": truth.private["a"], "a": frame["a"].values(), "b": truth.private["b"]})
    found = leakage(bad, frame, private=truth.private)
    assert found.private_to_other["a", "b"] > 0.4
    assert found.shared_to_private["a"] > 0.99
    assert found.shared_to_private["b"] < 0.05
    assert "private a -> modality b" in str(found)


def test_prints_and_draws(rng):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    part = SharedIndividual(1, n_private=0).fit_transform(
        {"a": rng.standard_normal((40, 2)), "p": rng.standard_normal((40, 2))}
    )
    found = part_scores(part, {"y": rng.standard_normal(40)})
    assert found["p", "y"] == 0  # a part without columns
    assert "| p |" in str(found)
    assert found.plot().get_title()
    plt.close("all")


def test_refusals(rng):
    x = rng.standard_normal((30, 2))
    with pytest.raises(ModalityError, match="same rows"):
        part_scores({"p": x}, {"y": x[:10]})
    with pytest.raises(ModalityError, match="'p'"):
        part_scores({"p": np.array(["a"] * 30)}, {"y": x})
    with pytest.raises(ModalityError, match="'y'"):
        part_scores({"p": x[:6]}, {"y": x[:6]})
    with pytest.raises(ModalityError, match="No score"):
        part_scores({"p": x}, {"y": x})["q", "y"]
    with pytest.raises(ModalityError, match="shared"):
        leakage({"a": x}, {"a": x})
