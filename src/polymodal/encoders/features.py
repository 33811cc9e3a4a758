"""Plain features of pictures, sequences, sounds and texts: fixed formulas that learn nothing but a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float, Num

SIDE = 16
"""Height and width in pixels that pictures are averaged down to."""
HUES, SATURATIONS, VALUES = 12, 3, 3
POINTS = 8
WINDOW_SECONDS, HOP_SECONDS, BANDS, MAX_SECONDS = 0.025, 0.010, 32, 30.0


def picture_features(pictures: Num[np.ndarray, "m h w ..."]) -> Float[np.ndarray, "m d"]:
    """Pixels averaged down to at most 16 x 16, and for colour the square roots of a histogram of hue, saturation and value.

    Whole numbers are taken to lie in 0..255, others as they are. Each picture's features depend on it alone.

    Complexity:
        O(m h w).
    """
    x = np.asarray(pictures, dtype=np.float64)
    if np.issubdtype(pictures.dtype, np.integer):
        x = x / 255
    colour = x.ndim == 4 and x.shape[3] in (3, 4)
    rows, columns = _averaging(x.shape[1]), _averaging(x.shape[2])
    small = np.einsum("ah,mh...->ma...", rows, x)
    small = np.einsum("bw,maw...->mab...", columns, small)
    flat = small.reshape(len(x), -1)
    if not colour:
        return np.asarray(flat)
    return np.hstack([flat, colour_histogram(x[..., :3]) * np.sqrt(flat.shape[1] / 16)])


def _averaging(size: int) -> Float[np.ndarray, "a size"]:
    """The matrix that averages `size` pixels down to 16 (shares of pixels count); the identity where there are no more."""
    if size <= SIDE:
        return np.eye(size)
    edges = np.linspace(0, size, SIDE + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: np.ndarray = np.clip(overlap, 0, None)
    shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return shares


def colour_histogram(rgb: Float[np.ndarray, "m h w 3"]) -> Float[np.ndarray, "m bins"]:
    """Square roots of the shares of pixels in 12 x 3 x 3 bins of hue, saturation and value; values lie in 0..1.

    The square root makes a distance between histograms Hellinger's, so that rare colours count.
    """
    rgb = np.clip(rgb, 0, 1)
    value = rgb.max(axis=-1)
    spread = value - rgb.min(axis=-1)
    safe = np.where(spread > 0, spread, 1)
    r, g, b = (rgb[..., i] for i in range(3))
    hue = (
        np.where(
            value == r, ((g - b) / safe) % 6, np.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
        )
        / 6
    )
    saturation = np.where(value > 0, spread / np.where(value > 0, value, 1), 0)
    cells = [
        np.minimum((part * n).astype(np.int64), n - 1)
        for part, n in ((hue, HUES), (saturation, SATURATIONS), (value, VALUES))
    ]
    code = (cells[0] * SATURATIONS + cells[1]) * VALUES + cells[2]
    bins = HUES * SATURATIONS * VALUES
    m = len(rgb)
    counts = np.bincount(
        (code.reshape(m, -1) + bins * np.arange(m)[:, None]).ravel(), minlength=m * bins
    ).reshape(m, bins)
    shares: np.ndarray = np.sqrt(counts / max(1, code[0].size if m else 1))
    return shares


def sequence_features(sequences: Ragged) -> Float[np.ndarray, "m d"]:
    """Mean, deviation, least, greatest and mean absolute step of each feature, its course at 8 even points, and the log length.

    An empty sequence has all features 0.
    """
    d = int(np.prod(sequences.step_shape, dtype=np.int64))
    out = np.zeros((len(sequences), (5 + POINTS) * d + 1))
    for i in range(len(sequences)):
        x = np.asarray(sequences[i], dtype=np.float64).reshape(-1, d)
        if not len(x):
            continue
        steps = np.abs(np.diff(x, axis=0)).mean(axis=0) if len(x) > 1 else np.zeros(d)
        at = np.linspace(0, len(x) - 1, POINTS)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, len(x) - 1)
        course = x[low] + (at - low)[:, None] * (x[high] - x[low])
        summary = [x.mean(axis=0), x.std(axis=0), x.min(axis=0), x.max(axis=0), steps, course.ravel()]
        out[i] = np.concatenate([*summary, [np.log(len(x))]])
    return out


def sound_features(sounds: Ragged) -> Float[np.ndarray, "m d"]:
    """Mean and deviation over time of 32 log-mel bands and of their change from frame to frame; windows of 25 ms, every 10 ms.

    Raises:
        ModalityError: sounds without a rate.
    """
    from polymodal.encoders.sound import Spectrogram

    if sounds.rate is None:
        raise ModalityError("Sounds need samples per second. Build them with Ragged.of(list, rate=16000).")
    rate = sounds.rate
    window = max(2, round(WINDOW_SECONDS * rate))
    spectrogram = Spectrogram(
        rate, window, max(1, round(HOP_SECONDS * rate)), BANDS, round(MAX_SECONDS * rate)
    )
    frames = spectrogram(sounds)
    out = np.zeros((len(sounds), 4 * BANDS))
    for i in range(len(frames)):
        x = np.asarray(frames[i], dtype=np.float64)
        if len(x):
            change = np.diff(x, axis=0) if len(x) > 1 else np.zeros((1, BANDS))
            out[i] = np.concatenate([x.mean(axis=0), x.std(axis=0), change.mean(axis=0), change.std(axis=0)])
    return out


GRAMS = {"words": ("word", (1, 2)), "pieces": ("char_wb", (3, 5))}
"""Name -> what is counted, and how many in a row: words and pairs of words, and pieces of words of 3 to 5 letters."""


def learn_vocabulary(texts: Sequence[str], most: int) -> dict[str, list[str]]:
    """The words and pieces that stand in at least two texts (or in one, where no word does), the most frequent `most` of each."""
    found: dict[str, list[str]] = {}
    for name, (analyzer, span) in GRAMS.items():
        vectorizer = _counter(analyzer, span, min_df=2, most=most)
        try:
            vectorizer.fit(texts)
        except ValueError:  # nothing stands in two texts
            vectorizer = _counter(analyzer, span, min_df=1, most=most)
            try:
                vectorizer.fit(texts)
            except ValueError:
                found[name] = []
                continue
        found[name] = sorted(vectorizer.vocabulary_)
    return found


def text_counts(texts: Sequence[str], vocabulary: dict[str, list[str]]) -> Any:
    """1 + log of how often each word and piece stands in each text: a sparse matrix (m, words + pieces)."""
    from scipy import sparse

    blocks = []
    for name, (analyzer, span) in GRAMS.items():
        known = vocabulary[name]
        if not known:
            continue
        vectorizer = _counter(analyzer, span, vocabulary={gram: i for i, gram in enumerate(known)})
        counts = vectorizer.transform(texts).astype(np.float64)
        counts.data = 1 + np.log(counts.data)
        blocks.append(counts)
    if not blocks:
        return sparse.csr_matrix((len(texts), 1))
    return sparse.hstack(blocks, format="csr")


def _counter(
    analyzer: str,
    span: tuple[int, int],
    *,
    min_df: int = 1,
    most: int | None = None,
    vocabulary: dict[str, int] | None = None,
) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        analyzer=analyzer,
        ngram_range=span,
        min_df=min_df,
        max_features=most,
        vocabulary=vocabulary,
        token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
    )
