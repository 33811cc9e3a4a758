"""`compare DATA --target y`: fusion methods on one data set, beside the best single modality and plain concatenation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.comparing_data import Division, Material, read_material
from polymodal.commands.comparing_kept import RUNS_FILE, KeptRuns, fingerprint
from polymodal.commands.comparing_missing import (
    MissingComparison,
    check_rates,
    missing_strategies,
    run_missing,
    summarise_missing,
)
from polymodal.commands.comparing_models import EPOCHS, QUICK_EPOCHS, Lineup, choose_models
from polymodal.commands.sources import Source, check_output
from polymodal.core.errors import ConfigError, PolymodalError
from polymodal.core.modalities import Modalities
from polymodal.core.task import Task
from polymodal.evaluation.answers import Truth
from polymodal.evaluation.model_comparison import ModelComparison, summarise_runs
from polymodal.evaluation.model_runs import Run, run_models
from polymodal.evaluation.score_samples import Over
from polymodal.evaluation.splits import Split
from polymodal.interactions.robustness import Curve, robustness_curves

NOISE, ABSENCE = (0.0, 0.5, 1.0, 2.0), (0.0, 0.25, 0.5, 1.0)
CURVE_ROWS = 400
"""Most test rows that curves are measured on."""
SUSPICIOUS = 0.999
SUMMARY, TABLE, PAGE = "comparison.json", "comparison.md", "report.html"
PARTS = frozenset({RUNS_FILE, SUMMARY, TABLE, PAGE, "scores.png", "cost.png", "curves.png", "missing.png"})
QUICK_SPLITS, QUICK_ROWS = 3, 1000

Told = Callable[[Run, int, int], None]
"""Called after each fit with the run, how many are done and how many there are."""


@dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how.

    Args:
        methods: Fusions by name; all that fit the data by default.
        division: How rows are divided.
        task: What the target holds.
        missing: Rates at which cells are hidden for the table of strategies; empty leaves it out.
        noise: Levels of noise of the curves; empty leaves the curves out.
        epochs: Passes over the rows of methods that are trained.
        quick: A few methods, splits, rows and epochs: a first look.
        raw: Whether methods get the values themselves where they can, not vectors.
        intervals: Over other splits, or over other test rows with the training rows as given (`summarise_runs`).
    """

    methods: tuple[str, ...] = ()
    division: Division = field(default_factory=Division)
    task: Task = "auto"
    missing: tuple[float, ...] = ()
    noise: tuple[float, ...] = NOISE
    epochs: int | None = None
    quick: bool = False
    raw: bool = False
    intervals: Over = "splits"


@dataclass(frozen=True)
class CompareResult:
    """What `compare` found.

    Args:
        comparison: The table.
        curves: Model -> modality -> how its score falls; of the first split.
        missing: The table of strategies for missing modalities, or None.
        target: The column that was predicted.
        modalities: Name -> kind.
        notes: What was decided on the way.
        complete: Whether every fit was done.
        resumed: Fits that an earlier run had done.
        seconds: Wall-clock time of this run.
        output: The folder, or None.
        files: What lies in it.
    """

    comparison: ModelComparison
    curves: dict[str, Any]
    missing: MissingComparison | None
    target: str
    modalities: dict[str, str]
    notes: tuple[str, ...]
    complete: bool
    resumed: int
    seconds: float
    output: str | None = None
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = dict(vars(self))
        plain["comparison"] = self.comparison.to_dict()
        plain["missing"] = None if self.missing is None else self.missing.to_dict()
        return plain

    def sentences(self) -> list[str]:
        """What may be said in words: about the intervals, the references, and odd results."""
        found = self.comparison.sentences()
        singles = [m for m in self.comparison.models if m.name.startswith("only ") and m.n_splits]
        for m in singles:
            if self.comparison.metric != "MAE" and m.score.value >= SUSPICIOUS:
                found.append(
                    f"{m.name} scores {m.score.value:.3f}: nearly perfect. Does this modality contain the target?"
                )
        failed = [m.name for m in self.comparison.models if m.error]
        if failed:
            found.append(f"Failed: {', '.join(failed)}; the table says why.")
        return found


