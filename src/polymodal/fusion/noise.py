r"""How noisy each channel is, by what is known of it or by the signal itself, as weights of what the channels say.

A channel that reads $x = c\,y + \varepsilon$ tells of y with precision proportional to its signal-to-noise ratio
$c^2 \mathrm{Var}(y) / \sigma^2$, whatever its gain c. The variance of the signal alone does not tell: a loud channel may hold
nothing but noise, and a constant one has no variance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.typing import Float
from polymodal.encoders.base import value_blocks

_LEAST = 1e-6
"""Noise below this share of a channel's variance counts as this share: no channel is perfect."""


def difference_noise(signal: Float[np.ndarray, "t c"]) -> Float[np.ndarray, " c"]:
    r"""Variance of white noise on a smooth signal, $\frac{1}{6} \overline{(x_{t-1} - 2 x_t + x_{t+1})^2}$; NaN for fewer than 3 steps.

    The signal must change little from step to step against the noise: what of it bends within three steps counts as noise.

    Relations:
        * white noise of variance s^2 on a straight line: s^2 on average

    References: von Neumann, Kent, Bellinson & Hart 1941, The mean square successive difference.
    """
    if len(signal) < 3:
        return np.full(signal.shape[1], np.nan)
    x = np.asarray(signal, dtype=np.float64)
    bends = x[:-2] - 2 * x[1:-1] + x[2:]
    noise: np.ndarray = (bends**2).mean(axis=0) / 6
    return noise


def picture_noise(picture: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, " c"]:
    r"""Variance of white noise on a picture: second differences along both sides, mean square / 36; NaN below 3 x 3 pixels.

    Relations:
        * white noise of variance s^2 on a plane: s^2 on average

    References: Immerkaer 1996, Fast noise variance estimation.
    """
    if min(picture.shape[:2]) < 3:
        return np.full(picture.shape[2], np.nan)
    x = np.asarray(picture, dtype=np.float64)
    rows = x[:-2] - 2 * x[1:-1] + x[2:]
    bends = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    noise: np.ndarray = (bends**2).mean(axis=(0, 1)) / 36
    return noise


def _signals(block: object) -> list[np.ndarray]:
    """Each value as an array whose last axis is its channels."""
    if isinstance(block, Ragged):
        return [np.asarray(value).reshape(len(value), -1) for value in block]
    array = np.asarray(block)
    return list(array[..., None] if array.ndim == 3 else array)


def measured_noise(column: Modality) -> Float[np.ndarray, "n c"]:
    """Noise variance of each row's signal in each channel, by `difference_noise` or `picture_noise`; NaN where there is none."""
    used, index = column.used()
    found = [
        picture_noise(value) if column.kind == "grid" else difference_noise(value)
        for block in value_blocks(column)
        for value in _signals(block)
    ]
    table = np.array(found).reshape(len(used), -1)
    noise: np.ndarray = np.vstack([table, np.full((1, table.shape[1]), np.nan)])[index]  # -1 reads the last
    return noise


def channel_variance(column: Modality) -> Float[np.ndarray, " c"]:
    """Variance of each channel over all steps, pixels or rows of the values in use."""
    count, total, squares, centre = 0, np.zeros(1), np.zeros(1), np.zeros(1)
    for block in value_blocks(column):
        values = np.asarray(block.values if isinstance(block, Ragged) else block, dtype=np.float64)
        flat = values.reshape(-1, values.shape[-1] if values.ndim in (2, 4) else 1)
        if not count:
            centre = flat.mean(axis=0)  # near the mean: a large one does not eat a small spread
        shifted = flat - centre
        count, total = count + len(flat), total + shifted.sum(axis=0)
        squares = squares + (shifted**2).sum(axis=0)
    variance: np.ndarray = np.maximum(squares / count - (total / count) ** 2, 0)
    return variance


def learn_channels(
    data: Modalities, noise: Mapping[str, float] | None
) -> dict[str, dict[str, Float[np.ndarray, " c"]]]:
    """What `signal_to_noise` needs of each modality: the power of its signal and its usual noise, per channel.

    Args:
        data: Training rows.
        noise: Name -> noise variance in each column or channel, in the square of its units, where it is known; the others are measured.

    Raises:
        ModalityError: an unknown name, a negative variance, or a modality whose noise cannot be measured.
    """
    given = dict(noise or {})
    data.select(*given)
    learned = {}
    for name, column in data.items():
        if name in given and not given[name] > 0:
            raise ModalityError(f"noise of {name!r} must be a variance > 0, got {given[name]!r}.")
        if column.kind == "text" or (column.kind == "vector" and name not in given):
            raise ModalityError(
                f"weights='noise' measures noise in sequences, sounds and pictures; {name!r} is {column.kind}. "
                + ("Leave it out." if column.kind == "text" else f"Say noise={{{name!r}: variance}}.")
            )
        variance = channel_variance(column)
        usual = (
            np.full_like(variance, given[name])
            if name in given
            else np.nan_to_num(np.nanmean(_some(measured_noise(column), name), axis=0))
        )
        usual = np.maximum(usual, _LEAST * variance)
        learned[name] = {
            "signal": np.maximum(variance - usual, 0),
            "usual": usual,
            "known": np.array(name in given),
        }
    return learned


def _some(measured: np.ndarray, name: str) -> np.ndarray:
    if np.isnan(measured).all():
        raise ModalityError(
            f"weights='noise' needs signals of at least 3 steps or 3 x 3 pixels, {name!r} has none. Say noise={{{name!r}: variance}}."
        )
    return measured


def signal_to_noise(
    data: Modalities, learned: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Signal-to-noise ratio of each row in each modality, summed over channels; 0 where the row lacks it."""
    ratios = {}
    for name, column in data.items():
        state = learned[name]
        ratio = np.zeros(len(data))
        if column.present.any():
            noise = np.tile(state["usual"], (len(data), 1))
            if not state["known"]:
                measured = measured_noise(column)
                floor = _LEAST * (state["signal"] + state["usual"])
                noise = np.where(np.isnan(measured), noise, np.maximum(measured, floor))
            ratio = (state["signal"] / np.where(noise > 0, noise, 1.0)).sum(axis=1) * column.present
        ratios[name] = ratio
    return ratios
