import numpy as np
import pytest

from polymodal.core import Modality
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import ConvEncoder, MLPEncoder
from polymodal.encoders.base import mean_and_scale, used_rows, value_blocks


def test_mean_and_scale_equal_numpys_in_any_blocks(rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 3)) * [1, 10, 0.1] + [1e6, 0, 5]
    for size in (1, 7, 100):
        mean, scale = mean_and_scale(x[i : i + size] for i in range(0, 100, size))
        np.testing.assert_allclose(mean, x.mean(0))
        np.testing.assert_allclose(scale, x.std(0), rtol=1e-6)


def test_constant_columns_have_scale_one() -> None:
    mean, scale = mean_and_scale(iter([np.full((5, 2), [0.1, 0.0]), np.full((3, 2), [0.1, 0.0])]))
    np.testing.assert_allclose(mean, [0.1, 0])
    assert scale == [1, 1]


def test_only_used_values_are_read() -> None:
    modality = Modality(np.arange(10.0)[:, None], np.array([7, -1, 3, 7]))
    assert used_rows(modality).tolist() == [3, 7]
    assert np.concatenate(list(value_blocks(modality, size=1))).tolist() == [[3], [7]]
    assert used_rows(Modality(np.zeros((100, 1)), np.arange(100)), 3).tolist() == [0, 50, 99]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModalityError, match=r"ConvEncoder encodes grid, got vector of shape \(2,\)"):
        ConvEncoder().prepare(Modality(np.zeros((3, 2)), np.arange(3)))
    with pytest.raises(ModalityError, match="every row lacks"):
        MLPEncoder().prepare(Modality(np.zeros((3, 2)), np.array([-1, -1])))
    with pytest.raises(ConfigError, match="MLPEncoder needs width"):
        MLPEncoder(width=0)
    with pytest.raises(ConfigError, match="dropout"):
        MLPEncoder(dropout=1.0)
