"""A published CLIP model on disk, in Hugging Face's layout or in open_clip's: dimensions, weights, steps, tokenizer.

| ours (open_clip's names) | Hugging Face |
|---|---|
| conv1.weight, class_embedding | vision_model.embeddings.patch_embedding.weight, .class_embedding |
| positional_embedding | vision_model.embeddings.position_embedding.weight |
| ln_pre, ln_post | vision_model.pre_layrnorm, .post_layernorm |
| transformer.resblocks.i.ln_1, .ln_2 | encoder.layers.i.layer_norm1, .layer_norm2 |
| .attn.in_proj_weight, in_proj_bias | .self_attn.q_proj, k_proj, v_proj on top of each other |
| .attn.out_proj, .mlp.c_fc, .mlp.c_proj | .self_attn.out_proj, .mlp.fc1, .mlp.fc2 |
| token_embedding, positional_embedding, ln_final | text_model.embeddings.token_embedding, .position_embedding.weight, .final_layer_norm |
| visual.proj and text_projection, transposed | visual_projection.weight, text_projection.weight |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModelFormatError
from polymodal.encoders.clip_dimensions import Activation, ImageDimensions, TextDimensions
from polymodal.encoders.clip_towers import image_body, projection, text_body
from polymodal.encoders.fitted_pictures import (
    PictureSteps,
    picture_config,
    steps_of_hugging_face,
    steps_of_open_clip,
)
from polymodal.encoders.weight_files import WeightFiles, read_json, take

Part = Literal["image", "text"]
OPEN_CLIP = "open_clip_config.json"
HUGGING_FACE_TYPES = ("clip", "clip_vision_model", "clip_text_model")

_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)$")
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_OUTSIDE = {
    "image": {
        "conv1.weight": "embeddings.patch_embedding.weight",
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_pre.weight": "pre_layrnorm.weight",
        "ln_pre.bias": "pre_layrnorm.bias",
        "ln_post.weight": "post_layernorm.weight",
        "ln_post.bias": "post_layernorm.bias",
    },
    "text": {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    },
}


@dataclass(frozen=True)
class CLIPCheckpoint:
    """What the configuration of a folder says; weights are read when asked for.

    Attributes:
        folder: Where it lies.
        layout: Whose names its weights carry.
        image: The image tower, or None where the folder holds a text tower only.
        text: The text tower, or None.
        n_components: Width of the shared space.
        steps: What is done to pictures first.
    """

    folder: Path
    layout: Literal["hugging face", "open_clip"]
    image: ImageDimensions | None
    text: TextDimensions | None
    n_components: int
    steps: PictureSteps | None

    @classmethod
    def read(cls, folder: Path) -> CLIPCheckpoint | None:
        """The configuration of a folder; None where it is of no CLIP model.

        Raises:
            ModelFormatError: a CLIP model of an architecture that is not the published one; what differs is named.
        """
        try:
            if (folder / "config.json").is_file():
                config = read_json(folder / "config.json")
                if config.get("model_type") in HUGGING_FACE_TYPES:
                    return _hugging_face(folder, config)
            if (folder / OPEN_CLIP).is_file():
                return _open_clip(folder, read_json(folder / OPEN_CLIP))
        except (KeyError, TypeError, ConfigError, ValueError) as error:
            if isinstance(error, ModelFormatError):
                raise
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ModelFormatError(
                f"The configuration in {folder} is not that of a CLIP model: it {what}. Copy the checkpoint's files again."
            ) from None
        return None

    def dimensions(self, part: Part) -> ImageDimensions | TextDimensions:
        """The size of one tower.

        Raises:
            ModelFormatError: the folder holds the other one only.
        """
        found = self.image if part == "image" else self.text
        if found is None:
            raise ModelFormatError(
                f"{self.folder} holds no {part} tower of CLIP, only the other one. Pass the folder of the whole model."
            )
        return found

    def load(self, part: Part) -> tuple[nn.Module, nn.Linear]:
        """A tower and its projection with the published weights.

        Raises:
            ModelFormatError: keys that are missing or left over, or shapes that differ; they are named.
        """
        body, head = empty_tower(self.dimensions(part), self.n_components)
        weights = WeightFiles(self.folder, self._names())
        fill(body, head, self._tensors(weights, part, body, head))
        return body, head

    def logit_scale(self) -> float:
        """The log of the inverse temperature.

        Raises:
            ModelFormatError: the folder does not hold it.
        """
        weights = WeightFiles(self.folder, self._names())
        if weights.shapes.get("logit_scale") not in ((), (1,)):
            raise ModelFormatError(
                f"{self.folder} holds no logit_scale (one number), so it is one tower and not a whole CLIP model."
            )
        return float(weights.read(["logit_scale"])["logit_scale"].reshape(()))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weight files."""
        return WeightFiles(self.folder, self._names()).fingerprint

    def _names(self) -> tuple[str, ...]:
        own = "model.safetensors"
        return (own,) if self.layout == "hugging face" else ("open_clip_model.safetensors", own)

    def _tensors(
        self, weights: WeightFiles, part: Part, body: nn.Module, head: nn.Linear
    ) -> dict[str, Tensor]:
        prefix = _text_prefix(weights) if part == "text" and self.layout == "open_clip" else ""
        wanted: dict[str, tuple[list[str], tuple[int, ...]]] = {}
        targets = {**body.state_dict(), **{f"head.{k}": v for k, v in head.state_dict().items()}}
        turned = self.layout == "open_clip" and isinstance(self.dimensions(part).layers, int)
        for name, tensor in targets.items():
            if name.endswith("num_batches_tracked"):
                continue
            shape = tuple(tensor.shape[::-1] if turned and name.startswith("head.") else tensor.shape)
            keys = (
                _hugging_face_keys(name, part)
                if self.layout == "hugging face"
                else [_open_clip_key(name, part, prefix, resnet=not turned)]
            )
            wanted[name] = (keys, shape)
        _refuse_left_over(weights, self.folder, part, {k for keys, _ in wanted.values() for k in keys})
        found = take(weights, wanted, f"the {part} tower that its configuration describes")
        if turned:
            found["head.weight"] = found["head.weight"].T.contiguous()
        return found


