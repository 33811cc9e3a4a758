"""CLIP's towers as encoders with fresh weights, and the modules that pretrained ones share with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modality
from polymodal.core.typing import Kind
from polymodal.encoders.base import EncoderModule, check_kind, value_blocks
from polymodal.encoders.clip_dimensions import TextDimensions
from polymodal.encoders.clip_presets import CLIPPreset, clip_preset
from polymodal.encoders.clip_tokens import CLIPTokens, train_clip_tokenizer
from polymodal.encoders.clip_towers import image_body, projection, text_body
from polymodal.encoders.fitted_pictures import CroppedImageReader, PictureSteps

Trainable = Literal["none", "head", "all"]

CHUNK = 32
"""Items that go through a tower at once where no gradient is needed."""


class TowerModule(EncoderModule):
    """A body that gives vectors, and the linear head behind it.

    Args:
        body: From a batch to (u, features).
        head: From there to (u, dim).
        dim: Features of the result.
        trainable: "all"; "head" keeps the body as it is, in evaluation mode; "none" keeps both.
        beside: A frozen body is held beside this module and not in it: it moves along to a device, but is no part of
            the state that is saved and of checkpoints. Whoever builds the module reads it again.
    """

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        dim: int,
        *,
        trainable: Trainable = "all",
        beside: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.frozen = dim, trainable != "all"
        kept_out = beside and self.frozen
        if self.frozen:
            body.requires_grad_(False).eval()
        if trainable == "none":
            head.requires_grad_(False)
        self._beside: tuple[nn.Module, ...] = (body,) if kept_out else ()
        if not kept_out:
            self.inside = body
        if trainable == "none" and kept_out:
            self._beside = (body, head)
        else:
            self.head = head

    @property
    def body(self) -> nn.Module:
        """What gives vectors before the head."""
        return self._beside[0] if self._beside else self.inside

    def features(self, *inputs: Tensor) -> Tensor:
        """Vectors of a batch before the head."""
        found: Tensor = self.body(*inputs)
        return found

    def encode(self, *inputs: Tensor) -> Tensor:
        """Body and head. Where the body gets no gradient, `CHUNK` items go through it at a time: memory stays small."""
        if torch.is_grad_enabled() and not self.frozen:
            features = self.features(*inputs)
        else:
            with torch.no_grad():
                parts = zip(*(torch.split(x, CHUNK) for x in inputs), strict=True)
                features = torch.cat([self.features(*part) for part in parts])
        head = self._beside[1] if len(self._beside) == 2 else self.head
        out: Tensor = head(features)
        return out

    def train(self, mode: bool = True) -> TowerModule:
        """A frozen body stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> TowerModule:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module in self._beside:
            module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class ImageTowerModule(TowerModule):
    """A tower for pictures."""

    def __init__(self, steps: PictureSteps, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.steps = steps

    def collate(self, values: Any) -> Tensor:
        """Pictures -> bytes of the tower's resolution, (u, h, w, 3)."""
        return self.steps.collate(values)

    def features(self, *inputs: Tensor) -> Tensor:
        """Vectors of bytes (u, h, w, 3) before the head."""
        found: Tensor = self.body(self.steps.pixels(inputs[0]))
        return found

    def forward(self, batch: Tensor) -> Tensor:
        """One vector per picture."""
        return self.encode(batch)


class TextTowerModule(TowerModule):
    """A tower for texts."""

    def __init__(self, tokens: CLIPTokens, context: int, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tokens, self._context = tokens, context

    def collate(self, values: Any) -> dict[str, Tensor]:
        """Texts -> token numbers (u, t) and the place of each end (u,)."""
        ids, end = self._tokens(list(values), self._context)
        return {"ids": torch.from_numpy(ids), "end": torch.from_numpy(end)}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """One vector per text. Texts of like length go through the tower together: it reads each piece to its longest end."""
        order = batch["end"].argsort(stable=True)
        sorted_ = self.encode(batch["ids"][order], batch["end"][order])
        return torch.empty_like(sorted_).index_copy(0, order, sorted_)


def preset_of(preset: str | CLIPPreset) -> CLIPPreset:
    """A preset by its name, or itself."""
    if isinstance(preset, CLIPPreset):
        return preset
    return clip_preset(preset)


@dataclass(frozen=True)
class CLIPImageEncoder:
    """A published CLIP image tower with fresh weights: a vision transformer, or a residual network.

    Pictures are resized (bicubic), cropped to the middle and standardised as published. For published weights take
    `PretrainedImageEncoder`.

    Args:
        preset: One of `CLIPPreset.names()`, or dimensions of your own.

    Relations:
        * its parameters, with n_components of the preset: `CLIPPreset.parameters()`.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"grid"})

    preset: str | CLIPPreset = "ViT-B/32"

    def __post_init__(self) -> None:
        preset_of(self.preset)

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """Nothing is learned here."""
        check_kind(self, modality)
        return {}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights."""
        image = preset_of(self.preset).image
        steps = PictureSteps(CroppedImageReader(image.resolution))
        return ImageTowerModule(steps, image_body(image), projection(image, dim), dim)


@dataclass(frozen=True)
class CLIPTextEncoder:
    """A published CLIP text tower with fresh weights, over byte pairs learned from the training texts.

    Texts longer than the tower's context (77 tokens) are cut, with a warning. For published weights and their vocabulary
    take `PretrainedTextEncoder`.

    Args:
        preset: One of `CLIPPreset.names()`, or dimensions of your own; at most its `vocabulary` tokens are learned.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})

    preset: str | CLIPPreset = "ViT-B/32"

    def __post_init__(self) -> None:
        least = 514
        if preset_of(self.preset).text.vocabulary < least:
            raise ConfigError(
                f"CLIPTextEncoder needs a vocabulary of at least {least} tokens (all bytes, and the two ends), got {self.preset!r}."
            )

    def prepare(self, modality: Modality) -> dict[str, Any]:
        """The tokenizer, learned from the texts that some row uses."""
        check_kind(self, modality)
        texts = [text for block in value_blocks(modality) for text in block]
        return {"tokenizer": train_clip_tokenizer(texts, preset_of(self.preset).text.vocabulary)}

    def build(self, settings: Mapping[str, Any], dim: int) -> EncoderModule:
        """Fresh weights; as many token vectors as there are tokens."""
        tokens = CLIPTokens(settings["tokenizer"])
        text = TextDimensions(**{**asdict(preset_of(self.preset).text), "vocabulary": len(tokens)})
        return TextTowerModule(tokens, text.context, text_body(text), projection(text, dim), dim)
