"""The model a command is given: one that was saved here, or the folder of a published CLIP model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polymodal.persistence import MODEL_FILE, load

PUBLISHED = ("open_clip_config.json", "config.json")
"""What folders in open_clip's and Hugging Face's layouts hold."""


def open_model(folder: str | Path) -> Any:
    """A fitted model, ready to transform.

    Args:
        folder: What `save` or `polymodal fit` wrote, or a folder with published CLIP weights in safetensors; its modalities are "image"
            and "text".

    Raises:
        ModelFormatError: neither.
        DataError: no such folder.
    """
    place = Path(folder)
    if not (place / MODEL_FILE).is_file() and any((place / name).is_file() for name in PUBLISHED):
        from polymodal.coordination.pretrained_clip import load_clip

        return load_clip(place)
    return load(place)
