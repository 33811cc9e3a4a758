"""`align A B`: which part of one file goes with which of another."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.alignment.answer import ALIGNERS, Aligner, Alignment, aligner
from polymodal.alignment.windows import SakoeChiba
from polymodal.commands.alignment_result import WARPING, AlignmentResult, Pair, summarise
from polymodal.commands.alignment_settings import WORD_MODELS, AlignSettings
from polymodal.commands.alignment_sources import Sentences, SequenceReading, Signal, read_sequence
from polymodal.commands.alignment_truth import compare, read_truth
from polymodal.commands.sources import check_output
from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float

RESULT_FILES = frozenset({"matches.csv", "alignment.json", "path.png", "matches.png", "coupling.png"})


def align_files(
    a: str | Path,
    b: str | Path,
    *,
    method: str | None = None,
    settings: AlignSettings | None = None,
    reading: SequenceReading | None = None,
    truth: str | Path | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> AlignmentResult:
    """Align two files: recordings, tables of frames, arrays, or texts of sentence pairs.

    Args:
        a: The first file.
        b: The second.
        method: A name of `ALIGNERS`, or for texts of `WORD_MODELS`. None: dtw where both have as many features, ctw where not, hmm for
            texts.
        settings: How to align.
        reading: How files become sequences.
        truth: A table of true pairs, with columns index_a and index_b or seconds_a and seconds_b (as matches.csv has); for texts also
            sentence, and `sure` (1, or 0 for links that may be found).
        output: A folder for matches.csv, alignment.json and pictures; it appears whole or not at all.
        overwrite: Whether a folder of an earlier alignment may be replaced.

    Raises:
        ConfigError: a setting that cannot be, an unknown method, or an output that exists.
        DataError: a file that cannot be read.
        ModalityError: sequences the method does not take.
    """
    settings, reading = settings or AlignSettings(), reading or SequenceReading()
    inputs = [a, b, *([truth] if truth is not None else []), *(settings.train or ())]
    if output is not None:
        check_output(output, overwrite=overwrite, ours="alignment.json", parts=RESULT_FILES, inputs=inputs)
    name = _known(method)
    left, right = read_sequence(a, reading, side=0), read_sequence(b, reading, side=1)
    if isinstance(left, Sentences) and isinstance(right, Sentences):
        from polymodal.commands.aligning_words import align_sentences

        pairs, name, described, notes = align_sentences(left, right, name, settings)
    elif isinstance(left, Signal) and isinstance(right, Signal):
        pairs, name, described, notes = align_signals(left, right, name, settings)
    else:
        raise _mixed(left, right)
    error = {} if truth is None else compare(pairs, read_truth(truth, pairs), name in WARPING, settings.tolerance, notes)  # fmt: skip
    result = summarise(pairs, (str(a), str(b)), name, described, error, notes)
    if output is None:
        return result
    from polymodal.commands.alignment_output import write_alignment

    return write_alignment(result, output)


def _known(method: str | None) -> str | None:
    names = [*ALIGNERS, *WORD_MODELS]
    if method is not None and method not in names:
        raise ConfigError(
            f"--method is one of {sorted(ALIGNERS)}, or {sorted(WORD_MODELS)} for texts, got {method!r}.{suggest(method, names)}"
        )
    return method


def _mixed(left: Signal | Sentences, right: Signal | Sentences) -> ConfigError:
    text, other = (left, right) if isinstance(left, Sentences) else (right, left)
    assert isinstance(other, Signal)
    if other.kind == "sound":
        return ConfigError(
            f"{text.path} is a text and {other.path} a recording: what word is said when is forced alignment, which learns from "
            "recordings with their words. In Python: polymodal.alignment.ForcedAligner."
        )
    return ConfigError(
        f"{text.path} is a text and {other.path} holds numbers; align takes two texts, or two sequences of frames. For words with "
        "frames learn from pairs, in Python: polymodal.alignment.AttentionAligner or ForcedAligner."
    )


# --- frames -----------------------------------------------------------------------------------------------------------


def align_signals(
    a: Signal, b: Signal, method: str | None, settings: AlignSettings
) -> tuple[list[Pair], str, str, list[str]]:
    """Align two sequences of frames: the pair, the method's name and its parameters, and what was decided."""
    if method in WORD_MODELS:
        raise ConfigError(
            f"--method {method} links words of texts (.txt); {a.path} holds frames. Use one of {sorted(ALIGNERS)}."
        )
    if settings.train is not None:
        raise ConfigError("--train-a and --train-b are sentences to learn words from; frames need none.")
    notes = [*a.notes, *b.notes]
    features = a.frames.shape[1], b.frames.shape[1]
    alike = features[0] == features[1] and a.kind == b.kind
    name = method or ("dtw" if alike else "ctw")
    if method is None and name == "ctw":
        what = (
            f"{features[0]} and {features[1]} features"
            if features[0] != features[1]
            else "a recording and numbers"
        )
        notes.append(f"{what}: canonical time warping (ctw) looks for directions that agree")
    if alike and a.features != b.features and features[0] > 1:
        b = _in_order(a, b, notes)
    x, y = _normalised(a, b, settings, notes)
    found = _method(name, features, a, b, settings)
    alignment = _run(found, name, (x, a.rate), (y, b.rate), settings)
    compared = dataclasses.replace(a, frames=x), dataclasses.replace(b, frames=y)
    return [Pair(alignment, *compared)], name, _described(alignment.method), notes


