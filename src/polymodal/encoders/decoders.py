"""Decoders of several modalities: which values can be made again, what has to be learned for it, and the decoders side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.typing import Bool, Float, Kind, Shaped
from polymodal.encoders.base import Encoder, mean_and_scale, value_blocks
from polymodal.encoders.custom import ModuleEncoder
from polymodal.encoders.decoder_base import Decoder
from polymodal.encoders.decoder_words import WordsDecoder, words_settings
from polymodal.encoders.picture import ConvEncoder, ViTEncoder, picture_settings
from polymodal.encoders.text import BagOfTokensEncoder, TextTransformerEncoder
from polymodal.encoders.vector import MLPEncoder
from polymodal.nn.deconvolution import Deconvolution2d
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn
from polymodal.objectives.likelihoods import Likelihood, LikelihoodName, likelihood_of

DECODABLE = (MLPEncoder, ConvEncoder, ViTEncoder, BagOfTokensEncoder, TextTransformerEncoder, ModuleEncoder)
"""Encoders whose values can be made again: vectors, pictures of one size, and the words of texts."""

DECODABLE_KINDS: frozenset[Kind] = frozenset({"vector", "grid", "text"})


class Decoders(nn.Module):
    """One `Decoder` per modality, as wide and deep as that modality's encoder.

    Args:
        recipes: Name -> encoder recipe; other names have no decoder.
        settings: Name -> what `prepare_decoders` learned; for vectors under a normal of scale 1, what the encoder learned will do.
        dim: Features of a code.
    """

    def __init__(
        self, recipes: Mapping[str, Encoder], settings: Mapping[str, Mapping[str, Any]], dim: int
    ) -> None:
        super().__init__()
        self.names: tuple[str, ...] = tuple(sorted(recipes))
        self.decoders = nn.ModuleList(
            [build_decoder(recipes[name], settings[name], dim) for name in self.names]
        )

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Decoder:
        """The decoder of one modality."""
        found = self.decoders[self.names.index(name)]
        assert isinstance(found, Decoder)
        return found

    @property
    def means(self) -> dict[str, np.ndarray]:
        """Name -> mean of the features (of pictures: of the channels)."""
        return {name: self[name].mean for name in self.names}

    @property
    def scales(self) -> dict[str, np.ndarray]:
        """Name -> standard deviation of the same."""
        return {name: self[name].scale for name in self.names}

    @property
    def sizes(self) -> dict[str, int]:
        """Name -> how many numbers a value has."""
        return {name: self[name].size for name in self.names}

    def forward(self, name: str, codes: Float[Tensor, "... dim"]) -> Tensor:
        """Parameters of one modality: for vectors under a normal, standardised features."""
        parameters: Tensor = self[name](codes)
        return parameters

    def errors(
        self,
        name: str,
        codes: Float[Tensor, "n dim"],
        column: EncodedColumn,
        rows: Bool[Tensor, " n"] | None = None,
    ) -> Float[Tensor, ""]:
        r"""Mean over rows of $|x - D(z)|^2$, x standardised; 0 where no row has the modality.

        Args:
            name: The modality to reconstruct.
            codes: A code for each row of the batch.
            column: That modality's column of the batch.
            rows: Only these rows count; they must have the modality. None: all that have it.
        """
        chosen = column.present if rows is None else rows
        if not bool(chosen.any()):
            return codes.sum() * 0
        wanted = self[name].targets(column)[chosen]
        error: Tensor = self[name].errors(self(name, codes[chosen]), wanted).mean()
        return error

    def restore(self, name: str, parameters: Float[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Expected values in the units of the data, as float64; of texts the likeliest words."""
        return self[name].restore(parameters)


def build_decoder(recipe: Encoder, settings: Mapping[str, Any], dim: int) -> Decoder:
    """Fresh weights, drawn from torch's current random state."""
    if isinstance(recipe, BagOfTokensEncoder | TextTransformerEncoder):
        return WordsDecoder(MLP(dim, len(settings["words"]), width=2 * recipe.width), settings)
    if "shape" in settings and len(settings["shape"]) == 3:
        height, width, channels = settings["shape"]
        narrow = recipe.width if isinstance(recipe, ConvEncoder) else 32
        return Decoder(Deconvolution2d(dim, channels, (height, width), width=narrow), settings)
    plain = recipe if isinstance(recipe, MLPEncoder) else MLPEncoder()
    return Decoder(MLP(dim, len(settings["mean"]), width=plain.width, depth=plain.depth), settings)


