"""Which modalities a space has, told from the model."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from polymodal.coordination import CCA
from polymodal.core.errors import ModalityError, NotFittedError
from polymodal.encoders import Vectorize
from polymodal.fusion import LateFusion
from polymodal.retrieval.space import space_modalities


def test_a_pipeline_is_asked_by_its_first_step(rng: np.random.Generator) -> None:
    data = {"a": rng.normal(size=(20, 5)), "b": rng.normal(size=(20, 4))}
    model = make_pipeline(Vectorize(n_components=2), CCA(1)).fit(data)
    assert {name: spec.shape for name, spec in space_modalities(model, asker="Retriever").items()} == {
        "a": (5,),
        "b": (4,),
    }


def test_what_is_no_space_is_refused() -> None:
    with pytest.raises(ModalityError, match="Retriever needs a coordination.*LateFusion is a fusion"):
        space_modalities(LateFusion(), asker="Retriever")
    with pytest.raises(NotFittedError, match="CCA is not fitted"):
        space_modalities(CCA(), asker="Retriever")
