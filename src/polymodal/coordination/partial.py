"""Partial coordination: a vector has shared dimensions, which are coordinated, and free ones, which keep what is a modality's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.coordination._contrast import STARTS, ContrastiveModule
from polymodal.coordination._learned import LearnedCoordination, Loss, embed_stored
from polymodal.coordination._pairs import Pair, chosen_pairs
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.vector import MLPEncoder
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.decorrelation import decorrelation_loss
from polymodal.training.batches import Batch, row_codes
from polymodal.training.gradient_cache import Embedded, EmbeddingLoss
from polymodal.training.inference import infer
from polymodal.training.options import Training


class PartialModule(ContrastiveModule):
    """Towers whose first dimensions are shared and whose others are free, and decoders back to the values.

    Args:
        towers: One encoder per modality.
        n_shared: Shared dimensions of every tower.
        decoders: Name -> map from all of a tower's dimensions to the numbers it reads, where there is one.
    """

    def __init__(self, towers: Towers, n_shared: int, decoders: Mapping[str, nn.Module]) -> None:
        super().__init__(towers, STARTS["softmax"].temperature)
        self.n_shared = n_shared
        self.decoded: tuple[str, ...] = tuple(sorted(decoders))
        self.decoders = nn.ModuleList([decoders[name] for name in self.decoded])

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n k"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> the shared part, of length 1 (zeros where absent), and name -> presence."""
        shared, _, present = self.parts(columns)
        return shared, present

    def parts(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Name -> shared part, name -> free part where there is one, and name -> presence."""
        vectors, present = self.towers(columns)
        k = self.n_shared
        shared = {name: functional.normalize(v[:, :k].float(), dim=1) for name, v in vectors.items()}
        free = {name: v[:, k:].float() for name, v in vectors.items() if v.shape[1] > k}
        return shared, free, present

    def reconstruct(self, name: str, shared: Tensor, free: Tensor) -> Tensor:
        """The numbers that the encoder of `name` read, from both parts of its vector; no gradient goes to the shared one."""
        whole = torch.cat([shared.detach(), free], dim=1)
        values: Tensor = self.decoders[self.decoded.index(name)](whole)
        return values


class PartialCoordination(LearnedCoordination):
    r"""Encoders whose vectors agree in their shared dimensions only; the free ones keep what no other modality knows.

    $$ L = L_{\text{InfoNCE}}(s) + \lambda \operatorname{mean}_m \frac1{n d_m} \sum_i \|x_i^m - D_m(\bar s_i^m, p_i^m)\|^2
       + \mu \operatorname{mean}_m \frac1q \| \operatorname{corr}(s^m, p^m) \|_F^2, \qquad (s_i^m, p_i^m) = f_m(x_i^m) $$

    The first term brings the shared parts s together as `CLIP` does (learned temperature, several positives, rows that lack
    modalities). The second makes both parts together say what x was, so that p keeps what s leaves out; the bar says that its
    gradient stops there, so that reconstruction does not pull what is private into s. The third keeps p from repeating s:
    correlations over the batch, of centred columns. `transform` gives the shared part, unit vectors of float32; `private` gives
    the free part.

    Reconstructed are the modalities that an `MLPEncoder` reads (vectors, by default), in its standardised columns. Pictures,
    texts, sequences and sounds are coordinated, but not reconstructed: they have no free part.

    Args:
        n_components: Shared dimensions k.
        n_private: Free dimensions q of each reconstructed modality. 0: strong coordination, everything is shared.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train.
        weight: lambda > 0, of the reconstruction. Without free dimensions there is none.
        decorrelation: mu >= 0.
        pairs: "all", or the name of one modality that each other is paired with.
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `PartialModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, an encoder does not fit, or free
            dimensions are asked for where nothing can be reconstructed.
        ConfigError: a parameter out of range.

    Complexity:
        As `CLIP`, and a pass of each decoder.

    Relations:
        * n_private=0: equals `CLIP` with the same seed.
        * transform of some modalities equals the same columns of transform of all.
        * `chunk_size` does not change the result without dropout, up to rounding; nor do several processes.

    References:
        Salzmann et al. 2010, "Factorized orthogonal latent spaces". Bousmalis et al. 2016, "Domain separation networks".

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> partial = PartialCoordination(3, n_private=2, training=Training(max_epochs=2), random_state=0).fit(data)
        >>> partial.transform(data)["a"].shape, partial.private(data)["a"].shape
        ((3,), (2,))
    """

    module_: PartialModule

    def __init__(
        self,
        n_components: int = 64,
        *,
        n_private: int = 16,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        weight: float = 1.0,
        decorrelation: float = 1.0,
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.n_private = n_private
        self.encoders = encoders
        self.training = training
        self.weight = weight
        self.decorrelation = decorrelation
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[PartialCoordination]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(3, n_private=2, training=training, random_state=0),
            cls(3, n_private=0, training=training, random_state=0),
        ]

    def private(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """The free part of each reconstructed modality, (n, n_private); a row that lacks a modality lacks its free part.

        Raises:
            ModalityError: none of the modalities given has a free part.
        """
        frame = self._check_known(data)
        names = [name for name in frame.names if self.n_private and self._reconstructed(name)]
        if not names:
            raise ModalityError(
                f"PartialCoordination.private needs a modality with a free part, got {list(frame.names)}. Free parts have the "
                f"modalities that an MLPEncoder reads, with n_private of at least 1 (it is {self.n_private})."
            )
        return Modalities({name: self._free(name, frame[name]) for name in names}, ids=frame.ids)

    def _free(self, name: str, column: Modality) -> Modality:
        def free(values: Modality) -> np.ndarray:
            collates = {name: self.module_.towers.collates[name]}
            found = infer(
                self.module_,
                lambda module, batch: module.parts(batch.columns)[1],  # type: ignore[operator]
                Modalities({name: values}),
                collates=collates,
                device=self.training.device,
            )
            return found[name]

        return embed_stored(column, free, self.n_private)

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _reconstructed(self, name: str) -> bool:
        return isinstance(self.encoders_[name], MLPEncoder)

    def _build(self) -> PartialModule:
        built = {}
        for name in sorted(self.encoders_):
            width = self.n_components + (self.n_private if self._reconstructed(name) else 0)
            built[name] = self.encoders_[name].build(self.settings_[name], width)
        return self._make_module(Towers(built))

    def _make_module(self, towers: Towers) -> PartialModule:
        decoders: dict[str, nn.Module] = {}
        for name in towers.names if self.n_private else ():
            recipe = self.encoders_[name]
            if isinstance(recipe, MLPEncoder):
                n_out = len(self.settings_[name]["mean"])
                decoders[name] = MLP(
                    self.n_components + self.n_private, n_out, width=recipe.width, depth=recipe.depth
                )
        if self.n_private and not decoders:
            raise ModalityError(
                f"PartialCoordination(n_private={self.n_private}) needs a modality it can reconstruct, one that an MLPEncoder "
                f"reads, got {list(towers.names)}. Set n_private=0, or add vectors."
            )
        return PartialModule(towers, self.n_components, decoders)

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of, pairs = row_codes(data), chosen_pairs(data.names, self.pairs)
        weight, decorrelation = self.weight, self.decorrelation

        def compare(module: nn.Module, rows: Embedded) -> Tensor:
            assert isinstance(module, PartialModule)
            return partial_loss(
                module,
                rows,
                codes_of(rows.rows),
                pairs,
                weight=weight,
                decorrelation=decorrelation,
            )

        return EmbeddingLoss(_embed_parts, compare)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not isinstance(self.n_private, int | np.integer) or self.n_private < 0:
            raise ConfigError(
                f"PartialCoordination needs n_private of at least 0, got {self.n_private!r}. Try 16."
            )
        if not 0 < self.weight < math.inf:
            raise ConfigError(
                f"PartialCoordination needs a weight above 0, got {self.weight!r}: without reconstruction the free dimensions "
                "have nothing to keep. Try 1, or n_private=0."
            )
        if not 0 <= self.decorrelation < math.inf:
            raise ConfigError(
                f"PartialCoordination needs decorrelation of at least 0, got {self.decorrelation!r}. Try 1."
            )


def _embed_parts(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Both parts of every vector, and what each row's reconstruction leaves over (mean square over columns)."""
    assert isinstance(module, PartialModule)
    shared, free, present = module.parts(batch.columns)
    found = {f"shared {name}": s for name, s in shared.items()}
    found |= {f"free {name}": p for name, p in free.items()}
    for name in module.decoded:
        values = batch.columns[name].values
        if isinstance(values, dict) or not len(values):
            found[f"error {name}"] = shared[name].sum(1) * 0
            continue
        again = module.reconstruct(name, shared[name], free[name])
        truth = values[batch.columns[name].index.clamp(min=0)]
        found[f"error {name}"] = (again.float() - truth).square().mean(1).masked_fill(~present[name], 0.0)
    return found


def partial_loss(
    module: PartialModule,
    rows: Embedded,
    codes: Mapping[str, Tensor],
    pairs: Sequence[Pair],
    *,
    weight: float,
    decorrelation: float,
) -> Float[Tensor, ""]:
    """The loss of `PartialCoordination`, from the parts of all rows: coordination, reconstruction, decorrelation."""
    shared = {name: rows.vectors[f"shared {name}"] for name in codes}
    loss = module.compare(Embedded(shared, rows.present, rows.rows), codes, pairs)
    if module.decoded:
        errors = [
            rows.vectors[f"error {name}"].sum() / rows.present[name].sum().clamp(min=1)
            for name in module.decoded
        ]
        loss = loss + weight * torch.stack(errors).mean()
    free = {name: rows.vectors[f"free {name}"] for name in codes if f"free {name}" in rows.vectors}
    if free and decorrelation:
        repeats = [
            decorrelation_loss(shared[name][rows.present[name]], p[rows.present[name]]) / p.shape[1]
            for name, p in free.items()
        ]
        loss = loss + decorrelation * torch.stack(repeats).mean()
    return loss
