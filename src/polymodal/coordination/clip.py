"""CLIP: one encoder per modality, trained so that what belongs together lies together in one space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.coordination._learned import CoordinationModule, LearnedCoordination, Loss
from polymodal.coordination._pairs import Pair, chosen_pairs
from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float, Int
from polymodal.encoders.base import Encoder
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.infonce import pairwise_info_nce
from polymodal.training.batches import Batch
from polymodal.training.distributed import all_gather_rows
from polymodal.training.options import Training

MAX_SCALE = 100.0
"""Largest inverse temperature (Radford et al. 2021): beyond it training becomes unstable."""


class CLIPModule(CoordinationModule):
    """Towers whose vectors have length 1, and one learned temperature.

    Args:
        towers: One encoder per modality, all of one `dim`.
        temperature: Where the learned temperature starts, > 0.

    Attributes:
        log_scale: Log of the inverse temperature, kept at most log 100 while training.
    """

    def __init__(self, towers: Towers, temperature: float = 0.07) -> None:
        super().__init__()
        self.towers = towers
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """exp(-log_scale): at least 1 / 100."""
        return (-self.log_scale).exp()

    def clamp_temperature(self) -> None:
        """Bring a runaway scale back; in place, so that the next gradient still arrives (a clamp in the graph would block it)."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_SCALE))

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n dim"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> unit vectors (zeros where absent), and name -> presence."""
        vectors, present = self.towers(columns)
        return {name: functional.normalize(v.float(), dim=1) for name, v in vectors.items()}, present


def clip_loss(
    module: CLIPModule, batch: Batch, codes: Mapping[str, Int[Tensor, " rows"]], pairs: Sequence[Pair]
) -> Float[Tensor, ""]:
    """`pairwise_info_nce` of a batch, over the rows of all processes.

    Args:
        module: Gives vectors and the temperature.
        batch: This process's rows.
        codes: Name -> identity codes of all rows of the data (`Modality.identity`).
        pairs: Which modalities to bring together.

    Relations:
        * two processes with half a batch each: the loss and the gradients of one with the whole batch.
    """
    module.clamp_temperature()
    vectors, present = module(batch.columns)
    rows = all_gather_rows(batch.rows)
    loss = pairwise_info_nce(
        {name: all_gather_rows(v) for name, v in vectors.items()},
        {name: all_gather_rows(p) for name, p in present.items()},
        temperature=module.temperature,
        codes={name: codes[name].to(rows.device)[rows] for name in vectors},
        pairs=pairs,
    )
    return loss + 0 * module.log_scale  # a batch without any pair has a gradient too: zero


class CLIP(LearnedCoordination):
    r"""Contrastive encoders of two or more modalities: what belongs together lies together, everything else apart.

    $$ L = \operatorname{mean}_{(m, m')} \tfrac12\big[CE(S/\tau) + CE(S^\top/\tau)\big], \qquad
       S_{ij} = \cos(f_m(x_i^m), f_{m'}(x_j^{m'})) $$

    Rows may lack modalities: each pair of modalities learns from the rows that have both. Rows that hold equal values
    (five captions of a picture, one caption of two pictures) are each other's positives, never negatives. `transform`
    gives unit vectors of float32, so that a dot product is the cosine. `score` is the mean reciprocal rank of retrieval
    over pairs of modalities and both directions, in (0, 1].

    Args:
        n_components: Dimensions of the shared space.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train. A held-out share (`validation`) never holds values that training sees.
        temperature: Where the learned temperature starts, > 0; it stays at or above 0.01.
        pairs: "all", or the name of one modality that each other is paired with (all that is needed where others
            never meet).
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `CLIPModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        temperature_: Learned temperature.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, or an encoder does not fit.
        ConfigError: `n_components` or `temperature` out of range.

    Complexity:
        Of an epoch: one pass of every encoder over the rows, and 8 B n_components operations a row and pair for batches
        of B. The loss's memory is linear in B.

    Relations:
        * transform of some modalities equals the same columns of transform of all.
        * a picture stored once with five captions equals the same picture stored five times, up to rounding.

    References:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision" (figure 3).
        Girdhar et al. 2023 (one modality that binds the others).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> clip = CLIP(4, training=Training(max_epochs=30, batch_size=30), random_state=0)
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> clip.fit(data).score(data) > 0.5
        True
    """

    module_: CLIPModule
    temperature_: float

    def __init__(
        self,
        n_components: int = 64,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        temperature: float = 0.07,
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = training
        self.temperature = temperature
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[CLIP]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(4, training=training, random_state=0)]

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _make_module(self, towers: Towers) -> CLIPModule:
        return CLIPModule(towers, self.temperature)

    def _make_loss(self, data: Modalities) -> Loss:
        codes = {name: torch.from_numpy(column.identity) for name, column in data.items()}
        pairs = chosen_pairs(data.names, self.pairs)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, CLIPModule)
            return clip_loss(module, batch, codes, pairs)

        return loss

    def _settle(self, data: Modalities) -> None:
        self.module_.clamp_temperature()
        self.temperature_ = float(self.module_.temperature.detach())

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"CLIP needs a temperature above 0, got {self.temperature!r}. Try 0.07.")
