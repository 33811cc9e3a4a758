"""Two modalities: what is redundant, unique to one, synergistic, and how sure that is. The rules are written in the guide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polymodal.commands.diagnosis_answers import metric_name
from polymodal.commands.diagnosis_information import FLOOR, Correlation, Parts, entropy_bits
from polymodal.commands.diagnosis_interactions import Ladder, Products, Response
from polymodal.commands.diagnosis_scores import Gain
from polymodal.commands.diagnosis_understanding import Question, Understanding
from polymodal.commands.diagnosis_words import p_text, show, signed
from polymodal.evaluation.intervals import Interval

LEVEL_OF_TESTS = 0.05


@dataclass(frozen=True)
class Pair:
    """Two modalities.

    Args:
        names: Which.
        labels: identical, redundant, unique NAME, synergistic; nothing found; or undecided. The largest part first.
        agreed: Whether both estimators put the largest part first; None where there was one estimator, or nothing to agree on.
        sentence: In words, with the numbers that decided.
        gain: The best joint model of the two over the better one alone.
        parts: The decomposition by each estimator.
        ladder: I1 on one number a modality.
        products: I1 on columns and their products.
        responses: I2; empty for quantities.
        correlation: Of the modalities, beside chance; None where there are too few rows.
    """

    names: tuple[str, str]
    labels: tuple[str, ...]
    agreed: bool | None
    sentence: str
    gain: Gain
    parts: tuple[Parts, ...]
    ladder: Ladder
    products: Products
    responses: tuple[Response, ...]
    correlation: Correlation | None


def judge(
    facts: Understanding,
    question: Question,
    parts: Sequence[Parts],
    joint: Gain,
    products: Products,
    names: tuple[str, str],
    n_pairs: int,
) -> tuple[tuple[str, ...], bool | None, str]:
    """Labels of a pair, whether the estimators agree, and a sentence."""
    a, b = names
    if names in facts.identical:
        return (
            ("identical", "redundant"),
            None,
            f"{a} and {b} hold the same values on every row: either can be left out.",
        )
    floor = FLOOR * entropy_bits(question)
    gained = f"Together they answer {signed(joint.difference)} better ({metric_name(question)}) than the better one alone"
    if not parts:
        word = "synergistic or complementary" if joint.found else "undecided"
        return (word,), None, f"The information could not be taken apart (too few rows of a class). {gained}."
    first = parts[0]
    found = _found(first, floor)
    multiplied = products.fitted and products.product < LEVEL_OF_TESTS / n_pairs
    if not found:
        if first.total.low > floor or joint.found:
            return (
                ("undecided",),
                None,
                f"Something is told of the target, but no part of it stands out of its interval. {gained}.",
            )
        return (
            ("nothing found",),
            None,
            (
                f"Nothing was found: together they tell {show(first.total)} bits, and no part is above {floor:.3f} bits with its interval."
            ),
        )
    largest = found[0]
    agreed = None
    if len(parts) > 1:
        others = _found(parts[1], floor)
        agreed = bool(others) and others[0][0] == largest[0]
    labels = tuple("synergistic" if name == "synergy" else name for name, _ in found)
    said = ", ".join(f"{name} {show(part)}" for name, part in found)
    sentence = f"Found, in bits: {said}."
    if agreed is not None:
        sentence += (
            " Both estimators put the same part first."
            if agreed
            else " The two estimators disagree on the largest part."
        )
    if any(name == "synergy" for name, _ in found):
        sentence += (
            f" Products of their columns are needed ({p_text(products.product)})." if multiplied
            else " Adding up what each says is enough for it, as far as can be seen: their products add nothing sure."
        )  # fmt: skip
    elif multiplied:
        sentence += f" Products of their columns add something, too ({p_text(products.product)})."
    return labels, agreed, f"{sentence} {gained}."


def _found(parts: Parts, floor: float) -> list[tuple[str, Interval]]:
    """Parts whose interval lies above the floor, the largest first; none where the total does not."""
    if parts.total.low <= floor:
        return []
    return sorted(((n, p) for n, p in parts.items() if p.low > floor), key=lambda item: -item[1].value)
