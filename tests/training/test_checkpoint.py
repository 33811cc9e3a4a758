from pathlib import Path

import pytest
import torch

from polymodal.core.errors import StoreError
from polymodal.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


def checkpoint(epoch: int) -> Checkpoint:
    weights = torch.arange(6.0).reshape(2, 3).T
    return Checkpoint({"w": weights, "tied": weights, "step": torch.tensor(3.0)}, {"epoch": epoch})


def test_the_newest_comes_back_and_older_ones_go(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "none") is None
    (tmp_path / "notes.txt").write_text("mine")
    for epoch in (1, 2, 10):
        write_checkpoint(tmp_path, epoch, checkpoint(epoch))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-000010", "notes.txt"]
    back = read_checkpoint(tmp_path)
    assert back is not None
    assert back.facts["epoch"] == 10
    assert torch.equal(back.tensors["w"], checkpoint(1).tensors["w"])


def test_half_a_checkpoint_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import polymodal.core.atomic as atomic

    write_checkpoint(tmp_path, 1, checkpoint(1))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, 2, checkpoint(2))
    (tmp_path / ".epoch-000002.killed").mkdir()
    back = read_checkpoint(tmp_path)
    assert back is not None
    assert back.facts["epoch"] == 1
    write_checkpoint(tmp_path, 2, checkpoint(2))
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-000002"]


def test_damage_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 1, checkpoint(1))
    (folder / "tensors.safetensors").write_bytes(b"short")
    with pytest.raises(StoreError, match="epoch-000001 cannot be read"):
        read_checkpoint(tmp_path)
    write_checkpoint(tmp_path, 1, checkpoint(1))
    (folder / "training.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format"):
        read_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file"):
        write_checkpoint(tmp_path / "file", 1, checkpoint(1))
