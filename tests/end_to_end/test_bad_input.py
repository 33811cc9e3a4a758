"""What goes wrong in a user's hands: each gives a sentence and an exit code, and nothing that was there before is lost."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from polymodal.cli.app import app

SETTINGS = ("-s", "n_components=3", "-s", "reg=0.5")


def answer(*args: object, code: int = 0) -> str:
    """The command's output; what it says on the error stream where it fails."""
    done = CliRunner().invoke(app, [str(a) for a in args], prog_name="polymodal", catch_exceptions=False)
    assert done.exit_code == code, done.stdout + done.stderr
    assert "should not have happened" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def refused(*args: object, code: int = 2) -> str:
    """The sentence of a command that must fail."""
    return " ".join(answer(*args, code=code).split())


@pytest.fixture(scope="module")
def model(shapes, tmp_path_factory) -> Path:
    """Pictures and texts of the shapes, by CCA."""
    place = tmp_path_factory.mktemp("made") / "model"
    answer("fit", shapes, "--method", "cca", "--only", "image,text", *SETTINGS, "-o", place)
    return place


@pytest.fixture(scope="module")
def index(model, shapes, tmp_path_factory) -> Path:
    """The shapes, indexed by `model`."""
    place = tmp_path_factory.mktemp("made") / "index"
    answer("index", model, shapes, "-o", place)
    return place


@pytest.fixture
def numbers(tmp_path) -> dict[str, np.ndarray]:
    """Two related modalities of vectors."""
    draws = np.random.default_rng(0)
    a = draws.normal(size=(30, 4))
    return {"a": a, "b": a @ draws.normal(size=(4, 3)) + 0.1 * draws.normal(size=(30, 3))}


@pytest.fixture
def arrays(numbers, tmp_path) -> Path:
    """The same as a file."""
    np.savez(tmp_path / "good.npz", **numbers)
    return tmp_path / "good.npz"


def write_table(values: dict[str, np.ndarray], path: Path) -> Path:
    import pyarrow as pa
    from pyarrow import csv, parquet

    if path.suffix == ".npz":
        np.savez(path, **values)
        return path
    table = pa.table({f"{k}_{i}": v[:, i] for k, v in values.items() for i in range(v.shape[1])})
    parquet.write_table(table, path) if path.suffix == ".parquet" else csv.write_csv(table, path)
    return path


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: a write fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- what a new user types first --------------------------------------------------------------------------------


def test_first_commands_say_what_is_lacking(shapes, model, index) -> None:
    assert f"polymodal fit {shapes} --method clip -o model" in refused("fit", shapes)
    assert "--method cca -o model" in refused("fit", shapes, "--method", "cca")
    assert "polymodal search" in refused("search", index)
    assert "Missing argument 'DATA'" in refused("evaluate", model)
    assert "Did you mean 'search'" in refused("serch", index)
    assert "is a model, not an index" in refused("search", model, "red")


def test_a_text_needs_no_option(index) -> None:
    assert answer("search", index, "a red circle", "-k", 2) == answer(
        "search", index, "--text", "a red circle", "-k", 2
    )


def test_a_modality_named_by_its_column(shapes, tmp_path) -> None:
    assert "picture" in answer("describe", shapes, "-m", "text", "-m", "picture=file_name")
    assert "--only image,text" in refused("describe", shapes, "-m", "image", "-m", "text")


# --- pictures and captions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "pictures/03.png").unlink(), "data row 4 names .*03.png, which does not exist"),
        (lambda f: (f / "pictures/03.png").write_bytes(b""), "03.png, which cannot be read .it is empty."),
        (lambda f: (f / "pictures/03.png").write_bytes(b"text"), "03.png, which cannot be read"),
        (lambda f: (f / "pictures/03.png").write_bytes((f / "pictures/03.png").read_bytes()[:80]), "03.png cannot be read"),
        (lambda f: (f / "metadata.csv").write_text(""), "metadata.csv is empty"),
        (lambda f: (f / "metadata.csv").write_text("name,text\nx,y\n"), "needs a column 'file_name'"),
        (lambda f: (f / "metadata.csv").write_text("file_name,text\n,y\n,z\n"), "'file_name' is empty on all 2 rows"),
        (lambda f: (f / "metadata.csv").write_text("file_name,text,text\na.png,b,c\n"), "'text'. more than once"),
        (lambda f: (f / "metadata.csv").write_text("file_name,text\npictures/00.png,a,b\n"), "one value per column"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["fit", "index"])
