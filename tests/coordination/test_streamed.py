from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import holes, three

from polymodal.coordination import PLS, GeneralisedCCA, MultisetCCA
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities

KINDS = [GeneralisedCCA, MultisetCCA, PLS]


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_at_a_time(rng, kind):
    data = holes(rng, three(rng, n=30), share=0.2)
    whole, streamed = kind(2).fit(data), kind(2).partial_fit(data[:8])
    for i in range(8, 30):
        streamed.partial_fit(data[[i]])
    for name in data.names:
        np.testing.assert_allclose(streamed.weights_[name], whole.weights_[name], atol=1e-6)
        np.testing.assert_allclose(streamed.means_[name], whole.means_[name], atol=1e-10)
    assert streamed.n_samples_ == 30
    again = whole.partial_fit(data[:10])  # a fitted model goes on
    assert again.n_samples_ == 40


@pytest.mark.parametrize("kind", KINDS)
def test_float32_products_are_close(rng, kind):
    data = three(rng, n=3000)
    exact, coarse = kind(2).fit(data), kind(2, precision="float32").fit(data)
    assert coarse.moments_.precision == "float32"
    for name in data:
        np.testing.assert_allclose(coarse.weights_[name], exact.weights_[name], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_constants_and_sums_do_not_matter(rng, kind):
    data = three(rng)
    spoilt = {**data, "a": np.hstack([data["a"], np.full((200, 1), 0.3)])}
    model, clean = kind(2).fit(spoilt), kind(2).fit(data)
    np.testing.assert_allclose(model.correlations_, clean.correlations_, atol=1e-9)
    np.testing.assert_allclose(model.weights_["a"][-1], 0.0, atol=1e-12)
    if kind is not PLS:
        summed = {**data, "a": np.hstack([data["a"], data["a"].sum(axis=1, keepdims=True)])}
        np.testing.assert_allclose(kind(2).fit(summed).correlations_, clean.correlations_, atol=1e-8)


def test_wide_models_are_closed(rng):
    data = three(rng, n=12, dims=(1030, 4))
    model = MultisetCCA(1, reg=0.5).fit(data)
    assert list(model.rotations_) == ["a"]
    with pytest.raises(ModalityError, match=r"12 rows of \['a'\].*partial_fit on a new model"):
        model.partial_fit(data)
    with pytest.raises(ModalityError, match="Use partial_fit"):
        MultisetCCA(1).fit(three(rng, dims=(4, 4))).merge(model)


def test_what_does_not_fit_together_is_named(rng):
    model = MultisetCCA(1).fit(three(rng))
    with pytest.raises(ModalityError, match="'a' was fitted as vector"):
        model.partial_fit({"a": np.ones((3, 2))})
    with pytest.raises(ModalityError, match="same modalities and features"):
        model.merge(MultisetCCA(1).fit(three(rng, dims=(3, 4, 5))))
    with pytest.raises(ModalityError, match=r"all rows lack \['b'\]"):
        MultisetCCA(1).partial_fit(Modalities(three(rng)).without("b"))
