"""`demo`: the whole job on the built-in glyphs, from training a shared space to answered queries and a report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.commands.demo_pictures import Answer, draw_answers, draw_characters
from polymodal.commands.report import Report
from polymodal.core.atomic import atomic_file
from polymodal.core.errors import StoreError
from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset
from polymodal.datasets.glyphs import held_out_characters, load_glyphs
from polymodal.evaluation.intervals import Interval
from polymodal.evaluation.report import RetrievalReport, retrieval_report

MARK = "demo.json"  # says that a folder is the demo's own, and holds its numbers
BOTH = "picture + outline"
HELD_OUT = 455
Say = Callable[[str], None]


@dataclass(frozen=True)
class FusionRow:
    """How well the script of unseen characters is told.

    Attributes:
        learned_from: Modalities that the classifier learned from.
        asked_with: Modalities that it was given.
        accuracy: Share of characters told right.
    """

    learned_from: tuple[str, ...]
    asked_with: tuple[str, ...]
    accuracy: Interval


@dataclass(frozen=True)
class DemoResult:
    """What the demo found, and where it lies.

    Attributes:
        folder: Holds everything below.
        retrieval: Each modality to each, on characters that training never saw.
        fusion: The script from each modality alone, from all, and with one missing.
        answers: Five worked queries.
        seconds: Wall time of each part.
        model: Model folder.
        index: Index folder.
        report: HTML page.
        next_commands: What to try.
    """

    folder: Path
    retrieval: RetrievalReport
    fusion: tuple[FusionRow, ...]
    answers: tuple[Answer, ...]
    seconds: Mapping[str, float]
    model: Path
    index: Path
    report: Path
    next_commands: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "retrieval": self.retrieval.to_dict(),
            "fusion": [
                {
                    "learned_from": row.learned_from,
                    "asked_with": row.asked_with,
                    "accuracy": row.accuracy.to_dict(),
                }
                for row in self.fusion
            ],
            "answers": [{"query": a.query, "names": a.names, "scores": a.scores} for a in self.answers],
            "seconds": dict(self.seconds),
            "model": str(self.model),
            "index": str(self.index),
            "report": str(self.report),
            "next": list(self.next_commands),
        }


def demo(
    folder: str | Path = "polymodal-demo",
    *,
    epochs: int = 16,
    scripts: tuple[str, ...] | None = None,
    random_state: int = 0,
    progress: bool | None = None,
    say: Say = lambda text: None,
) -> DemoResult:
    """Train picture, outline and name into one space; measure it on unseen characters; index, ask, and report.

    A demo that is stopped goes on from its last epoch when it is started again with the same arguments.

    Args:
        folder: Where model, index and report go.
        epochs: Passes over the drawings.
        scripts: Only characters of these scripts; all by default.
        random_state: Which characters are held out, and the training.
        progress: As `Training.progress`.
        say: Called with a line before each part.

    Raises:
        StoreError: `folder` holds something else, or cannot be written.
    """
    from polymodal.persistence import save

    clock = _Clock()
    place = _claim(Path(folder))
    say("Drawing the characters of matplotlib's fonts")
    glyphs = load_glyphs(scripts=scripts, progress=progress)
    held_out = min(HELD_OUT, max(1, len(np.unique(glyphs["codepoint"])) // 8))
    train, test = held_out_characters(glyphs, test_size=held_out, random_state=random_state)
    clock.lap("data")
    say(f"Training on {len(train):,} drawings; {held_out} characters are kept back in every font")
    model = demo_model(epochs, random_state, progress, checkpoint=place / "checkpoint").fit(train.data)
    save(model, place / "model")
    shutil.rmtree(place / "checkpoint", ignore_errors=True)
    clock.lap("training")
    say("Searching among the unseen characters")
    retrieval = unseen_retrieval(model, test, random_state)
    clock.lap("retrieval")
    say("Telling the script from one modality, from all, and with one missing")
    fusion = fusion_table(model, train, test)
    clock.lap("fusion")
    say("Indexing one drawing of every character")
    shutil.rmtree(place / "index", ignore_errors=True)
    characters = _one_drawing_each(glyphs)
    answers = ask(model, characters, np.unique(test["codepoint"]), place / "index")
    clock.lap("index and queries")
    commands = _next_commands(place)
    result = DemoResult(
        place,
        retrieval,
        fusion,
        answers,
        clock.laps,
        place / "model",
        place / "index",
        place / "report.html",
        commands,
    )
    write_report(result, characters, len(train), held_out)
    with atomic_file(place / MARK) as temporary:
        temporary.write_text(json.dumps(result.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
    return result


def demo_model(epochs: int, random_state: int, progress: bool | None, checkpoint: Path | None = None) -> Any:
    """The three towers of the demo: small enough for two cores and four minutes.

    Picture and outline are each paired with the name, which ties them to each other too. Nothing is dropped out: in so
    few epochs the towers are far from remembering the training characters.
    """
    from polymodal.coordination.clip import CLIP
    from polymodal.encoders import ConvEncoder, PointSetEncoder, TextTransformerEncoder
    from polymodal.training.options import Training

    return CLIP(
        128,
        encoders={
            "picture": ConvEncoder(width=16, shift=1),
            "outline": PointSetEncoder(width=64, max_length=96),
            "name": TextTransformerEncoder(width=96, depth=1),
        },
        pairs="name",
        training=Training(
            max_epochs=epochs,
            batch_size=512,
            learning_rate=4e-3,
            weight_decay=0.02,
            warmup=0.1,
            progress=progress,
            checkpoint=checkpoint,
        ),
        random_state=random_state,
    )


def unseen_retrieval(model: Any, test: Dataset, random_state: int) -> RetrievalReport:
    """Each modality to each on one drawing of every held-out character, and picture and outline together as a fourth.

    Characters that share a drawing are one candidate, right for each of their names.
    """
    rows = _one_drawing_each(test)
    embedded = model.transform(rows.data)
    both = embedded["picture"].values() + embedded["outline"].values()
    source = rows.data.assign({BOTH: rows.data["picture"]})
    return retrieval_report(embedded.assign({BOTH: both}), source=source, random_state=random_state)


def fusion_table(model: Any, train: Dataset, test: Dataset) -> tuple[FusionRow, ...]:
    """The script of unseen characters, by logistic regressions on the shared space, combined late."""
    from polymodal.evaluation.classification import accuracy
    from polymodal.fusion.late import LateFusion

    seen, unseen = _one_drawing_each(train), _one_drawing_each(test)
    common = np.isin(unseen["script"], seen["script"])
    unseen = unseen[common]
    z_seen, z_unseen = model.transform(seen.data), model.transform(unseen.data)
    names = z_seen.names
    rows: list[FusionRow] = []

    together = LateFusion("mean").fit(z_seen, seen["script"])

    def add(learned: tuple[str, ...], asked: tuple[str, ...]) -> None:
        told = together.predict(z_unseen.select(*asked))
        rows.append(FusionRow(learned, asked, accuracy(unseen["script"], told, random_state=0)))

    for name in names:  # given one modality, its own model answers alone: what a fit on that modality gives
        add((name,), (name,))
    add(names, names)
    for name in names:
        add(names, tuple(other for other in names if other != name))
    return tuple(rows)


def ask(model: Any, characters: Dataset, held_out: np.ndarray, folder: Path) -> tuple[Answer, ...]:
    """Index pictures and names of all characters, and ask five things; most of what is asked with is held out."""
    from polymodal.retrieval import Retriever

    points = characters["codepoint"]
    where = {int(point): row for row, point in enumerate(points)}
    data = Modalities(dict(characters.data.select("picture", "name").items()), ids=points)
    retriever = Retriever.build(
        model, data, folder, metadata={"name": _names(characters), "script": characters["script"].tolist()}
    )

    def known(character: str) -> int:
        return where.get(ord(character), 0)

    def answer(
        query: str,
        vector: np.ndarray,
        asked: tuple[int, ...],
        right: int,
        target: str,
        asked_as: str = "picture",
    ) -> Answer:
        hits = retriever.search(vector, 6 + len(asked), target=target)
        own = set(asked) - {right}  # what a query started from is no answer to it
        kept = [i for i, point in enumerate(hits.ids[0]) if where[int(point)] not in own][:6]
        found = tuple(where[int(hits.ids[0, i])] for i in kept)
        names = tuple(str(hits.metadata["name"][0, i]) for i in kept)
        return Answer(
            query, asked, asked_as, found, right, names, tuple(float(hits.scores[0, i]) for i in kept)
        )

    def vector(name: str, value: Any) -> np.ndarray:
        embedded: np.ndarray = retriever.embed({name: value})
        return embedded

    picture, outline = characters.data["picture"].values(), characters.data["outline"]
    typed, shown, walked = _spread(_accented(characters, held_out), 3)
    described = _names(characters)[typed]
    acute, plain = known("á"), known("α")
    return (
        answer(f'"{described}" -> pictures', vector("name", described), (), typed, "picture"),
        answer("a picture -> names", vector("picture", picture[shown]), (shown,), shown, "name"),
        answer(
            'a picture - "acute" + "grave" -> pictures',
            vector("picture", picture[acute]) - vector("name", "acute") + vector("name", "grave"),
            (acute,),
            known("à"),
            "picture",
        ),
        answer(
            "an outline -> pictures",
            vector("outline", outline[[walked]].values()),
            (walked,),
            walked,
            "picture",
            asked_as="outline",
        ),
        answer(
            'a picture + "with tonos" -> pictures',
            vector("picture", picture[plain]) + vector("name", "with tonos"),
            (plain,),
            known("ά"),
            "picture",
        ),
    )


def write_report(result: DemoResult, characters: Dataset, drawings: int, held_out: int) -> None:
    """One page with the tables and the answers drawn."""
    report = Report(
        "One space for picture, outline and name",
        f"Trained on {drawings:,} drawings; everything below is measured on {held_out} characters that training never saw.",
    )
    report.heading("The data")
    report.figure(
        draw_characters(characters, 8),
        "Eight characters: picture, outline as a sequence of points, official name.",
    )
    report.heading("Each modality finds each other one")
    report.paragraph(
        "Brackets hold 95 % bootstrap intervals over characters. One drawing a character is searched; characters that "
        "share a drawing are one candidate, right for each of their names."
    )
    report.table(RETRIEVAL_COLUMNS, retrieval_rows(result.retrieval))
    report.heading("What is the script?")
    report.paragraph(
        "One logistic regression a modality on the shared space, combined by the mean of their probabilities. In the last "
        "rows a modality is missing when the question is asked: it is left out, and nothing takes its place."
    )
    report.table(FUSION_COLUMNS, fusion_rows(result.fusion))
    report.heading("Five queries, answered")
    report.figure(
        draw_answers(characters, result.answers),
        "Left: what was asked with. Right: the nearest of all characters, best first; the right one is framed in green.",
    )
    report.heading("Try next")
    report.code("\n".join(result.next_commands))
    report.write(result.report)


RETRIEVAL_COLUMNS = ("query -> answer", "recall@1", "recall@5", "recall@10", "median rank")
FUSION_COLUMNS = ("learned from", "asked with", "accuracy")


def retrieval_rows(report: RetrievalReport) -> list[tuple[str, ...]]:
    """Cells of the retrieval table: the share of queries with a right answer among the first k."""
    trivial = {
        frozenset((BOTH, "picture")),
        frozenset((BOTH, "outline")),
    }  # what holds the query is no answer to it
    return [
        (
            f"{s.query} -> {s.target}",
            *(str(s.any_hit[k]) for k in report.ks),
            f"{s.median_rank.value:g} [{s.median_rank.low:g}, {s.median_rank.high:g}]",
        )
        for s in report.scores
        if frozenset((s.query, s.target)) not in trivial
    ]


def fusion_rows(rows: tuple[FusionRow, ...]) -> list[tuple[str, ...]]:
    """Cells of the fusion table."""
    return [(", ".join(row.learned_from), ", ".join(row.asked_with), str(row.accuracy)) for row in rows]


def _claim(folder: Path) -> Path:
    """Make the folder, or take over one that the demo made before."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())):
        raise StoreError(
            f"{folder} exists and was not made by the demo; it is left as it is. Choose another folder with -o."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists():
            (folder / MARK).write_text("{}", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"Cannot write {folder}: {error.strerror}. Choose another folder with -o."
        ) from error
    return folder


def _one_drawing_each(dataset: Dataset) -> Dataset:
    return dataset[np.unique(dataset["codepoint"], return_index=True)[1]]


def _accented(characters: Dataset, held_out: np.ndarray) -> np.ndarray:
    """Rows of the held-out characters that people know how to read: letters with something on them, if there are any."""
    unseen = np.isin(characters["codepoint"], held_out)
    known = np.isin(characters["script"], ("latin", "greek", "cyrillic"))
    accented = unseen & known & np.array([" with " in name for name in _names(characters)])
    return np.flatnonzero(accented if accented.any() else unseen)


def _spread(rows: np.ndarray, count: int) -> tuple[int, ...]:
    """`count` of the rows, evenly over all of them."""
    return tuple(int(rows[(2 * i + 1) * len(rows) // (2 * count)]) for i in range(count))


def _names(characters: Dataset) -> list[str]:
    names: list[str] = characters.data["name"].values()
    return names


def _next_commands(place: Path) -> tuple[str, ...]:
    return (
        f'polymodal search {place}/index --model {place}/model --text "cyrillic capital letter a with breve"',
        f'polymodal search {place}/index --model {place}/model --text "leftwards arrow with hook" --target picture -k 5',
        "polymodal methods --family coordination",
        "polymodal describe YOUR_FOLDER",
    )


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 2), now
