"""Pictures as pretrained towers read them: resized, cropped to the middle, standardised with the published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from polymodal.core.errors import ConfigError, ModalityError, ModelFormatError
from polymodal.core.files import open_picture
from polymodal.core.typing import Float, Kind
from polymodal.encoders.weight_files import read_json

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE: dict[Any, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class CroppedImageReader:
    """Picture files as (k, crop, crop, 3) bytes: `Files(paths, CroppedImageReader())`, before a pretrained tower.

    The shorter side is resized to `side`, then the middle is cut out; "squash" resizes both sides instead. Transparency
    lies on white. (`ImageReader`, the default of `Files`, keeps the whole picture on a small white square.)

    Args:
        side: Pixels of the shorter side after resizing.
        crop: Height and width of what is kept; None is `side`.
        mode: "shortest" keeps the aspect, "squash" does not.
        resample: How pixels are interpolated.
    """

    side: int = 224
    crop: int | None = None
    mode: Literal["shortest", "squash"] = "shortest"
    resample: Literal["bilinear", "bicubic"] = "bicubic"
    kind: Kind = "grid"

    def __post_init__(self) -> None:
        numbers = [self.side, self.side if self.crop is None else self.crop]
        if any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in numbers):
            raise ConfigError(f"CroppedImageReader needs side and crop of at least 1 pixel, got {self}.")
        if (
            numbers[1] > numbers[0]
            or self.mode not in ("shortest", "squash")
            or self.resample not in _RESAMPLE.values()
        ):
            raise ConfigError(
                f'CroppedImageReader needs a crop of at most side, mode "shortest" or "squash" and resample "bilinear" or '
                f'"bicubic", got {self}.'
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what is read."""
        return (self.crop or self.side, self.crop or self.side)

    def __call__(self, paths: Sequence[Path]) -> np.ndarray:
        """Decode, resize and crop; a broken file is named."""
        out = np.empty((len(paths), *self.size, 3), dtype=np.uint8)
        for i, path in enumerate(paths):
            out[i] = self.fit(open_picture(Path(path)))
        return out

    def fit(self, picture: Any) -> np.ndarray:
        """A Pillow picture resized and cropped."""
        from PIL import Image

        wide, high = picture.size
        shorter = min(wide, high)
        size = (
            (self.side, self.side)
            if self.mode == "squash"
            else (max(1, int(self.side * wide / shorter)), max(1, int(self.side * high / shorter)))
        )
        resample = Image.Resampling[self.resample.upper()]
        resized = picture if size == picture.size else picture.resize(size, resample)
        crop = self.size[0]
        left, top = (resized.width - crop) // 2, (resized.height - crop) // 2
        return np.asarray(resized.crop((left, top, left + crop, top + crop)))


@dataclass(frozen=True)
class PictureSteps:
    """How pictures become a tower's input: the reader's resizing, then standardised channels."""

    reader: CroppedImageReader
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def collate(self, values: Any) -> Tensor:
        """Stored pictures to bytes (u, crop, crop, 3); one that has that size already is taken as it is.

        Grey pictures are repeated in three channels, transparent ones laid on white; numbers that are no whole numbers
        lie in 0..1.
        """
        pictures = as_bytes(values)
        size = self.reader.size
        if pictures.shape[1:3] != size:
            from PIL import Image

            pictures = (
                np.stack([self.reader.fit(Image.fromarray(p)) for p in pictures])
                if len(pictures)
                else (np.empty((0, *size, 3), dtype=np.uint8))
            )
        return torch.from_numpy(np.ascontiguousarray(pictures))

    def pixels(self, batch: Tensor) -> Float[Tensor, "u 3 h w"]:
        """Bytes (u, h, w, 3) standardised, channels first."""
        std = torch.tensor(self.std, dtype=torch.float32, device=batch.device)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=batch.device)
        standard = (batch.float() * (1 / (255 * std))).sub_(mean / std)
        return standard.permute(0, 3, 1, 2).contiguous()

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON holds them."""
        reader = {k: v for k, v in asdict(self.reader).items() if k != "kind"}
        return {"reader": reader, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PictureSteps:
        """From `to_json`."""
        return cls(
            CroppedImageReader(**settings["reader"]), _three(settings["mean"]), _three(settings["std"])
        )


def as_bytes(values: Any) -> np.ndarray:
    """Pictures (u, h, w[, 1, 3 or 4]) as RGB bytes (u, h, w, 3).

    Raises:
        ModalityError: another number of channels, or numbers outside 0..1 (0..255 where they are whole).
    """
    x = np.asarray(values)
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3, 4):
        raise ModalityError(
            f"A pretrained tower reads pictures (height, width) or (height, width, 1, 3 or 4 channels), got shape {x.shape[1:]}. "
            "Choose three channels, or reshape the values."
        )
    if x.dtype != np.uint8:
        whole = x.dtype.kind in "iu"
        largest = 255.0 if whole else 1.0
        if x.size and (float(x.min()) < 0 or float(x.max()) > largest):
            raise ModalityError(
                f"A pretrained tower reads {'whole numbers in 0..255' if whole else 'numbers in 0..1'}, got "
                f"{float(x.min()):g}..{float(x.max()):g}. Scale the pictures (the tower standardises them itself)."
            )
        x = np.round(x.astype(np.float64) * (255.0 / largest)).astype(np.uint8)
    if x.shape[-1] == 1:
        return np.repeat(x, 3, axis=-1)
    if x.shape[-1] == 4:
        alpha = x[..., 3:].astype(np.float64) / 255
        return np.asarray(np.round(x[..., :3] * alpha + 255 * (1 - alpha)), dtype=np.uint8)
    return x


def picture_config(folder: Path) -> dict[str, Any] | None:
    """What a folder in Hugging Face's layout says of its pictures: preprocessor_config.json, or a part of processor_config.json."""
    own, whole = folder / "preprocessor_config.json", folder / "processor_config.json"
    if own.is_file():
        return read_json(own)
    part = read_json(whole).get("image_processor") if whole.is_file() else None
    return part if isinstance(part, dict) else None


