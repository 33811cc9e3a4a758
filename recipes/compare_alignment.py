"""Which alignment method when, and where each fails: the study behind docs/studies/alignment.md.

    python recipes/compare_alignment.py DATA [--tasks music,words,series,digits,captions,curves] [--out docs/studies]

DATA is a folder with the sets that the `study_*` functions of `alignment_study` read (one that is absent is left out); the curves are
made. Nothing is learned or chosen on what is reported, except where a method learns from the very texts it aligns, without links. Results
go to OUT/alignment.json after every method, so that a run that dies goes on where it stopped; then the tables of OUT/alignment.md, between
its marks `<!-- table NAME -->` and `<!-- end -->`, and the pictures in OUT/images are written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


from alignment_study.captions import study_captions, tables_captions
from alignment_study.common import Keep
from alignment_study.curves import study_curves, tables_curves
from alignment_study.digits import study_digits, tables_digits
from alignment_study.music import study_music, tables_music
from alignment_study.pictures import picture_aer, picture_errors, picture_music, picture_words
from alignment_study.series import study_series, tables_series
from alignment_study.words import study_words, tables_words

from polymodal.core.atomic import atomic_file

STUDIES: dict[
    str, tuple[Callable[[Path, Keep], None], Callable[[dict[str, Any]], Iterator[tuple[str, str]]]]
] = {
    "music": (study_music, tables_music),
    "words": (study_words, tables_words),
    "series": (study_series, tables_series),
    "digits": (study_digits, tables_digits),
    "captions": (study_captions, tables_captions),
    "curves": (study_curves, tables_curves),
}


def written(text: str, tables: dict[str, str]) -> str:
    """The page with what stands between its marks replaced; a table without a mark is put at the end."""
    for name, table in tables.items():
        marked = f"<!-- table {name} -->\n\n{table}\n\n<!-- end -->"
        place = re.compile(rf"<!-- table {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
        if place.search(text):
            text = place.sub(lambda _, marked=marked: marked, text)
        else:
            text += f"\n{marked}\n"
    return text


def keeper(done: dict[str, Any], file: Path) -> Keep:
    """Does what is not done, measures its processor time, and writes everything down."""

    def keep(key: str, work: Callable[[], dict[str, Any]]) -> None:
        if key in done:
            return
        begin = time.process_time()
        found = work()
        done[key] = {**found, "seconds": round(time.process_time() - begin, 4)}
        with atomic_file(file) as part:
            Path(part).write_text(json.dumps(done), encoding="utf-8")
        print(f"{key}: {done[key]['seconds']:.1f} s", file=sys.stderr, flush=True)

    return keep


def main() -> None:
    """Run what is not done yet, and write the tables and pictures."""
    import matplotlib

    matplotlib.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(STUDIES))
    parser.add_argument("--out", type=Path, default=Path("docs/studies"))
    options = parser.parse_args()
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    kept, page = options.out / "alignment.json", options.out / "alignment.md"
    done: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    keep = keeper(done, kept)
    tables: dict[str, str] = {}
    ran = []
    for name in options.tasks.split(","):
        try:
            STUDIES[name][0](options.data, keep)
        except FileNotFoundError as error:
            print(f"{name}: {error.filename or error} is absent: left out", file=sys.stderr)
            continue
        ran.append(name)
        tables |= dict(STUDIES[name][1](done))
    page.write_text(written(page.read_text("utf-8") if page.exists() else "", tables), encoding="utf-8")
    images = options.out / "images"
    if {"music", "digits", "curves"} <= set(ran):
        picture_errors(done, images / "alignment_errors.png")
    if "music" in ran:
        picture_music(options.data, images / "alignment_music.png")
    if "words" in ran:
        picture_aer(done, images / "alignment_aer.png")
        picture_words(options.data, images / "alignment_words.png")


if __name__ == "__main__":
    main()