def _in_order(a: Signal, b: Signal, notes: list[str]) -> Signal:
    """B with its columns in the order of a's where the names are the same."""
    if sorted(a.features) == sorted(b.features):
        order = [b.features.index(name) for name in a.features]
        notes.append("columns are compared by name; their order differs")
        return dataclasses.replace(b, frames=b.frames[:, order], features=a.features)
    shown = ", ".join(f"{x} with {y}" for x, y in list(zip(a.features, b.features, strict=True))[:3])
    notes.append(f"columns are compared in order: {shown}{', ...' if len(a.features) > 3 else ''}")
    return b


def _described(method: Any) -> str:
    """The method with the parameters that are not its defaults."""
    if not dataclasses.is_dataclass(method):
        return repr(method)
    changed = [
        f"{f.name}={getattr(method, f.name)!r}"
        for f in dataclasses.fields(method)
        if f.repr and f.default is not dataclasses.MISSING and getattr(method, f.name) is not f.default
        and getattr(method, f.name) != f.default
    ]  # fmt: skip
    return f"{type(method).__name__}({', '.join(changed)})"


def _normalised(
    a: Signal, b: Signal, settings: AlignSettings, notes: list[str]
) -> tuple[Float[np.ndarray, "n d_a"], Float[np.ndarray, "m d_b"]]:
    how = settings.normalise or "each"
    if how == "none":
        notes.append("features are compared as they are (--normalise none)")
        return a.frames, b.frames
    sound = a.kind == b.kind == "sound"
    shared = how == "both"
    if shared and a.frames.shape[1] != b.frames.shape[1]:
        raise ConfigError(
            f"--normalise both needs as many features on both sides, got {a.frames.shape[1]} and {b.frames.shape[1]}. Use each."
        )
    notes.append(
        (
            "every band has mean 0, all bands together deviation 1, "
            if sound
            else "every feature has mean 0 and deviation 1, "
        )
        + ("over both files" if shared else "in each file")
        + (" (the default; or --normalise both, none)" if settings.normalise is None else "")
    )
    if shared:
        mean, scale = _moments(np.concatenate([a.frames, b.frames]), sound)
        return (a.frames - mean) / scale, (b.frames - mean) / scale
    (mean_a, scale_a), (mean_b, scale_b) = _moments(a.frames, sound), _moments(b.frames, sound)
    return (a.frames - mean_a) / scale_a, (b.frames - mean_b) / scale_b


def _moments(x: Float[np.ndarray, "n d"], together: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature; one deviation for all where they share a unit, so that bands of mere noise stay quiet.

    A constant feature keeps its scale.
    """
    mean, scale = x.mean(axis=0), x.std(axis=0)
    if together:
        scale = np.full_like(scale, np.sqrt(np.mean(scale**2)))
    return mean, np.where(scale > 1e-12 * np.abs(x).max(axis=0), scale, 1.0)


def _method(name: str, features: tuple[int, int], a: Signal, b: Signal, settings: AlignSettings) -> Aligner:
    """The aligner with its parameters set."""
    module, cls = ALIGNERS[name]
    made = getattr(importlib.import_module(f"polymodal.alignment.{module}"), cls)
    known = [f.name for f in dataclasses.fields(made)] if dataclasses.is_dataclass(made) else []
    given = dict(settings.parameters)
    if "window" in given:
        raise ConfigError(
            "A window is given by --window, in frames of b or in seconds, not among the parameters."
        )
    if settings.window is not None:
        if "window" not in known:
            raise ConfigError(f"--window is for dtw and ctw; {name} has none. Leave it out.")
        given["window"] = SakoeChiba(_radius(settings.window, b), slanted=True)
    if name == "ctw" and "n_components" not in given:  # its default of two asks for two features on each side
        given["n_components"] = max(1, min(2, *features))
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(
            f"{name} has no parameter {unknown[0]!r}; it has {known}.{suggest(unknown[0], known)}"
        )
    try:
        return aligner(made(**given))
    except TypeError as error:
        raise ConfigError(f"{name} does not take {given} ({error}).") from None


def _radius(window: str, b: Signal) -> int:
    """Frames of b, from frames or seconds."""
    text = window.strip().lower()
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        raise ConfigError(f'--window is frames of b ("50") or seconds ("0.5s"), got {window!r}.') from None
    if not 0 <= value < 1e12:
        raise ConfigError(f"--window is at least 0, got {window!r}.")
    if not text.endswith("s"):
        return round(value)
    if b.rate is None:
        raise ConfigError(
            f"--window in seconds needs frames per second of {b.path}, which has no even time. Give frames: --window 50."
        )
    return round(value * b.rate)


def _run(
    method: Aligner,
    name: str,
    a: tuple[np.ndarray, float | None],
    b: tuple[np.ndarray, float | None],
    settings: AlignSettings,
) -> Alignment:
    """Align; a refusal tells what to type."""
    known = (
        a[1] is not None and b[1] is not None
    )  # seconds on one side and frames on the other would not compare
    sides = [Ragged.of([x], rate=rate if known else None) for x, rate in (a, b)]
    try:
        return method.align(*sides)
    except ModalityError as error:
        text = str(error)
        wider = re.search(r"SakoeChiba\(radius=(\d+)[^)]*\) would do", text)
        if wider:
            raise ConfigError(
                f"No path through {len(a[0])} by {len(b[0])} frames stays within --window {settings.window}. "
                f"--window {wider.group(1)} would do."
            ) from None
        if a[0].shape[1] != b[0].shape[1]:
            raise ModalityError(
                f"{name} compares frames, so both files need as many features; got {a[0].shape[1]} and {b[0].shape[1]}. Use "
                "--method ctw, which learns directions that agree, or gromov_wasserstein, which compares distances within each."
            ) from None
        raise
    except (TypeError, ValueError, AttributeError) as error:
        if not settings.parameters:
            raise
        raise ConfigError(f"{name} does not take {dict(settings.parameters)} ({error}).") from error
