"""Checkpoints that are whole or absent: written beside, then renamed. safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from polymodal.core.atomic import atomic_folder
from polymodal.core.errors import StoreError

FORMAT = 1
_PREFIX = "epoch-"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a training needs to go on as if it had never stopped.

    Attributes:
        tensors: Weights, best weights and optimizer state, flat, by name.
        facts: Epoch, seed, losses so far, and what the training must agree with.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_checkpoint(folder: Path, epoch: int, checkpoint: Checkpoint) -> Path:
    """Write `folder/epoch-000007`, whole or not at all, then remove older ones, and what a kill left half written.

    Raises:
        StoreError: the folder cannot be written; older checkpoints are intact.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = folder / f"{_PREFIX}{epoch:06d}"
    with atomic_folder(target) as temporary:
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in checkpoint.tensors.items()}
        try:
            save_file(tensors, temporary / "tensors.safetensors")
        except SafetensorError as error:
            raise StoreError(
                f"Cannot write the checkpoint {target} ({error}). Older ones are untouched; free space or choose another place."
            ) from error
        facts = {"format": FORMAT, **checkpoint.facts}
        (temporary / "training.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for old in (*_whole(folder), *folder.glob(f".{_PREFIX}*")):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in `folder`, or None where there is none.

    Raises:
        StoreError: files that are not a checkpoint of this package's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = _whole(folder)
    if not found:
        return None
    try:
        facts = json.loads((found[-1] / "training.json").read_text(encoding="utf-8"))
        tensors = load_file(found[-1] / "tensors.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError(
            f"The checkpoint {found[-1]} cannot be read ({error}). Delete that folder to start from the beginning."
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise StoreError(
            f"The checkpoint {found[-1]} has a format this version does not know. Delete that folder to start anew."
        )
    return Checkpoint(tensors, facts)


def _whole(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob(f"{_PREFIX}*") if p.is_dir()) if folder.is_dir() else []
