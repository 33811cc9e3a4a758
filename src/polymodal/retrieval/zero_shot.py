"""Zero-shot classification: the classes are texts, and a value belongs to the one whose vector is nearest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Spec, check_target
from polymodal.core.modalities import Modalities
from polymodal.core.typing import Float, Int, Shaped
from polymodal.evaluation.calibration import best_temperature, calibration_error, log_loss
from polymodal.retrieval.space import space_modalities
from polymodal.retrieval.wording import WordingReport

PLACE = "{}"
USUAL_TEMPERATURE = 0.07
Classes = Sequence[str] | np.ndarray | Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Calibration:
    """What `ZeroShotClassifier.fit` found.

    Attributes:
        rows: Labelled rows.
        temperature_before: Temperature that the model came with.
        temperature: Temperature of least log loss on these rows.
        error_before: Expected calibration error before, over 15 bins.
        error: The same after.
        loss_before: Mean log loss before, in nats.
        loss: The same after.
    """

    rows: int
    temperature_before: float
    temperature: float
    error_before: float
    error: float
    loss_before: float
    loss: float

    def __str__(self) -> str:
        return (
            f"Temperature {self.temperature_before:.4g} -> {self.temperature:.4g} on {self.rows} rows: expected calibration error "
            f"{self.error_before:.3f} -> {self.error:.3f}, log loss {self.loss_before:.3f} -> {self.loss:.3f} nats."
        )


def class_vectors(texts: Float[np.ndarray, "c k d"]) -> Float[np.ndarray, "c d"]:
    r"""The vector of each class from those of its k wordings: $w = \mathrm{norm}(\tfrac1k \sum_k \mathrm{norm}(t_k))$.

    Relations:
        * one wording: its vector at unit length.
        * the order of the wordings, and their lengths, do not matter.

    References: Radford et al. 2021, section 3.1.4.
    """
    return _unit(_unit(texts).mean(axis=1))


class ZeroShotClassifier:
    """A classifier made of words: a value belongs to the class whose texts lie nearest in a model's shared space.

    Each class is worded by every template with each of its names; the vector of a class is the mean of theirs
    (`class_vectors`). Probabilities are the softmax of the cosines over the temperature. Nothing is learned; `fit` only
    calibrates the temperature, which no answer depends on.

    Args:
        model: A fitted coordination that knows a text modality (`load_clip`, `CLIP`, a `Pipeline` of `Vectorize` and `CCA`).
        classes: Names, or name -> the words for it (synonyms).
        templates: Sentences with "{}" where the words go.
        text: The model's text modality; by default the only one it has.
        temperature: Of the probabilities, > 0; by default the one the model learned, or 0.07.

    Attributes:
        classes_: Names of the classes, in the order given.
        temperature_: The temperature in use.
        calibration_: What `fit` found; None before.

    Raises:
        ConfigError: fewer than two classes, names that stand twice, a template without "{}".
        ModalityError: a model without text, or a class whose texts say nothing to the model.

    Relations:
        * one template, one word a class: the nearest text.
        * the order of classes does not change the answers; a temperature does not either.
    """

    seven_templates: ClassVar[tuple[str, ...]] = (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    )
    """Seven of the wordings for photographs that were published with CLIP."""

    def __init__(
        self,
        model: Any,
        classes: Classes,
        *,
        templates: Sequence[str] = ("a photo of a {}.",),
        text: str | None = None,
        temperature: float | None = None,
    ) -> None:
        self.model = model
        self._specs = space_modalities(model, asker="ZeroShotClassifier")
        self.text = _text_modality(self._specs, text)
        self.words = _words(classes)
        self.templates = _templates(templates)
        if temperature is not None and not 0 < temperature < math.inf:
            raise ConfigError(f"A temperature is a number above 0, got {temperature!r}. Try 0.07.")
        self.temperature_ = temperature if temperature is not None else _temperature(model)
        self.calibration_: Calibration | None = None
        self._per_template, self._ensemble = self._encode()

    @property
    def classes_(self) -> Shaped[np.ndarray, " c"]:
        """Names of the classes."""
        return np.array(list(self.words))

    def __repr__(self) -> str:
        return f"ZeroShotClassifier({len(self.words)} classes, {len(self.templates)} templates, {type(self.model).__name__})"

    # --- answers ------------------------------------------------------------------------------------------------------

    def predict(
        self, data: Modalities | Mapping[str, Any], *, target: str | None = None
    ) -> Shaped[np.ndarray, " n"]:
        """The name of the nearest class of each row.

        Args:
            data: Rows of one modality of the model, beside its text.
            target: Which modality to classify, where `data` have several.

        Raises:
            ModalityError: rows that lack it, or a modality that the model does not have.
        """
        answers: np.ndarray = self.classes_[self._scores(data, target).argmax(axis=1)]
        return answers

    def predict_proba(
        self, data: Modalities | Mapping[str, Any], *, target: str | None = None
    ) -> Float[np.ndarray, "n c"]:
        """Probabilities of the classes, in the order of `classes_`; each row sums to 1."""
        return _softmax(self._scores(data, target) / self.temperature_)

    def score(self, data: Modalities | Mapping[str, Any], y: Any, *, target: str | None = None) -> float:
        """Share of right answers."""
        truth = self._truth(y)
        found = self._scores(data, target)
        _same_length(found, truth)
        return float((found.argmax(axis=1) == truth).mean())

    def fit(
        self, data: Modalities | Mapping[str, Any], y: Any, *, target: str | None = None
    ) -> ZeroShotClassifier:
        """Calibrate: take the temperature of least log loss on labelled rows. No answer changes, only its probability does.

        Raises:
            ModalityError: a label that is no class.
        """
        truth, cosines = self._truth(y), self._scores(data, target)
        _same_length(cosines, truth)
        right = cosines.argmax(axis=1) == truth
        before, best = self.temperature_, best_temperature(cosines, truth)
        errors = [calibration_error(_softmax(cosines / t).max(axis=1), right) for t in (before, best)]
        losses = [log_loss(cosines, truth, temperature=t) for t in (before, best)]
        self.temperature_ = best
        self.calibration_ = Calibration(len(truth), before, best, errors[0], errors[1], losses[0], losses[1])
        return self

    def sensitivity(
        self, data: Modalities | Mapping[str, Any], y: Any = None, *, target: str | None = None
    ) -> WordingReport:
        """How much the answers move with the wording: each template alone, and all together.

        Args:
            data: As for `predict`.
            y: The right classes, where they are known.
            target: As for `predict`.

        Raises:
            ConfigError: only one template.
        """
        if len(self.templates) < 2:
            raise ConfigError(
                f"sensitivity compares templates and needs at least two, got {list(self.templates)}. "
                f"For example ZeroShotClassifier.seven_templates."
            )
        truth = None if y is None else self._truth(y)
        vectors = self._vectors(data, target)
        ensemble = vectors @ self._ensemble.T
        if truth is not None:
            _same_length(ensemble, truth)
        answers = np.stack([(vectors @ weights.T).argmax(axis=1) for weights in self._per_template])
        return WordingReport.of(tuple(self.words), self.templates, answers, ensemble.argmax(axis=1), truth)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _encode(self) -> tuple[Float[np.ndarray, "t c d"], Float[np.ndarray, "c d"]]:
        """Vectors of the classes for each template, and for all together. Every text is encoded once."""
        texts = [
            t.replace(PLACE, word) for t in self.templates for words in self.words.values() for word in words
        ]
        distinct = list(dict.fromkeys(texts))
        found = np.asarray(self.model.transform({self.text: distinct})[self.text].values(), dtype=np.float64)
        place = {text: i for i, text in enumerate(distinct)}
        by_template, everything = [], []
        for words in self.words.values():
            rows = [[place[t.replace(PLACE, word)] for word in words] for t in self.templates]
            by_template.append(class_vectors(found[np.array(rows)]))
            everything.append(class_vectors(found[np.array(rows).reshape(1, -1)])[0])
        ensemble, each = np.stack(everything), np.stack(by_template, axis=1)
        silent = [name for name, vector in zip(self.words, ensemble, strict=True) if not vector.any()]
        if silent:
            raise ModalityError(
                f"The texts of {silent[:3]} say nothing to the model's modality {self.text!r}: their vectors are zero. Use other words."
            )
        return each, ensemble

    def _scores(self, data: Modalities | Mapping[str, Any], target: str | None) -> Float[np.ndarray, "n c"]:
        cosines: np.ndarray = self._vectors(data, target) @ self._ensemble.T
        return cosines

    def _vectors(self, data: Modalities | Mapping[str, Any], target: str | None) -> Float[np.ndarray, "n d"]:
        frame: Modalities = Modalities.of(data)
        others = [name for name in frame.names if name != self.text]
        if target is None and len(others) != 1:
            raise ModalityError(
                f"ZeroShotClassifier classifies one modality, got {list(frame.names)}, of which {self.text!r} is the classes' own. "
                "Say target=."
            )
        name = others[0] if target is None else target
        if name not in frame or name not in self._specs:
            raise ModalityError(
                f"Unknown modality {name!r}: the data have {list(frame.names)}, the model {list(self._specs)}.{suggest(name, self._specs)}"
            )
        if not len(frame):
            raise ModalityError(f"ZeroShotClassifier needs at least one row of {name!r}, got none.")
        lacking = np.flatnonzero(~frame[name].present)
        if len(lacking):
            raise ModalityError(
                f"Every row needs {name!r}; {len(lacking)} of {len(frame)} lack it (ids {frame.ids[lacking][:3].tolist()}). "
                "Use data.select(...).complete()."
            )
        vectors = np.asarray(self.model.transform(frame.select(name))[name].values(), dtype=np.float64)
        unit: np.ndarray = _unit(vectors)
        return unit

    def _truth(self, y: Any) -> Int[np.ndarray, " n"]:
        place = {name: i for i, name in enumerate(self.words)}
        labels = [str(label) for label in check_target(y).tolist()]
        unknown = sorted({label for label in labels if label not in place})
        if unknown:
            raise ModalityError(
                f"Labels {unknown[:3]} are no classes; the classes are {list(self.words)[:8]}.{suggest(unknown[0], place)}"
            )
        return np.array([place[label] for label in labels], dtype=np.int64)


def _words(classes: Classes) -> dict[str, tuple[str, ...]]:
    names = list(classes)
    if isinstance(classes, str) or any(not isinstance(name, str) or not name for name in names):
        raise ConfigError(f"Classes are names, such as ['cat', 'dog'], got {classes!r}.")
    names = [str(name) for name in names]  # numpy's strings too
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"Each class needs a name of its own, got {twice} twice.")
    if len(names) < 2:
        raise ConfigError(
            f"To choose between classes takes at least two, got {names}. Add one, such as 'something else'."
        )
    found: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for name in names:
        given = classes[name] if isinstance(classes, Mapping) else name
        words = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
        if not words or not all(isinstance(word, str) and word for word in words):
            raise ConfigError(f"Class {name!r} needs at least one word for it, got {given!r}.")
        for word in words:
            if owner.setdefault(word, name) != name:
                raise ConfigError(
                    f"Classes {owner[word]!r} and {name!r} both have the word {word!r}: no text could tell them apart."
                )
        found[name] = words
    return found


def _templates(templates: Sequence[str]) -> tuple[str, ...]:
    given = (templates,) if isinstance(templates, str) else tuple(templates)
    wrong = [t for t in given if not isinstance(t, str) or t.count(PLACE) != 1]
    if wrong or not given:
        raise ConfigError(
            f'A template is a sentence with one "{{}}" where the words go, such as "a photo of a {{}}.", got {wrong or given!r}.'
        )
    twice = sorted({t for t in given if given.count(t) > 1})
    if twice:
        raise ConfigError(f"Each template needs to be another, got {twice} twice.")
    return given


def _text_modality(specs: Mapping[str, Spec], text: str | None) -> str:
    texts = [name for name, spec in specs.items() if spec.kind == "text"]
    if text is not None and text not in texts:
        raise ModalityError(
            f"{text!r} is no text modality of the model; it has { ({n: s.kind for n, s in specs.items()}) }.{suggest(text, texts)}"
        )
    if text is None and len(texts) != 1:
        raise ModalityError(
            f"Classes are texts, and the model has {texts or 'no'} text modalities among {list(specs)}. "
            + ("Say text=." if texts else "Fit one with a text modality.")
        )
    return text or texts[0]


def _temperature(model: Any) -> float:
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return float(getattr(last, "temperature_", USUAL_TEMPERATURE))


def _same_length(scores: np.ndarray, truth: np.ndarray) -> None:
    if len(scores) != len(truth):
        raise ModalityError(f"Every row needs one label: {len(scores)} rows, {len(truth)} labels.")


def _unit(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Unit length on the last axis; zeros stay zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    unit: np.ndarray = x / np.where(norm > 0, norm, 1)
    return unit


def _softmax(z: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    shares: np.ndarray = e / e.sum(axis=1, keepdims=True)
    return shares