def test_a_folder_that_is_not_right(
    shapes, model, tmp_path, spoil: Callable, sentence: str, command: str
) -> None:
    import re

    folder, place = tmp_path / "folder", tmp_path / "out"
    shutil.copytree(shapes, folder)
    spoil(folder)
    first = ("fit", folder, "--method", "cca") if command == "fit" else ("index", model, folder)
    assert re.search(sentence, refused(*first, "-o", place))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def test_an_empty_folder(model, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for args in (("describe",), ("evaluate", model), ("index", model)):
        place = ("-o", tmp_path / "out") if args[0] == "index" else ()
        assert "is an empty folder" in refused(*args, tmp_path / "empty", *place)
    assert "holds nothing" in refused("search", tmp_path / "empty", "red")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("semicolons.csv", "a;b\n1;2\n3;4\n", "as if ';' stands there"),
        ("half.jsonl", '{"text": "\\ud800", "a": [1, 2]}\n', "half a character"),
        ("labels.csv", "x\n" + "red\nblue\n" * 4, "look like labels"),
        ("cut.parquet", "PAR1 and no more", "cut short"),
        ("zero.npz", "", "is empty (0 bytes)"),
    ],
)
def test_a_table_that_is_not_right(tmp_path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name).write_text(content)
    assert sentence in refused("describe", tmp_path / name)


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "NaN"), (np.inf, "infinite"), (1e300, "beyond 1e+100")])  # fmt: skip
def test_numbers_that_cannot_be_used(numbers, tmp_path, suffix: str, value: float, sentence: str) -> None:
    numbers["a"][3, 1] = value
    file = write_table(numbers, tmp_path / f"numbers{suffix}")
    said = refused("fit", file, "--method", "cca", "-o", tmp_path / "model")
    assert sentence in said
    assert "'a'" in said
    if np.isnan(value):
        assert "29 rows" in answer(
            "fit", file, "--method", "cca", "--nan", "missing", "--complete", "-o", tmp_path / "model"
        )


def test_numbers_far_from_those_learned_from(arrays, numbers, tmp_path) -> None:
    answer("fit", arrays, "--method", "clip", "--epochs", 1, "-o", tmp_path / "model")
    file = write_table({**numbers, "a": numbers["a"] * 1e60}, tmp_path / "far.npz")
    assert "no finite 'a'" in refused("evaluate", tmp_path / "model", file)
    assert "no finite 'a'" in refused("embed", tmp_path / "model", file, "-o", tmp_path / "v.npz")
    answer("fit", arrays, "--method", "cca", "-o", tmp_path / "cca")
    assert (
        json.loads(answer("evaluate", tmp_path / "cca", file, "--json"))["retrieval"]["scores"][0][
            "mean_average_precision"
        ]["value"]
        > 0.5
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"b": np.ones((20, 3))}, "lengths {'a': 30, 'b': 20}"),
        ({"b": np.ones((30, 3)) * 1j}, "'b' needs numbers or texts, got complex128"),
        ({"b": np.ones((30, 3))}, "Drop the constant modality"),
        ({"b": np.full((30, 3), np.nan)}, "all rows lack ['b']"),
        ({"a": np.ones((1, 4)), "b": np.ones((1, 3))}, "at least 2 rows, got 1"),
        ({"a": np.ones((0, 4)), "b": np.ones((0, 3))}, "needs rows"),
    ],
)
def test_arrays_that_do_not_fit(numbers, tmp_path, change: dict, sentence: str) -> None:
    file = write_table({**numbers, **change}, tmp_path / "odd.npz")
    assert sentence in refused("fit", file, "--method", "cca", "--nan", "missing", "-o", tmp_path / "model")


@pytest.mark.parametrize("names", [("a.b", "model"), ("--x", "صورة 😀"), ("a.index", "a"), ("ids", "x"), ("a'b", 'c"d')])  # fmt: skip
def test_names_of_any_kind(numbers, tmp_path, names: tuple[str, str]) -> None:
    file = write_table(dict(zip(names, numbers.values(), strict=True)), tmp_path / "names.npz")
    answer("fit", file, "--method", "cca", "-o", tmp_path / "model")
    answer("evaluate", tmp_path / "model", file)
    answer("index", tmp_path / "model", file, "-o", tmp_path / "index")
    assert json.loads(answer("search", tmp_path / "index", "--row", "3", "-k", 1, "--json"))["hits"]
    answer("embed", tmp_path / "model", file, "-o", tmp_path / "v.parquet")


