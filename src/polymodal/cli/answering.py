"""What every command does the same way: errors as sentences, exit codes, JSON, and a sign of life after two seconds."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130
PATIENCE_SECONDS = 2.0
IN_THE_SHELL = {
    "data.complete()": "--complete",
    "data.select(...)": "--only NAME,NAME",
    "data.drop(...)": "--only NAME,NAME",
    'nan="missing"': "--nan missing",
    "modalities={": "--modality NAME=COLUMN",
    "overwrite=True": "--overwrite",
    "Pass fit(data, y).": "--target COLUMN",
    "Training(learning_rate=": "--learning-rate NUMBER",
}
"""What a message for Python says -> what it is called here."""


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("POLYMODAL_DEBUG", "") not in ("", "0")


@contextmanager
def answering(*, as_json: bool = False, after_interrupt: str = "") -> Iterator[None]:
    """Turn whatever goes wrong in a command into one message and an exit code: 2 for bad input, 1 for failure, 130 for Ctrl-C.

    Args:
        as_json: Whether the message goes out as JSON.
        after_interrupt: What a user should know after Ctrl-C.
    """
    from polymodal.core.errors import MissingDependencyError, NotFittedError, PolymodalError, StoreError

    try:
        with warnings.catch_warnings():
            if not debugging():
                warnings.showwarning = _warn
            yield
    except KeyboardInterrupt:
        fail(
            "Stopped by Ctrl-C. What was there before is as it was." + after_interrupt,
            "Interrupted",
            INTERRUPTED,
            as_json,
        )
    except (StoreError, MissingDependencyError, NotFittedError) as error:
        fail(str(error), type(error).__name__, FAILURE, as_json)
    except PolymodalError as error:
        fail(str(error), type(error).__name__, BAD_INPUT, as_json)
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except UnicodeEncodeError as error:
        part = error.object[max(0, error.start - 20) : error.end + 20]
        fail(
            f"Texts and file names are UTF-8; this one holds bytes that are not: {part!r}. Rename the file, or mend the text.",
            "DataError",
            BAD_INPUT,
            as_json,
        )
    except MemoryError:
        fail(
            "The memory does not suffice. Take fewer rows, smaller pictures (--image-size) or a smaller batch.",
            "MemoryError",
            FAILURE,
            as_json,
        )
    except OSError as error:
        fail(f"The system refused: {error}.", type(error).__name__, FAILURE, as_json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a traceback is no answer
        text = f"This should not have happened ({type(error).__name__}: {error}). Report it, with the traceback that --debug shows."
        fail(text, type(error).__name__, FAILURE, as_json)


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning as a sentence: where in which library it was raised says nothing to a user."""
    if not issubclass(category, ResourceWarning | DeprecationWarning | PendingDeprecationWarning):
        sys.stderr.write(f"Warning: {message}\n")


def fail(message: str, kind: str, code: int, as_json: bool) -> None:
    """Say what went wrong on the standard error stream, and leave with `code`."""
    if debugging():
        import traceback

        traceback.print_exc()
    hints = [
        shell
        for python, shell in IN_THE_SHELL.items()
        if python in message and shell.split()[0] not in message
    ]
    if hints:
        message += f" (Here: {', '.join(dict.fromkeys(hints))}.)"
    if as_json:
        sys.stderr.write(json.dumps({"error": {"kind": kind, "message": message}}, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(("" if kind == "Interrupted" else "Error: ") + message + "\n")
    raise typer.Exit(code)


def emit(result: Any, as_json: bool) -> bool:
    """Write a result as JSON where that was asked for; tells whether it was."""
    if as_json:
        sys.stdout.write(
            json.dumps(plain(result.to_dict()), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        )
    return as_json


def plain(value: Any) -> Any:
    """What JSON can hold: numpy scalars as numbers, NaN and infinities as null, tuples as lists."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on the standard error stream, if that is a terminal and the work takes more than two seconds."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(f"{what} ...")
    timer = threading.Timer(PATIENCE_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with contextlib.suppress(RuntimeError):
            status.stop()
