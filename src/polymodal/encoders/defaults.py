"""Which encoder for which modality, and all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.typing import Kind
from polymodal.encoders.base import Encoder, EncoderModule
from polymodal.encoders.picture import ConvEncoder
from polymodal.encoders.sequence import SequenceTransformerEncoder
from polymodal.encoders.sound import SoundEncoder
from polymodal.encoders.text import TextTransformerEncoder
from polymodal.encoders.vector import MLPEncoder


def default_encoder(modality: Modality) -> Encoder:
    """The recipe for a modality's kind: fully connected, convolutional, or a transformer, small enough for two cores."""
    recipes: dict[Kind, Encoder] = {
        "vector": MLPEncoder(),
        "grid": ConvEncoder(),
        "sequence": SequenceTransformerEncoder(),
        "sound": SoundEncoder(),
        "text": TextTransformerEncoder(),
    }
    return recipes[modality.kind]


def choose_encoders(encoders: Mapping[str, Encoder] | None, data: Modalities) -> dict[str, Encoder]:
    """A recipe for every modality of `data`: the user's where given, else the default; in the sorted order of names.

    Raises:
        ModalityError: an encoder for a modality that the data lack, or for another kind of value.
        ConfigError: something that is no encoder.
    """
    given = dict(encoders or {})
    unknown = [name for name in given if name not in data]
    if unknown:
        raise ModalityError(
            f"Encoders for unknown modalities {unknown}; the data have {list(data.names)}.{suggest(unknown[0], data.names)}"
        )
    chosen: dict[str, Encoder] = {}
    for name in sorted(data.names):
        usual = default_encoder(data[name])
        encoder = given.get(name, usual)
        if not hasattr(encoder, "kinds"):
            raise ConfigError(
                f"Modality {name!r} needs an encoder, such as ConvEncoder(), got {encoder!r}. Choose one of polymodal.encoders."
            )
        if data[name].kind not in encoder.kinds:
            raise ModalityError(
                f"Modality {name!r} is {data[name].kind} of shape {data[name].shape}, but {type(encoder).__name__} encodes "
                f"{' or '.join(sorted(encoder.kinds))}. Leave {name!r} out of encoders= to take {type(usual).__name__}."
            )
        chosen[name] = encoder
    return chosen


def prepare_encoders(encoders: Mapping[str, Encoder], data: Modalities) -> dict[str, dict[str, Any]]:
    """Name -> settings learned from the training values: what has to be saved beside the weights."""
    return {name: encoder.prepare(data[name]) for name, encoder in encoders.items()}


def build_encoders(
    encoders: Mapping[str, Encoder], settings: Mapping[str, Mapping[str, Any]], dim: int
) -> dict[str, EncoderModule]:
    """Name -> module with fresh weights, drawn in the sorted order of names so that the order given does not matter."""
    return {name: encoders[name].build(settings[name], dim) for name in sorted(encoders)}
