"""Which folder, which files, which tensors."""

from __future__ import annotations

import json
import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from polymodal.core.errors import DataError, MissingDependencyError, ModelFormatError
from polymodal.encoders.weight_files import WeightFiles, find_folder, read_json, take

A, B = torch.arange(6.0).reshape(2, 3), torch.ones(4, 3, dtype=torch.float16)


def hub(monkeypatch, answer) -> list[dict]:
    """A hub that writes down what it was asked."""
    asked: list[dict] = []

    def snapshot_download(name, **options):
        asked.append({"name": name, **options})
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    fake = types.ModuleType("huggingface_hub")
    fake.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return asked


def test_local_folder_is_itself(tmp_path) -> None:
    assert find_folder(tmp_path) == tmp_path.resolve()


def test_name_is_asked_of_the_hub(monkeypatch, tmp_path) -> None:
    asked = hub(monkeypatch, tmp_path)
    assert find_folder("org/model", "v1") == tmp_path
    assert asked[0]["name"] == "org/model"
    assert asked[0]["revision"] == "v1"
    assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in asked[0]["allow_patterns"])


@pytest.mark.parametrize("name", ["./org/model", "model", "/nowhere/model", "a/b/c", "~/model"])
def test_what_is_no_name_is_not_asked(monkeypatch, name) -> None:
    asked = hub(monkeypatch, AssertionError("asked"))
    with pytest.raises(DataError, match="neither"):
        find_folder(name)
    assert not asked


def test_hub_out_of_reach_or_not_installed(monkeypatch) -> None:
    hub(monkeypatch, OSError("no route to host\nmore"))
    with pytest.raises(
        DataError,
        match=r"'org/model' is no folder here, and the hub did not give it \(OSError: no route to host\)",
    ):
        find_folder("org/model")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "polymodal\[pretrained\]"'):
        find_folder("org/model")


def test_the_real_client_offline(monkeypatch, tmp_path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="org/model"):
        find_folder("org/model")


def test_reading_and_joining(tmp_path) -> None:
    save_file({"a": A, "b": B, "n": torch.tensor(3)}, tmp_path / "model.safetensors")
    files = WeightFiles(tmp_path)
    assert files.shapes == {"a": (2, 3), "b": (4, 3), "n": ()}
    assert files.read(["b"])["b"].dtype == torch.float32
    found = take(files, {"joint": (["a", "b"], (6, 3)), "alone": (["a"], (2, 3))}, "a thing")
    torch.testing.assert_close(found["joint"], torch.cat([A, B.float()]))
    assert torch.equal(found["alone"], A)


def test_parts_and_fingerprint(tmp_path) -> None:
    save_file({"a": A}, tmp_path / "model-1.safetensors")
    save_file({"b": B}, tmp_path / "model-2.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    files = WeightFiles(tmp_path)
    assert set(files.read(["a", "b"])) == {"a", "b"}
    before = files.fingerprint
    save_file({"b": B, "c": A}, tmp_path / "model-2.safetensors")
    assert WeightFiles(tmp_path).fingerprint != before
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(ModelFormatError, match=r"lacks \['model-2.safetensors'\]"):
        WeightFiles(tmp_path)


def test_a_part_outside_of_the_folder_is_not_read(tmp_path) -> None:
    save_file({"a": A}, tmp_path / "secret.safetensors")
    (tmp_path / "m").mkdir()
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFormatError, match="secret"):
        WeightFiles(tmp_path / "m")


def test_pickles_are_refused(tmp_path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(
        ModelFormatError, match=r"\['pytorch_model.bin'\], which are pickles.*save_pretrained"
    ):
        WeightFiles(tmp_path)


def test_truncated_empty_and_missing(tmp_path) -> None:
    with pytest.raises(ModelFormatError, match="it holds nothing"):
        WeightFiles(tmp_path)
    save_file({"a": A}, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    for size in (0, 5, len(whole) - 4):
        (tmp_path / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(ModelFormatError, match="truncated"):
            WeightFiles(tmp_path)


def test_missing_keys_and_wrong_shapes_are_named(tmp_path) -> None:
    save_file({"a": A}, tmp_path / "model.safetensors")
    files = WeightFiles(tmp_path)
    with pytest.raises(
        ModelFormatError, match=r"does not hold the tower: 1 tensors are missing, first \['visual.proj'\]"
    ):
        take(files, {"x": (["visual.proj"], (2,))}, "the tower")
    with pytest.raises(ModelFormatError, match=r"a is \(2, 3\), \(2, 4\) was required"):
        take(files, {"x": (["a"], (2, 4))}, "the tower")


def test_json_that_is_none(tmp_path) -> None:
    with pytest.raises(ModelFormatError, match=r"lacks config\.json"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelFormatError, match="JSON object"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        read_json(tmp_path / "config.json")
