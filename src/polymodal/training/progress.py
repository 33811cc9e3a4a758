"""How far a training is: a bar on the standard error stream, or a callback of the program that runs it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 2.0  # shorter jobs show nothing
_PLAIN_SECONDS = 10.0  # between two lines where there is no terminal


@dataclass(frozen=True)
class Progress:
    """One report.

    Attributes:
        done: Steps done.
        total: Steps in all.
        epoch: The current epoch, from 1.
        loss: Mean loss of the current epoch so far; NaN before the first step.
    """

    done: int
    total: int
    epoch: int
    loss: float


Report = Callable[[Progress], None]
_listener: ContextVar[Report | None] = ContextVar("polymodal_progress", default=None)


@contextmanager
def report_progress(report: Report) -> Iterator[None]:
    """Inside the block, every training started by this thread calls `report` after each step instead of drawing a bar.

    Examples:
        >>> seen = []
        >>> with report_progress(seen.append):
        ...     pass  # model.fit(data)
    """
    token = _listener.set(report)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def progress_reports(title: str, show: bool | None) -> Iterator[Report]:
    """The function to call after each step: the caller's (`report_progress`), a bar, plain lines, or nothing."""
    listener = _listener.get()
    if listener is not None:
        yield listener
        return
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda progress: None
        return
    bar = _Bar(title) if terminal else _Lines(title)
    try:
        yield bar
    finally:
        bar.close()


def embedding_reports(rows: int) -> AbstractContextManager[Report]:
    """The function to call after each batch that is embedded: a bar on a terminal, nothing elsewhere.

    Nor within `report_progress`, whose listener counts training steps.
    """
    quiet = _listener.get() is not None or not sys.stderr.isatty()
    return nullcontext(lambda progress: None) if quiet else progress_reports(f"Embedding {rows:,} rows", None)


class _Bar:
    """A rich bar that appears once a job has taken two seconds."""

    def __init__(self, title: str) -> None:
        self._title, self._begin = title, time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            if time.monotonic() - self._begin < PATIENCE_SECONDS:
                return
            self._open(progress.total)
        told = "" if math.isnan(progress.loss) else f" epoch {progress.epoch}, loss {progress.loss:.4f}"
        text = self._title + told
        self._bar.update(self._task, completed=progress.done, description=text)

    def _open(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=total)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Lines:
    """Plain lines, for logs: one every ten seconds."""

    def __init__(self, title: str) -> None:
        self._title, self._last = title, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= _PLAIN_SECONDS:
            self._last = now
            share = f"{100 * progress.done // max(progress.total, 1)} %"
            sys.stderr.write(f"{self._title}: {share}, epoch {progress.epoch}, loss {progress.loss:.4f}\n")
            sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.flush()
