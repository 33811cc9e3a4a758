"""Words of sentences and of their translations, with links made by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from alignment_study.common import Keep, as_answer, diagonal, interval, named, rounded, shown

from polymodal import Training
from polymodal.alignment import (
    IBM1,
    IBM2,
    AttentionAligner,
    HMMWordAligner,
    Symmetrised,
    cycle_consistent,
    symmetrise,
)
from polymodal.alignment.answer import Alignment
from polymodal.evaluation.alignment import alignment_error_rate, cycle_error, match_scores

RULES = ("intersection", "grow-diag-final-and", "union")


@dataclass(frozen=True)
class Bitext:
    """Sentence pairs with their links; pairs beyond the links are only learned from."""

    a: list[list[str]]
    b: list[list[str]]
    gold: list[np.ndarray]

    def with_more(self, *others: Bitext) -> Bitext:
        return Bitext(
            self.a + [s for o in others for s in o.a], self.b + [s for o in others for s in o.b], self.gold
        )


def read_links(folder: Path, name: str) -> Bitext:
    rows = [
        json.loads(line)
        for part in ("train", "valid")
        for line in (folder / f"{name}.{part}.jsonl").read_text("utf-8").splitlines()
    ]
    gold = [np.asarray(r["alignment"], dtype=np.int64).reshape(-1, 2) for r in rows]
    return Bitext([r["src_words"] for r in rows], [r["tgt_words"] for r in rows], gold)


def read_captions(folder: Path, rows: int) -> Bitext:
    """English and French, cut into words as the links' sentences are: an elided article is a word of its own."""
    lines = [
        line.split("\t") for line in (folder / "train.tsv").read_text("utf-8").splitlines()[1 : rows + 1]
    ]
    cut = re.compile(r"\w+['’]|\w+|[^\w\s]")
    return Bitext([cut.findall(r[1]) for r in lines], [cut.findall(r[3]) for r in lines], [])


def word_models() -> dict[str, Any]:
    return {
        f"{name}{', smoothed' if smoothing else ''}": kind(8, smoothing=smoothing)
        for name, kind in (("IBM 1", IBM1), ("IBM 2", IBM2), ("HMM", HMMWordAligner))
        for smoothing in (0.0, 0.01)
    }


def counts_of(links: Sequence[np.ndarray], gold: Sequence[np.ndarray]) -> dict[str, Any]:
    """Per sentence: links that are right, found and true."""
    hits = []
    links, gold = ([np.unique(x, axis=0) for x in side] for side in (links, gold))
    for path, true in zip(links, gold, strict=True):
        scores = match_scores(path, true)
        assert abs(alignment_error_rate(path, true, true) - 1 + scores.f1) < 1e-9
        hits.append(round(scores.precision * len(path)) if len(path) and len(true) else 0)
    return {"hits": hits, "found": [len(p) for p in links], "true": [len(g) for g in gold]}


