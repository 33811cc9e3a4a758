"""What to do about missing modalities: strategies compared on the same hidden cells, in training and in testing. Leak-free.

Cells are hidden before anything is learned: no vectorizer, encoder or model sees a value that is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.commands.comparing_models import EPOCHS, SINGLE, Restricted
from polymodal.core.errors import ConfigError
from polymodal.core.estimator import check_target
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.task import KnownTask, Task, resolve_task
from polymodal.datasets.synthetic import drop_modalities
from polymodal.evaluation.answers import Truth
from polymodal.evaluation.model_comparison import ModelComparison, summarise_runs
from polymodal.evaluation.model_runs import Run, run_models
from polymodal.evaluation.score_samples import Over
from polymodal.evaluation.splits import Split, honest_splits, row_groups
from polymodal.fusion import AdditiveFusion, EarlyFusion, GatedFusion, LateFusion

RATES = (0.0, 0.2, 0.5)


@dataclass(frozen=True)
class MissingComparison:
    """Strategies against the share of cells that are missing.

    Args:
        rates: Probability that a cell is hidden, in training and in testing alike; every row keeps one modality at least.
        comparisons: One for each rate: strategies on the same rows and the same hidden cells.
    """

    rates: tuple[float, ...]
    comparisons: tuple[ModelComparison, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows: a strategy with its score at each rate, best at the last rate first."""
        last = self.comparisons[-1]
        heads = ["strategy", *(f"{rate:.0%} missing" for rate in self.rates)]
        rows = []
        for result in last.models:
            found = [next((m for m in c.models if m.name == result.name), None) for c in self.comparisons]
            rows.append(
                [
                    result.name,
                    *("" if m is None else "failed" if not m.n_splits else str(m.score) for m in found),
                ]
            )
        return heads, rows

    def to_markdown(self) -> str:
        """The table, and what may be said."""
        heads, rows = self.table()
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join(lines) + "\n\n" + "\n".join(self.sentences()) + "\n"

    def sentences(self) -> list[str]:
        """Where the figures come from, and who beats plain filling by the mean."""
        found = [
            f"{self.comparisons[0].metric}; cells are hidden at random in training and in testing, before anything is learned, and each "
            "row keeps one modality at least.",
            self.comparisons[0].interval,
        ]
        for rate, comparison in zip(self.rates, self.comparisons, strict=True):
            if rate:
                found.append(f"At {rate:.0%}: " + " ".join(comparison.sentences()[1:]))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"rates": list(self.rates), "comparisons": [c.to_dict() for c in self.comparisons]}

    def __str__(self) -> str:
        return self.to_markdown()


FILLED = "filled with the mean"


def missing_strategies(names: Sequence[str], task: KnownTask, *, epochs: int = EPOCHS) -> dict[str, Any]:
    """Name -> model: each modality alone, what is there, filled in, trained with dropout, complete rows only."""
    from polymodal.training.options import Training

    training = Training(max_epochs=epochs, batch_size=64, progress=False)
    return {
        **{f"only {name}": Restricted(LateFusion(task=task), only=(name,), task=task) for name in names},
        "complete rows only": Restricted(EarlyFusion(task=task), task=task),
        FILLED: EarlyFusion(task=task),
        "filled from nearest rows": EarlyFusion(missing="nearest", task=task),
        "filled by regression": EarlyFusion(missing="regression", task=task),
        "a model for each pattern": EarlyFusion(missing="patterns", task=task),
        "what is there: mean": LateFusion(task=task),
        "what is there: product of experts": LateFusion("product", task=task),
        "what is there: stacking": LateFusion("stacking", task=task),
        "modality dropout: additive": AdditiveFusion(training=training, task=task),
        "modality dropout: gated": GatedFusion(training=training, task=task),
    }


def hidden_copies(
    data: Modalities, rates: Sequence[float], random_state: RandomState = 0
) -> dict[float, Modalities]:
    """The data with cells hidden at each rate. What is hidden at one rate differs from rate to rate.

    Raises:
        ConfigError: rates that are not in [0, 1) or do not rise.
    """
    check_rates(rates)
    return {float(rate): drop_modalities(data, float(rate), random_state=random_state) for rate in rates}


def check_rates(rates: Sequence[float]) -> None:
    """Refuse rates that are not in [0, 1) or do not rise."""
    values = [float(r) for r in rates]
    if not values or min(values) < 0 or max(values) >= 1 or sorted(set(values)) != values:
        raise ConfigError(
            f"Rates of missing cells rise, from 0 to less than 1, such as 0,0.2,0.5; got {values}."
        )


def run_missing(
    data: Modalities,
    y: np.ndarray,
    splits: Sequence[Split],
    *,
    rates: Sequence[float],
    task: KnownTask,
    strategies: Mapping[str, Any],
    prepare: Any = None,
    done: Mapping[float, set[tuple[str, int]]] | None = None,
) -> Iterator[tuple[float, Run]]:
    """Every strategy on every split, at each rate."""
    for rate, hidden in hidden_copies(data, rates, splits[0].seed).items():
        left = (done or {}).get(rate, set())
        for run in run_models(strategies, hidden, y, splits, task=task, prepare=prepare, done=left):
            yield rate, run


def summarise_missing(
    runs: Sequence[tuple[float, Run]],
    truth: Truth,
    splits: Sequence[Split],
    groups: np.ndarray,
    *,
    over: Over = "splits",
) -> MissingComparison:
    """Runs at several rates as one table; `over` as in `summarise_runs`."""
    rates = sorted({rate for rate, _ in runs})
    singles = sorted({run.model for _, run in runs if run.model.startswith("only ")})
    references = {SINGLE: singles, "mean filled in": [FILLED]}
    found = [
        summarise_runs(
            [run for at, run in runs if at == rate],
            truth,
            splits,
            references=references,
            groups=groups,
            over=over,
        )
        for rate in rates
    ]
    return MissingComparison(tuple(rates), tuple(found))


def compare_missing_strategies(
    data: Modalities | Mapping[str, Any],
    y: Any,
    *,
    rates: Sequence[float] = RATES,
    splits: int | Sequence[Split] = 5,
    groups: Any = None,
    task: Task = "auto",
    strategies: Mapping[str, Any] | None = None,
    random_state: RandomState = 0,
) -> MissingComparison:
    """Hide cells in training and testing, and compare what can be done about it, in one table.

    Args:
        data: Two modalities or more; rows may lack some already.
        y: The target.
        rates: Probability that a cell is hidden; rising, less than 1.
        splits: How many random divisions, or divisions given; the same at every rate.
        groups: One label per row; rows of one label stay together.
        task: What y holds.
        strategies: Name -> model; those of `missing_strategies` by default.
        random_state: Seed.

    Raises:
        ConfigError: rates out of range.
        ModalityError: data that cannot be divided or compared.

    Relations:
        * values of hidden cells change nothing, whatever they are
    """
    from polymodal.encoders.vectorize import Vectorize

    frame, target = Modalities.of(data), check_target(y)
    known = resolve_task(target, task)
    labels = row_groups(frame, groups)
    chosen = (
        honest_splits(frame, target, n_splits=splits, groups=labels, task=known, random_state=random_state)
        if isinstance(splits, int)
        else tuple(splits)
    )
    models = missing_strategies(frame.names, known) if strategies is None else strategies
    runs = list(
        run_missing(
            frame,
            target,
            chosen,
            rates=rates,
            task=known,
            strategies=models,
            prepare=Vectorize(random_state=0),
        )
    )
    return summarise_missing(runs, Truth.of(target, known), chosen, labels)
