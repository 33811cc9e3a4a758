"""What late and hybrid fusion share: which weights reach which rule."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal import LateFusion, Modalities


def case(rng: np.random.Generator) -> tuple[Modalities, np.ndarray]:
    y = np.arange(90) % 3
    return Modalities({m: rng.normal(y[:, None] * g, size=(90, 2)) for m, g in (("a", 1.0), ("b", 2.0))}), y


@pytest.mark.parametrize("rule", ["mean", "product", "vote"])
@pytest.mark.parametrize("weights", ["equal", "confidence", {"a": 1.0, "b": 3.0}])
def test_a_row_that_lacks_a_modality_is_answered_as_if_it_had_never_been(
    rule, weights, rng: np.random.Generator
) -> None:
    data, y = case(rng)
    model = LateFusion(rule, weights=weights).fit(data, y)
    alone = LateFusion(rule).fit(data.select("a"), y)
    np.testing.assert_allclose(
        model.predict_proba(data.without("b")), alone.predict_proba(data.select("a")), atol=1e-12
    )


def test_exponents_of_a_product_have_mean_one(rng: np.random.Generator) -> None:
    data, y = case(rng)
    one = LateFusion("product", weights={"a": 1.0, "b": 3.0}).fit(data, y).predict_proba(data)
    other = LateFusion("product", weights={"a": 10.0, "b": 30.0}).fit(data, y).predict_proba(data)
    np.testing.assert_allclose(one, other)
    logs = [np.log(LateFusion().fit(data.select(m), y).predict_proba(data.select(m))) for m in data]
    expected = 0.5 * logs[0] + 1.5 * logs[1]  # the classes are equally frequent: no prior to divide out
    expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.log(one), expected, atol=1e-8)


@pytest.mark.parametrize("rule", ["mean", "product"])
def test_a_weight_of_zero_leaves_a_member_out(rule, rng: np.random.Generator) -> None:
    data, y = case(rng)
    for target in (y, data["a"].values()[:, 0]):
        model = LateFusion(rule, weights={"a": 0.0, "b": 3.0}).fit(data, target)
        alone = LateFusion(rule, weights={"b": 3.0}).fit(data.select("b"), target)
        np.testing.assert_allclose(model.transform(data), alone.transform(data.select("b")), atol=1e-12)
        assert np.isfinite(model.transform(data.select("a"))).all()  # better than nothing
