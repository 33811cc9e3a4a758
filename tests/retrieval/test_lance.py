"""The database's errors in words, and locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from polymodal.core.errors import ModalityError, StoreError
from polymodal.retrieval.lance import literal, locked, told


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("lance error: IO: No space left on device (os error 28)", "disk is full.*Free space"),
        ("File too large (os error 27)", "disk is full"),
        ("Permission denied (os error 13)", "cannot be written.*permissions"),
        ("Read-only file system", "cannot be written"),
        ("Invalid magic number", "Invalid magic number.*build the index again"),
    ],
)
def test_sentences(message: str, sentence: str) -> None:
    with (
        pytest.raises(StoreError, match=f"Cannot open the index here: .*{sentence}"),
        told(Path("here"), "open"),
    ):
        raise RuntimeError(message)


def test_own_errors_and_interrupts_pass_and_panics_do_not() -> None:
    for error in (ModalityError("mine"), KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(error)), told(Path("here"), "open"):
            raise error
    panic = type("PanicException", (BaseException,), {})
    with pytest.raises(StoreError, match="broken"), told(Path("here"), "open"):
        raise panic("broken")


def test_locks_exclude_and_let_go(tmp_path: Path) -> None:
    held, refused = locked(tmp_path, ".lock"), pytest.raises(StoreError, match="Another process")
    with held, refused, locked(tmp_path, ".lock", 0.05):
        pass
    with locked(tmp_path, ".lock", 0.05):
        pass
    with pytest.raises(StoreError, match="Cannot write to"), locked(tmp_path / "none", ".lock"):
        pass


def test_literals() -> None:
    assert (literal("o'clock"), literal(3), literal("")) == ("'o''clock'", "3", "''")
