"""`read`: folders, tables, arrays; the rules, and the sentences for what cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from polymodal.core.errors import DataError
from polymodal.datasets import read


def picture(path, colour, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def pictures(tmp_path):
    """Three rows, two pictures: the first has two captions."""
    folder = tmp_path / "animals"
    picture(folder / "a.png", "red")
    picture(folder / "b.png", "blue")
    (folder / "metadata.csv").write_text(
        "file_name,text,label\na.png,a red thing,x\na.png,something red,x\nb.png,,y\n", encoding="utf-8-sig"
    )
    return folder


def test_folder_with_metadata_csv(pictures) -> None:
    d = read(pictures, image_size=16)
    assert d.data.names == ("image", "text")
    assert d.data["image"].index.tolist() == [0, 0, 1]  # one picture, two captions: stored once
    assert d.data["text"].present.tolist() == [True, True, False]  # an empty cell is missing
    assert d.data["text"].observed() == ["a red thing", "something red"]
    assert d.data["image"].values().shape == (3, 16, 16, 3)
    assert d["label"].tolist() == ["x", "x", "y"]
    assert d.name == "animals"
    assert "file_name" in d.description


def test_jsonl_with_another_name_and_lists_of_tags(tmp_path) -> None:
    rows = []
    for i, colour in enumerate(["red", "green", "blue"]):
        picture(tmp_path / "png" / f"{i}.png", colour)
        rows.append(
            {
                "file": f"png/{i}.png",
                "caption": colour,
                "tags": [colour[0], "t"],
                "id": i + 10,
                "split": "train",
            }
        )
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    d = read(tmp_path)
    assert d.data.names == ("image", "caption")
    assert d.data.ids.tolist() == [10, 11, 12]
    assert d["tags"].tolist() == ["r, t", "g, t", "b, t"]
    both = read(tmp_path, modalities={"text": ["caption", "tags"]})
    assert both.data["text"].observed()[0] == "red r t"
    assert "image" in both.data  # a kind that was not named is still found


def test_nested_folders_keep_their_own_paths_and_give_a_split(tmp_path) -> None:
    for part in ("train", "test"):
        picture(tmp_path / part / "0.png", "red")
        (tmp_path / part / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "red one"}\n')
    d = read(tmp_path)
    assert d["split"].tolist() == ["test", "train"]
    assert d.data["image"].index.tolist() == [0, 1]


def test_loose_files_pair_by_name_and_folders_are_labels(tmp_path) -> None:
    picture(tmp_path / "cat" / "1.png", "red")
    picture(tmp_path / "dog" / "2.png", "blue")
    (tmp_path / "cat" / "1.txt").write_text("a cat")
    d = read(tmp_path)
    assert d.data.names == ("image", "text")
    assert d.data.ids.tolist() == ["cat/1", "dog/2"]
    assert d["label"].tolist() == ["cat", "dog"]
    assert d.data["text"].present.tolist() == [True, False]


def test_table_of_numbers(tmp_path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("row,height,weight,label,x_0,x_1\n0,1.5,2,a,1,2\n1,2.5,3,b,3,4\n2,3.5,4,a,5,6\n")
    d = read(file)
    assert d.data.names == ("x", "table")
    assert d.data["x"].values().tolist() == [[1, 2], [3, 4], [5, 6]]
    assert d.data["table"].values().tolist() == [[1.5, 2], [2.5, 3], [3.5, 4]]
    assert sorted(d.metadata) == ["label", "row"]
    named = read(file, modalities={"body": ["height", "weight"], "x": "x_*"})
    assert named.data.names == ("body", "x")


def test_text_by_name_or_by_variety(tmp_path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text("kind\tremark\ta\nx\tone two\t1.5\nx\tthree four\t2.5\ny\tfive six\t0.5\n")
    d = read(file)
    assert d.data.names == ("remark", "table")
    assert d["kind"].tolist() == ["x", "x", "y"]
    file.write_text("title\tcaption\nx y\tone\nz w\ttwo\n")
    assert read(file).data.names == ("caption",)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_arrow_formats_with_vectors_and_sequences(tmp_path, suffix) -> None:
    import pyarrow as pa
    from pyarrow import feather, ipc, parquet

    table = pa.table({
        "vec": pa.array([[1.0, 2], [3, 4], None]),
        "fixed": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)),
        "curve": pa.array([[1.0], [1, 2], [3, 4, 5]]),
        "points": pa.array([[[0.0, 1]], [[2, 3], [4, 5]], None]),
    })  # fmt: skip
    file = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        parquet.write_table(table, file)
    elif suffix == "feather":
        feather.write_feather(table, file)
    else:
        with ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    d = read(file).data
    assert {name: c.kind for name, c in d.items()} == {
        "vec": "vector", "fixed": "vector", "curve": "sequence", "points": "sequence",
    }  # fmt: skip
    assert d["vec"].present.tolist() == [True, True, False]
    assert d["fixed"].values().tolist() == [[1, 2], [3, 4], [5, 6]]
    assert d["curve"].store.lengths.tolist() == [1, 2, 3]
    assert d["points"].shape == (2,)


def test_pictures_inside_a_table(tmp_path) -> None:
    import io

    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG")
    cell = {"bytes": buffer.getvalue(), "path": None}
    parquet.write_table(
        pa.table({"image": [cell, cell, None], "text": ["a", "b", "c"]}), tmp_path / "t.parquet"
    )
    d = read(tmp_path / "t.parquet", image_size=4)
    assert d.data["image"].index.tolist() == [0, 0, -1]
    assert d.data["image"].observed()[0, 0, 0].tolist() == [255, 0, 0]


def test_npz_and_npy(tmp_path, rng) -> None:
    np.savez(
        tmp_path / "a.npz",
        image=rng.random((4, 8)),
        text=rng.random((4, 3)),
        label=np.arange(4),
        rate=np.array(5),
    )
    d = read(tmp_path / "a.npz")
    assert d.data.names == ("image", "text")
    assert d["label"].tolist() == [0, 1, 2, 3]
    assert "rate" in d.description
    named = read(tmp_path / "a.npz", modalities={"all": ["image", "text"], "number": "label"})
    assert named.data["all"].shape == (11,)
    assert named.data["number"].shape == (1,)
    np.save(tmp_path / "x.npy", rng.random((4, 8)))
    assert read(tmp_path / "x.npy").data.names == ("x",)


def test_recordings(tmp_path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8000)
    (tmp_path / "metadata.csv").write_text("file_name,transcription\na.wav,nothing\n")
    d = read(tmp_path, sample_rate=8000)
    assert d.data["audio"].kind == "sound"
    assert d.data["audio"].observed().lengths.tolist() == [800]


# --- what cannot be read --------------------------------------------------------------------------------------


def test_empty_folder(tmp_path) -> None:
    with pytest.raises(DataError, match="is an empty folder"):
        read(tmp_path)


def test_nothing_there(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "no")


def test_missing_picture_is_named_with_its_row(pictures) -> None:
    (pictures / "b.png").unlink()
    with pytest.raises(DataError, match=r"data row 3 names .*b\.png, which does not exist"):
        read(pictures)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_broken_picture_is_named_with_its_row(pictures, content) -> None:
    (pictures / "b.png").write_bytes(content)
    with pytest.raises(DataError, match=r"data row 3 names the picture .*b\.png, which cannot be read"):
        read(pictures)


def test_cut_picture_is_named_when_it_is_read(pictures) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(pictures / "b.png")
    (pictures / "b.png").write_bytes((pictures / "b.png").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"b\.png cannot be read"):
        read(pictures).data["image"].values()


def test_wrong_column_is_suggested(pictures) -> None:
    with pytest.raises(DataError, match="no column 'txt'.*Did you mean 'text'"):
        read(pictures, modalities={"text": "txt"})
    with pytest.raises(DataError, match="no column 'lable'.*Did you mean 'label'"):
        read(pictures, target="lable")
    (pictures / "metadata.csv").write_text("picture,text\na,red\nb,blue\n")
    with pytest.raises(DataError, match="needs a column 'file_name'.*'picture'"):
        read(pictures)


def test_several_tables_need_a_choice(tmp_path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="needs one table, got 2"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"x,y\n", "no rows"),
        ("a.csv", b"x,y\n1,2\n1,2,3\n", r"Row #3|row 3"),
        ("a.csv", "x,text\n1,gr\u00fcn\n".encode("latin1"), "needs UTF-8"),
        ("a.csv", b"x,x\n1,2\n", r"got \['x'\] more than once"),
        ("a.jsonl", b'{"x": 1}\n{"x": \n', "line 2"),
        ("a.jsonl", b'{"x": 1}\n[1]\n', "line 2 is list"),
        ("a.jsonl", b'{"x": 1}\n{"x": "a"}\n', r"column 'x' needs values of one type, got \['int', 'str'\]"),
        ("a.jsonl", b'{"x": "\xfc"}\n', "needs UTF-8"),
        ("a.json", b'{"x": 1}', "list of objects"),
        ("a.json", b"[1", "not JSON"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("a.npz", b"PK not a zip", "cannot be read as a NumPy file|holds Python objects"),
        ("a.npz", b"", "is empty"),
        ("a.xyz", b"x", "type that is not read"),
        ("a.csv", b"label,split\na,b\nc,d\n", "needs at least one modality"),
        ("a.csv", b"u,v\n1,2\n3,\n", r"empty or NaN cells: \{'v': 1\}"),
        ("a.csv", b"u,v\n1,inf\n3,4\n", "infinite"),
        ("a.csv", b"file,text\nhttp://x/a.png,b\n", "holds the address"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_npz_of_unequal_lengths_unknown_keys_and_objects(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", image=np.ones((4, 2)), text=np.ones((5, 2)))
    with pytest.raises(DataError, match=r"'image': 4, 'text': 5"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", image=np.ones((4, 2)))
    with pytest.raises(DataError, match="no array 'imag'.*Did you mean 'image'"):
        read(tmp_path / "b.npz", modalities={"x": "imag"})
    np.savez(tmp_path / "c.npz", image=np.array([{}, None], dtype=object))
    with pytest.raises(DataError, match="never unpickled"):
        read(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", image=np.array([[1, np.nan], [1, 2]]))
    with pytest.raises(ValueError, match="'image'"):
        read(tmp_path / "d.npz")
    assert read(tmp_path / "d.npz", nan="missing").data["image"].present.tolist() == [False, True]


def test_real_pictures_and_captions_just_work(real_data) -> None:
    d = read(real_data / "emoji_image_text")
    assert d.data.names == ("image", "caption")
    assert len(d) == 1440
    assert d.data.present["image"].all()
