"""A published CLIP model as a fitted `CLIP`: it searches and classifies without any training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from polymodal.coordination.clip import CLIP
from polymodal.core.errors import ConfigError, ModelFormatError
from polymodal.core.estimator import Spec
from polymodal.encoders.clip_checkpoint import CLIPCheckpoint
from polymodal.encoders.clip_encoders import Trainable
from polymodal.encoders.defaults import build_encoders
from polymodal.encoders.pretrained import PretrainedImageEncoder, PretrainedTextEncoder
from polymodal.encoders.weight_files import find_folder
from polymodal.nn.towers import Towers
from polymodal.training.history import History
from polymodal.training.options import Training


def load_clip(
    source: str | Path,
    *,
    image: str = "image",
    text: str = "text",
    trainable: Trainable = "none",
    revision: str | None = None,
    self_contained: bool = False,
    training: Training = Training(),  # noqa: B008  # frozen
) -> CLIP:
    """A published CLIP model of two modalities, fitted: `transform`, `Retriever` and `save` work on it at once.

    Its vectors have length one, and its temperature is the published one. `fit(data)` trains what `trainable` names, from the
    published weights on.

    Args:
        source: A folder in Hugging Face's layout or open_clip's, or a name on the hub.
        image: What the modality of pictures is called.
        text: What the modality of texts is called.
        trainable: What `fit` would train: nothing but the temperature, the projections ("head"), or "all".
        revision: Branch, tag or commit, of a name on the hub.
        self_contained: Whether `save` keeps frozen weights too, instead of their folder's name and SHA-256.
        training: How `fit` would train, and the device that `transform` computes on.

    Raises:
        DataError: no such folder or repository.
        ModelFormatError: the folder holds no whole CLIP model in safetensors.

    Relations:
        * its cosines, divided by the temperature, equal logits_per_image of transformers' CLIPModel with the same weights.

    References: Radford et al. 2021.
    """
    folder = find_folder(source, revision)
    found = CLIPCheckpoint.read(folder)
    if found is None or found.image is None or found.text is None:
        held = sorted(p.name for p in folder.iterdir())[:8]
        raise ModelFormatError(
            f"{folder} holds no whole CLIP model: config.json of model_type 'clip', or open_clip_config.json, was required beside "
            f"safetensors, it holds {held}. Other models go through PretrainedImageEncoder and PretrainedTextEncoder."
        )
    options: dict[str, Any] = {"trainable": trainable, "revision": revision, "self_contained": self_contained}
    encoders = {
        image: PretrainedImageEncoder(str(source), **options),
        text: PretrainedTextEncoder(str(source), **options),
    }
    if len(encoders) < 2:
        raise ConfigError(f"Pictures and texts need names of their own, got {image!r} for both.")
    scale = found.logit_scale()
    model = CLIP(found.n_components, encoders=encoders, training=training, temperature=math.exp(-scale))
    side = found.image.resolution
    model.modalities_ = {image: Spec("grid", (side, side, 3)), text: Spec("text", ())}
    model.encoders_ = dict(encoders)
    model.settings_ = {name: encoder.settings() for name, encoder in encoders.items()}
    module = model._make_module(Towers(build_encoders(model.encoders_, model.settings_, found.n_components)))
    with torch.no_grad():
        module.log_scale.fill_(scale)
    module.eval()
    model.module_ = module
    model.temperature_ = float(module.temperature.detach())
    model.history_ = History((), (), (), 0, False, 0.0, "cpu")
    return model
