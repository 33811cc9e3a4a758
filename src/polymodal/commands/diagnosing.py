"""`diagnose DATA --target y`: what each modality says of a target, alone and together, with intervals, and what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from polymodal.commands.diagnosis_answers import Answers, cross_fit
from polymodal.commands.diagnosis_information import (
    Told,
    correlated,
    decomposed,
    entropy_bits,
    told_of,
    vectors_of,
)
from polymodal.commands.diagnosis_interactions import ladder, products, responses
from polymodal.commands.diagnosis_limits import cannot_tell
from polymodal.commands.diagnosis_pairs import Pair, judge
from polymodal.commands.diagnosis_recommendation import Recommendation, recommend
from polymodal.commands.diagnosis_robustness import Use, use_of
from polymodal.commands.diagnosis_scores import Scores, gain, score_models
from polymodal.commands.diagnosis_understanding import Question, Task, Understanding, understand
from polymodal.commands.sources import Source, check_output
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float
from polymodal.datasets.dataset import Dataset

MOST_PAIRS = 15


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Args:
        rows: More rows are sampled.
        steps: Of training, for each network and fold.
        permutations: Of each test.
        resamples: Of the intervals of the decomposition.
        folds: Every model is fitted so many times.
    """

    rows: int = 3000
    steps: int = 600
    permutations: int = 199
    resamples: int = 60
    folds: int = 5

    def __post_init__(self) -> None:
        least = {"rows": 2, "steps": 1, "permutations": 19, "resamples": 2, "folds": 2}
        wrong = [
            f"{name} of at least {n}, got {getattr(self, name)}"
            for name, n in least.items()
            if getattr(self, name) < n
        ]
        if wrong:
            raise ConfigError(f"A diagnosis needs {'; '.join(wrong)}.")


@dataclass(frozen=True)
class Diagnosis:
    """What modalities say of a target.

    Args:
        name: Of the data.
        understanding: What was understood and left out.
        scores: Each modality alone, fusions, and what surely differs.
        told: How much each modality says, in bits.
        entropy: Of the target, in bits: the most that can be told.
        pairs: Every two modalities.
        use: What fitted fusions use, and what is left under noise and absence; None where too few rows were left.
        recommendation: What to do, and why.
        cannot_tell: What these data do not answer.
        seconds: Wall time.
        output: The report, or None.
    """

    name: str
    understanding: Understanding
    scores: Scores
    told: tuple[Told, ...]
    entropy: float
    pairs: tuple[Pair, ...]
    use: Use | None
    recommendation: Recommendation
    cannot_tell: tuple[str, ...]
    seconds: float
    output: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def diagnose_data(
    source: Source,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    group: str | None = None,
    task: Task = "auto",
    effort: Effort | None = None,
    random_state: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Diagnosis:
    """Diagnose data on disk, and write the report where `output` says.

    Args:
        source: The data, with `target`.
        output: An HTML file; None writes none.
        overwrite: Whether a file there may be replaced.
        group: Metadata column; rows of one value are held out together.
        task: What the target holds.
        effort: How much is computed.
        random_state: Seed of everything.
        say: Called before each part.

    Raises:
        ConfigError: no target, a target of one value, an output that exists.
        DataError: data that cannot be read.
        ModalityError: no rows with every modality, or only constant modalities.
        StoreError: the report cannot be written.
    """
    from dataclasses import replace

    if source.target is None:
        raise ConfigError("A diagnosis needs the column of the target: --target COLUMN.")
    place = (
        None if output is None else check_output(output, overwrite=overwrite, ours="", inputs=[source.path])
    )
    say("reading the data")
    found = diagnose(
        source.read(),
        source.target,
        group=group,
        task=task,
        effort=effort,
        random_state=random_state,
        say=say,
    )
    found = replace(found, name=Path(source.path).name)
    if place is None:
        return found
    from polymodal.commands.diagnosis_report import report_of

    say("drawing the report")
    found = replace(found, output=str(place))
    report_of(found).write(place)
    return found


def diagnose(
    dataset: Dataset,
    target: str,
    *,
    group: str | None = None,
    task: Task = "auto",
    effort: Effort | None = None,
    random_state: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Diagnosis:
    """The same for data in memory. Arguments as for `diagnose_data`.

    Relations:
        * modalities in another order: the same answer
        * modalities independent of the target: nothing is found, but for the share of errors that 95 % intervals allow

    Complexity:
        Each model is fitted once a fold; the decomposition, the permutation tests and the additive projection look at samples of at
        most 1,200, 1,000 and 120 rows. About two minutes on 3,000 rows of two modalities on one core.
    """
    effort = effort or Effort()
    start = time.perf_counter()
    say("understanding the data")
    question, facts = understand(
        dataset,
        target,
        task=task,
        group=group,
        max_rows=effort.rows,
        n_folds=effort.folds,
        random_state=random_state,
    )
    answers = cross_fit(question, say=say, steps=effort.steps, random_state=random_state)
    scores = score_models(answers, random_state)
    vectors = vectors_of(question, random_state)
    chosen = _pairs(scores)
    pairs = []
    for number, (a, b) in enumerate(chosen):
        say(f"{a} and {b}: information, interaction, correlation (pair {number + 1} of {len(chosen)})")
        pairs.append(_pair(answers, facts, vectors, (a, b), len(chosen), effort, random_state))
    say("noise and absence, and what the fusion uses")
    use = use_of(answers, scores, random_state=random_state) if chosen else None
    return Diagnosis(
        name=dataset.name,
        understanding=facts,
        scores=scores,
        told=tuple(told_of(answers, name, random_state) for name in question.names),
        entropy=entropy_bits(question),
        pairs=tuple(pairs),
        use=use,
        recommendation=recommend(facts, answers, scores, pairs),
        cannot_tell=cannot_tell(facts, scores, pairs, use, group is not None),
        seconds=round(time.perf_counter() - start, 1),
    )


def _pairs(scores: Scores) -> list[tuple[str, str]]:
    """All pairs; of more than six modalities those of the six that say most."""
    names = [s.modalities[0] for s in scores.alone]
    count = 2
    while count < len(names) and (count + 1) * count // 2 <= MOST_PAIRS:
        count += 1
    return list(combinations(sorted(names[:count]), 2))


def _pair(
    answers: Answers,
    facts: Understanding,
    vectors: Modalities,
    names: tuple[str, str],
    n_pairs: int,
    effort: Effort,
    random_state: int,
) -> Pair:
    a, b = names
    question: Question = answers.question
    single = max((f"{name} alone" for name in names), key=lambda m: _mean(answers.values[m]))
    models = answers.pair_models(a, b)
    joint = max(models, key=lambda m: _mean(answers.values[m]))
    gained = gain(answers, joint, single, len(models) * n_pairs, random_state)
    fewer = max(20, effort.resamples // max(1, n_pairs // 3))
    parts = decomposed(
        question, vectors, a, b, n_resamples=min(fewer, effort.resamples), random_state=random_state
    )
    multiplied = products(
        answers, vectors, a, b, n_permutations=effort.permutations, random_state=random_state
    )
    labels, agreed, sentence = judge(facts, question, parts, gained, multiplied, names, n_pairs)
    return Pair(
        names, labels, agreed, sentence, gained, parts,
        ladder(answers, a, b), multiplied, responses(answers, a, b, joint, random_state=random_state),
        correlated(question, vectors, a, b, n_permutations=effort.permutations, random_state=random_state),
    )  # fmt: skip


def _mean(values: Float[Any, " n"]) -> float:
    return float(values.mean())
