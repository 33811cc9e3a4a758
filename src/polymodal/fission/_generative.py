"""What generative fissions share: decoders, generation, and parts taken from another row. Abstract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float, Int
from polymodal.encoders.decoders import Decoders, prepare_decoders
from polymodal.fission._learned import FissionModule, LearnedFission
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.likelihoods import GaussianLikelihood


class GenerativeModule(FissionModule):
    """Towers and decoders; a decoder reads the shared part beside its modality's private part."""

    def __init__(self, towers: Towers, decoders: Decoders) -> None:
        super().__init__()
        self.towers, self.decoders = towers, decoders

    def read_out(
        self, name: str, shared: Float[Tensor, "*draws n k"], private: Float[Tensor, "*draws n q"]
    ) -> Tensor:
        """Standardised values of one modality (*draws, n, ...), as far as the parts tell."""
        made: Tensor = self.decoders(name, torch.cat([shared, private], dim=-1))
        return made


def squared_errors(
    module: GenerativeModule,
    name: str,
    shared: Float[Tensor, "*draws n k"],
    private: Float[Tensor, "*draws n q"],
    column: EncodedColumn,
) -> Float[Tensor, "*draws n"]:
    """Squared error of each row's standardised values; 0 where it lacks the modality. Many draws are decoded in one pass."""
    decoder = module.decoders[name]
    errors = decoder.errors(module.read_out(name, shared, private), decoder.targets(column))
    return torch.where(column.present, errors, 0.0)


def cross_errors(
    module: GenerativeModule,
    columns: Mapping[str, EncodedColumn],
    shared: Float[Tensor, "n k"],
    said: Mapping[str, Float[Tensor, "n k"]],
    private: Mapping[str, Float[Tensor, "n q"]],
    *,
    cross: float,
) -> Float[Tensor, ""]:
    """Mean over rows of the squared error a feature, added up over modalities, from the shared part and from one modality's word of it.

    Args:
        module: Decoders.
        columns: The batch.
        shared: The shared part of each row.
        said: Name -> the shared part as one modality tells it.
        private: Name -> private parts.
        cross: Weight of the second, which is a mean over the modalities of the row.
    """
    names = sorted(said)
    told, weights = [shared], [torch.ones(len(shared), device=shared.device)]
    if cross:
        here = torch.stack([columns[name].present for name in names])
        told += [said[name] for name in names]
        weights += [*(cross * here / here.sum(dim=0).clamp_min(1))]
    total = torch.zeros(len(shared), device=shared.device)
    for name in names:
        own = private[name].expand(len(told), *private[name].shape)
        errors = squared_errors(module, name, torch.stack(told), own, columns[name])
        total = total + (errors * torch.stack(weights)).sum(dim=0) / module.decoders.sizes[name]
    return total.mean()


