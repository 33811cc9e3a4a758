"""Arrays kept on disk between runs, where rebuilding them takes seconds. Nothing depends on them being there."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from polymodal.core.atomic import atomic_file
from polymodal.core.errors import StoreError


def cache_folder() -> Path:
    """`$POLYMODAL_CACHE`, or the platform's own place for caches (`~/.cache/polymodal` on Linux)."""
    chosen = os.environ.get("POLYMODAL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "polymodal"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "polymodal" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polymodal"


def recall(name: str, key: str) -> dict[str, np.ndarray] | None:
    """The arrays stored under `name` and `key`, or `None`: never stored, or what is on disk is broken."""
    try:
        with _path(name, key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {part: stored[part] for part in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def remember(name: str, key: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Store arrays for `recall`; whole or not at all. False where the folder cannot be written.

    Args:
        name: Start of the file's name.
        key: What the arrays depend on: another key is another file.
        arrays: What to keep; compressed, without pickles.
    """
    path = _path(name, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **dict(arrays))
    except (OSError, StoreError):
        return False
    return True


def _path(name: str, key: str) -> Path:
    return cache_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
