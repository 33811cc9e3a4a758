"""How every benchmark measures: each contender in a process of its own, on one thread, best of several processor seconds.

A file bench_<part>.py holds its data, its contenders and what is compared; all else is here. Run as a script it prints its table, one
piece of work after the other; `python bench_<part>.py 4096 512` does one piece of work, whose fields these are.

Contenders run in interpreters that may lack our package: this file imports the standard library alone.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
) | {"TOKENIZERS_PARALLELISM": "false"}
COLUMNS = ("work", "ours_s", "peer", "peer_s", "ratio", "ours_mib", "peer_mib", "agreement")

Answer = dict[
    str, Any
]  # what a contender says: "seconds", "mib", and what is compared; "version" where it has one
Row = dict[str, Any]


# --- a contender, seen from outside ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Absent:
    """A contender without figures, and why."""

    reason: str


def interpreter(variable: str = "POLYMODAL_BENCH_PYTHON") -> str:
    """The Python that an environment variable names; this one where it names none."""
    return os.environ.get(variable) or sys.executable


def contend(
    script: str, who: str, *arguments: Any, python: str = sys.executable, limit: float | None = None
) -> Answer | Absent:
    """What `contender(who, *arguments)` of the script answers in a process of its own.

    Args:
        script: A file that ends with `command_line`.
        who: The contender.
        arguments: Numbers, strings, None, and tuples of them.
        python: The interpreter; `interpreter()` for peers installed elsewhere.
        limit: Seconds after which it is given up.
    """
    try:
        done = subprocess.run(
            [python, script, "--contender", json.dumps([who, *arguments])],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except FileNotFoundError:
        return Absent(f"no interpreter at {python}")
    except subprocess.TimeoutExpired:
        return Absent(f"took over {limit:g} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Absent("not installed" if "ModuleNotFoundError" in last else last[:80])
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


contend_once = functools.cache(contend)  # for one that meets several peers, and leaves no files behind


def present(found: Answer | Absent) -> Answer:
    """An answer that the table cannot do without: ours."""
    if isinstance(found, Absent):
        raise RuntimeError(found.reason)
    return found


# --- a contender, seen from inside ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Least processor seconds, MiB at the peak above what was held before, and the last answer."""

    seconds: float
    mib: float
    answer: Any

    def figures(self) -> Answer:
        return {"seconds": self.seconds, "mib": self.mib}


def best_of(work: Callable[[], Any], *, repeats: int = 3, enough: float = 10.0) -> Measured:
    """Runs the work `repeats` times, or fewer when they have taken `enough` seconds together."""
    risen = memory_mark()
    seconds: list[float] = []
    answer = None
    while not seconds or (len(seconds) < repeats and sum(seconds) < enough):
        answer = None  # two are never held
        start = time.process_time()
        answer = work()
        seconds.append(time.process_time() - start)
    return Measured(min(seconds), risen(), answer)


def memory_mark() -> Callable[[], float]:
    """What it returns says how many MiB the process has risen at most above what it holds now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts here
    except OSError:  # not Linux: the mark since the process began
        before = _lifelong_peak()
        return lambda: _lifelong_peak() - before
    held = _status("VmRSS")
    return lambda: _status("VmHWM") - held


def _status(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def _lifelong_peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


# --- rows, and the table --------------------------------------------------------------------------------------------


def row(
    *,
    work: str,
    ours: Answer,
    peer_name: str,
    peer: Answer | Absent,
    agreement: Callable[[Answer, Answer], Any] | float | str | None,
) -> Row:
    """One line of the table; a peer that is absent says so in its name, and has None for its figures.

    The agreement is a value, or what makes one of ours and the peer's answer.
    """
    answer: Answer = {} if isinstance(peer, Absent) else peer
    said = (
        [peer_name, peer.reason] if isinstance(peer, Absent) else [f"{peer_name} {answer.get('version', '')}"]
    )
    return {
        "work": work,
        "ours_s": ours["seconds"],
        "peer": ": ".join(filter(None, said)).strip(),
        "peer_s": answer.get("seconds"),
        "ratio": answer["seconds"] / ours["seconds"] if answer else None,
        "ours_mib": ours["mib"],
        "peer_mib": answer.get("mib"),
        "agreement": None if not answer else agreement(ours, answer) if callable(agreement) else agreement,
    }


def difference(key: str, *, relative: bool = False) -> Callable[[Answer, Answer], float]:
    """An agreement: the largest difference of the numbers under `key`, or that relative to the peer's number."""

    def largest(ours: Answer, peer: Answer) -> float:
        pairs = zip(_numbers(ours[key]), _numbers(peer[key]), strict=True)
        return max(abs(a - b) / (abs(b) if relative else 1) for a, b in pairs)

    return largest


def _numbers(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


def table(rows: Sequence[Row], columns: Iterable[str] | None = None) -> str:
    """The rows in markdown, with all their columns or those that are named."""
    names = _columns(rows) if columns is None else list(columns)
    return "\n".join([_line(names), "|" + "---|" * len(names), *(_cells(found, names) for found in rows)])


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for found in rows for name in found))


def _cells(found: Row, names: Iterable[str]) -> str:
    return _line(
        f"{v:.3g}" if isinstance(v, float) else "–" if v is None else str(v) for v in map(found.get, names)
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# --- the command line -----------------------------------------------------------------------------------------------


def command_line(
    run: Callable[..., list[Row]],
    contender: Callable[..., Answer] | None = None,
    works: Sequence[tuple[Any, ...]] = (),
) -> None:
    """A benchmark as a script: one contender for `contend`, else the table, printed while it grows.

    Args:
        run: Rows of the works it is given; of all without any.
        contender: The answer of one contender, which is its first argument.
        works: Pieces of work; arguments of the script make one in their place.
    """
    given = sys.argv[1:]
    if given[:1] == ["--contender"] and contender is not None:
        print(json.dumps(contender(*_tuples(json.loads(given[1])))))
        return
    if given:
        works = (tuple(map(_field, given)),)
    names: list[str] = []
    for rows in (run((work,)) for work in works) if works else (run(),):
        if not names:
            names = _columns(rows)
            print(table([], names), flush=True)
        print("\n".join(_cells(found, names) for found in rows), flush=True)


def _field(text: str) -> Any:
    try:
        return _tuples(json.loads(text))
    except json.JSONDecodeError:
        return text


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
