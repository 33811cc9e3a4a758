"""One file as one side of an alignment: a recording, a table of frames, an array, or sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ConfigError, DataError, suggest
from polymodal.core.files import AUDIO_SUFFIXES, AudioReader
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float
from polymodal.datasets.readers_arrays import load_arrays
from polymodal.datasets.readers_tables import TABLE_SUFFIXES, read_table

BANDS = 32
TIME_NAMES = ("seconds", "second", "time", "time_s", "t")
"""Columns (in any case) that hold the time of a row rather than a feature."""
EVEN = 0.01
"""Steps of time that differ by at most this share count as even."""
BLOCK_FRAMES = 4096
"""Frames of a recording that are transformed together."""


@dataclass(frozen=True)
class SequenceReading:
    """How a file becomes one sequence.

    Args:
        array: For .npz with several arrays: which one; "NAME_A,NAME_B" where the two files differ.
        sample_rate: Hz that recordings are brought to.
        hop_seconds: Seconds from one frame of a recording to the next; a frame is twice as long, at least 25 ms.
    """

    array: str | None = None
    sample_rate: int = 16_000
    hop_seconds: float = 0.02

    def __post_init__(self) -> None:
        if not 1_000 <= self.sample_rate <= 384_000:
            raise ConfigError(f"--sample-rate is in Hz, from 1000 to 384000, got {self.sample_rate}.")
        if not 2 / self.sample_rate <= self.hop_seconds <= 60:
            raise ConfigError(
                f"--hop-seconds is the time between frames of a recording, from two samples to 60 seconds, got {self.hop_seconds:g}."
            )

    def array_of(self, side: int) -> str | None:
        """The array to take, of a (0) or of b (1)."""
        names = [name.strip() for name in (self.array or "").split(",") if name.strip()]
        if len(names) > 2:
            raise ConfigError(f"--array is NAME, or NAME_A,NAME_B, got {self.array!r}.")
        return names[min(side, len(names) - 1)] if names else None


@dataclass(frozen=True, eq=False)
class Signal:
    """Frames of numbers.

    Attributes:
        path: The file.
        kind: "sound" or "numbers".
        frames: One row per frame.
        features: A name for each column.
        seconds: When each frame is; None where the file does not say.
        rate: Frames per second, where they are evenly spaced.
        notes: What was decided while reading.
    """

    path: str
    kind: Literal["sound", "numbers"]
    frames: Float[np.ndarray, "t d"]
    features: tuple[str, ...]
    seconds: Float[np.ndarray, " t"] | None = None
    rate: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sentences:
    """A text, a sentence a line.

    Attributes:
        path: The file.
        lines: The sentences; a line may be empty.
    """

    path: str
    lines: tuple[str, ...]


def read_sequence(
    path: str | Path, reading: SequenceReading | None = None, *, side: int = 0
) -> Signal | Sentences:
    """Read a file as one sequence, by its ending.

    Args:
        path: .wav, .flac, .ogg, .mp3, .aiff (log-mel frames); .csv, .tsv, .parquet, ... (a row is a frame); .npy, .npz; .txt.
        reading: How.
        side: 0 for a, 1 for b: for `SequenceReading.array`.

    Raises:
        DataError: no file, an empty or a broken one, values that are missing, or an ending nobody reads.
    """
    place, reading = Path(path), reading or SequenceReading()
    if not place.exists():
        raise DataError(f"{place} does not exist. Check the path.")
    if place.is_dir():
        raise DataError(f"{place} is a folder; align takes two files. Name one of those in it.")
    if place.stat().st_size == 0:
        raise DataError(f"{place} is empty (0 bytes). There is nothing to align.")
    suffix = place.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return _read_sound(place, reading)
    if suffix in TABLE_SUFFIXES:
        return _read_frames(place)
    if suffix in (".npy", ".npz"):
        return _read_array(place, reading.array_of(side))
    if suffix == ".txt":
        return _read_sentences(place)
    raise DataError(
        f"align reads recordings {sorted(AUDIO_SUFFIXES)}, tables {sorted(TABLE_SUFFIXES)}, arrays ['.npy', '.npz'] and texts "
        f"['.txt'], got {place}. Convert it, or give it the right ending."
    )


# --- recordings -------------------------------------------------------------------------------------------------------


def _read_sound(path: Path, reading: SequenceReading) -> Signal:
    from polymodal.encoders.sound import Spectrogram

    samples = AudioReader(sample_rate=reading.sample_rate, max_seconds=_duration(path) + 1)([path])[0]
    if not len(samples):
        raise DataError(f"The recording {path} holds no sound (0 samples). There is nothing to align.")
    _all_finite(path, samples[:, None], ("samples",), "sample")
    rate = float(reading.sample_rate)
    hop = max(1, round(reading.hop_seconds * rate))
    window = max(2 * hop, round(0.025 * rate))
    to_frames = Spectrogram(rate, window, hop, BANDS, len(samples))
    count = 1 + max(len(samples) - window, 0) // hop
    pieces = [
        samples[start * hop : (min(start + BLOCK_FRAMES, count) - 1) * hop + window]
        for start in range(0, count, BLOCK_FRAMES)
    ]
    frames = np.concatenate([to_frames(Ragged.of([p], rate=rate)).values for p in pieces]).astype(np.float64)
    note = f"{path.name}: {len(samples) / rate:.2f} s of sound as {len(frames):,} frames of {BANDS} log-mel bands, every {hop / rate:g} s"
    return Signal(
        path=str(path),
        kind="sound",
        frames=frames,
        features=tuple(f"band {k}" for k in range(BANDS)),
        seconds=(np.arange(len(frames)) * hop + min(window, len(samples)) / 2) / rate,
        rate=rate / hop,
        notes=(note,),
    )


def _duration(path: Path) -> float:
    import soundfile

    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(
            f"The recording {path} cannot be read ({error}). Use wav, flac, ogg or mp3."
        ) from None


# --- tables -----------------------------------------------------------------------------------------------------------


def _read_frames(path: Path) -> Signal:
    import pyarrow as pa

    _check_header(path)
    table = read_table(path)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    times = next((name for name in columns if name.strip().lower() in TIME_NAMES and len(columns) > 1), None)
    numeric = {
        name: column
        for name, column in columns.items()
        if pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    }
    features = tuple(name for name in numeric if name != times)
    if not features:
        raise DataError(
            f"{path} needs at least one column of numbers besides the time, got columns {list(columns)}. A text to align is a .txt file."
        )
    frames = np.column_stack([_numbers(columns[name]) for name in features])
    _all_finite(path, frames, features, "data row")
    skipped = [name for name in columns if name not in numeric and name != times]
    notes = [f"{path.name}: {len(features)} features ({', '.join(features[:4])}{', ...' if len(features) > 4 else ''})"]  # fmt: skip
    if skipped:
        notes.append(f"{path.name}: columns {skipped} hold no numbers and are left out")
    if times is None:
        return Signal(str(path), "numbers", frames, features, notes=tuple(notes))
    seconds, rate, note = _times(path, times, columns[times], times in numeric)
    return Signal(str(path), "numbers", frames, features, seconds, rate, (*notes, note))


def _check_header(path: Path) -> None:
    """A delimited file whose first line holds numbers only would lose its first frame to the names."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return
    with path.open("rb") as file:
        first = file.readline(10_000).decode("utf-8-sig", errors="replace").strip()
    cells = first.split("\t" if path.suffix.lower() == ".tsv" else ",")
    if first and all(_is_number(cell) for cell in cells):
        raise DataError(
            f"{path} needs a first line with the names of its columns, got numbers: {first[:60]!r}. Add one, such as "
            f"{','.join(f'x{k}' for k in range(min(len(cells), 3)))}{',...' if len(cells) > 3 else ''}."
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return True


def _numbers(column: Any) -> Float[np.ndarray, " t"]:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _times(
    path: Path, name: str, column: Any, numeric: bool
) -> tuple[Float[np.ndarray, " t"], float | None, str]:
    if not numeric:
        raise DataError(
            f"{path}: column {name!r} is taken for the time of each row and needs numbers (seconds), got {column.type}. "
            "Write seconds, or rename the column."
        )
    seconds = _numbers(column)
    _all_finite(path, seconds[:, None], (name,), "data row")
    steps = np.diff(seconds)
    if (steps <= 0).any():
        row = int((steps <= 0).argmax()) + 2
        raise DataError(
            f"{path}: column {name!r} is taken for the time of each row and must rise, but data row {row} has {seconds[row - 1]:g} after "
            f"{seconds[row - 2]:g}. Sort the rows, or rename the column."
        )
    if not len(steps):
        return seconds, None, f"{path.name}: column {name!r} is the time; one row has no rate"
    rate = float(len(steps) / (seconds[-1] - seconds[0]))
    if np.abs(steps * rate - 1).max() <= EVEN:
        return seconds, rate, f"{path.name}: column {name!r} is the time, {rate:.6g} frames per second"
    return (
        seconds,
        None,
        f"{path.name}: column {name!r} is the time, not evenly spaced; every row is one frame",
    )


# --- arrays -----------------------------------------------------------------------------------------------------------


def _read_array(path: Path, wanted: str | None) -> Signal:
    arrays = load_arrays(path)
    found = {
        name: value for name, value in arrays.items() if value.ndim in (1, 2) and value.dtype.kind in "fiub"
    }
    shapes = {name: list(value.shape) for name, value in arrays.items()}
    if path.suffix.lower() == ".npz" and wanted is not None:
        if wanted not in arrays:
            raise DataError(f"{path} has no array {wanted!r}; it has {shapes}.{suggest(wanted, arrays)}")
        found = {name: value for name, value in found.items() if name == wanted}
    if not found:
        raise DataError(
            f"{path} needs numbers as (frames,) or (frames, features), got {shapes}. An array of several sequences is aligned "
            "sequence by sequence: save one."
        )
    if len(found) > 1:
        raise DataError(
            f"{path} holds several arrays that could be aligned, {shapes}. Choose one: --array {next(iter(found))}."
        )
    ((name, values),) = found.items()
    if not values.size:
        raise DataError(
            f"{path}: array {name!r} is empty, shape {list(values.shape)}. There is nothing to align."
        )
    frames = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    features = tuple(f"feature {k}" for k in range(frames.shape[1])) if frames.shape[1] > 1 else (name,)
    _all_finite(path, frames, features, "frame", first=0)
    rate = next((float(arrays[k]) for k in (f"{name}.rate", "rate") if k in arrays and arrays[k].size == 1), None)  # fmt: skip
    if rate is not None and not 0 < rate < np.inf:
        raise DataError(f"{path}: the array 'rate' says frames per second and must be positive, got {rate:g}.")  # fmt: skip
    seconds = None if rate is None else np.arange(len(frames)) / rate
    note = f"{path.name}: {len(frames):,} frames of {frames.shape[1]} features" + (f", {rate:.6g} per second" if rate else "")  # fmt: skip
    return Signal(str(path), "numbers", frames, features, seconds, rate, (note,))


# --- texts ------------------------------------------------------------------------------------------------------------


def _read_sentences(path: Path) -> Sentences:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(
            f"{path} needs UTF-8 text and holds other bytes. Convert it, for example: iconv -f latin1 -t utf-8 {path.name} > new.txt"
        ) from None
    lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not any(lines):
        raise DataError(f"{path} holds no word. There is nothing to align.")
    return Sentences(str(path), tuple(lines))


def _all_finite(path: Path, frames: np.ndarray, names: tuple[str, ...], row: str, first: int = 1) -> None:
    bad = ~np.isfinite(frames)
    if bad.any():
        rows = bad.any(axis=1)
        at = int(rows.argmax())
        column = names[int(bad[at].argmax())]
        raise DataError(
            f"{path} holds NaN, infinity or empty cells in {int(rows.sum()):,} of {len(frames):,} frames, first in {row} {at + first}, "
            f"{column!r}. A missing frame has no distance: drop those frames, or fill them in."
        )
