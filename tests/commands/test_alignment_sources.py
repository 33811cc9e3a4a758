"""One file as one side of an alignment."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.commands.alignment_sources import (
    BANDS,
    BLOCK_FRAMES,
    Sentences,
    SequenceReading,
    Signal,
    read_sequence,
)
from polymodal.core.errors import ConfigError, DataError
from polymodal.core.ragged import Ragged

soundfile = pytest.importorskip("soundfile")


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recording_is_log_mel_frames_whatever_its_ending(rng, tmp_path):
    tone = 0.3 * np.sin(np.arange(8000) / 8000 * 2 * np.pi * 440)
    for ending in ("wav", "flac", "ogg"):
        soundfile.write(tmp_path / f"größe.{ending}", tone, 8000)
        found = read_sequence(
            tmp_path / f"größe.{ending}", SequenceReading(sample_rate=16_000, hop_seconds=0.01)
        )
        assert isinstance(found, Signal)
        assert found.kind == "sound"
        assert found.frames.shape[1] == BANDS
        assert found.rate == 100.0
        assert abs(len(found.frames) - 98) <= 1
        assert found.seconds[0] == pytest.approx(0.0125)  # the middle of the first 25 ms


def test_pieces_of_a_long_recording_are_the_whole(rng, tmp_path):
    from polymodal.encoders.sound import Spectrogram

    samples = rng.uniform(-0.5, 0.5, size=40 * (BLOCK_FRAMES + 300)).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", samples, 4000, subtype="FLOAT")
    found = read_sequence(tmp_path / "long.wav", SequenceReading(sample_rate=4000, hop_seconds=0.01))
    whole = Spectrogram(4000.0, 100, 40, BANDS, len(samples))(Ragged.of([samples], rate=4000.0))
    np.testing.assert_allclose(found.frames, whole.values, atol=1e-4)


def test_a_table_has_a_frame_a_row_and_may_have_time(tmp_path):
    even = read_sequence(written(tmp_path / "even.csv", "Time,x,y\n2,1,2\n2.5,3,4\n3,5,6\n"))
    assert even.rate == 2.0
    assert even.features == ("x", "y")
    np.testing.assert_array_equal(even.frames, [[1, 2], [3, 4], [5, 6]])
    uneven = read_sequence(
        written(tmp_path / "uneven.tsv", "seconds\tx\tname\n0\t1\tp\n0.5\t2\tq\n2\t3\tr\n")
    )
    assert uneven.rate is None
    np.testing.assert_array_equal(uneven.seconds, [0, 0.5, 2])
    assert any("not evenly spaced" in note for note in uneven.notes)
    assert any("['name'] hold no numbers" in note for note in uneven.notes)
    alone = read_sequence(
        written(tmp_path / "alone.csv", "time\n3\n1\n2\n")
    )  # nothing but a column of that name: a feature
    assert alone.seconds is None


def test_arrays(rng, tmp_path):
    np.save(tmp_path / "one.npy", rng.normal(size=7))
    assert read_sequence(tmp_path / "one.npy").frames.shape == (7, 1)
    np.savez(tmp_path / "two.npz", x=rng.normal(size=(5, 3)), y=rng.normal(size=(6, 2)), rate=np.array(10.0))
    with pytest.raises(DataError, match="--array x"):
        read_sequence(tmp_path / "two.npz")
    reading = SequenceReading(array="x,y")
    assert read_sequence(tmp_path / "two.npz", reading).frames.shape == (5, 3)
    b = read_sequence(tmp_path / "two.npz", reading, side=1)
    assert b.frames.shape == (6, 2)
    assert b.rate == 10.0
    with pytest.raises(DataError, match="has no array 'xx'"):
        read_sequence(tmp_path / "two.npz", SequenceReading(array="xx"))
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="aligned sequence by sequence"):
        read_sequence(tmp_path / "cube.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="never unpickled"):
        read_sequence(tmp_path / "objects.npy")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    with pytest.raises(DataError, match="cut short"):
        read_sequence(tmp_path / "cut.npz")
    np.savez(tmp_path / "rate.npz", x=np.ones(3), rate=np.array(0.0))
    with pytest.raises(DataError, match="must be positive"):
        read_sequence(tmp_path / "rate.npz")
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    with pytest.raises(DataError, match="is empty"):
        read_sequence(tmp_path / "none.npy")


def test_texts(tmp_path):
    found = read_sequence(written(tmp_path / "t.txt", "\ufeffein Haus \r\n\r\nzwei\n\n\n"))
    assert isinstance(found, Sentences)
    assert found.lines == ("ein Haus", "", "zwei")
    with pytest.raises(DataError, match="holds no word"):
        read_sequence(written(tmp_path / "blank.txt", " \n\n"))
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin1"))
    with pytest.raises(DataError, match="needs UTF-8"):
        read_sequence(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("no.csv", None, "does not exist"),
        ("empty.csv", "", "is empty"),
        ("nan.csv", "x,y\n1,2\n3,\n5,6\n", "1 of 3 frames, first in data row 2, 'y'"),
        ("header.csv", "1.0,2.0\n3.0,4.0\n", "first line with the names"),
        ("words.csv", "name\nab\ncd\n", "at least one column of numbers"),
        ("back.csv", "time,x\n0,1\n2,1\n1,1\n", "must rise, but data row 3 has 1 after 2"),
        ("clock.csv", "time,x\nnoon,1\nnight,1\n", "needs numbers"),
        ("noise.wav", "not a recording", "cannot be read"),
        ("noise.npy", "not an array", "Python objects"),
        ("page.pdf", "x", "align reads recordings"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, text, says):
    if text is not None:
        written(tmp_path / name, text)
    with pytest.raises(DataError, match=says):
        read_sequence(tmp_path / name)


def test_nan_and_silence_in_recordings(tmp_path):
    soundfile.write(
        tmp_path / "nan.wav", np.array([0.0, np.nan, 0.0], dtype=np.float32), 16_000, subtype="FLOAT"
    )
    with pytest.raises(DataError, match="first in sample 2"):
        read_sequence(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    with pytest.raises(DataError, match="holds no sound"):
        read_sequence(tmp_path / "none.wav")
    with pytest.raises(DataError, match="is a folder"):
        read_sequence(tmp_path)


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match="--sample-rate"):
        SequenceReading(sample_rate=3)
    with pytest.raises(ConfigError, match="--hop-seconds"):
        SequenceReading(hop_seconds=0)
    with pytest.raises(ConfigError, match="--array is NAME"):
        SequenceReading(array="a,b,c").array_of(0)
