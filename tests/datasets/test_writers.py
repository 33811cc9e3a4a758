"""What `write` writes, `read` gives back; nothing that was there is lost."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from polymodal.core.errors import DataError, StoreError
from polymodal.core.files import Files, ImageReader
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.datasets import Dataset, read, write


@pytest.fixture
def dataset(tmp_path, rng):
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"p{i}.png")
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(paths[-1])
    data = Modalities(
        {
            "image": Modality(Files(paths, ImageReader(size=(8, 8))), np.array([0, 0, 1, -1])),
            "caption": ["a red cat", None, "grün", "x"],
            "vec": [rng.random(3), None, rng.random(3), rng.random(3)],
            "curve": [rng.random((2, 2)), rng.random((1, 2)), None, rng.random((3, 2))],
            "small": rng.integers(0, 255, (4, 5, 5), dtype=np.uint8),
        },
        ids=["u", "v", "w", "x"],
    )
    return Dataset(
        data, {"label": np.array(["a", "b", "a", "b"]), "score": np.array([1.5, 2, 3, 4])}, name="d"
    )


def equal(a, b) -> None:
    assert set(a.names) == set(b.names)
    assert a.ids.tolist() == b.ids.tolist()
    for name, column in a.items():
        assert column.present.tolist() == b[name].present.tolist(), name
        u, v = column.observed(), b[name].observed()
        assert column.kind == b[name].kind
        if isinstance(u, list):
            assert u == v
        elif isinstance(u, Ragged):
            assert [x.tolist() for x in u] == [x.tolist() for x in v]
        else:
            np.testing.assert_array_equal(u, v)


@pytest.mark.parametrize("name", ["d.npz", "d.parquet", "d"])
def test_relations_read_gives_back_what_write_wrote(dataset, tmp_path, name) -> None:
    back = read(write(dataset, tmp_path / name), image_size=8)
    if name == "d":  # grids of bytes are written as pictures, and pictures are read in colour
        gray = back.data["small"].values()
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "d" / "small" / "000000.png")), dataset.data["small"].values()[0]
        )
        assert gray.shape == (4, 8, 8, 3)
        equal(dataset.data.drop("small"), back.data.drop("small"))
    else:
        equal(dataset.data, back.data)
    assert back.data["image"].index.tolist()[:2] == [0, 0]
    assert back["label"].tolist() == ["a", "b", "a", "b"]
    assert back["score"].tolist() == [1.5, 2, 3, 4]


def test_sound_goes_through_wav_and_npz(tmp_path, rng) -> None:
    pytest.importorskip("soundfile")
    sound = Ragged.of([rng.random(30).astype(np.float32), rng.random(20).astype(np.float32)], rate=8000.0)
    for name in ("s.npz", "s"):
        back = read(write({"audio": sound}, tmp_path / name), sample_rate=8000).data["audio"]
        assert back.kind == "sound"
        np.testing.assert_allclose(back.observed()[1], sound[1], atol=1e-6)


def test_an_existing_file_is_left_alone(dataset, tmp_path) -> None:
    write(dataset, tmp_path / "d.npz")
    before = (tmp_path / "d.npz").read_bytes()
    with pytest.raises(StoreError, match="exists and is left as it is"):
        write(dataset.data.select("vec"), tmp_path / "d.npz")
    assert (tmp_path / "d.npz").read_bytes() == before
    write(dataset.data.select("vec"), tmp_path / "d.npz", overwrite=True)
    assert read(tmp_path / "d.npz").data.names == ("vec",)


def test_a_folder_that_cannot_be_finished_does_not_appear(dataset, tmp_path) -> None:
    (tmp_path / "p1.png").unlink()
    with pytest.raises(DataError, match="does not exist any more"):
        write(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p0.png"]


def test_unknown_format_and_clashing_names(dataset, tmp_path) -> None:
    with pytest.raises(DataError, match="ends in"):
        write(dataset, tmp_path / "d.doc")
    clash = Dataset(Modalities({"label": np.eye(2)}), {"label": np.arange(2)})
    with pytest.raises(DataError, match=r"\['label'\] in both"):
        write(clash, tmp_path / "d.parquet")