def steps_of_hugging_face(config: Mapping[str, Any] | None, resolution: int) -> PictureSteps:
    """From a `picture_config`; without one, CLIP's steps at the tower's resolution.

    Raises:
        ModelFormatError: steps that are not resizing, cropping and standardising; they are named.
    """
    if config is None:
        return PictureSteps(CroppedImageReader(resolution))
    size = config.get("size", resolution)
    squash = isinstance(size, Mapping) and "height" in size
    if isinstance(size, Mapping):
        side = size.get("shortest_edge") or (
            size.get("height") if size.get("height") == size.get("width") else None
        )
    else:
        side, squash = size, not config.get("do_center_crop", "crop_size" in config)
    crop = config.get("crop_size") if config.get("do_center_crop", "crop_size" in config) else None
    cropped = crop.get("height") if isinstance(crop, Mapping) else crop
    resample = _RESAMPLE.get(config.get("resample", 3))
    if (
        not isinstance(side, int)
        or resample is None
        or (cropped or side) != resolution
        or side < (cropped or side)
    ):
        raise ModelFormatError(
            f"The configuration of pictures asks for size {size!r}, crop {crop!r} and resample {config.get('resample', 3)!r}; squares of "
            f"the tower's {resolution} pixels, bilinear (2) or bicubic (3), were required. Resize the pictures yourself and edit it."
        )
    if not config.get("do_rescale", True) or abs(255 * config.get("rescale_factor", 1 / 255) - 1) > 1e-6:
        raise ModelFormatError(
            f"The configuration of pictures asks for rescale_factor {config.get('rescale_factor')!r} and do_rescale "
            f"{config.get('do_rescale', True)!r}; bytes divided by 255 were required."
        )
    reader = CroppedImageReader(side, cropped, "squash" if squash else "shortest", resample)
    if not config.get("do_normalize", True):
        return PictureSteps(reader, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return PictureSteps(
        reader, _three(config.get("image_mean", CLIP_MEAN)), _three(config.get("image_std", CLIP_STD))
    )


def steps_of_open_clip(config: Mapping[str, Any] | None, resolution: int) -> PictureSteps:
    """From the preprocess_cfg of an open_clip_config.json; without one, CLIP's steps at the tower's resolution."""
    config = config or {}
    mode, resample = config.get("resize_mode", "shortest"), config.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash") or resample not in _RESAMPLE.values():
        raise ModelFormatError(
            f"open_clip_config.json asks for resize_mode {mode!r} and interpolation {resample!r}; "
            '"shortest" or "squash", and "bilinear" or "bicubic", are read.'
        )
    reader = CroppedImageReader(resolution, None, mode, resample)
    return PictureSteps(reader, _three(config.get("mean", CLIP_MEAN)), _three(config.get("std", CLIP_STD)))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    r, g, b = map(float, values)
    return r, g, b