def test_names_that_npz_cannot_hold(numbers, tmp_path) -> None:
    from polymodal.core.errors import DataError
    from polymodal.datasets import write

    with pytest.raises(DataError, match=r"got 'a\.index' twice"):
        write({"a.index": numbers["a"], "a": numbers["b"]}, tmp_path / "v.npz")
    with pytest.raises(DataError, match="got 'ids' twice"):
        write({"ids": numbers["a"]}, tmp_path / "v.npz")
    assert not list(tmp_path.glob("*.npz"))


def test_texts_and_paths_of_any_kind(shapes, tmp_path) -> None:
    folder = tmp_path / "صور 😀 x"
    shutil.copytree(shapes, folder)
    texts = ["سيارة حمراء", "red 😀", "two\nlines", 'a, "b"', "x" * 50_000, "\x1b[31mred\x07"]
    lines = [{"file_name": f"pictures/{i:02d}.png", "text": f"{texts[i % 6]} {i}"} for i in range(12)]
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    model, index = tmp_path / "نموذج", tmp_path / "فهرس 😀"
    answer("fit", folder, "--method", "cca", *SETTINGS, "-o", model)
    answer("index", model, folder, "-o", index)
    shown = answer("search", index, "--image", folder / "pictures/05.png", "-k", 12)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert len(answer("search", index, "x" * 100_000, "-k", 1)) < 1000


# --- asking -----------------------------------------------------------------------------------------------------


def test_questions_that_cannot_be_answered(index, tmp_path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    assert "cannot be read" in refused("search", index, "--image", tmp_path / "broken.png")
    assert "does not exist" in refused("search", index, "--image", tmp_path / "none.png")
    assert "one array of numbers" in refused("search", index, "--query", f"image={tmp_path / 'broken.npy'}")
    assert "it has ['image', 'text']" in refused("search", index, "--query", "sound=x")
    assert "needs at least one character" in refused("search", index, " ")
    assert "Did you mean 'image'" in refused("search", index, "red", "--target", "imag")


def test_a_text_to_a_model_without_texts(arrays, tmp_path) -> None:
    answer("fit", arrays, "--method", "cca", "-o", tmp_path / "model")
    assert "--row ID" in answer("index", tmp_path / "model", arrays, "-o", tmp_path / "index")
    assert "none of its modalities is of kind 'text'" in refused("search", tmp_path / "index", "red")
    assert "infinite values" in refused("search", tmp_path / "index", "--query", "a=1e300,1,1,1")


def test_data_of_another_model(model, arrays, index, tmp_path) -> None:
    assert "--modality image=a" in refused("evaluate", model, arrays)
    assert "holds no model.json" in refused("evaluate", index, arrays)
    assert "Unknown modalities ['sound']" in refused("evaluate", model, arrays, "--only", "sound")


# --- damaged folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda m: (m / "weights.safetensors").write_bytes(b"cut"), "truncated or damaged"),
        (lambda m: (m / "weights.safetensors").unlink(), "the model is truncated"),
        (lambda m: (m / "model.json").write_text((m / "model.json").read_text()[:99]), "truncated or damaged"),
        (lambda m: (m / "model.json").write_text("[1]"), "is not a model of this package"),
        (lambda m: (m / "model.json").write_text(json.dumps(json.loads((m / "model.json").read_text()) | {"model": None})), "is damaged"),
        (lambda m: (m / "reading.json").write_text("{"), "cannot be understood"),
    ],
)  # fmt: skip
def test_a_damaged_model(model, shapes, tmp_path, spoil: Callable, sentence: str) -> None:
    shutil.copytree(model, tmp_path / "model")
    spoil(tmp_path / "model")
    assert sentence in refused("evaluate", tmp_path / "model", shapes)


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (lambda i: (i / "index.json").unlink(), 2, "lacks a part"),
        (lambda i: shutil.rmtree(i / "vectors"), 2, "lacks a part"),
        (lambda i: shutil.rmtree(i / "model"), 2, "holds no model"),
        (lambda i: [f.write_bytes(b"") for f in i.rglob("*.manifest")], 1, "build the index again"),
    ],
)
def test_a_damaged_index(index, tmp_path, spoil: Callable, code: int, sentence: str) -> None:
    shutil.copytree(index, tmp_path / "index")
    spoil(tmp_path / "index")
    said = refused("search", tmp_path / "index", "red", code=code)
    assert sentence in said
    assert ".rs:" not in said


