from __future__ import annotations

import numpy as np
import pytest
from tests.coordination.test_generalised_cca import three

from polymodal.coordination import CCA, PLS, GeneralisedCCA, MultisetCCA, SparseCCA
from polymodal.coordination._linear import project
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities, Modality

ALL = [CCA(2), GeneralisedCCA(2), MultisetCCA(2), PLS(2), SparseCCA(2)]
MANY = ALL[1:]


def name_of(model):
    return type(model).__name__


def data_for(model, rng):
    return three(rng, dims=(6, 4) if isinstance(model, CCA) else (6, 4, 5))


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_components_are_centred_projections_and_score_is_their_mean_correlation(rng, model):
    data = data_for(model, rng)
    z = model.fit(data).transform(data)
    for name, x in data.items():
        np.testing.assert_allclose(z[name].values(), (x - x.mean(axis=0)) @ model.weights_[name], atol=1e-9)
    np.testing.assert_allclose(model.score(data), model.correlations_.mean(), atol=1e-9)
    test = model.permutation_test(data, n_permutations=19, random_state=0)
    assert test.p_values[0] == 0.05
    np.testing.assert_allclose(test.correlations, model.correlations_, atol=1e-8)


@pytest.mark.parametrize("model", MANY, ids=name_of)
def test_score_of_some_modalities_and_some_rows(rng, model):
    data = three(rng)
    model.fit(data)
    z = {name: column.values() for name, column in model.transform(data).items()}
    expected = np.mean([np.corrcoef(z["a"][10:, k], z["b"][10:, k])[0, 1] for k in range(2)])
    frame = Modalities({name: data[name] for name in "ab"}).without("a", np.arange(10))
    assert model.score(frame) == pytest.approx(expected)
    with pytest.raises(ModalityError, match=r"\['b', 'c'\] are not in the data"):
        model.score({"a": data["a"]})
    with pytest.raises(ModalityError, match=r"needs all modalities.*\['c'\] are not"):
        model.permutation_test({name: data[name] for name in "ab"})
    with pytest.raises(ConfigError, match="n_components >= 1"):
        type(model)(0).fit(data)


def test_rows_that_share_a_value_share_its_component(rng):
    store = rng.standard_normal((5, 6))
    model = MultisetCCA(1).fit(three(rng))
    z = model.transform({"a": Modality(store, np.array([2, 2, -1, 4]))})["a"]
    assert len(z.store) == 2
    assert z.present.tolist() == [True, True, False, True]


def test_projection_in_blocks(rng):
    x, w = rng.standard_normal((10, 3)), rng.standard_normal((3, 2))
    used = np.array([7, 1, 3])
    np.testing.assert_allclose(project(x, used, np.ones(3), w, 2), (x[used] - 1) @ w)