def empty_tower(dimensions: ImageDimensions | TextDimensions, dim: int) -> tuple[nn.Module, nn.Linear]:
    """A tower and its projection without weights: every number is NaN until `fill`, so that a lack cannot go unseen."""
    with torch.device("meta"):
        body = image_body(dimensions) if isinstance(dimensions, ImageDimensions) else text_body(dimensions)
        head = projection(dimensions, dim)
    for module in (body, head):
        module.to_empty(device="cpu")
        for tensor in module.state_dict().values():
            tensor.fill_(torch.nan if tensor.is_floating_point() else 0)
    return body, head


def fill(body: nn.Module, head: nn.Linear, tensors: Mapping[str, Tensor]) -> None:
    """Put weights in place; `head.` is the projection's."""
    own = {k: v for k, v in tensors.items() if not k.startswith("head.")}
    counters = {k: v for k, v in body.state_dict().items() if k.endswith("num_batches_tracked")}
    body.load_state_dict({**counters, **own})
    head.load_state_dict({k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")})


def _hugging_face(folder: Path, config: Mapping[str, Any]) -> CLIPCheckpoint:
    kind = config["model_type"]
    picture = (
        config.get("vision_config") if kind == "clip" else config if kind == "clip_vision_model" else None
    )
    words = config.get("text_config") if kind == "clip" else config if kind == "clip_text_model" else None
    image = text = None
    if picture is not None:
        image = ImageDimensions(
            width=picture.get("hidden_size", 768),
            layers=picture.get("num_hidden_layers", 12),
            heads=picture.get("num_attention_heads", 12),
            resolution=picture.get("image_size", 224),
            patch=picture.get("patch_size", 32),
            hidden=picture.get("intermediate_size", 3072),
            activation=picture.get("hidden_act", "quick_gelu"),
            eps=picture.get("layer_norm_eps", 1e-5),
        )
    if words is not None:
        text = TextDimensions(
            width=words.get("hidden_size", 512),
            layers=words.get("num_hidden_layers", 12),
            heads=words.get("num_attention_heads", 8),
            context=words.get("max_position_embeddings", 77),
            vocabulary=words.get("vocab_size", 49_408),
            hidden=words.get("intermediate_size", 2048),
            activation=words.get("hidden_act", "quick_gelu"),
            eps=words.get("layer_norm_eps", 1e-5),
        )
    steps = steps_of_hugging_face(picture_config(folder), image.resolution) if image else None
    return CLIPCheckpoint(folder, "hugging face", image, text, int(config.get("projection_dim", 512)), steps)


def _open_clip(folder: Path, whole: Mapping[str, Any]) -> CLIPCheckpoint:
    config = whole.get("model_cfg", whole)
    picture, words = config["vision_cfg"], config["text_cfg"]
    foreign = [
        f"vision_cfg.{k}"
        for k in _foreign(picture, _VISION_READ, {"pool_type": "tok", "pos_embed_type": "learnable"})
    ]
    foreign += [
        f"text_cfg.{k}" for k in _foreign(words, _TEXT_READ, {"pool_type": "argmax", "proj_type": "linear"})
    ]
    foreign += [k for k in ("multimodal_cfg", "custom_text_pool") if config.get(k)]
    if foreign:
        raise ModelFormatError(
            f"{folder} is an open_clip model with {foreign}, which is not the published CLIP. Read are its transformers and residual "
            "networks; for others load the parts from a transformers folder."
        )
    activation: Activation = "quick_gelu" if config.get("quick_gelu", False) else "gelu"
    layers = picture["layers"]
    side = picture.get("image_size", 224)
    width = picture.get("width", 768)
    resnet = not isinstance(layers, int)
    image = ImageDimensions(
        width=width,
        layers=tuple(layers) if resnet else layers,
        heads=(32 * width if resnet else width) // picture.get("head_width", 64),
        resolution=side if isinstance(side, int) else side[0],
        patch=None if resnet else picture.get("patch_size", 16),
        hidden=None if resnet else int(width * picture.get("mlp_ratio", 4.0)),
        activation=activation,
    )
    text = TextDimensions(
        width=words.get("width", 512),
        layers=words.get("layers", 12),
        heads=words.get("heads", 8),
        context=words.get("context_length", 77),
        vocabulary=words.get("vocab_size", 49_408),
        hidden=int(words.get("width", 512) * words.get("mlp_ratio", 4.0)),
        activation=activation,
    )
    steps = steps_of_open_clip(whole.get("preprocess_cfg"), image.resolution)
    return CLIPCheckpoint(folder, "open_clip", image, text, int(config["embed_dim"]), steps)


_BOTH_READ = {"layers", "width", "mlp_ratio", "output_tokens"}
_VISION_READ = _BOTH_READ | {
    "head_width",
    "patch_size",
    "image_size",
    "patch_dropout",
    "n_queries",
    "attn_pooler_heads",
}
_TEXT_READ = _BOTH_READ | {"heads", "context_length", "vocab_size", "pad_id", "tokenizer_kwargs"}


def _foreign(config: Mapping[str, Any], read: set[str], usual: Mapping[str, Any]) -> list[str]:
    """Settings that change the network and that our towers do not have."""
    optional = ("timm_", "hf_")  # they matter only with a timm_model_name or hf_model_name
    return [
        key
        for key, value in config.items()
        if key not in read
        and not (key.startswith(optional) and not key.endswith("model_name"))
        and value not in (None, False, usual.get(key))
    ]


def _hugging_face_keys(name: str, part: Part) -> list[str]:
    tower = "vision_model" if part == "image" else "text_model"
    if name.startswith("head."):
        return [f"{'visual' if part == 'image' else 'text'}_projection.{name.removeprefix('head.')}"]
    if name in _OUTSIDE[part]:
        return [f"{tower}.{_OUTSIDE[part][name]}"]
    joint = re.match(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$", name)
    if joint is not None:
        number, kind = joint.groups()
        return [f"{tower}.encoder.layers.{number}.self_attn.{letter}_proj.{kind}" for letter in "qkv"]
    found = _BLOCK.match(name)
    assert found is not None
    number, module, kind = found.groups()
    return [f"{tower}.encoder.layers.{number}.{_IN_BLOCK[module]}.{kind}"]


def _open_clip_key(name: str, part: Part, prefix: str, *, resnet: bool) -> str:
    if part == "text":
        return f"{prefix}text_projection" if name == "head.weight" else f"{prefix}{name}"
    if name.startswith("head."):
        return f"visual.attnpool.c_proj.{name.removeprefix('head.')}" if resnet else "visual.proj"
    return f"visual.{name}"


def _text_prefix(weights: WeightFiles) -> str:
    """Newer open_clip models put the text tower below `text.`."""
    return "text." if "text.token_embedding.weight" in weights else ""


def _refuse_left_over(weights: WeightFiles, folder: Path, part: Part, used: set[str]) -> None:
    """Blocks that the configuration does not know would be left out silently."""
    inside = (
        ("vision_model.encoder.", "visual.transformer.", "visual.layer")
        if part == "image"
        else ("text_model.encoder.", "transformer.resblocks.", "text.transformer.")
    )
    left = [
        key
        for key in weights.shapes
        if key.startswith(inside)
        and key not in used
        and not key.endswith(("position_ids", "num_batches_tracked"))
    ]
    if left:
        raise ModelFormatError(
            f"{folder} holds {len(left)} tensors of the {part} tower that its configuration does not describe, first {left[:3]}. "
            "Its configuration and its weights are of different models."
        )
