"""`embed` of data on disk."""

from __future__ import annotations

import numpy as np
import pytest

import polymodal
from polymodal.commands import Source, embed_data
from polymodal.core.errors import ConfigError
from polymodal.datasets import read


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_vectors_with_ids_and_metadata(model, shapes, tmp_path, suffix) -> None:
    result = embed_data(model, Source(shapes), tmp_path / f"v{suffix}")
    assert result.rows == 60
    assert result.representations == {"image": [4], "text": [4]}
    back = read(tmp_path / f"v{suffix}")
    assert set(back["shape"]) == {"circle", "square", "bar"}
    data = read(shapes, image_size=16).data.select("image", "text")
    expected = polymodal.load(model).transform(data)
    np.testing.assert_allclose(back.data["text"].values(), expected["text"].values())


def test_outputs(model, shapes, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"\.npz or \.parquet"):
        embed_data(model, Source(shapes), tmp_path / "v.txt")
    (tmp_path / "v.npz").write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        embed_data(model, Source(shapes), tmp_path / "v.npz")
    assert (tmp_path / "v.npz").read_text() == "mine"
    assert embed_data(model, Source(shapes), tmp_path / "v.npz", overwrite=True).rows == 60