def compare_data(
    source: Source,
    *,
    settings: CompareSettings | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    told: Told | None = None,
) -> CompareResult:
    """Fit every method on every split; write tables, pictures and a page. The same call goes on where a stopped one ended.

    Args:
        source: The data; its `target` is what is predicted.
        settings: What is compared, and how.
        output: A folder for the results; without one nothing is kept.
        overwrite: Whether another comparison in that folder may be replaced.
        told: Called after each fit.

    Raises:
        ConfigError: a target, method, column or output that will not do.
        DataError: data that cannot be read.
        KeyboardInterrupt: after what is done so far has been written.
    """
    plan = settings or CompareSettings()
    _check(plan)
    plan = _quick(plan) if plan.quick else plan
    if output is not None and not (Path(output) / RUNS_FILE).exists():
        check_output(output, overwrite=overwrite, ours=RUNS_FILE, parts=PARTS, inputs=(source.path,))
    material = read_material(source, plan.division, task=plan.task)
    return compare_material(material, settings=plan, output=output, overwrite=overwrite, told=told)


def compare_material(
    material: Material,
    *,
    settings: CompareSettings,
    output: str | Path | None = None,
    overwrite: bool = False,
    told: Told | None = None,
) -> CompareResult:
    """`compare_data` on data that have been read and divided."""
    begin, plan = time.perf_counter(), settings
    folder = None if output is None else Path(output)
    lineup = choose_models(
        material.data, material.task, methods=plan.methods, quick=plan.quick, raw=plan.raw, epochs=plan.epochs
    )
    strategies = _strategies(material, plan)
    kept = _open(folder, plan, material, lineup, overwrite=overwrite)
    work = _Work(material, lineup, strategies, plan, kept, told)
    work.resumed = len(kept.runs)
    try:
        work.run()
    except KeyboardInterrupt:
        if work.main:
            _write(work.result(begin, complete=False), folder)
        raise
    return _write(work.result(begin, complete=True), folder)


def _check(plan: CompareSettings) -> None:
    """Levels and rates are refused before anything is read or fitted."""
    levels = list(plan.noise)
    if levels and (levels[0] != 0 or len(levels) < 2 or sorted(set(levels)) != levels):
        raise ConfigError(f"Levels of noise rise from 0, such as 0,0.5,1,2, or there are none; got {levels}.")
    if plan.missing:
        check_rates(plan.missing)


def _quick(plan: CompareSettings) -> CompareSettings:
    division = plan.division
    limit = QUICK_ROWS if division.limit is None else division.limit
    smaller = Division(**{**vars(division), "n": min(division.n, QUICK_SPLITS), "limit": limit})
    return CompareSettings(**{**vars(plan), "division": smaller})


def _strategies(material: Material, plan: CompareSettings) -> dict[str, Any]:
    if not plan.missing:
        return {}
    epochs = plan.epochs or (QUICK_EPOCHS if plan.quick else EPOCHS)
    return missing_strategies(material.data.names, material.task, epochs=epochs)


def _open(
    folder: Path | None, plan: CompareSettings, material: Material, lineup: Lineup, *, overwrite: bool
) -> KeptRuns:
    """The file of runs: gone on with where it is of this comparison, refused or replaced where it is of another."""
    values = [np.concatenate([s.train, s.test, [s.seed]]) for s in material.splits]
    mark = fingerprint(
        material.stamp, repr(material.data), material.data.ids.astype(str), material.y.astype(str), *values,
        sorted(lineup.models.items(), key=lambda item: item[0]), plan.missing, plan.noise, plan.epochs, plan.quick, plan.raw,
    )  # fmt: skip
    if folder is None:
        return KeptRuns(None, mark)
    if (folder / RUNS_FILE).exists():
        try:
            return KeptRuns(folder, mark)
        except ConfigError:
            if not overwrite:
                raise
        check_output(folder, overwrite=True, ours=RUNS_FILE, parts=PARTS)
        for name in PARTS:
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return KeptRuns(folder, mark)


