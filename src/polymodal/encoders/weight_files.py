"""Published weights on disk: which folder, which files, which tensors. Safetensors only, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from polymodal.core.errors import DataError, MissingDependencyError, ModelFormatError

SUFFIX = ".safetensors"
WEIGHT_NAMES = ("model.safetensors", "open_clip_model.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
WANTED = ["*.json", "*.txt", "*.safetensors"]
INSTALL = 'pip install "polymodal[pretrained]"'


def find_folder(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a checkpoint: a local one as it is, else the hub's repository of that name, downloaded once.

    Args:
        source: A folder, or a name such as "openai/clip-vit-base-patch32".
        revision: Branch, tag or commit on the hub; a commit never changes.

    Raises:
        DataError: no such folder, or the hub does not have the repository or cannot be reached.
        MissingDependencyError: a name of the hub, and huggingface_hub is not installed.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    name = str(source)
    if (
        folder.is_file()
        or folder.is_absolute()
        or name.count("/") != 1
        or name.startswith(("./", "../", "~"))
    ):
        raise DataError(
            f"A checkpoint is a folder, or a name on the hub such as 'openai/clip-vit-base-patch32'; {name!r} is neither. "
            "Check the path."
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingDependencyError(
            f"{name!r} is no folder here, and to ask the hub for it huggingface_hub is required. {INSTALL}"
        ) from None
    try:
        found = snapshot_download(
            name, revision=revision, allow_patterns=WANTED, ignore_patterns=["*/*"], local_files_only=False
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{name!r} is no folder here, and the hub did not give it ({type(error).__name__}: {first}). Check the name and the "
            "connection, or download the repository elsewhere and pass its folder."
        ) from None
    return Path(found)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelFormatError: the file is missing, damaged, or holds something else.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFormatError(
            f"{file.parent} lacks {file.name}. Copy the checkpoint's folder whole."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelFormatError(f"{file} cannot be read as JSON ({error}). Copy it again.") from None
    if not isinstance(found, dict):
        raise ModelFormatError(
            f"{file} needs a JSON object, got {type(found).__name__}. It is no configuration."
        )
    return found


class WeightFiles:
    """The tensors of a folder, by key; each is read when it is asked for.

    Args:
        folder: Holds one of `WEIGHT_NAMES`, or parts and their `model.safetensors.index.json`.

    Raises:
        ModelFormatError: no safetensors (pickled weights are refused, by name), or a truncated file.
    """

    def __init__(self, folder: Path, names: Sequence[str] = WEIGHT_NAMES) -> None:
        self.folder = folder
        self.files = _weight_files(folder, names)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._where: dict[str, Path] = {}
        for file in self.files:
            with _open(file) as opened:
                for key in opened.keys():  # noqa: SIM118 (no mapping)
                    self.shapes[key] = tuple(opened.get_slice(key).get_shape())
                    self._where[key] = file

    def __contains__(self, key: object) -> bool:
        return key in self.shapes

    def read(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """Tensors as float32 where they hold floating-point numbers; a file is opened once."""
        found: dict[str, Tensor] = {}
        for file in self.files:
            mine = [key for key in keys if self._where[key] == file]
            if mine:
                with _open(file) as opened:
                    for key in mine:
                        tensor = opened.get_tensor(key)
                        found[key] = tensor.float() if tensor.is_floating_point() else tensor
        return found

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weight files; computed once for a file that does not change."""
        whole = hashlib.sha256()
        for file in self.files:
            facts = file.stat()
            whole.update(_sha256(str(file), facts.st_size, facts.st_mtime_ns).encode())
        return whole.hexdigest()


def take(
    weights: WeightFiles, wanted: Mapping[str, tuple[Sequence[str], tuple[int, ...]]], what: str
) -> dict[str, Tensor]:
    """Tensors under our names, each from one key or from several on top of each other.

    Args:
        weights: Where they are.
        wanted: Our name -> the keys that make it, and the shape it must have.
        what: Which model, for messages.

    Raises:
        ModelFormatError: keys that are missing or of another shape; both are named.
    """
    missing = [key for keys, _ in wanted.values() for key in keys if key not in weights]
    if missing:
        raise ModelFormatError(
            f"{weights.folder} does not hold {what}: {len(missing)} tensors are missing, first {missing[:3]}; it holds "
            f"{sorted(weights.shapes)[:3]} and {max(0, len(weights.shapes) - 3)} more. Its configuration and its weights are of "
            "different models, or this is another architecture."
        )
    wrong = []
    for keys, shape in wanted.values():
        shapes = [weights.shapes[key] for key in keys]
        there = shapes[0] if len(shapes) == 1 else (sum(s[0] for s in shapes), *shapes[0][1:])
        if there != shape:
            wrong.append(f"{keys[0]} is {there}, {shape} was required")
    if wrong:
        raise ModelFormatError(
            f"{weights.folder} does not hold {what}: {'; '.join(wrong[:3])}{f' ({len(wrong)} in all)' if len(wrong) > 3 else ''}. "
            "Its configuration and its weights are of different models."
        )
    import torch

    read = weights.read([key for keys, _ in wanted.values() for key in keys])
    return {
        name: read[keys[0]] if len(keys) == 1 else torch.cat([read[key] for key in keys])
        for name, (keys, _) in wanted.items()
    }


def _weight_files(folder: Path, names: Sequence[str]) -> list[Path]:
    for name in names:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts = sorted(set(read_json(index).get("weight_map", {}).values()))
            lacking = [p for p in parts if Path(p).name != p or not (folder / p).is_file()]
            if lacking or not parts:
                raise ModelFormatError(
                    f"{folder} lacks {lacking or 'every file'} of those {index.name} names. Copy it whole."
                )
            return [folder / p for p in parts]
    held = sorted(p.name for p in folder.iterdir())
    pickled = [name for name in held if name.endswith(PICKLES)]
    if pickled:
        raise ModelFormatError(
            f"{folder} holds weights as {pickled[:3]}, which are pickles: reading one can run code, so none is read. Convert it once, "
            "where you trust it: transformers' model.save_pretrained(folder) or safetensors.torch.save_file(state_dict, file) "
            f"writes {names[0]}."
        )
    raise ModelFormatError(
        f"{folder} needs weights in {' or '.join(names)}, it holds {held[:8] or 'nothing'}. Pass the folder of a checkpoint "
        "(pickled weights are not downloaded from the hub: choose a revision with safetensors)."
    )


def _open(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelFormatError(
            f"{file} is truncated or no safetensors file ({error}). Download or copy it again."
        ) from None


@lru_cache(maxsize=64)
def _sha256(file: str, size: int, changed: int) -> str:
    del size, changed  # they are part of the cache's key
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
