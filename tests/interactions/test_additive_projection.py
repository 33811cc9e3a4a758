from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.fusion import LateFusion
from polymodal.interactions import AdditiveProjection, empirical_additive_projection


class Formula:
    """A model that is a function of two or more vectors."""

    def __init__(self, function: Any, names: str = "ab") -> None:
        self.function, self.names = function, names

    def predict(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.function(*(data[name].values()[:, 0] for name in self.names)))


class Flat:
    """A scikit-learn classifier on the columns side by side, with products if wanted."""

    def __init__(self, products: bool) -> None:
        self.products, self.model = products, LogisticRegression(C=10)

    def _columns(self, data: Modalities) -> np.ndarray:
        a, b = data["a"].values(), data["b"].values()
        return np.hstack(
            [a, b, (a[:, :, None] * b[:, None]).reshape(len(a), -1)] if self.products else [a, b]
        )

    def fit(self, data: Modalities, y: np.ndarray) -> Flat:
        self.model.fit(self._columns(data), y)
        self.classes_ = self.model.classes_
        return self

    def predict(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.model.predict(self._columns(data)))

    def decision_function(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.model.decision_function(self._columns(data)))

    def predict_proba(self, data: Modalities) -> np.ndarray:
        return np.asarray(self.model.predict_proba(self._columns(data)))


def _quantities(
    rng: np.random.Generator, function: Any, names: str = "ab", n: int = 30
) -> AdditiveProjection:
    data = Modalities({name: rng.normal(size=(n, 1)) for name in names})
    model = Formula(function, names)
    return empirical_additive_projection(model, data, model.predict(data))


def test_an_additive_model_is_its_own_projection(rng: np.random.Generator) -> None:
    found = _quantities(rng, lambda a, b: np.sin(3 * a) + b**2)
    np.testing.assert_allclose(found.projected, found.outputs, atol=1e-8)
    assert found.residual_share < 1e-16
    assert (found.scorer, found.output) == ("r2", "prediction")
    assert found.difference.value == pytest.approx(0, abs=1e-12)


def test_an_additive_model_of_three_modalities_is_its_own_projection(rng: np.random.Generator) -> None:
    found = _quantities(rng, lambda a, b, c: np.sin(3 * a) + b**2 - np.abs(c), "abc")
    np.testing.assert_allclose(found.projected, found.outputs, atol=1e-8)
    assert _quantities(rng, lambda a, b, c: a * b * c, "abc").residual_share > 0.5


def test_the_formula_of_the_paper_in_three_lines(rng: np.random.Generator) -> None:
    data = Modalities({name: rng.normal(size=(20, 1)) for name in "ab"})
    model = Formula(lambda a, b: np.exp(a * b) + a)
    found = empirical_additive_projection(model, data, model.predict(data))
    a, b = data["a"].values()[:, 0], data["b"].values()[:, 0]
    grid = np.exp(np.outer(a, b)) + a[:, None]
    expected = grid.mean(axis=1) + grid.mean(axis=0) - grid.mean()
    np.testing.assert_allclose(found.projected[:, 0], expected, atol=1e-10)
    rows, columns = np.indices(grid.shape)
    design = np.hstack([np.eye(20)[rows.ravel()], np.eye(20)[columns.ravel()]])
    fitted = design @ np.linalg.lstsq(design, grid.ravel())[0]  # the nearest additive grid
    np.testing.assert_allclose(np.diag(fitted.reshape(20, 20)), expected, atol=1e-8)


def test_a_projection_projects_on_itself(rng: np.random.Generator) -> None:
    data = Modalities({name: rng.normal(size=(15, 1)) for name in "ab"})
    a, b = data["a"].values()[:, 0], data["b"].values()[:, 0]
    grid = np.exp(np.outer(a, b))
    left, right = (
        dict(zip(a, grid.mean(axis=1), strict=True)),
        dict(zip(b, grid.mean(axis=0) - grid.mean(), strict=True)),
    )
    model = Formula(lambda x, y: np.array([left[v] + right[w] for v, w in zip(x, y, strict=True)]))
    found = empirical_additive_projection(model, data, model.predict(data))
    np.testing.assert_allclose(found.projected, found.outputs, atol=1e-12)


def test_exclusive_or_projects_to_chance() -> None:
    a, b = (np.array(v * 10, dtype=float)[:, None] for v in ([0, 0, 1, 1], [0, 1, 0, 1]))
    y = (a != b)[:, 0].astype(int)
    found = empirical_additive_projection(Formula(lambda a, b: (a != b).astype(int)), {"a": a, "b": b}, y)
    assert (found.score.value, found.projected_score.value) == (1.0, 0.5)
    assert found.residual_share == pytest.approx(1)
    assert found.sentence().startswith("The model gains from interactions of a and b: accuracy 1.00")
    assert "| additive projection | 0.50 [" in str(found)


def test_a_classifier_of_products_loses_and_a_linear_one_does_not(rng: np.random.Generator) -> None:
    data = Modalities({"a": rng.normal(size=(150, 2)), "b": rng.normal(size=(150, 2))})
    y = np.where(data["a"].values()[:, 0] * data["b"].values()[:, 1] > 0, "same", "other")
    with_products = empirical_additive_projection(Flat(True).fit(data, y), data, y)
    assert with_products.output == "decision"
    assert with_products.score.value > 0.95
    assert with_products.difference.low > 0.2
    plain = Flat(False).fit(data, y)
    for output in ("decision", "logit"):
        found = empirical_additive_projection(plain, data, y, output=output)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.projected, found.outputs, atol=1e-8)
        assert found.sentence().startswith("No gain from interactions of a and b was found")