# --- where results are written ----------------------------------------------------------------------------------


def test_nothing_that_is_there_is_replaced(model, shapes, arrays, tmp_path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").write_text("precious")
    for place in ("file", "folder", "file/below"):
        for overwrite in ((), ("--overwrite",)):
            refused("fit", arrays, "--method", "cca", "-o", tmp_path / place, *overwrite)
            refused("index", model, shapes, "-o", tmp_path / place, *overwrite)
            refused("embed", model, shapes, "-o", tmp_path / place, *overwrite)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "kept").read_text() == "precious"
    assert "needs a name" in refused("embed", model, shapes, "-o", "")


def test_no_output_into_what_is_read(model, shapes, numbers, arrays, tmp_path) -> None:
    shutil.copytree(model, tmp_path / "model")
    assert "read at the same time" in refused(
        "index", tmp_path / "model", shapes, "-o", tmp_path / "model" / "index"
    )
    answer("fit", arrays, "--method", "cca", "-o", tmp_path / "cca")
    assert "read at the same time" in refused("embed", tmp_path / "cca", arrays, "-o", arrays, "--overwrite")
    assert np.array_equal(np.load(arrays)["a"], numbers["a"])


def test_a_model_folder_with_something_of_the_users_in_it(arrays, tmp_path) -> None:
    answer("fit", arrays, "--method", "cca", "-o", tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("precious")
    assert "notes.txt" in refused("fit", arrays, "--method", "cca", "-o", tmp_path / "model", "--overwrite")
    assert (tmp_path / "model" / "notes.txt").read_text() == "precious"
    (tmp_path / "model" / "notes.txt").unlink()
    answer("fit", arrays, "--method", "cca", "-o", tmp_path / "model", "--overwrite")


def test_a_full_disk(model, shapes, index, arrays, tmp_path) -> None:
    old = tmp_path / "old"
    shutil.copytree(model, old)
    before = {f.name: f.read_bytes() for f in old.iterdir()}
    fit = ("fit", shapes, "--method", "cca", "--only", "image,text", *SETTINGS)
    clip = ("fit", arrays, "--method", "clip", "--epochs", 1)
    with small_disk(600):
        said = [
            refused(*fit, "-o", old, "--overwrite", code=1),
            refused("embed", model, shapes, "-o", tmp_path / "v.npz", code=1),
            refused("embed", model, shapes, "-o", tmp_path / "v.parquet", code=1),
            refused("index", model, shapes, "-o", tmp_path / "index", code=1),
            refused(*clip, "-o", tmp_path / "clip", "--checkpoint", tmp_path / "steps", code=1),
        ]
    for sentence in said:
        assert sentence.startswith("Error: Cannot ")
        assert sentence.count("ree space") == 1
        assert "/." not in sentence  # no name of a temporary folder
    assert {f.name: f.read_bytes() for f in old.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.npz", "old", "steps"]
    assert not list((tmp_path / "steps").iterdir())


# --- for programs -----------------------------------------------------------------------------------------------


def test_json_whatever_happens(index, model, shapes, tmp_path) -> None:
    assert json.loads(answer("search", index, "red", "--json"))["hits"]
    for args, kind in (
        (("search", index, "", "--json"), "ConfigError"),
        (("search", index, "red", "--jsn", "--json"), "UsageError"),
        (("search", "--json"), "UsageError"),
        (("search", index, "red", "-k", "0", "--json"), "UsageError"),
        (("evaluate", model, tmp_path, "--json"), "DataError"),
    ):
        assert json.loads(refused(*args))["error"]["kind"] == kind
    assert "Usage" in answer("search", "--json", "--help")


def test_parameters_that_cannot_be(arrays, tmp_path) -> None:
    for method, setting in (("cca", "n_components=0"), ("cca", "reg=2"), ("cca", "n_component=3"), ("clip", "temperature=0"),
                            ("clip", "epochs=1"), ("shared-individual", "n_shared=99")):  # fmt: skip
        assert refused("fit", arrays, "--method", method, "-s", setting, "-o", tmp_path / "model").startswith(
            "Error: "
        )
    assert not (tmp_path / "model").exists()