class GenerativeFission(LearnedFission):
    """Base of fissions whose parts make the modalities again. A method writes `_make_module`, `_make_loss` and `_score`.

    Modalities are vectors, and pictures of one size. A part that a row lacks counts as zeros, the middle of its prior.
    """

    requires: ClassVar[Requirements] = Requirements(
        min_modalities=2, kinds=frozenset({"vector", "grid"}), missing=True
    )

    module_: GenerativeModule
    decoder_settings_: dict[str, dict[str, Any]]

    def generate(self, data: Modalities | Mapping[str, Any], *, target: str) -> Float[np.ndarray, "n ..."]:
        """`target` as each row's parts say, in the units of the data.

        Its private part is that of the row where `data` hold the modality, zeros elsewhere.

        Raises:
            ModalityError: a target that was not fitted, or rows without any modality.
        """
        return self._make(target, *self._codes(self._check_known(data), [target]))

    def recombine(
        self, data: Modalities | Mapping[str, Any], *, part: str, rows: Sequence[int] | Int[np.ndarray, " n"]
    ) -> Modalities:
        """Every fitted modality made again, with one part taken from another row and the others kept.

        Args:
            data: Rows; those that have nothing are refused.
            part: `"shared"`, or a modality whose private part is taken from elsewhere.
            rows: For each row of `data`, the row of `data` that gives the part.

        Relations:
            * rows = own rows: `generate` of each modality.

        Raises:
            ModalityError: an unknown part, or rows that are not there.
        """
        frame = self._check_known(data)
        parts = ["shared", *sorted(self.modalities_)]
        if part not in parts:
            raise ModalityError(f"recombine needs a part of {parts}, got {part!r}.{suggest(part, parts)}")
        donors = np.asarray(rows, dtype=np.int64)
        if donors.shape != (len(frame),) or (
            len(donors) and not 0 <= donors.min() <= donors.max() < len(frame)
        ):
            raise ModalityError(
                f"recombine needs, for each of {len(frame)} rows, the number of a row that gives its {part!r} part; got {donors.shape}."
            )
        shared, private = self._codes(frame, list(self.modalities_))
        if part == "shared":
            shared = shared[donors]
        else:
            private[part] = private[part][donors]
        made = {name: self._make(name, shared, private) for name in self.modalities_}
        return Modalities(
            {name: Modality(values, np.arange(len(values))) for name, values in made.items()}, ids=frame.ids
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _codes(self, frame: Modalities, wanted: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The shared part of every row, and private parts (zeros where a row has none)."""
        unknown = [name for name in wanted if name not in self.modalities_]
        if unknown:
            raise ModalityError(
                f"Can generate {list(self.modalities_)}, not {unknown[0]!r}.{suggest(unknown[0], list(self.modalities_))}"
            )
        parts = self._transform(frame)
        nothing = ~parts["shared"].present
        if nothing.any():
            raise ModalityError(
                f"Generating needs at least one of {list(self.modalities_)} on every row, "
                f"{int(nothing.sum())} of {len(frame)} rows have none. Drop those rows."
            )
        private = {name: np.zeros((len(frame), self.n_private), dtype=np.float32) for name in wanted}
        for name in wanted:
            if name in parts and parts[name].present.any():
                private[name][parts[name].present] = parts[name].observed()
        return np.asarray(parts["shared"].values()), private

    def _make(self, name: str, shared: np.ndarray, private: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values of one modality, in the units of the data, as float64."""
        module = self.module_.eval()
        device = next(module.parameters()).device
        with torch.inference_mode():
            made = [
                module.read_out(
                    name, *(torch.from_numpy(part[rows]).to(device) for part in (shared, private[name]))
                )
                .cpu()
                .numpy()
                for rows in np.array_split(np.arange(len(shared)), max(1, -(-len(shared) // 512)))
            ]
        return module.decoders.restore(name, np.concatenate(made))

    def _prepare(self, data: Modalities) -> None:
        super()._prepare(data)
        plain = dict.fromkeys(
            self.encoders_, GaussianLikelihood(scale=1.0)
        )  # squared errors of standardised values
        self.decoder_settings_ = prepare_decoders(self.encoders_, data, plain, method=type(self).__name__)

    def _make_decoders(self) -> Decoders:
        return Decoders(self.encoders_, self.decoder_settings_, self.n_shared + self.n_private)

    def _explained(self, data: Modalities) -> float:
        """Share of the standardised variance that each row's own parts rebuild, averaged over the modalities that are there."""
        names = [name for name, column in data.items() if column.present.any()]
        kept: Bool[np.ndarray, " n"] = np.logical_or.reduce([data[name].present for name in names])
        rows = data[np.flatnonzero(kept)]
        shared, private = self._codes(rows, names)
        found = []
        for name in names:
            has, scale = rows[name].present, self.module_.decoders.scales[name]
            wanted = np.asarray(rows[name].observed(), dtype=np.float64) / scale
            left = ((wanted - self._make(name, shared, private)[has] / scale) ** 2).sum()
            total = ((wanted - wanted.mean(axis=0)) ** 2).sum()
            found.append(1 - left / total if total > 0 else 0.0)
        return float(np.mean(found))