def test_late_fusion_is_additive_in_probabilities_or_in_their_logarithms(rng: np.random.Generator) -> None:
    data = Modalities({name: rng.normal(size=(60, 2)) for name in "abc"})
    y = np.array(["u", "v", "w"])[
        (data["a"].values()[:, 0] > 0).astype(int) + (data["b"].values()[:, 0] > 0.5)
    ]
    for rule, output in (("mean", "probability"), ("product", "logit")):
        model = LateFusion(rule).fit(data, y)  # type: ignore[arg-type]
        found = empirical_additive_projection(model, data, y, output=output)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.projected, found.outputs, atol=1e-8)


def test_a_sample_of_rows_and_the_report(rng: np.random.Generator) -> None:
    data = Modalities({name: rng.normal(size=(200, 1)) for name in "ab"})
    model, seen = Formula(lambda a, b: a * b), []
    found = empirical_additive_projection(
        model, data, model.predict(data), n_rows=120, report=lambda done, total: seen.append((done, total))
    )
    assert found.outputs.shape == (120, 1)
    assert len(np.unique(found.rows)) == 120
    assert len(seen) > 1
    assert seen[-1] == (120 * 120, 120 * 120)


def test_a_scorer_of_ones_own(rng: np.random.Generator) -> None:
    def nearness(truth: np.ndarray, answer: np.ndarray) -> float:
        return -float(np.abs(truth - answer).mean())

    data = Modalities({name: rng.normal(size=(20, 1)) for name in "ab"})
    model = Formula(lambda a, b: a * b)
    found = empirical_additive_projection(model, data, model.predict(data), scorer=nearness)
    assert (found.scorer, found.score.value) == ("nearness", 0)
    assert found.projected_score.value == pytest.approx(-np.abs(found.outputs - found.projected).mean())


def test_whole_numbers_are_quantities_where_the_scorer_says_so(rng: np.random.Generator) -> None:
    a, b = rng.integers(5, size=(30, 1)), rng.integers(5, size=(30, 1))
    model = Formula(lambda a, b: a + b)
    found = empirical_additive_projection(model, {"a": a, "b": b}, (a + b)[:, 0], scorer="r2")
    assert found.outputs.shape == (30, 1)
    np.testing.assert_allclose(found.projected, found.outputs, atol=1e-12)


def test_bad_input_is_named(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(10, 1)), np.arange(10) % 2
    model = Formula(lambda a, b: (a > b).astype(int))
    with pytest.raises(ModalityError, match="fitted model with predict"):
        empirical_additive_projection(object(), {"a": x, "b": x}, y)
    with pytest.raises(ModalityError, match=r"at least 2 modalities, got \['a'\]"):
        empirical_additive_projection(model, {"a": x}, y)
    with pytest.raises(ModalityError, match="target that varies"):
        empirical_additive_projection(model, {"a": x, "b": x}, np.ones(10, dtype=int))
    with pytest.raises(ModalityError, match=r"missing rows: \{'b': 1\}"):
        empirical_additive_projection(model, Modalities({"a": x, "b": x}).without("b", [2]), y)
    with pytest.raises(ModalityError, match="predict_proba, which Formula has not"):
        empirical_additive_projection(model, {"a": x, "b": x}, y, output="logit")
    with pytest.raises(ModalityError, match="one target a row"):
        empirical_additive_projection(model, {"a": x, "b": x}, y[:4])
    with pytest.raises(ModalityError, match="value on every row"):
        empirical_additive_projection(model, {"a": x, "b": x}, y * np.nan)


def test_handwritten_digits(real_data: Path) -> None:
    file = np.load(real_data / "mfeat_digits" / "mfeat.npz")
    rows = np.random.default_rng(0).permutation(2000)
    data = Modalities({"zer": file["zer"][rows], "mor": file["mor"][rows]})
    y = file["label"][rows].astype(str)
    model = LateFusion("product").fit(data[:300], y[:300])
    found = empirical_additive_projection(model, data[300:400], y[300:400])
    assert found.score.value > 0.7
    assert (
        found.residual_share < 0.02
    )  # a product of evidence is a sum of logarithms, but for a floor under probabilities
    assert found.difference.low <= 0 <= found.difference.high


def test_neural_fusions(rng: np.random.Generator) -> None:
    """A sum of networks is its own projection in logits; a tensor of products is not."""
    from polymodal.fusion import AdditiveFusion, TensorFusion
    from polymodal.training import Training

    data = Modalities({"a": rng.normal(size=(160, 2)), "b": rng.normal(size=(160, 2))})
    y = (data["a"].values()[:, 0] * data["b"].values()[:, 0] > 0).astype(int)
    training = Training(max_epochs=4, batch_size=40, learning_rate=1e-2)
    shares = []
    for fusion in (AdditiveFusion, TensorFusion):
        model = fusion(4, embedding_dim=4, training=training, random_state=0).fit(data, y)
        shares.append(empirical_additive_projection(model, data, y, n_rows=60).residual_share)
    assert shares[0] < 1e-9  # float32
    assert shares[1] > 1e-4
