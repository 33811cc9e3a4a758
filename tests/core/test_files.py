"""Values that stay on disk until they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from polymodal import Files, Modalities
from polymodal.core.errors import DataError
from polymodal.core.files import AudioReader, ImageReader


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / "wide.png")
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (4, 4), 7).save(tmp_path / "grey.png")
    return [tmp_path / name for name in ("wide.png", "clear.png", "grey.png")]


def test_pictures_are_fitted_on_white(pictures: list[Path]) -> None:
    batch = Files(pictures, ImageReader((8, 8)))[[0, 1, 2]]
    assert batch.shape == (3, 8, 8, 3)
    assert batch[0, 4].tolist() == [[255, 0, 0]] * 8, "the picture fills the width"
    assert batch[0, 0].tolist() == [[255, 255, 255]] * 8, "and white stands above"
    assert (batch[1] == 255).all(), "transparent is white"
    assert (batch[2] == 7).all()


def test_slicing_reads_nothing(tmp_path: Path) -> None:
    data = Modalities({"image": [tmp_path / f"{i}.png" for i in range(3)]})
    assert len(data[1:]) == 2
    with pytest.raises(DataError, match=r"1\.png does not exist"):
        data[1:]["image"].values()


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        Files([tmp_path / "broken.png"])[0]


def test_a_truncated_picture_is_named(pictures: list[Path]) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(pictures[0])
    pictures[0].write_bytes(pictures[0].read_bytes()[:500])
    with pytest.raises(DataError, match=r"wide\.png cannot be read"):
        Files(pictures)[0]


def test_sound_is_mixed_and_resampled(tmp_path: Path) -> None:
    seconds = np.arange(8000) / 8000
    tone = np.sin(2 * np.pi * 440 * seconds)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, tone], axis=1), 8000)
    sound = Files([tmp_path / "a.wav"], AudioReader(16_000))[[0]]
    assert sound.rate == 16_000
    assert sound.lengths.tolist() == [16_000]
    spectrum = np.abs(np.fft.rfft(sound[0]))
    assert spectrum.argmax() == 440, "one second: bin = hertz"


def test_long_recordings_are_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    assert Files([tmp_path / "a.wav"], AudioReader(8000, max_seconds=0.5))[[0]].lengths.tolist() == [4000]


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"a\.wav cannot be read"):
        Files([tmp_path / "a.wav"])[0]
    with pytest.raises(DataError, match=r"b\.wav does not exist"):
        Files([tmp_path / "b.wav"])[0]


@pytest.mark.parametrize(
    ("names", "words"), [(["a.png", "b.wav"], "one modality"), (["a.docx"], "no reader")]
)
def test_suffixes_that_nobody_reads(names, words) -> None:
    with pytest.raises(DataError, match=words):
        Files(names)


def test_kind_comes_from_the_reader() -> None:
    assert Files(["a.png"]).kind == "grid"
    assert Files(["a.flac"]).kind == "sound"
