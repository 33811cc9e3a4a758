"""`PretrainedFeatures`: pictures and texts as the vectors of frozen towers, computed once; what comes after learns on vectors."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Coordination
from polymodal.core.files import Files
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.encoders.base import EncoderModule
from polymodal.encoders.pretrained import PretrainedImageEncoder, PretrainedTextEncoder
from polymodal.nn.towers import Towers
from polymodal.training.inference import infer

Pretrained = PretrainedImageEncoder | PretrainedTextEncoder


class PretrainedFeatures(Coordination):
    """Each modality as the vectors that a frozen tower gives; vectors stay as they are. Nothing is trained.

    The quick way to a head of one's own: `Pipeline([("features", PretrainedFeatures({...})), ("clip", CLIP(32))])` runs the
    towers once over the data, and what is trained, a small network on vectors, takes seconds or minutes. To try
    several heads, keep `features.fit_transform(data)` and fit each on that.

    Each distinct value is encoded once, and remembered: the same picture or text in a later call costs nothing. Rows that
    share a value go on sharing its vector. Towers of one CLIP checkpoint give vectors of one space.

    Args:
        encoders: Modality -> `PretrainedImageEncoder` or `PretrainedTextEncoder` with trainable="none". A modality of
            vectors needs none.
        device: Where to compute: "auto", or a name torch knows.
        cache_mib: Memory for vectors that are remembered, in MiB; the least recently used go first. 0 remembers none.

    Attributes:
        settings_: Modality -> what its encoder read of the checkpoint.

    Relations:
        * with both towers of a checkpoint: `load_clip(folder).transform`, before the vectors are made unit length.
    """

    requires = Requirements(min_modalities=1, unpaired=True)
    exempt: ClassVar[Mapping[str, str]] = {
        "cardinality": "gives vectors of each modality on its own, of different lengths: what a shared space is learned from",
    }

    settings_: dict[str, dict[str, Any]]

    def __init__(
        self,
        encoders: Mapping[str, Pretrained] | None = None,
        *,
        device: str = "auto",
        cache_mib: float = 256.0,
    ) -> None:
        self.encoders = encoders
        self.device = device
        self.cache_mib = cache_mib

    @classmethod
    def _examples(cls) -> list[PretrainedFeatures]:
        return [cls()]  # vectors pass through; towers need a checkpoint

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        encoders = dict(self.encoders or {})
        unknown = [name for name in encoders if name not in data]
        if unknown:
            raise ModalityError(
                f"Encoders for unknown modalities {unknown}; the data have {list(data.names)}.{suggest(unknown[0], data.names)}"
            )
        trained = [
            name for name, encoder in encoders.items() if getattr(encoder, "trainable", None) != "none"
        ]
        if trained:
            raise ConfigError(
                f'PretrainedFeatures trains nothing, so the encoders of {trained} need to be pretrained, with trainable="none". Give '
                "encoders that train to CLIP(encoders=...)."
            )
        bare = {
            name: column.kind
            for name, column in data.items()
            if name not in encoders and column.kind != "vector"
        }
        if bare:
            raise ModalityError(
                f"PretrainedFeatures needs an encoder for every modality but vectors, got none for {bare}. Add one, or drop the modality."
            )
        self.settings_ = {name: encoders[name].prepare(data[name]) for name in sorted(encoders)}
        self._start()

    def _start(self) -> None:
        self._modules: dict[str, EncoderModule] = {}
        for name, settings in self.settings_.items():
            encoder = (self.encoders or {})[name]
            self._modules[name] = encoder.build(settings, encoder.width(settings)).eval()
        self._remembered: OrderedDict[Hashable, Float[np.ndarray, " d"]] = OrderedDict()
        self._bytes = 0

    def _transform(self, data: Modalities) -> Modalities:
        columns = {
            name: self._encode(name, column) if name in self._modules else column
            for name, column in data.items()
        }
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """0 whatever the data are: nothing is learned here that could be better or worse."""
        del data, y
        return 0.0

    def _encode(self, name: str, column: Modality) -> Modality:
        used, index = column.used()
        keys = [(name, _key(column.store, int(i))) for i in used]
        new = {key: i for key, i in zip(keys, used, strict=True) if key not in self._remembered}
        found: dict[Hashable, np.ndarray] = {
            key: self._remembered[key] for key in keys if key in self._remembered
        }
        if new:
            rows = np.fromiter(new.values(), np.int64, len(new))
            towers = Towers({name: self._modules[name]})
            vectors = infer(
                towers,
                lambda module, batch: module(batch.columns)[0],
                Modalities({name: Modality(column.store, rows)}),
                collates=towers.collates,
                batch_size=256,
                device=self.device,
            )[name]
            found |= dict(zip(new, vectors, strict=True))
        for key in keys:
            self._remember(key, found[key])
        width = self._modules[name].dim
        stacked = np.stack([found[key] for key in keys]) if keys else np.empty((0, width), dtype=np.float32)
        return Modality(stacked, index)

    def _remember(self, key: Hashable, vector: np.ndarray) -> None:
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return
        most = self.cache_mib * 2**20
        if vector.nbytes > most:
            return
        self._remembered[key] = vector.copy()
        self._bytes += vector.nbytes
        while self._bytes > most:
            self._bytes -= self._remembered.popitem(last=False)[1].nbytes

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        weights = {name: dict(module.state_dict()) for name, module in self._modules.items()}
        return {**super()._get_state(), "weights": weights}

    def _set_state(self, state: dict[str, Any]) -> None:
        super()._set_state({k: v for k, v in state.items() if k != "weights"})
        self._start()
        for name, module in self._modules.items():
            module.load_state_dict({k: torch.as_tensor(v) for k, v in state["weights"][name].items()})


def _key(store: Any, i: int) -> Hashable:
    """What tells one stored value from another: a text itself, a file's path and time, the bytes of an array."""
    if isinstance(store, Files):
        path = store.paths[i]
        facts = path.stat() if path.exists() else None  # the reader names a file that is not there
        return str(path), repr(store.reader), facts and (facts.st_mtime_ns, facts.st_size)
    value = store[i]
    if isinstance(value, str):
        return value
    array = np.ascontiguousarray(value)
    return array.shape, array.dtype.str, hashlib.blake2b(array.tobytes(), digest_size=16).digest()
