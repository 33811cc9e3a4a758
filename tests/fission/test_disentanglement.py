from __future__ import annotations

import itertools

import numpy as np
import pytest

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fission import dci, measure_disentanglement, mutual_information_gap, separated_predictability
from polymodal.fission.disentanglement import draw_matrix

TURN = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)


def grid(levels=8, factors=2, times=1):
    """Every combination of factors once (or `times`): independent in the sample, exactly."""
    return np.array(list(itertools.product(range(levels), repeat=factors)) * times, dtype=float)


def test_the_factors_themselves_score_one():
    v = grid()
    assert mutual_information_gap(v, v).gap == pytest.approx(1.0)
    assert separated_predictability(v, v).gap == pytest.approx(1.0)
    found = dci(np.tile(v, (8, 1)), np.tile(v, (8, 1)), importance="lasso")
    assert found.disentanglement == pytest.approx(1.0)
    assert found.completeness == pytest.approx(1.0)
    assert found.informativeness > 0.99


def test_two_equal_codes_leave_no_gap():
    v = grid()[:, :1]
    twice = np.hstack([v, v])
    assert mutual_information_gap(twice, v).gap == pytest.approx(0.0)
    assert separated_predictability(twice, v).gap == pytest.approx(0.0)


def test_a_rotation_entangles_but_loses_nothing(rng):
    v = rng.standard_normal((1500, 2))
    whole, turned = measure_disentanglement(v, v), measure_disentanglement(v @ TURN, v)
    assert whole.mig.gap > 0.9
    assert turned.mig.gap < 0.1
    assert whole.sap.gap > 0.9
    assert turned.sap.gap < 0.1
    assert whole.dci.disentanglement > 0.95
    assert turned.dci.disentanglement < 0.1
    assert whole.dci.completeness > 0.95
    assert turned.dci.completeness < 0.1
    assert turned.dci.informativeness > 0.9


def test_information_of_a_table(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    v = rng.integers(0, 3, (200, 2)).astype(float)
    z = np.where(rng.random((200, 2)) < 0.3, rng.integers(0, 3, (200, 2)), v)
    matrix = mutual_information_gap(z, v).matrix
    for j, k in np.ndindex(2, 2):
        own = metrics.mutual_info_score(v[:, k], v[:, k])
        assert matrix[j, k] == pytest.approx(metrics.mutual_info_score(z[:, j], v[:, k]) / own)


def test_squared_correlations(rng):
    v = rng.standard_normal((100, 3))
    z = v @ rng.standard_normal((3, 2))
    wanted = np.corrcoef(z.T, v.T)[:2, 2:] ** 2
    np.testing.assert_allclose(separated_predictability(z, v).matrix, wanted)
    still = np.column_stack([z, np.full(100, 7.1)])
    np.testing.assert_allclose(separated_predictability(still, v).matrix[2], 0)


def test_blind_to_order_and_rising_maps(rng):
    v = rng.standard_normal((400, 2))
    z = v + 0.3 * rng.standard_normal((400, 2))
    found = mutual_information_gap(z, v)
    np.testing.assert_allclose(mutual_information_gap(np.exp(z), v).gaps, found.gaps)
    np.testing.assert_allclose(mutual_information_gap(z[:, ::-1], v).gaps, found.gaps)


def test_a_bent_code_needs_the_forest(rng):
    v = rng.standard_normal((800, 1))
    z = np.column_stack([v[:, 0] ** 2, rng.standard_normal(800)])
    assert dci(z, v**2, importance="forest").informativeness > 0.9
    assert dci(v, np.cos(2 * v), importance="lasso").informativeness < 0.2
    assert dci(v, np.cos(2 * v), importance="forest").informativeness > 0.9


def test_known_weights_give_known_entropies():
    """A code that serves two factors alike has disentanglement 0, each factor being whole in it: completeness 1."""
    v = np.tile(np.arange(12.0), 20)
    both = dci(np.column_stack([v, np.zeros(240)]), np.column_stack([v, v]), importance="lasso")
    assert both.disentanglement == pytest.approx(0.0)
    assert both.completeness == pytest.approx(1.0)


def test_result_prints_and_draws(rng):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    v = rng.standard_normal((60, 2))
    found = measure_disentanglement(v, v, names=["shape", "colour"], importance="lasso")
    assert "| MIG |" in str(found)
    axes = found.plot()
    assert [t.get_text() for t in axes.get_xticklabels()] == ["shape", "colour"]
    assert draw_matrix(np.array([[0.5]]), ["a"], ["b"], axes) is axes
    plt.close("all")


def test_refusals(rng):
    v = rng.standard_normal((30, 2))
    with pytest.raises(ModalityError, match="same rows"):
        mutual_information_gap(v[:10], v)
    with pytest.raises(ModalityError, match="constant columns"):
        separated_predictability(v, np.ones((30, 1)))
    with pytest.raises(ModalityError, match="finite"):
        dci(np.full((30, 1), np.nan), v)
    with pytest.raises(ModalityError, match="20 rows"):
        dci(v[:10], v[:10])
    with pytest.raises(ConfigError, match="bins"):
        mutual_information_gap(v, v, bins=1)
    with pytest.raises(ModalityError, match="name for each"):
        measure_disentanglement(v, v, names=["one"])
