"""Published CLIP weights where a command takes a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polymodal.commands import Source, Term, build_index, embed_data, search_index
from polymodal.commands.models import open_model
from polymodal.coordination import load_clip
from polymodal.core.errors import ModelFormatError


@pytest.mark.filterwarnings(
    "ignore::polymodal.encoders.TruncatedTextWarning"
)  # the tiny tower reads 14 tokens
@pytest.mark.parametrize("layout", ["hugging face", "open_clip"])
def test_a_folder_of_pictures_is_searched_without_any_fit(
    clip_folders: dict[str, Path], shapes: Path, tmp_path: Path, layout: str
) -> None:
    built = build_index(Source(str(shapes)), tmp_path / "index", model=clip_folders[layout])
    assert built.modalities == {"image": 60, "text": 60}
    assert built.takes_text
    found = search_index(tmp_path / "index", [Term("text", "a red circle")], k=3, target=["image"])
    assert len(found.hits) == 3
    model = load_clip(clip_folders[layout])
    query = model.transform({"text": ["a red circle"]})["text"].values()[0]
    vectors = embed_data(clip_folders[layout], Source(str(shapes)), tmp_path / "vectors.npz")
    assert vectors.representations["image"] == [len(query)]
    said = np.load(tmp_path / "vectors.npz")
    scores = said["image"] @ query
    assert [hit["id"] for hit in found.hits] == np.argsort(-scores)[:3].tolist()


def test_a_folder_that_is_neither(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(ModelFormatError):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ModelFormatError, match="CLIP"):
        open_model(tmp_path)