def both_ways(model: Any, text: Bitext, rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Links of the first sentences in both directions, both as (word of a, word of b)."""
    fitted = Symmetrised(model).fit(text.a, text.b)
    return [
        (fitted.forward_.align(x, y).path, fitted.backward_.align(y, x).path[:, ::-1])
        for x, y in zip(text.a[:rows], text.b[:rows], strict=True)
    ]


def read_texts(folder: Path) -> dict[str, Bitext]:
    links = folder / "word_alignment_gold"
    hansards, french = read_links(links / "en-fr", "hansards"), read_links(links / "en-fr", "fr_golden")
    captions = read_captions(folder / "multi30k_text", 6000)
    return {
        "hansards": hansards,
        "hansards + captions": hansards.with_more(captions),
        "en-fr": french,
        "en-fr + hansards + captions": french.with_more(hansards, captions),
        "en-es": read_links(links / "en-es", "es_golden"),
        "en-pt": read_links(links / "en-pt", "pt_golden"),
    }


def study_words(folder: Path, keep: Keep) -> None:
    """Links of every model and rule, attention's, the diagonal's; and rings of languages."""
    texts = read_texts(folder)
    for corpus, text in texts.items():
        n = len(text.gold)
        sizes = [(len(x), len(y)) for x, y in zip(text.a[:n], text.b[:n], strict=True)]
        keep(
            f"words/{corpus}/diagonal",
            lambda t=text, s=sizes: counts_of([diagonal(*size) for size in s], t.gold),
        )
        for name, model in word_models().items():

            def work(model: Any = model, text: Bitext = text) -> dict[str, Any]:
                directions = both_ways(model, text, len(text.gold))
                return {
                    rule: counts_of([symmetrise(f, b, rule) for f, b in directions], text.gold)
                    for rule in RULES
                }

            keep(f"words/{corpus}/{name}", work)
    for corpus in ("hansards", "hansards + captions"):
        keep(
            f"words/{corpus}/attention",
            lambda t=texts[corpus], c=corpus: attention_links(t, 8 if "+" in c else 40),
        )
    study_rings(texts, keep)


def attention_links(text: Bitext, epochs: int) -> dict[str, Any]:
    """A small sequence-to-sequence model's; it writes b, so each word of b has one link."""
    training = Training(max_epochs=epochs, batch_size=64, learning_rate=3e-3, progress=False, device="cpu")
    short = [i for i, (x, y) in enumerate(zip(text.a, text.b, strict=True)) if max(len(x), len(y)) <= 40][
        :3500
    ]
    model = AttentionAligner(64, training=training, random_state=0)
    model.fit([text.a[i] for i in short], [text.b[i] for i in short])
    links = [model.align(x, y).path for x, y in zip(text.a, text.b[: len(text.gold)], strict=False)]
    return counts_of(links, text.gold)


def study_rings(texts: dict[str, Bitext], keep: Keep) -> None:
    """English to French to Spanish to Portuguese to English: the English sentences are the same in all three sets."""
    names = "en-fr", "en-es", "en-pt"
    places = [{" ".join(s): i for i, s in enumerate(texts[n].a)} for n in names]
    common = sorted(set.intersection(*map(set, places)), key=lambda s: places[0][s])
    index = [[p[s] for s in common] for p in places]
    sides = {"en": [texts["en-fr"].a[i] for i in index[0]]}
    gold = {}
    for name, rows in zip(names, index, strict=True):
        sides[name[3:]] = [texts[name].b[i] for i in rows]
        gold[name[3:]] = [texts[name].gold[i] for i in rows]

    @cache
    def fitted(x: str, y: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return both_ways(HMMWordAligner(8, smoothing=0.01), Bitext(sides[x], sides[y], []), len(common))

    def learned(x: str, y: str, rule: str) -> list[Alignment]:
        return [
            as_answer(symmetrise(f, b, rule), a, c)
            for (f, b), a, c in zip(fitted(x, y), sides[x], sides[y], strict=True)
        ]

    def back_from(language: str, rule: str) -> list[Alignment]:
        return [one.inverse() for one in learned("en", language, rule)]

    for ring in (("fr",), ("fr", "es"), ("fr", "pt"), ("fr", "es", "pt")):
        for rule in RULES:

            def work(ring: tuple[str, ...] = ring, rule: str = rule) -> dict[str, Any]:
                steps = [learned("en", ring[0], rule)]
                steps += [learned(x, y, rule) for x, y in pairwise(ring)]
                if len(ring) == 1:  # there and back by the two directions of the same model
                    steps = [
                        [
                            as_answer(f, a, b)
                            for (f, _), a, b in zip(fitted("en", "fr"), sides["en"], sides["fr"], strict=True)
                        ]
                    ]
                    steps.append(
                        [
                            as_answer(b, a, c).inverse()
                            for (_, b), a, c in zip(fitted("en", "fr"), sides["en"], sides["fr"], strict=True)
                        ]
                    )
                else:
                    steps.append(back_from(ring[-1], rule))
                rounds = list(zip(*steps, strict=True))
                errors = [cycle_error([s.path for s in r], r[0].length_a) for r in rounds]
                agreed = [np.unique(cycle_consistent(r)[:, :2], axis=0) for r in rounds]
                return {
                    "all": counts_of([r[0].path for r in rounds], gold["fr"]),
                    "agreed": counts_of(agreed, gold["fr"]),
                    "returned": rounded(e.returned * r[0].length_a for e, r in zip(errors, rounds, strict=True)),
                    "arrived": rounded(e.arrived * r[0].length_a for e, r in zip(errors, rounds, strict=True)),
                    "words": [r[0].length_a for r in rounds],
                }  # fmt: skip

            if len(ring) > 1 or rule == RULES[0]:
                keep(f"rings/en-{'-'.join(ring)}-en/{rule if len(ring) > 1 else 'two directions'}", work)

    def true_ring() -> dict[str, Any]:
        rounds = []
        for k, sentence in enumerate(sides["en"]):
            forth = {x: as_answer(gold[x][k], sentence, sides[x][k]) for x in ("fr", "es", "pt")}
            rounds.append([forth["fr"], forth["fr"].inverse()])
        errors = [cycle_error([s.path for s in r], r[0].length_a) for r in rounds]
        arrived = rounded(e.arrived * r[0].length_a for e, r in zip(errors, rounds, strict=True))
        whole = counts_of([r[0].path for r in rounds], gold["fr"])
        returned = rounded(e.returned * r[0].length_a for e, r in zip(errors, rounds, strict=True))
        return {
            "all": whole,
            "agreed": whole,
            "returned": returned,
            "arrived": arrived,
            "words": [r[0].length_a for r in rounds],
        }

    keep("rings/en-fr-en/gold links, there and back", true_ring)


def scores_of(entry: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """AER, precision and recall over all links, drawn by sentences."""
    hits, found, true = (np.asarray(entry[k]) for k in ("hits", "found", "true"))
    f1 = interval(2 * hits, found + true)
    return {
        "AER": (1 - f1[0], 1 - f1[2], 1 - f1[1]),
        "precision": interval(hits, found),
        "recall": interval(hits, true),
    }


def flat_words(done: dict[str, Any], corpus: str) -> dict[str, dict[str, Any]]:
    """Name with rule -> counts."""
    rows: dict[str, dict[str, Any]] = {}
    for name, entry in named(done, f"words/{corpus}"):
        if "hits" in entry:
            rows[name] = entry
        else:
            rows |= {f"{name}, {rule}": entry[rule] for rule in RULES}
    return rows


def tables_words(done: dict[str, Any]) -> Iterator[tuple[str, str]]:
    corpora = list(dict.fromkeys(key.split("/")[1] for key in done if key.startswith("words/")))
    rows = {corpus: flat_words(done, corpus) for corpus in corpora}
    for corpus in (c for c in corpora if c.startswith("hansards")):
        lines = ["| method | AER (95 %) | precision | recall |", "|---|---|---|---|"]
        scores = {name: scores_of(entry) for name, entry in rows[corpus].items()}
        for name in sorted(scores, key=lambda n: scores[n]["AER"][0]):
            s = scores[name]
            lines.append(f"| {name} | {shown(s['AER'])} | {s['precision'][0]:.3f} | {s['recall'][0]:.3f} |")
        yield f"words {corpus}", "\n".join(lines)
    small = [c for c in corpora if not c.startswith("hansards")]
    lines = [f"| method | {' | '.join(small)} |", "|" + "---|" * (len(small) + 1)]
    for name in rows[small[0]] if small else ():
        if name.endswith((RULES[0], RULES[1], "diagonal")):
            lines.append(f"| {name} | {' | '.join(shown(scores_of(rows[c][name])['AER']) for c in small)} |")
    yield "words small", "\n".join(lines)
    lines = [
        "| ring | links | words that return | of those that arrive | precision, all en-fr links | recall | precision, returning | recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, entry in done.items():
        if not key.startswith("rings/"):
            continue
        _, ring, rule = key.split("/")
        every, agreed = scores_of(entry["all"]), scores_of(entry["agreed"])
        shares = [shown(interval(entry["returned"], entry[of]), 2) for of in ("words", "arrived")]
        lines.append(
            f"| {ring} | {rule} | {shares[0]} | {shares[1]} | {shown(every['precision'], 2)} | {every['recall'][0]:.2f} | "
            f"{shown(agreed['precision'], 2)} | {agreed['recall'][0]:.2f} |"
        )
    yield "rings", "\n".join(lines)
