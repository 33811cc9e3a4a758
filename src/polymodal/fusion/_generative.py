"""What unsupervised learned fusions share: encoders, decoders, training, and making one modality from any others. Abstract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float, Shaped
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import DECODABLE_KINDS, Decoders, decode, prepare_decoders
from polymodal.encoders.defaults import build_encoders, choose_encoders, prepare_encoders
from polymodal.fusion._layer import check_count
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.likelihoods import Likelihood, LikelihoodName
from polymodal.training.batches import Batch
from polymodal.training.history import History
from polymodal.training.inference import infer
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.saved_module import SavedModule
from polymodal.training.seeding import seeded

DEFAULT_TRAINING = Training(max_epochs=40, batch_size=64)

Likelihoods = Mapping[str, Likelihood | LikelihoodName]


class GenerativeModule(nn.Module):
    """Encoders and decoders around one code a row. A method writes `forward` and `loss`."""

    def __init__(self, towers: Towers, decoders: Decoders) -> None:
        super().__init__()
        self.towers, self.decoders = towers, decoders

    @abstractmethod
    def forward(self, columns: Mapping[str, EncodedColumn]) -> Float[Tensor, "n k"]:
        """The code of each row, from whatever modalities it has."""

    def log_likelihood(
        self,
        codes: Float[Tensor, "*draws n k"],
        columns: Mapping[str, EncodedColumn],
        kept: Mapping[str, Bool[Tensor, "..."]] | None = None,
        *,
        weights: Mapping[str, float] | None = None,
    ) -> Float[Tensor, "*draws n"]:
        r"""$\sum_m w_m \log p(x_m | z)$ over the modalities that a row has, in nats; only those are decoded.

        Args:
            codes: z.
            columns: The batch.
            kept: Name -> which rows count, (n,) or (*draws, n); they must have the modality. None: all that have it.
            weights: Name -> weight; None: 1 each.
        """
        shape, n = codes.shape[:-1], codes.shape[-2]
        total = torch.zeros(shape, device=codes.device)
        for name in self.decoders.names:
            if name not in columns:
                continue
            decoder, column = self.decoders[name], columns[name]
            wanted = (column.present if kept is None else kept[name]).expand(shape)
            weight = 1.0 if weights is None else weights[name]
            if bool(wanted.all()):
                total = total + weight * decoder.log_prob(decoder(codes), decoder.targets(column))
            elif bool(wanted.any()):
                places = wanted.flatten().nonzero()[:, 0]
                seen = decoder.targets(column).index_select(0, places % n)
                found = decoder.log_prob(decoder(codes.reshape(-1, codes.shape[-1])[places]), seen)
                total = total.flatten().index_add(0, places, weight * found).view(shape)
        return total

    @abstractmethod
    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """What training minimises."""


def alone(present: Mapping[str, Bool[Tensor, " n"]], name: str) -> dict[str, Bool[Tensor, " n"]]:
    """Masks that keep one modality only."""
    return {other: mask if other == name else torch.zeros_like(mask) for other, mask in present.items()}


class GenerativeFusion(SavedModule, Fusion):
    """Base of fusions whose code makes the modalities again. A method stores the parameters named here and writes `_make_module`."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, kinds=DECODABLE_KINDS, unpaired=True)

    n_components: int
    encoders: Mapping[str, Encoder] | None
    likelihoods: Likelihoods | None
    training: Training
    random_state: RandomState

    module_: GenerativeModule
    encoders_: dict[str, Encoder]
    settings_: dict[str, dict[str, Any]]
    decoder_settings_: dict[str, dict[str, Any]]
    history_: History

    @abstractmethod
    def _make_module(self, build: Callable[[int], Towers], decoders: Decoders) -> GenerativeModule:
        """The module, with fresh weights, under torch's current random state.

        Args:
            build: Makes one encoder per modality whose vectors have so many dimensions; every call gives new weights.
            decoders: They read codes of `n_components`.
        """

    def _check_parameters(self) -> None:
        """Refuse parameters out of range, by name."""
        check_count("n_components", self.n_components)

    def generate(self, data: Modalities | Mapping[str, Any], *, target: str) -> Shaped[np.ndarray, "n ..."]:
        """`target` of each row as its code says, in the units of the data: from any non-empty part of the modalities.

        Of a text: its likeliest words. Where a row has the target itself, that is a reconstruction.

        Raises:
            ModalityError: a target that was not fitted, or rows without any modality.
        """
        frame = self._check_source(data, target)
        return decode(self.module_, self.module_.decoders, target, self._transform(frame))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _check_source(self, data: Modalities | Mapping[str, Any], target: str) -> Modalities:
        frame = self._check_known(data)
        if target not in self.modalities_:
            known = sorted(self.modalities_)
            raise ModalityError(f"Can generate {known}, not {target!r}.{suggest(target, known)}")
        self._check_some_present(frame)
        return frame

    def _check_not_negative(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not value >= 0:
                raise ConfigError(f"{type(self).__name__} needs {name} >= 0, got {value!r}.")

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        self._check_parameters()
        self._check_some_present(data)
        rows = data.select(*sorted(data.names))
        self.encoders_ = choose_encoders(self.encoders, rows)
        self.decoder_settings_ = prepare_decoders(
            self.encoders_, rows, self.likelihoods, method=type(self).__name__
        )
        self.settings_ = prepare_encoders(self.encoders_, rows)
        with seeded(self.random_state) as seed:
            module = self._build()

        def loss(network: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(network, GenerativeModule)
            return network.loss(batch)

        self.history_ = train(
            module,
            loss,
            rows,
            collates=module.towers.collates,
            options=self.training,
            random_state=None if self.random_state is None else seed,
        )
        self.module_ = module

    def _build(self) -> GenerativeModule:
        decoders = Decoders(self.encoders_, self.decoder_settings_, self.n_components)
        return self._make_module(
            lambda dim: Towers(build_encoders(self.encoders_, self.settings_, dim)), decoders
        )

    def _infer(
        self, data: Modalities, function: Callable[[Any, Batch], Mapping[str, Tensor]]
    ) -> dict[str, np.ndarray]:
        """`function(module, batch)` over all rows, name -> (n, ...); an empty dict for no rows."""
        return infer(
            self.module_, function, data, collates=self.module_.towers.collates, device=self.training.device
        )

    def _transform(self, data: Modalities) -> np.ndarray:
        empty = np.empty((0, self.n_components), dtype=np.float32)
        return self._infer(data, lambda module, batch: {"z": module(batch.columns)}).get("z", empty)
