"""Files and folders that appear whole or not at all: a kill, a full disk or Ctrl-C leaves what was there before."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polymodal.core.errors import StoreError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    Raises:
        StoreError: the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise _cannot_write(target, error, temporary) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it takes the place of `path` when the block ends without an error.

    What stood at `path` is kept as `.<name>.previous` during the exchange, the instant between two renames, and
    `recover` finds it there.

    Raises:
        StoreError: the parent cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        temporary.chmod(0o777 & ~_umask())
        previous = _previous(target)
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(target, previous)
        os.rename(temporary, target)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        recover(target)
        if target.exists():  # another process was first: what it put aside is not needed
            shutil.rmtree(_previous(target), ignore_errors=True)
        raise _cannot_write(target, error, temporary) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(path: str | Path) -> None:
    """Put back a folder whose replacement was cut between the two renames; does nothing otherwise."""
    target = Path(path)
    previous = _previous(target)
    if not target.exists() and previous.is_dir():
        os.rename(previous, target)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _flush(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _cannot_write(target: Path, error: OSError, temporary: Path | None = None) -> StoreError:
    root = error
    while isinstance(root, StoreError) and isinstance(root.__cause__, OSError):
        root = root.__cause__  # a part that was written in the same way: its reason, told once
    if isinstance(root, StoreError):
        return StoreError(str(error).replace(str(temporary), str(target)))
    reason = root.strerror or str(root)
    if isinstance(root, shutil.Error):  # a list of (from, to, reason)
        reason = str(root.args[0][0][2]).split(": '")[0]
    return StoreError(
        f"Cannot write {target}: {reason}. What was there before is untouched; free space or choose another place."
    )
