"""`Files`: a store whose values stay on disk until their rows are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from polymodal.core.errors import DataError
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Kind

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"})
MAX_PIXELS = 200_000_000


@runtime_checkable
class Reader(Protocol):
    """Turns paths into a batch of values of one kind."""

    @property
    def kind(self) -> Kind:
        """What one value is."""

    def __call__(self, paths: Sequence[Path]) -> Any:
        """Read the files, in order: an array, or a `Ragged`."""


@dataclass(frozen=True)
class ImageReader:
    """Pictures as one uint8 array (k, height, width, 3), on white where transparent.

    Args:
        size: Height and width every picture is fitted to (aspect kept, padded with white).
    """

    size: tuple[int, int] = (64, 64)
    kind: Kind = "grid"

    def __call__(self, paths: Sequence[Path]) -> np.ndarray:
        """Decode and fit; a broken file is named."""
        height, width = self.size
        out = np.full((len(paths), height, width, 3), 255, dtype=np.uint8)
        for i, path in enumerate(paths):
            out[i] = self.decode(path)
        return out

    def decode(self, source: Path | BytesIO, name: str | None = None) -> np.ndarray:
        """One picture from a path, or from an open file that messages call `name`."""
        from PIL import Image, ImageOps

        height, width = self.size
        flat = open_picture(source, name, draft=(2 * width, 2 * height))
        fitted = ImageOps.pad(flat, (width, height), method=Image.Resampling.BICUBIC, color=(255, 255, 255))
        return np.asarray(fitted)


def open_picture(
    source: Path | BytesIO, name: str | None = None, *, draft: tuple[int, int] | None = None
) -> Any:
    """A Pillow picture in RGB, upright, on white where transparent, from a path or from an open file that messages call `name`.

    Args:
        source: Path or open file.
        name: What messages call it.
        draft: Width and height below which a JPEG need not be decoded.

    Raises:
        DataError: the file is missing, broken or very large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = name or source
    try:
        with Image.open(source) as raw:
            if raw.width * raw.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {raw.width} x {raw.height} pixels; at most {MAX_PIXELS:,} are read. Shrink it."
                )
            if draft is not None:
                raw.draft("RGB", draft)
            picture = ImageOps.exif_transpose(raw).convert("RGBA")
    except FileNotFoundError:
        raise DataError(
            f"The picture {path} does not exist. Check the path in your table, or remove the row."
        ) from None
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise DataError(
            f"The picture {path} cannot be read ({error}). Replace the file, or remove its row."
        ) from None
    ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, picture).convert("RGB")


@dataclass(frozen=True)
class AudioReader:
    """Recordings as a `Ragged` of float32 samples in [-1, 1], mixed to one channel, at `sample_rate` Hz."""

    sample_rate: int = 16_000
    max_seconds: float = 30.0
    kind: Kind = "sound"

    def __call__(self, paths: Sequence[Path]) -> Ragged:
        """Decode, mix down and resample; a broken file is named."""
        return Ragged.of([self._read(p) for p in paths], rate=float(self.sample_rate))

    def _read(self, path: Path) -> np.ndarray:
        import soundfile
        from scipy.signal import resample_poly

        if not path.exists():
            raise DataError(
                f"The recording {path} does not exist. Check the path in your table, or remove the row."
            )
        try:
            with soundfile.SoundFile(path) as file:
                rate = file.samplerate
                samples = file.read(int(self.max_seconds * rate), dtype="float32", always_2d=True).mean(
                    axis=1
                )
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DataError(
                f"The recording {path} cannot be read ({error}). Use wav, flac, ogg or mp3."
            ) from None
        if rate == self.sample_rate:
            return np.asarray(samples)
        common = np.gcd(rate, self.sample_rate)
        return np.asarray(
            resample_poly(samples, self.sample_rate // common, rate // common), dtype=np.float32
        )


class Files:
    """m values on disk. `files[rows]` reads them; choosing rows of a `Modality` reads nothing.

    Args:
        paths: Where the values lie.
        reader: What turns paths into values; by default chosen by suffix (pictures or sound).

    Raises:
        DataError: a suffix nobody reads, or pictures mixed with sound.
    """

    def __init__(self, paths: Sequence[str | Path], reader: Reader | None = None) -> None:
        self.paths = tuple(Path(p) for p in paths)
        self.reader: Reader = reader or _reader_for(self.paths)

    @property
    def kind(self) -> Kind:
        """What kind of value the reader gives."""
        return self.reader.kind

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            return self.reader([self.paths[rows]])[0]
        return self.reader([self.paths[i] for i in np.arange(len(self))[rows]])


def _reader_for(paths: Sequence[Path]) -> Reader:
    suffixes = {p.suffix.lower() for p in paths}
    if suffixes <= IMAGE_SUFFIXES:
        return ImageReader()
    if suffixes <= AUDIO_SUFFIXES:
        return AudioReader()
    unknown = sorted(suffixes - IMAGE_SUFFIXES - AUDIO_SUFFIXES)
    what = f"no reader for {unknown}" if unknown else "pictures and recordings in one modality"
    raise DataError(
        f"Files needs paths of one kind, pictures {sorted(IMAGE_SUFFIXES)} or sound {sorted(AUDIO_SUFFIXES)}; got {what}. "
        "Split them into two modalities, or pass reader=."
    )
