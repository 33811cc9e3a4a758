"""The published CLIP models as dimensions: which widths, layers, heads and resolution each name stands for."""

from __future__ import annotations

from dataclasses import dataclass

from polymodal.core.errors import ConfigError, suggest
from polymodal.encoders.clip_dimensions import ImageDimensions, TextDimensions


@dataclass(frozen=True)
class CLIPPreset:
    """A pair of towers and the width of the space they share.

    Args:
        image: The image tower.
        text: The text tower.
        n_components: Width of the shared space.

    Relations:
        * `parameters()` of each published preset: the published count (in millions, to two places).

    Examples:
        >>> clip_preset("ViT-B/32").n_components
        512
    """

    image: ImageDimensions
    text: TextDimensions
    n_components: int

    @staticmethod
    def names() -> tuple[str, ...]:
        """The published presets."""
        return tuple(_PRESETS)

    def parameters(self) -> tuple[int, int]:
        """Number of parameters of the image tower and of the text tower, with their projections; nothing is allocated."""
        import torch

        from polymodal.encoders.clip_towers import image_body, projection, text_body

        with torch.device("meta"):
            image = [image_body(self.image), projection(self.image, self.n_components)]
            text = [text_body(self.text), projection(self.text, self.n_components)]
        return sum(p.numel() for m in image for p in m.parameters()), sum(
            p.numel() for m in text for p in m.parameters()
        )


def clip_preset(name: str) -> CLIPPreset:
    """The dimensions of a published CLIP model (Radford et al. 2021, table 20).

    Args:
        name: One of `CLIPPreset.names()`.

    Raises:
        ConfigError: another name; the nearest is suggested.
    """
    if name not in _PRESETS:
        raise ConfigError(
            f"CLIP was published as {list(_PRESETS)}, got {name!r}.{suggest(str(name), _PRESETS)}"
        )
    return _PRESETS[name]


def _resnet(width: int, layers: tuple[int, ...], resolution: int, text: int, n_components: int) -> CLIPPreset:
    image = ImageDimensions(width, layers, heads=width * 32 // 64, resolution=resolution)
    return CLIPPreset(image, TextDimensions(text, heads=text // 64), n_components)


def _transformer(
    width: int, layers: int, patch: int, resolution: int, text: int, n_components: int
) -> CLIPPreset:
    image = ImageDimensions(width, layers, heads=width // 64, resolution=resolution, patch=patch)
    return CLIPPreset(image, TextDimensions(text, heads=text // 64), n_components)


_PRESETS = {
    "RN50": _resnet(64, (3, 4, 6, 3), 224, 512, 1024),
    "RN101": _resnet(64, (3, 4, 23, 3), 224, 512, 512),
    "RN50x4": _resnet(80, (4, 6, 10, 6), 288, 640, 640),
    "RN50x16": _resnet(96, (6, 8, 18, 8), 384, 768, 768),
    "RN50x64": _resnet(128, (3, 15, 36, 10), 448, 1024, 1024),
    "ViT-B/32": _transformer(768, 12, 32, 224, 512, 512),
    "ViT-B/16": _transformer(768, 12, 16, 224, 512, 512),
    "ViT-L/14": _transformer(1024, 24, 14, 224, 768, 768),
    "ViT-L/14-336": _transformer(1024, 24, 14, 336, 768, 768),
}
