"""The fits of a comparison on disk: one line each, written as it is done, so that a run that dies goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.errors import ConfigError
from polymodal.evaluation.model_runs import Run

RUNS_FILE = "runs.jsonl"


class KeptRuns:
    """A file of runs of one comparison.

    Args:
        folder: Where it lies; None keeps nothing.
        mark: What the comparison is made of (`fingerprint`); runs of another one are never mixed in.

    Attributes:
        runs: What was there before.

    Raises:
        ConfigError: the file holds another comparison.
    """

    def __init__(self, folder: Path | None, mark: str) -> None:
        self._file = None if folder is None else folder / RUNS_FILE
        self.runs: list[Run] = []
        if self._file is None:
            return
        if self._file.exists():
            self._read(self._file, mark)
        else:
            self._write({"comparison": mark})

    def _read(self, place: Path, mark: str) -> None:
        there: set[tuple[str, int]] = set()
        good, lines = 0, place.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines):
            try:
                plain = json.loads(line)
            except ValueError:
                break  # the last line of a run that was killed while it wrote
            if number == 0 and plain.get("comparison") != mark:
                raise ConfigError(
                    f"{place.parent} holds another comparison (other data, target, split, methods or settings). "
                    "Choose another output, or say --overwrite."
                )
            if (
                number and (plain["model"], plain["split"]) not in there
            ):  # two processes may have written here at once
                there.add((plain["model"], plain["split"]))
                self.runs.append(Run.from_dict(plain))
            good += len(line)
        if good < sum(map(len, lines)):
            with place.open("r+b") as file:
                file.truncate(good)

    def add(self, run: Run) -> None:
        """Keep one more run: on disk when this returns."""
        self._write(run.to_dict())

    def _write(self, plain: dict[str, Any]) -> None:
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain, default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())


def fingerprint(*parts: Any) -> str:
    """A short text that is equal where all parts are: arrays by their values, all else by how it is written."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(
            part.tobytes() if isinstance(part, np.ndarray) and part.dtype != object else repr(part).encode()
        )
        digest.update(b"\0")
    return digest.hexdigest()
