from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.core.errors import ModalityError
from polymodal.interactions import interaction_regression, multivariate_interaction


def _data(
    rng: np.random.Generator, product: float, n: int = 120
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    return a, b, a[:, 0] + b[:, 1] + product * a[:, 1] * b[:, 0] + rng.normal(size=n)


def test_a_product_is_found_and_helps_on_rows_left_out(rng: np.random.Generator) -> None:
    found = multivariate_interaction(*_data(rng, 1.0), names=("sound", "light", "flight"), n_permutations=199)
    assert [step.p for step in found.steps] == [1 / 200] * 3
    assert found.steps[2].df == (6, 120 - 12)
    assert found.held_out_r2[2] > found.held_out_r2[1] + 0.1
    assert "sound and light interact" in found.sentence()
    assert "| flight ~ sound * light |" in str(found)


def test_one_column_each_gives_the_f_of_the_regression(rng: np.random.Generator) -> None:
    pytest.importorskip("statsmodels")
    a, b, y = rng.normal(size=50), rng.normal(size=50), rng.normal(size=50)
    single = interaction_regression(a, b, y)
    many = multivariate_interaction(a[:, None], b[:, None], y, n_permutations=9)
    assert [s.statistic for s in many.steps[1:]] == pytest.approx([c.statistic for c in single.comparisons])
    assert many.r2 == pytest.approx([rung.r2 for rung in single.rungs])


def test_invariant_to_linear_maps_and_shifts(rng: np.random.Generator) -> None:
    a, b, y = _data(rng, 0.3)
    plain = multivariate_interaction(a, b, y, n_permutations=19)
    other = multivariate_interaction(
        a @ rng.normal(size=(3, 3)) + 5, b @ rng.normal(size=(2, 2)) - 2, y, n_permutations=19
    )
    assert [s.statistic for s in other.steps] == pytest.approx([s.statistic for s in plain.steps])
    assert [s.p for s in other.steps] == [s.p for s in plain.steps]
    assert other.r2 == pytest.approx(plain.r2)


def test_without_an_interaction_p_keeps_its_level_and_products_do_not_help() -> None:
    rng = np.random.default_rng(2)
    found = [multivariate_interaction(*_data(rng, 0.0, 60), n_permutations=39, cv=2) for _ in range(60)]
    assert np.mean([f.steps[2].p <= 0.1 for f in found]) < 0.1 + 2.6 * np.sqrt(0.09 / 60)
    assert np.mean([f.held_out_r2[2] - f.held_out_r2[1] for f in found]) < 0
    assert all(f.r2[2] > f.r2[1] for f in found)  # on the fitted rows they always seem to


def test_classes_become_columns(rng: np.random.Generator) -> None:
    a, b, _ = _data(rng, 0.0)
    y = np.where(a[:, 0] * b[:, 0] > 0, "same", "other")
    found = multivariate_interaction(a, b, y, n_permutations=99)
    assert found.steps[1].p > 0.05
    assert found.steps[2].p == 0.01


def test_a_modality_that_equals_the_response(rng: np.random.Generator) -> None:
    a, b, _ = _data(rng, 0.0)
    found = multivariate_interaction(a, b, a[:, 0], n_permutations=19)
    assert found.r2[0] == pytest.approx(1)
    assert [s.p for s in found.steps[1:]] == [1.0, 1.0]


def test_bad_data_are_named(rng: np.random.Generator) -> None:
    a, b, y = _data(rng, 0.0, 20)
    with pytest.raises(ModalityError, match="'a' is constant"):
        multivariate_interaction(np.ones((20, 2)), b, y)
    with pytest.raises(ModalityError, match="'b' adds no column"):
        multivariate_interaction(a, a[:, :2] * 3 + 1, y)
    with pytest.raises(ModalityError, match="'y' is constant"):
        multivariate_interaction(a, b, np.ones(20))
    with pytest.raises(ModalityError, match="every pair makes a product"):
        multivariate_interaction(rng.normal(size=(20, 5)), rng.normal(size=(20, 5)), y)
    with pytest.raises(ModalityError, match="one row axis"):
        multivariate_interaction(a, b, y[:5])
    with pytest.raises(ModalityError, match="'a' needs numbers"):
        multivariate_interaction(a * np.nan, b, y)
    with pytest.raises(ModalityError, match="n_permutations >= 1"):
        multivariate_interaction(a, b, y, n_permutations=0)


def test_handwritten_digits(real_data: Path) -> None:
    """Fourier shapes and morphology: does what one says of a digit depend on the other?"""
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.random.default_rng(0).permutation(2000)[:400]
    shapes = file["fou"][rows] - file["fou"][rows].mean(axis=0)
    shapes = shapes @ np.linalg.svd(shapes, full_matrices=False)[2][:5].T
    found = multivariate_interaction(
        shapes,
        file["mor"][rows][:, :3],
        file["label"][rows].astype(str),
        n_permutations=99,
        names=("fou", "mor", "digit"),
    )
    assert found.steps[2].p == 0.01
    assert found.held_out_r2[2] > found.held_out_r2[1] + 0.1
