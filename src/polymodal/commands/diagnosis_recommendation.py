"""What follows from the intervals: what to use, how, and why. The rules are written in the guide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polymodal.commands.diagnosis_answers import Answers
from polymodal.commands.diagnosis_limits import WORTH, rows_needed
from polymodal.commands.diagnosis_pairs import Pair
from polymodal.commands.diagnosis_scores import Gain, ModelScore, Scores, gain
from polymodal.commands.diagnosis_understanding import Understanding
from polymodal.commands.diagnosis_words import listed, show, signed

FEWEST_UNITS = 30


@dataclass(frozen=True)
class Recommendation:
    """What to do.

    Args:
        verdict: too few rows, look for a leak, nothing found, one modality, or fuse.
        use: The modalities to use; empty where nothing is recommended.
        model: How; None where nothing is recommended.
        sentence: In one sentence.
        reasons: Why, with the numbers that decided.
        warnings: What to look at first.
        rows_needed: About how many rows (or units) would show a gain of 0.05 four times out of five.
    """

    verdict: str
    use: tuple[str, ...]
    model: str | None
    sentence: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    rows_needed: int


def recommend(
    facts: Understanding, answers: Answers, scores: Scores, pairs: Sequence[Pair]
) -> Recommendation:
    """The first rule that applies: too few rows, a leak, nothing found, a fusion that surely gains, else one modality."""
    warnings = _warnings(facts, scores)
    needed = rows_needed(answers, scores)
    fewest = min(facts.classes.values(), default=facts.used)
    if facts.units < FEWEST_UNITS or fewest < 5:
        what = (
            f"{facts.units} independent rows"
            if facts.units < FEWEST_UNITS
            else f"{fewest} rows of the rarest class"
        )
        return Recommendation(
            "too few rows", (), None,
            f"No conclusion: {what} are too few. About {needed:,} would show a gain of {WORTH} in {scores.metric} four times out of five.",
            (f"At least {FEWEST_UNITS} independent rows and 5 of each class are asked for before anything is concluded.",),
            warnings, needed,
        )  # fmt: skip
    leaks = _leaks(facts, answers, scores)
    if leaks:
        otherwise = _conclude(facts, answers, scores, pairs, warnings, needed)
        return Recommendation(
            "look for a leak", (), None,
            f"Look at {listed(tuple(leaks))} before anything else: it may hold the answer.",
            (*leaks.values(), f"If it may be known when the answer is not: {otherwise.sentence}", *otherwise.reasons), warnings, needed,
        )  # fmt: skip
    return _conclude(facts, answers, scores, pairs, warnings, needed)


def _conclude(
    facts: Understanding,
    answers: Answers,
    scores: Scores,
    pairs: Sequence[Pair],
    warnings: tuple[str, ...],
    needed: int,
) -> Recommendation:
    gained = [g for g in scores.gains if g.found and _score(scores.fusions, g.model).found]
    if gained:
        return _fuse(facts, answers, scores, pairs, gained, warnings, needed)
    if not any(s.found for s in scores.alone):
        best = max((*scores.alone, *scores.fusions), key=lambda s: s.above_chance.high)
        return Recommendation(
            "nothing found", (), None,
            f"Nothing was found: no modality is surely better than chance ({scores.metric} {scores.chance:.3f}), and no fusion than the "
            "best one.",
            (
                f"The widest interval is that of {best.name}: {signed(best.above_chance)} over chance.",
                "That nothing was found does not show that nothing is there: better encoders or more rows may find it.",
            ), warnings, needed,
        )  # fmt: skip
    return _single(facts, answers, scores, warnings, needed)


def _fuse(
    facts: Understanding,
    answers: Answers,
    scores: Scores,
    pairs: Sequence[Pair],
    gained: list[Gain],
    warnings: tuple[str, ...],
    needed: int,
) -> Recommendation:
    best = max(gained, key=lambda g: g.difference.value).model
    chosen = next(
        g for g in gained if g.model == best or not gain(answers, best, g.model, len(scores.gains)).found
    )
    reasons = [
        f"{chosen.model} answers {signed(chosen.difference)} better than the best single modality ({scores.best.name}, "
        f"{show(scores.best.score)})."
    ]
    if chosen.model != best:
        extra = gain(answers, best, chosen.model, len(scores.gains)).difference
        reasons.append(
            f"{best} scores highest, but {chosen.model} is simpler and cannot be told from it ({signed(extra)})."
        )
    if scores.multiplying is not None:
        m = scores.multiplying
        reasons.append(
            f"Products across modalities help: the network with them answers {signed(m.difference)} better than the same network with sums."
            if m.found else
            f"No use of products across modalities is sure ({signed(m.difference)} over the same network with sums)."
        )  # fmt: skip
    for pair in pairs:
        if len(pairs) <= 3 and pair.labels[0] not in ("nothing found", "undecided"):
            reasons.append(f"{pair.names[0]} and {pair.names[1]}: {', '.join(pair.labels)}.")
    idle = [g for g in scores.beyond if not g.found]
    reasons += [_beyond(g) for g in scores.beyond]
    sentence = f"Use {listed(_together(answers, chosen.model))}, fused by {_how(chosen.model)}."
    names = [g.over.split(" without ")[1] for g in idle]
    if len(names) == 1:
        sentence += f" {names[0]} adds nothing sure beyond the others and may be left out."
    elif names:
        sentence += (
            f" {listed(names)} add nothing sure, each beyond all the others: any one of them may be left out."
        )
    return Recommendation(
        "fuse", _together(answers, chosen.model), chosen.model, sentence, tuple(reasons), warnings, needed
    )


def _beyond(g: Gain) -> str:
    name = g.over.split(" without ")[1]
    if g.found:
        return f"{name} adds {signed(g.difference)} beyond all the others together."
    hidden = f"up to {max(g.sure.high, 0):.3f} may be hidden"
    return f"{name} adds nothing sure beyond all the others together ({signed(g.difference)}; {hidden})."


def _single(
    facts: Understanding, answers: Answers, scores: Scores, warnings: tuple[str, ...], needed: int
) -> Recommendation:
    best = scores.best
    reasons = [f"{best.name}: {scores.metric} {show(best.score)}, chance {scores.chance:.3f}."]
    if scores.gains:
        top = max(scores.gains, key=lambda g: g.difference.value)
        reasons.append(
            f"No fusion is surely better: the best one ({top.model}) answers {signed(top.difference)} better; a gain of up to "
            f"{max(top.sure.high, 3 / facts.units):.3f} may be hidden."
        )
    for other in scores.alone[1:]:
        difference = gain(answers, best.name, other.name, max(1, len(scores.alone) - 1))
        same = any(set(pair) == {best.modalities[0], other.modalities[0]} for pair in facts.identical)
        verdict = (
            "is surely weaker"
            if difference.found
            else "holds the same values"
            if same
            else "cannot be told from it"
        )
        reasons.append(f"{other.name} {verdict}: {best.name} answers {signed(difference.difference)} better.")
    return Recommendation(
        "one modality", best.modalities, best.name, f"Use {best.modalities[0]} alone: no fusion is surely better.",
        tuple(reasons), warnings, needed,
    )  # fmt: skip


def _leaks(facts: Understanding, answers: Answers, scores: Scores) -> dict[str, str]:
    """Modality -> why it may hold the answer."""
    found = {}
    for score in scores.alone:
        name = score.modalities[0]
        if name in facts.answers:
            found[name] = f"{facts.answers[name].capitalize()} of {name} equals the target."
        elif facts.task == "regression":
            if score.score.low > 0.999:
                found[name] = (
                    f"{name} alone gives the target almost exactly (R2 {show(score.score)}) on rows it was not fitted on."
                )
        elif (answers.predicted[score.name] == answers.question.y).all():
            found[name] = f"{name} alone makes no mistake on any of {facts.used:,} rows it was not fitted on."
    return found


def _warnings(facts: Understanding, scores: Scores) -> tuple[str, ...]:
    found = [f"{a} and {b} hold the same values." for a, b in facts.identical]
    if facts.duplicates:
        found.append(
            f"{facts.duplicates:,} rows repeat an earlier row in every modality"
            + (
                f", {facts.conflicts:,} of them with another target."
                if facts.conflicts
                else " (they are held out together)."
            )
        )
    if scores.metric == "accuracy" and scores.chance > 0.8:
        found.append(
            f"{scores.chance:.0%} of the rows are of one class: accuracy says little about the rare ones."
        )
    return tuple(found)


def _score(scores: Sequence[ModelScore], name: str) -> ModelScore:
    return next(s for s in scores if s.name == name)


def _together(answers: Answers, model: str) -> tuple[str, ...]:
    return answers.modalities[model]


def _how(model: str) -> str:
    return {
        "late mean": "the mean of what their own models say (LateFusion)",
        "late product": "the product of what their own models say (LateFusion)",
        "stacking": "a second model on what their own models say (LateFusion, stacking)",
        "concatenation": "one model on all of them side by side (EarlyFusion)",
        "sums": "a network that adds up what it makes of each (AdditiveFusion)",
        "products": "a network that multiplies what it makes of each (LowRankFusion)",
    }.get(model, model)
