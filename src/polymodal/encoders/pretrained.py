"""Published weights as encoders: frozen, with a trained head, or trained whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

from torch import nn

from polymodal.core.errors import ConfigError, DataError, MissingDependencyError, ModelFormatError
from polymodal.core.modalities import Modality
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, check_kind
from polymodal.encoders.clip_checkpoint import CLIPCheckpoint, Part, empty_tower
from polymodal.encoders.clip_dimensions import ImageDimensions, TextDimensions, dimensions_to_json
from polymodal.encoders.clip_encoders import ImageTowerModule, TextTowerModule, Trainable
from polymodal.encoders.clip_tokens import CLIPTokens, read_tokenizer
from polymodal.encoders.fitted_pictures import PictureSteps
from polymodal.encoders.transformers_model import (
    Pooling,
    TransformersTextModule,
    empty_transformers,
    load_transformers,
    transformers_settings,
)
from polymodal.encoders.weight_files import WeightFiles, find_folder


@dataclass(frozen=True)
class _Pretrained:
    """What both encoders share: the source, and what of it trains."""

    part: ClassVar[Part]
    kinds: ClassVar[frozenset[Kind]]

    source: str | Path
    trainable: Trainable = "none"
    revision: str | None = None
    pooling: Pooling = "auto"
    self_contained: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.source, Path):
            object.__setattr__(self, "source", str(self.source))
        name = type(self).__name__
        if not self.source:
            raise ConfigError(f"{name} needs a folder or a name on the hub, got {self.source!r}.")
        for field, choices in (("trainable", get_args(Trainable)), ("pooling", get_args(Pooling))):
            if getattr(self, field) not in choices:
                raise ConfigError(
                    f"{name} needs {field} to be one of {list(choices)}, got {getattr(self, field)!r}."
                )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """What the folder's configuration says, and the fingerprint of its weights; nothing is learned."""
        check_kind(self, modality)
        return self.settings()

    def settings(self) -> dict[str, Any]:
        """As `prepare`, without data.

        Raises:
            DataError: no such folder or repository.
            ModelFormatError: the folder holds no model of this kind, or pickled weights only.
        """
        folder = find_folder(self.source, self.revision)
        local = Path(self.source).expanduser().is_dir()
        facts: dict[str, Any] = {"folder": str(folder) if local else None}
        found = CLIPCheckpoint.read(folder)
        if found is None:
            facts |= {"kind": "transformers", **transformers_settings(folder, self.part, self.pooling)}
            return {
                **facts,
                "n_components": None,
                "fingerprint": WeightFiles(folder, ("model.safetensors",)).fingerprint,
            }
        dimensions = found.dimensions(self.part)
        facts |= {
            "kind": "clip",
            "n_components": found.n_components,
            "features": dimensions.features,
            "dimensions": dimensions_to_json(dimensions),
            "fingerprint": found.fingerprint,
        }
        if self.part == "image":
            assert found.steps is not None
            return {**facts, "steps": found.steps.to_json()}
        text = read_tokenizer(folder)
        assert isinstance(dimensions, TextDimensions)
        _check_vocabulary(folder, CLIPTokens(text), dimensions)
        return {**facts, "tokenizer": text}

    def width(self, settings: Mapping[str, Any]) -> int:
        """Features of the vectors that the published weights give: of CLIP those behind its projection."""
        return int(settings["n_components"] or settings["features"])

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """The published weights; a head of another width than the published one is fresh.

        Raises:
            ConfigError: nothing trains, and the vectors have another width than asked for.
            ModelFormatError: the weights are gone or have changed since the settings were made.
        """
        width = self.width(settings)
        if self.trainable == "none" and dim != width:
            raise ConfigError(
                f"{self.source} gives vectors of {width} features and {dim} were asked for. Say n_components={width}, or "
                f'{type(self).__name__}(..., trainable="head") to learn a map to {dim}.'
            )
        body, head = self._weights(settings)
        if dim != width:
            head = nn.Linear(int(settings["features"]), dim)
            nn.init.normal_(head.weight, std=int(settings["features"]) ** -0.5)
            nn.init.zeros_(head.bias)
        elif isinstance(head, nn.Identity) and self.trainable == "head":
            head = nn.Linear(width, dim)
            nn.init.eye_(head.weight)
            nn.init.zeros_(head.bias)
        return self._module(settings, body, head, dim)

    def _module(
        self, settings: Mapping[str, Any], body: nn.Module, head: nn.Module, dim: int
    ) -> EncoderModule:
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        return {"trainable": self.trainable, "beside": not self.self_contained}

    def _weights(self, settings: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
        """Body and head: from the folder if it still holds what it held; else empty where a saved state will fill them."""
        filled_later = self.self_contained or self.trainable == "all"
        try:
            kept = settings["folder"]
            folder = find_folder(kept if kept and Path(kept).is_dir() else self.source, self.revision)
            clip = CLIPCheckpoint.read(folder) if settings["kind"] == "clip" else None
            now = WeightFiles(folder).fingerprint if clip is None else clip.fingerprint
        except (DataError, MissingDependencyError, ModelFormatError) as error:
            if not filled_later:
                raise ModelFormatError(
                    f"This model was saved beside its frozen weights, and they are not where they were: {error} Put them back, or fit "
                    f"with {type(self).__name__}(..., self_contained=True) to keep them in the model's folder."
                ) from None
            return self._empty(settings)
        if now != settings["fingerprint"]:
            if not filled_later:
                raise ModelFormatError(
                    f"The weights in {folder} are not those that this model was fitted with (SHA-256 {now[:12]}..., "
                    f"{settings['fingerprint'][:12]}... was required). Put the old ones back, or fit again."
                )
            return self._empty(settings)
        if clip is None:
            return load_transformers(folder, settings), nn.Identity()
        return clip.load(self.part)

    def _empty(self, settings: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
        if settings["kind"] == "transformers":
            return empty_transformers(settings), nn.Identity()
        fields = settings["dimensions"]
        dimensions = ImageDimensions.of(fields) if self.part == "image" else TextDimensions(**fields)
        return empty_tower(dimensions, int(settings["n_components"]))


@dataclass(frozen=True)
class PretrainedImageEncoder(_Pretrained):
    """Published weights for pictures, from a folder or the hub: CLIP's image towers, or any image model of transformers.

    Read are Hugging Face's layout of CLIP (config.json, model.safetensors), open_clip's (open_clip_config.json,
    open_clip_model.safetensors; vision transformers and residual networks), and through the transformers library folders
    of other models (ViT, DINO, ResNet, ...). Pickled weights are refused, and code in a folder is never run.
    Pictures are resized, cropped and standardised as the folder says; give files as
    `Files(paths, CroppedImageReader(224))`.

    Args:
        source: A folder, or a name on the hub such as "openai/clip-vit-base-patch32".
        trainable: "none" gives the published vectors; "head" trains the projection only; "all" trains everything.
        revision: Branch, tag or commit, of a name on the hub.
        pooling: Of a model that is not CLIP's: "first" step, "mean" of steps; "auto" is "first" for pictures.
        self_contained: Whether frozen weights are kept in saved models too. Otherwise a saved model names their folder and
            holds their SHA-256, and is small; what was trained is always kept.

    Relations:
        * its vectors equal those of transformers' CLIPModel with the same weights.
        * the same weights in both layouts give the same vectors.
    """

    part: ClassVar[Part] = "image"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"grid"})

    def _module(
        self, settings: Mapping[str, Any], body: nn.Module, head: nn.Module, dim: int
    ) -> EncoderModule:
        return ImageTowerModule(PictureSteps.of(settings["steps"]), body, head, dim, **self._options())