class _Work:
    """The fits of one comparison, those of before and those to do."""

    def __init__(
        self,
        material: Material,
        lineup: Lineup,
        strategies: dict[str, Any],
        plan: CompareSettings,
        kept: KeptRuns,
        told: Told | None,
    ) -> None:
        self.material, self.lineup, self.strategies, self.plan = material, lineup, strategies, plan
        self.kept, self.told, self.resumed = kept, told, 0
        self.main = [run for run in kept.runs if run.model in lineup.models]
        self.hidden = [_parted(run) for run in kept.runs if run.model not in lineup.models]
        self.total = len(material.splits) * (len(lineup.models) + len(plan.missing) * len(strategies))

    def run(self) -> None:
        """Do what is not done yet."""
        from polymodal.encoders.vectorize import Vectorize

        if any("training" in getattr(model, "get_params", dict)() for model in self.lineup.models.values()):
            _warm_up()
        m, prepare = self.material, None if self.plan.raw else Vectorize(random_state=0)
        done = {(run.model, run.split) for run in self.main}
        observe = self._curves if self.plan.noise and m.y.ndim == 1 else None
        for run in run_models(
            self.lineup.models,
            m.data,
            m.y,
            m.splits,
            task=m.task,
            prepare=prepare,
            done=done,
            observe=observe,
        ):
            self.main.append(run)
            self._keep(run, run)
        if self.strategies:
            there: dict[float, set[tuple[str, int]]] = {}
            for rate, run in self.hidden:
                there.setdefault(rate, set()).add((run.model, run.split))
            for rate, run in run_missing(
                m.data, m.y, m.splits, rates=self.plan.missing, task=m.task, strategies=self.strategies,
                prepare=Vectorize(random_state=0), done=there,
            ):  # fmt: skip
                self.hidden.append((rate, run))
                self._keep(run, Run(**{**vars(run), "model": f"{run.model}@{rate}"}))

    def _keep(self, run: Run, named: Run) -> None:
        self.kept.add(named)
        if self.told is not None:
            self.told(named, len(self.main) + len(self.hidden), self.total)

    def _curves(self, name: str, split: Split, fitted: Any, test: Modalities, y: np.ndarray) -> Any:
        """How the score falls under noise and absence: on the first split, on rows that have everything."""
        if split is not self.material.splits[0]:
            return None
        whole = np.flatnonzero(np.logical_and.reduce(list(test.present.values())))[:CURVE_ROWS]
        try:
            found = robustness_curves(
                fitted,
                test[whole],
                y[whole],
                noise=self.plan.noise,
                absence=ABSENCE,
                n_draws=2,
                scorer=self._scorer(),
            )
        except (
            PolymodalError,
            ValueError,
            RuntimeError,
        ) as error:  # a method may refuse rows without a modality
            return {"refused": str(error).splitlines()[0]}
        return {
            "scorer": found.scorer,
            "baseline": found.baseline,
            "noise": {modality: _plain(curve) for modality, curve in found.noise.items()},
            "absence": {modality: _plain(curve) for modality, curve in found.absence.items()},
        }

    def _scorer(self) -> Any:
        return "r2" if self.material.task == "regression" else "accuracy"

    def result(self, begin: float, *, complete: bool) -> CompareResult:
        """What can be said of the runs so far."""
        m = self.material
        truth, over = Truth.of(m.y, m.task), self.plan.intervals
        return CompareResult(
            comparison=summarise_runs(
                self.main, truth, m.splits, references=self.lineup.references, groups=m.groups, over=over
            ),
            curves={run.model: run.observed for run in self.main if run.observed},
            missing=summarise_missing(self.hidden, truth, m.splits, m.groups, over=over)
            if self.hidden
            else None,
            target=m.target,
            modalities={name: column.kind for name, column in m.data.items()},
            notes=(*m.notes, *self.lineup.notes),
            complete=complete,
            resumed=self.resumed,
            seconds=time.perf_counter() - begin,
        )


def _warm_up() -> None:
    """Load what training needs, so that the first method that is trained is not charged for it."""
    from polymodal.fusion import AdditiveFusion
    from polymodal.training.options import Training

    few = Training(max_epochs=1, progress=False)
    AdditiveFusion(training=few, random_state=0).fit({"a": np.eye(4), "b": np.eye(4)}, [0, 1, 0, 1])


def _parted(run: Run) -> tuple[float, Run]:
    name, _, rate = run.model.rpartition("@")
    return float(rate), Run(**{**vars(run), "model": name})


def _plain(curve: Curve) -> dict[str, Sequence[float]]:
    return {
        "levels": list(curve.levels),
        "scores": [s.value for s in curve.scores],
        "low": [s.low for s in curve.scores],
        "high": [s.high for s in curve.scores],
    }


def _write(result: CompareResult, folder: Path | None) -> CompareResult:
    if folder is None:
        return result
    from polymodal.commands.comparing_output import write_comparison

    return write_comparison(result, folder)
