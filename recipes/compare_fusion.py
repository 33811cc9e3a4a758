"""When does fusing modalities help, and which way of fusing: the study behind docs/studies/fusion.md.

    python recipes/compare_fusion.py DATA --work FOLDER [--tasks mfeat,emoji] [--out docs/studies]
    python recipes/compare_fusion.py DATA --tell                     # tables and pictures of what was measured

DATA is a folder with the sets of `fusion_study/sets.py` (one that is absent is left out); the glyphs are built in. For every set:
each modality alone, plain concatenation, and every fusion of the package that takes its vectors, all with their own defaults, which were
fixed before any result was seen; the same vectors (`Vectorize`, fitted on the training rows of each split) for all. Nothing is chosen on
test rows. Each fit is written to FOLDER as it is done, so that a run that dies goes on where it stopped; what the page needs goes to
OUT/fusion.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent))

from fusion_study import tell
from fusion_study.sets import LOADERS, Task

from polymodal.commands.comparing import CompareResult, CompareSettings, compare_material
from polymodal.commands.comparing_models import Restricted, choose_models
from polymodal.commands.comparing_output import finite
from polymodal.core.atomic import atomic_file
from polymodal.encoders import Vectorize
from polymodal.evaluation.answers import Truth
from polymodal.evaluation.model_comparison import summarise_runs
from polymodal.evaluation.model_runs import Run, run_models


def study(name: str, task: Task, work: Path) -> CompareResult:
    """All methods on one set; goes on where it stopped."""
    begin = time.time()

    def told(run: Run, done: int, total: int) -> None:
        said = (
            run.error.splitlines()[0]
            if run.error
            else " ".join(f"{k} {v:.3f}" for k, v in run.scores.items())
        )
        print(
            f"{time.time() - begin:.0f} s, {name} {done}/{total} {run.model}: {said}",
            file=sys.stderr,
            flush=True,
        )

    settings = CompareSettings(methods=task.methods, missing=task.missing, noise=task.noise, intervals="rows")
    return compare_material(task.material, settings=settings, output=work / name, told=told)


def control(task: Task, result: CompareResult) -> dict[str, Any]:
    """Is it the fusion, or the model? Two methods that can do more than logistic regression, against themselves on one modality."""
    m = task.material
    found = {}
    for name in (
        n for n in ("additive", "multiple-kernel") if n in [r.name for r in result.comparison.models]
    ):
        model = choose_models(m.data, m.task, methods=(name,)).models[name]
        alone = {f"{name} on {n}": Restricted(model, only=(n,), task=m.task) for n in m.data.names}
        runs = [run for run in result.comparison.runs if run.model == name]
        runs += run_models(alone, m.data, m.y, m.splits, task=m.task, prepare=Vectorize(random_state=0))
        found[name] = summarise_runs(
            runs,
            Truth.of(m.y, m.task),
            m.splits,
            references={"itself": list(alone)},
            groups=m.groups,
            over="rows",
        )
    return {name: {k: v for k, v in one.to_dict().items() if k != "runs"} for name, one in found.items()}


def summary(result: CompareResult) -> dict[str, Any]:
    """What the page needs: no single fits."""
    plain = finite(result.to_dict())
    for one in (plain["comparison"], *(plain["missing"] or {"comparisons": []})["comparisons"]):
        del one["runs"]
    return {key: plain[key] for key in ("comparison", "curves", "missing", "target", "modalities", "notes")}


def write_page(done: dict[str, Any], out: Path) -> None:
    """Tables into the page, pictures beside it."""
    page = out / "fusion.md"
    text = page.read_text("utf-8") if page.exists() else ""
    sets = {name: done[name] for name in LOADERS if name in done and not name.endswith("-all")}
    for name in (n for n in LOADERS if n in done):
        text = tell.written(text, name, tell.table(done[name]))
    for name, one in sets.items():
        if one["missing"]:
            text = tell.written(text, f"{name} missing", tell.missing_table(one))
        if one["curves"]:
            text = tell.written(text, f"{name} harmed", tell.curve_table(one))
    text = tell.written(text, "verdicts", tell.verdict_table(sets))
    text = tell.written(text, "control", tell.control_table(sets))
    page.write_text(text, encoding="utf-8")
    (out / "images").mkdir(exist_ok=True)
    tell.scores_picture(sets, out / "images" / "fusion-scores.png")
    tell.curves_picture(sets, out / "images" / "fusion-curves.png")
    tell.missing_picture(sets, out / "images" / "fusion-missing.png")


def main() -> None:
    """Run what is not done yet, and write the tables and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(LOADERS))
    parser.add_argument("--work", type=Path, default=Path("fusion-study"), help="where every fit is kept")
    parser.add_argument("--out", type=Path, default=Path("docs/studies"))
    parser.add_argument(
        "--tell", action="store_true", help="write the page's tables and pictures, and nothing more"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.out / "fusion.json"
    for name in [] if options.tell else options.tasks.split(","):
        try:
            task = LOADERS[name](options.data)
        except FileNotFoundError:
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        result = study(name, task, options.work)
        found = {**summary(result), "control": finite(control(task, result))}
        done = (
            json.loads(kept.read_text("utf-8")) if kept.exists() else {}
        )  # another process may have added to it
        with atomic_file(kept) as part:
            part.write_text(json.dumps({**done, name: found}, ensure_ascii=False), encoding="utf-8")
    if kept.exists():
        write_page(json.loads(kept.read_text("utf-8")), options.out)


if __name__ == "__main__":
    main()