@dataclass(frozen=True)
class PretrainedTextEncoder(_Pretrained):
    """Published weights for texts, from a folder or the hub: CLIP's text towers, or any text model of transformers.

    Layouts as for `PretrainedImageEncoder`. The vocabulary is read from the folder (tokenizer.json, or vocab.json with
    merges.txt) and kept in saved models. Of a text longer than the tower reads (77 tokens, of CLIP) the end is cut before
    the end-of-text token, as published, and a `TruncatedTextWarning` says so.

    Args:
        source: As for `PretrainedImageEncoder`, like all that follow.
        trainable: What trains.
        revision: Branch, tag or commit.
        pooling: Of a model that is not CLIP's; "auto" is "mean" for texts.
        self_contained: Whether frozen weights are kept in saved models.
    """

    part: ClassVar[Part] = "text"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})

    def _module(
        self, settings: Mapping[str, Any], body: nn.Module, head: nn.Module, dim: int
    ) -> EncoderModule:
        if settings["kind"] == "clip":
            context = TextDimensions(**settings["dimensions"]).context
            return TextTowerModule(
                CLIPTokens(settings["tokenizer"]), context, body, head, dim, **self._options()
            )
        return TransformersTextModule(
            settings["tokenizer"], settings["context"], body, head, dim, **self._options()
        )


def _check_vocabulary(folder: Path, tokens: CLIPTokens, dimensions: TextDimensions) -> None:
    if tokens.largest >= dimensions.vocabulary:
        raise ModelFormatError(
            f"The tokenizer in {folder} has token numbers up to {tokens.largest}, the weights have {dimensions.vocabulary} token vectors: "
            "they are of different models. Copy both from one checkpoint."
        )
