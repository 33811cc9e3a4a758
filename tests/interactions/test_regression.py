from __future__ import annotations

import builtins
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polymodal.core.errors import MissingDependencyError, ModalityError
from polymodal.interactions import InteractionRegression, interaction_regression

pytest.importorskip("statsmodels")

TEACHING = np.array([5.79, 0.68, -2.94, 1.29])
"""Intercept, a, b, a:b of the teaching example (300 book reviews; b says whether a critic wrote)."""


def _reviews(rng: np.random.Generator, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data on which least squares gives exactly the teaching coefficients, with errors of spread 1.9."""
    a = rng.normal(0.8, 0.55, n)
    b = (np.arange(n) % 2).astype(float)
    design = np.column_stack([np.ones(n), a, b, a * b])
    noise = rng.normal(0, 1.9, n)
    noise -= design @ np.linalg.lstsq(design, noise)[0]
    return a, b, design @ TEACHING + noise


def _classes(rng: np.random.Generator, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = rng.normal(size=n), (np.arange(n) % 2).astype(float)
    p = 1 / (1 + np.exp(-(0.2 + 0.5 * a - 0.3 * b + 1.2 * a * b)))
    return a, b, np.where(rng.random(n) < p, "yes", "no")


def test_the_teaching_example(rng: np.random.Generator) -> None:
    found = interaction_regression(*_reviews(rng), names=("praise", "critic", "rating"))
    np.testing.assert_allclose([c.estimate for c in found.full.coefficients], TEACHING, atol=1e-9)
    others, critics = found.slopes()
    assert (others.at, critics.at) == (0, 1)
    assert others.estimate == pytest.approx(0.68)
    assert critics.estimate == pytest.approx(1.97)  # not 0.68: that is the slope of those who are no critics
    assert found.comparisons[1].p < 0.001
    assert "praise and critic interact" in found.sentence()
    assert "1.97 [" in found.sentence()
    assert "| praise:critic |" in found.table()
    assert "F(1, 296)" in str(found)


def test_least_squares_in_closed_form(rng: np.random.Generator) -> None:
    from scipy import stats

    a, b, y = rng.normal(size=40), rng.normal(size=40), rng.normal(size=40)
    found = interaction_regression(a, b, y, level=0.9)
    for k, rung in enumerate(found.rungs, start=1):
        design = np.column_stack([np.ones(40), a, b, a * b][: k + 1])
        weights = np.linalg.lstsq(design, y)[0]
        residual = y - design @ weights
        covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / (40 - k - 1)
        error = np.sqrt(np.diag(covariance))
        t = stats.t(40 - k - 1)
        np.testing.assert_allclose(rung.covariance, covariance, rtol=1e-9)
        np.testing.assert_allclose([c.estimate for c in rung.coefficients], weights, rtol=1e-9)
        np.testing.assert_allclose(
            [c.high for c in rung.coefficients], weights + t.ppf(0.95) * error, rtol=1e-9
        )
        np.testing.assert_allclose(
            [c.p for c in rung.coefficients], 2 * t.sf(np.abs(weights / error)), rtol=1e-8
        )
        assert rung.r2 == pytest.approx(1 - residual @ residual / ((y - y.mean()) ** 2).sum())
        assert rung.df == 40 - k - 1


def test_the_f_of_one_term_is_the_square_of_its_t(rng: np.random.Generator) -> None:
    found = interaction_regression(*_reviews(rng))
    for step, rung, term in zip(found.comparisons, found.rungs[1:], ("b", "a:b"), strict=True):
        assert step.statistic == pytest.approx(rung[term].statistic ** 2)
        assert step.p == pytest.approx(rung[term].p, rel=1e-6, abs=1e-15)


def test_slopes_are_those_of_each_group_alone(rng: np.random.Generator) -> None:
    a, b, y = _reviews(rng)
    found = interaction_regression(a, b, y)
    for slope in found.slopes():
        group = b == slope.at
        assert slope.estimate == pytest.approx(np.polyfit(a[group], y[group], 1)[0])
    (at_zero,) = found.slopes(at=[0])
    assert (at_zero.estimate, at_zero.low, at_zero.p) == pytest.approx(
        (found.full["a"].estimate, found.full["a"].low, found.full["a"].p)
    )
    assert [s.at for s in found.slopes(of="b")] == pytest.approx(
        [a.mean() - a.std(ddof=1), a.mean(), a.mean() + a.std(ddof=1)]
    )


def test_the_interval_of_a_slope_is_that_of_the_coefficient_after_a_shift(rng: np.random.Generator) -> None:
    a, b, y = _reviews(rng)
    shifted = interaction_regression(a, b - 1, y).full["a"]
    (slope,) = interaction_regression(a, b, y).slopes(at=[1])
    assert (slope.estimate, slope.error, slope.low, slope.high) == pytest.approx(
        (shifted.estimate, shifted.error, shifted.low, shifted.high)
    )


def test_shifting_a_modality_changes_only_the_other_slope(rng: np.random.Generator) -> None:
    a, b, y = _reviews(rng)
    plain, shifted = interaction_regression(a, b, y), interaction_regression(a - 2, b, y)
    assert shifted.full["a:b"].estimate == pytest.approx(plain.full["a:b"].estimate)
    assert shifted.full.deviance == pytest.approx(plain.full.deviance)
    assert shifted.full["b"].estimate == pytest.approx(plain.slopes(at=[2], of="b")[0].estimate)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=60), (np.arange(60) % 2).astype(float)
    mean = np.column_stack([np.ones(60), a, b, a * b]) @ TEACHING
    inside = []
    for _ in range(200):
        found = interaction_regression(a, b, mean + rng.normal(0, 1.5, 60), level=0.9)
        product, (slope,) = found.full["a:b"], found.slopes(at=[1])
        inside.append([product.low < 1.29 < product.high, slope.low < 1.97 < slope.high])
    shares = np.mean(inside, axis=0)
    assert (np.abs(shares - 0.9) < 0.055).all(), shares  # 2.6 standard errors of a share of 200


def test_logistic_against_newton_in_numpy(rng: np.random.Generator) -> None:
    from scipy import stats

    a, b, y = _classes(rng)
    found = interaction_regression(a, b, y, family="logistic", names=("a", "b", "answer"))
    design, t = np.column_stack([np.ones(400), a, b, a * b]), (y == "yes").astype(float)
    w = np.zeros(4)
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ w))
        information = design.T @ (design * (p * (1 - p))[:, None])
        w = w + np.linalg.solve(information, design.T @ (t - p))
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose([c.estimate for c in found.full.coefficients], w, rtol=1e-6)
    np.testing.assert_allclose(
        [c.low for c in found.full.coefficients], w - stats.norm.ppf(0.975) * error, rtol=1e-5
    )
    assert found.full.deviance == pytest.approx(-2 * np.sum(t * np.log(p) + (1 - t) * np.log(1 - p)))
    gain = found.rungs[1].deviance - found.rungs[2].deviance
    assert found.comparisons[1].p == pytest.approx(stats.chi2.sf(gain, 1))
    assert found.event == "yes"
    assert "the log odds of answer = yes" in found.sentence()
    assert "chi2(1)" in found.table()


def test_independent_modalities_show_no_interaction() -> None:
    rng = np.random.default_rng(5)
    claims = [
        interaction_regression(rng.normal(size=50), rng.normal(size=50), rng.normal(size=50)).comparisons[1].p
        < 0.05
        for _ in range(200)
    ]
    assert 0.01 < np.mean(claims) < 0.10
    found = interaction_regression(rng.normal(size=50), rng.normal(size=50), rng.normal(size=50))
    assert "No interaction of a and b was found" in found.sentence()


def test_a_modality_that_equals_the_response(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=30), rng.normal(size=30)
    found = interaction_regression(a, b, a.copy())
    assert found.full["a"].estimate == pytest.approx(1)
    assert found.rungs[0].r2 == pytest.approx(1)
    assert [step.p for step in found.comparisons] == [1.0, 1.0]
    with pytest.raises(ModalityError, match="left separate the classes of side perfectly"):
        interaction_regression(a, b, a > 0, family="logistic", names=("left", "right", "side"))


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_bad_data_are_named(rng: np.random.Generator, family: Any) -> None:
    a, b, y = rng.normal(size=20), rng.normal(size=20), np.arange(20) % 2

    def ask(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> InteractionRegression:
        return interaction_regression(a, b, y, family=family, names=("sound", "light", "flight"))

    with pytest.raises(ModalityError, match="'sound' is constant"):
        ask(np.ones(20), b, y)
    with pytest.raises(ModalityError, match="'sound' and 'light' say the same"):
        ask(a, 3 * a + 1, y)
    with pytest.raises(ModalityError, match="'flight'"):
        ask(a, b, np.ones(20))
    with pytest.raises(ModalityError, match="1 without"):
        ask(np.where(np.arange(20) == 3, np.nan, a), b, y)
    with pytest.raises(ModalityError, match="19 of 'light'"):
        ask(a, b[:-1], y)
    with pytest.raises(ModalityError, match="at least 5 rows"):
        ask(a[:4], b[:4], y[:4])
    with pytest.raises(ModalityError, match="and their product say the same"):
        ask(np.tile([0.0, 1, 0], 6), np.tile([0.0, 0, 1], 6), np.arange(18) % 2)
    with pytest.raises(ModalityError, match="numbers for family='linear'|two classes"):
        ask(a, b, np.array(list("abcde") * 4))


def test_bad_settings_are_named(rng: np.random.Generator) -> None:
    a, b, y = _reviews(rng)
    with pytest.raises(ModalityError, match="level needs"):
        interaction_regression(a, b, y, level=95)
    with pytest.raises(ModalityError, match="three different names"):
        interaction_regression(a, b, y, names=("a", "a", "y"))
    with pytest.raises(ModalityError, match="slopes needs one of"):
        interaction_regression(a, b, y).slopes(of="c")
    with pytest.raises(KeyError, match="no term"):
        interaction_regression(a, b, y).rungs[0]["b"]


def test_without_statsmodels_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("statsmodels"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"polymodal\[interactions\]"):
        interaction_regression(*_reviews(rng))


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_the_picture_shows_a_line_for_each_level(rng: np.random.Generator, family: Any) -> None:
    import matplotlib.pyplot as plt

    data = _reviews(rng) if family == "linear" else _classes(rng)
    ax = interaction_regression(*data, family=family).plot(plt.figure().gca())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b = 0", "b = 1"]
    plt.close("all")


def test_clothing_reviews(real_data: Path) -> None:
    with (real_data / "clothing_reviews" / "val.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["Title"] and r["Review Text"]]

    def holds(column: str, words: str) -> np.ndarray:
        return np.array([any(w in r[column].lower() for w in words.split()) for r in rows], dtype=float)

    praise = holds("Title", "love great perfect beautiful comfortable soft")
    complaint = holds("Review Text", "disappoint unfortunately return cheap")
    names = ("praise", "complaint", "rating")
    stars = interaction_regression(
        praise, complaint, np.array([float(r["Rating"]) for r in rows]), names=names
    )
    assert len(rows) == 1954
    assert [round(s.estimate, 2) for s in stars.slopes()] == [0.46, 0.89]
    assert stars.comparisons[1].p == pytest.approx(0.003, abs=5e-4)
    advised = interaction_regression(
        praise, complaint, np.array([r["Recommended IND"] for r in rows]), family="logistic", names=names
    )
    assert advised.comparisons[1].p > 0.5  # in log odds the two add up
