"""A diagnosis as one HTML page: what to do first, then everything it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polymodal.commands.diagnosis_pictures import draw_correlations, draw_harm, draw_parts, draw_scores
from polymodal.commands.diagnosis_scores import Gain
from polymodal.commands.diagnosis_words import p_text, show, signed
from polymodal.commands.report import Report

if TYPE_CHECKING:
    from polymodal.commands.diagnosing import Diagnosis

PART_COLUMNS = (
    "modalities",
    "estimator",
    "redundant",
    "unique to the first",
    "unique to the second",
    "synergy",
    "total",
)


def report_of(found: Diagnosis) -> Report:
    """The page."""
    facts = found.understanding
    page = Report(
        f"What tells {facts.target}?",
        f"{found.name}: {len(facts.modalities)} modalities, {facts.used:,} of {facts.rows:,} rows. Intervals are of 95 % unless said "
        "otherwise; every model answered rows it was not fitted on.",
    )
    _recommended(page, found)
    _understood(page, found)
    _scored(page, found)
    _pairs(page, found)
    _informed(page, found)
    _used(page, found)
    page.heading("What these data cannot tell")
    page.list(found.cannot_tell)
    _method(page, found)
    return page


def _recommended(page: Report, found: Diagnosis) -> None:
    advice = found.recommendation
    page.heading("Recommendation")
    page.paragraph(advice.sentence, strong=True)
    page.list(advice.reasons)
    if advice.warnings:
        page.paragraph("Look at this first:")
        page.list(advice.warnings)


def _understood(page: Report, found: Diagnosis) -> None:
    facts = found.understanding
    page.heading("What was understood")
    rows = []
    for m in facts.modalities:
        state = "constant, left out" if m.name in facts.constant else "used"
        rows.append(
            (m.name, m.kind, " x ".join(map(str, m.shape)) or "-", f"{m.missing:,}", f"{m.distinct:,}", state)
        )
    page.table(("modality", "kind", "shape", "missing rows", "different values", ""), rows)
    if facts.classes:
        counts = sorted(facts.classes.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name}: {count:,}" for name, count in counts)
        page.paragraph(f"The target {facts.target} is a class: {shown}.")
    else:
        page.paragraph(f"The target {facts.target} is a quantity.")
    page.list(facts.notes)


def _scored(page: Report, found: Diagnosis) -> None:
    scores = found.scores
    page.heading("Each modality alone, and simple fusions")
    page.figure(
        draw_scores(scores), f"{scores.metric} with 95 % intervals; blue: one modality, green: all together."
    )
    rows = [
        (
            s.name, " + ".join(s.modalities) if len(s.modalities) < 4 else f"all {len(s.modalities)}", show(s.score),
            signed(s.above_chance), *([] if s.accuracy is None else [show(s.accuracy)]), f"{s.seconds:.1f}",
        )
        for s in (*scores.alone, *scores.fusions)
    ]  # fmt: skip
    beside = ("accuracy",) if scores.metric == "AUC" else ()
    page.table(("model", "given", scores.metric, "over chance", *beside, "cpu-seconds"), rows)
    if scores.gains:
        page.paragraph(
            f"Gains over the best single modality ({scores.best.name}), on the same rows. A gain counts as found where the wider interval, "
            "which allows for folds that share training rows, lies above 0."
        )
        page.table(
            ("fusion", "gain [95 %]", "interval of a finding", "found"),
            [_gain_row(g, g.model) for g in scores.gains],
        )
    if scores.multiplying is not None:
        page.paragraph(
            f"Products across modalities: the network that multiplies answers {signed(scores.multiplying.difference)} better than the same "
            "network that only adds."
        )
    if scores.beyond:
        page.paragraph("Each modality against all the others together: what is lost without it.")
        rows_beyond = [_gain_row(g, g.over.split(" without ")[1]) for g in scores.beyond]
        page.table(("modality", "adds [95 %]", "interval of a finding", "found"), rows_beyond)


def _pairs(page: Report, found: Diagnosis) -> None:
    if not found.pairs:
        return
    page.heading("Pairs: redundant, unique, synergistic")
    agreed = {True: "yes", False: "no", None: "-"}
    page.table(
        ("pair", "found", "estimators agree", "together over the better one"),
        [
            (" + ".join(p.names), ", ".join(p.labels), agreed[p.agreed], signed(p.gain.difference))
            for p in found.pairs
        ],
    )
    for pair in found.pairs[:6]:
        page.paragraph(f"{pair.names[0]} and {pair.names[1]}: {pair.sentence}")
    if any(pair.parts for pair in found.pairs):
        page.figure(
            draw_parts(found.pairs),
            "What two modalities say of the target: either of them (redundant), one alone (unique), only both together (synergy). Pale: "
            "the interval holds 0. Two estimators: predictions on rows left out, and clusters.",
        )
        page.table(
            PART_COLUMNS,
            [
                (" + ".join(p.names), parts.method, *(show(v) for _, v in parts.items()), show(parts.total))
                for p in found.pairs
                for parts in p.parts
            ],
        )
        page.paragraph(
            "Bits. Intervals are of the rows, with predictions or clusters kept. Synergy here does not need products: two independent "
            "hints "
            "at one class have some."
        )
    _interactions(page, found)


def _interactions(page: Report, found: Diagnosis) -> None:
    page.heading("Interaction (I1, I2)")
    page.paragraph(
        "First on one number a modality, what its own model says of rows it was not fitted on (log odds of one class, or the predicted "
        "quantity); then on a few columns of each modality and all their products, by permutation."
    )
    rows = []
    for pair in found.pairs:
        steps = " / ".join(f"{r2:.3f}" for r2 in pair.ladder.rungs.values()) or "-"
        held = " / ".join(f"{r2:.3f}" for r2 in pair.products.held_out_r2) if pair.products.fitted else "-"
        rows.append(
            (
                " + ".join(pair.names),
                steps,
                p_text(pair.ladder.adding),
                p_text(pair.ladder.product),
                held,
                p_text(pair.products.product),
            )
        )
    page.table(
        (
            "pair",
            "R2 of a / a+b / a*b",
            "p of b",
            "p of the product",
            "held-out R2 of A / A+B / A*B",
            "p of products of columns",
        ),
        rows,
    )
    for pair in found.pairs[:3]:
        page.paragraph(
            f"{pair.ladder.response[:1].upper()}{pair.ladder.response[1:]}: {pair.ladder.sentence}"
        )
    shown = [pair for pair in found.pairs if pair.responses][:3]
    for pair in shown:
        a, b = pair.names
        page.paragraph(
            f"I2, responses: what the models of {a}, of {b} and of both ({pair.gain.model}) answer to rows of one class. Shares are "
            "those of "
            "the right answer."
        )
        page.table(
            ("class", a, b, "both", "kind of response"),
            [(r.answer, *(f"{r.right[k]:.2f}" for k in (a, b, "both")), r.label) for r in pair.responses],
        )


def _informed(page: Report, found: Diagnosis) -> None:
    page.heading("Information and correlation (I3)")
    page.paragraph(f"The target holds {found.entropy:.3f} bits; the modalities tell of them:")
    page.table(
        ("modality", "at least (held-out predictions)", "by neighbours of its one-number summary"),
        [(t.modality, show(t.told), show(t.neighbours)) for t in found.told],
    )
    shown = [p for p in found.pairs if p.correlation is not None]
    if not shown:
        return
    page.figure(
        draw_correlations(shown),
        "The fitted correlation of two modalities (blue) beside the same fit on rows paired at random (grey): many columns and few rows "
        "correlate by chance.",
    )
    rows = []
    for pair in shown:
        c = pair.correlation
        if c is None:
            continue
        ends = sorted(c.shuffled)
        rows.append(
            (
                " + ".join(pair.names), f"{c.fitted:.3f}", f"{ends[0]:.3f} to {ends[-1]:.3f}", f"{c.p:.3f}", f"{c.largest:.3f}",
                f"{c.held_out.value:.3f} [{c.held_out.low:.3f}, {c.held_out.high:.3f}]", f"{c.rows:,}",
            )
        )  # fmt: skip
    page.table(
        (
            "pair",
            "fitted (rms)",
            "rows paired at random",
            "p",
            "first correlation, fitted",
            "held out [folds]",
            "rows",
        ),
        rows,
    )


def _used(page: Report, found: Diagnosis) -> None:
    use = found.use
    if use is None:
        return
    page.heading("What the fusion uses (I5), and what it does without")
    page.paragraph(
        f"{use.model} on {use.rows:,} rows of the first fold; best constant answer {use.baseline:.3f}."
    )
    page.table(
        ("modality", f"share of {use.scorer} (Shapley)"), [(n, show(i)) for n, i in use.shares.items()]
    )
    if use.projection is not None:
        page.paragraph(f"Empirical additive projection of {use.projection.model}: {use.projection.sentence}")
    page.figure(
        draw_harm(use),
        "Noise is not absence: under noise the model is told something false, without the modality it is told nothing.",
    )


def _method(page: Report, found: Diagnosis) -> None:
    page.heading("How this was done")
    page.list(
        [
            f"{found.scores.folds} folds over {found.understanding.units:,} units that belong together; vectors (Vectorize, at most 100 "
            "numbers of "
            "a picture, text or sequence) learned inside each fold without the target.",
            "One modality: the mean of a linear model and a forest. Fusions: mean and product of these models, one such model on all "
            "columns "
            "side by side, a second model on the first ones' answers, and two small networks that add or multiply what they make of each.",
            "The decomposition looks at no more than 1,200 rows (quantities cut into four classes), products of columns at 1,000, "
            "correlation at "
            "800 with one row of each unit, noise and absence at 400 of one fold, the additive projection at 120.",
            "A finding: the interval lies on one side of 0 after allowing for the number of comparisons of its kind (Bonferroni) and "
            "for folds "
            "that share training rows (wider by a half with five folds; Nadeau and Bengio 2003). An "
            "information "
            "counts from 2 % of the target's entropy.",
            f"{found.seconds:.0f} seconds.",
        ]
    )


def _gain_row(g: Gain, name: str) -> Sequence[str]:
    return (
        name,
        signed(g.difference),
        f"[{g.sure.low:+.3f}, {g.sure.high:+.3f}]",
        "yes" if g.found else "no",
    )