def prepare_decoders(
    encoders: Mapping[str, Encoder],
    data: Modalities,
    likelihoods: Mapping[str, Likelihood | LikelihoodName] | None = None,
    *,
    method: str,
) -> dict[str, dict[str, Any]]:
    """Name -> settings of a decoder, learned from training values: what has to be saved beside the weights.

    Without a likelihood given: values that are all 0 or 1 are yes-or-no answers, or one of many where every row has exactly one 1;
    all others are normal, with a learned scale.

    Args:
        encoders: Name -> recipe, of every modality of `data`.
        data: Training rows.
        likelihoods: Name -> a likelihood, or its name.
        method: Who asks, for messages.

    Raises:
        ModalityError: an encoder whose values cannot be made again, an unknown name, or values that a likelihood cannot read.
    """
    given = dict(likelihoods or {})
    unknown = sorted(set(given) - set(encoders))
    if unknown:
        raise ModalityError(
            f"Likelihoods for unknown modalities {unknown}; the data have {list(data.names)}.{suggest(unknown[0], data.names)}"
        )
    check_all_decodable(encoders, method=method)
    found = {}
    for name in sorted(encoders):
        column, recipe = data[name], encoders[name]
        if isinstance(recipe, BagOfTokensEncoder | TextTransformerEncoder):
            found[name] = _check_words(name, given.get(name, "categorical"), words_settings(column, recipe))
            continue
        settings = _learn_shape(column, recipe)
        lowest, highest, whole, one_hot = _look_at(column)
        if settings["bytes"]:
            settings["peak"] = 255.0
        if name in given:
            settings["likelihood"] = likelihood_of(given[name])
        elif whole and (lowest, highest) == (0.0, 1.0):
            several = column.kind == "vector" and len(settings["mean"]) > 1
            settings["likelihood"] = likelihood_of("categorical" if one_hot and several else "bernoulli")
        else:
            settings["likelihood"] = likelihood_of("gaussian")
        if not settings["likelihood"].standard and not (lowest >= 0 and highest <= settings["peak"]):
            raise ModalityError(
                f"{type(settings['likelihood']).__name__} of modality {name!r} needs values from 0 to 1 (bytes: to 255), got {lowest:g} to "
                f'{highest:g}. Rescale them, or take likelihoods={{{name!r}: "gaussian"}}.'
            )
        del settings["bytes"]
        found[name] = settings
    return found


def decodable(encoders: Mapping[str, Encoder]) -> dict[str, MLPEncoder]:
    """The recipes of modalities that can be decoded as vectors."""
    return {name: recipe for name, recipe in encoders.items() if isinstance(recipe, MLPEncoder)}


def check_decodable(encoders: Mapping[str, Encoder], *, method: str) -> dict[str, MLPEncoder]:
    """The same where each modality must be a vector.

    Raises:
        ModalityError: names the modalities that are none.
    """
    found = decodable(encoders)
    others = {name: type(recipe).__name__ for name, recipe in encoders.items() if name not in found}
    if others:
        raise ModalityError(
            f"{method} reconstructs vectors encoded by MLPEncoder, got other encoders {others}. "
            "Turn those modalities into vectors first (polymodal.encoders.Vectorize), or set reconstruction=0."
        )
    return found


def check_all_decodable(encoders: Mapping[str, Encoder], *, method: str) -> None:
    """Refuse encoders whose values cannot be made again.

    Raises:
        ModalityError: names the modalities.
    """
    others = {name: type(recipe).__name__ for name, recipe in encoders.items() if not _can_decode(recipe)}
    if others:
        raise ModalityError(
            f"{method} makes values again that {' or '.join(kind.__name__ for kind in DECODABLE)} read, got other encoders "
            f"{others}. Turn those modalities into vectors first (polymodal.encoders.Vectorize)."
        )


def decode(module: nn.Module, decoders: Decoders, name: str, codes: np.ndarray) -> np.ndarray:
    """Expected values of one modality for given codes, in the units of the data, without gradients."""
    module.eval()
    device = next(decoders.parameters()).device
    with torch.inference_mode():
        parts = [
            decoders(name, torch.from_numpy(block).to(device)).float().cpu().numpy()
            for block in np.array_split(codes.astype(np.float32), max(1, -(-len(codes) // 512)))
        ]
    return decoders.restore(name, np.concatenate(parts))


# --- what is learned --------------------------------------------------------------------------------------------


def _can_decode(recipe: Encoder) -> bool:
    return isinstance(recipe, DECODABLE) and not hasattr(getattr(recipe, "module", None), "collate")


def _check_words(
    name: str, likelihood: Likelihood | LikelihoodName, settings: dict[str, Any]
) -> dict[str, Any]:
    if likelihood_of(likelihood) != settings["likelihood"]:
        raise ModalityError(
            f'Modality {name!r} is made again as words: its likelihood is "categorical", got {likelihood!r}.'
        )
    if not settings["words"]:
        raise ModalityError(f"Modality {name!r} has no word in any text, so none can be made again. Drop it.")
    return settings


def _learn_shape(column: Modality, recipe: Encoder) -> dict[str, Any]:
    """Shape, mean and scale, and whether the values are bytes."""
    raw = isinstance(recipe, ModuleEncoder)
    if column.kind == "vector":
        mean, scale = mean_and_scale(value_blocks(column))
        shape: tuple[int, ...] = (len(mean),)
        return {
            "shape": shape,
            "restored": shape,
            "mean": mean,
            "scale": scale,
            "raw": raw,
            "peak": 1.0,
            "bytes": False,
        }
    if column.kind != "grid":
        raise ModalityError(
            f"Only vectors, pictures and words can be made again, got {column.kind} of shape {column.shape}. Turn it into vectors first "
            "(polymodal.encoders.Vectorize)."
        )
    learned = picture_settings(recipe, column)
    restored = tuple(column.shape)
    return {
        "shape": (*restored[:2], learned["channels"]),
        "restored": restored,
        "mean": learned["mean"],
        "scale": learned["scale"],
        "raw": raw,
        "peak": 1.0,
        "bytes": next(value_blocks(column, most=1)).dtype == np.uint8,
    }


def _look_at(column: Modality) -> tuple[float, float, bool, bool]:
    """Least and largest number, whether all are 0 or 1, and whether each value has exactly one 1; of pictures, of 2,048 at most."""
    lowest, highest, whole, one_hot = np.inf, -np.inf, True, True
    for block in value_blocks(column, most=2048 if column.kind == "grid" else None):
        values = np.asarray(block)
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
        whole = whole and bool(((values == 0) | (values == 1)).all())
        one_hot = one_hot and whole and bool((values.reshape(len(values), -1).sum(axis=1) == 1).all())
    return lowest, highest, whole, one_hot
