"""The multimodal factorisation model: a label factor and one private factor a modality, each with its own normal prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import ScoringPredictor
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import KnownTask, Task
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fission._generative import GenerativeFission, GenerativeModule
from polymodal.fission._learned import DEFAULT_TRAINING, Loss, mean_of_present
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.prediction import prediction_loss, target_tensor
from polymodal.objectives.prior_matching import maximum_mean_discrepancy
from polymodal.training.batches import Batch
from polymodal.training.options import Training


class FactorisedModule(GenerativeModule):
    """Encoders of both factors, generators from factors to features of the decoders, decoders, and the head on the label factor."""

    def __init__(
        self, towers: Towers, decoders: Decoders, n_shared: int, n_private: int, n_outputs: int
    ) -> None:
        super().__init__(towers, decoders)
        self.sizes = (n_shared, n_private)
        self.label_generator = MLP(n_shared, n_shared, width=64)
        self.private_generators = nn.ModuleList([MLP(n_private, n_private, width=64) for _ in towers.names])
        self.head = nn.Linear(n_shared, n_outputs)

    def factors(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n k"], dict[str, Float[Tensor, "n q"]], dict[str, Tensor]]:
        """The label factor from what a row has, name -> private factor, name -> presence."""
        vectors, present = self.towers(columns)
        cut = {name: vector.float().split(self.sizes, dim=1) for name, vector in vectors.items()}
        shared = mean_of_present({name: c[0] for name, c in cut.items()}, present)
        return shared, {name: c[1] for name, c in cut.items()}, present

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n k"], dict[str, Float[Tensor, "n q"]]]:
        """Both kinds of factor."""
        shared, private, _ = self.factors(columns)
        return shared, private

    def outputs(self, shared: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        """One number a class, label or quantity, from the label factor alone."""
        logits: Tensor = self.head(self.label_generator(shared))
        return logits

    def read_out(self, name: str, shared: Float[Tensor, "n k"], private: Float[Tensor, "n q"]) -> Tensor:
        """Standardised values of one modality, from its generators and decoder."""
        return self.read_label(name, self.label_generator(shared), private)

    def read_label(self, name: str, label: Float[Tensor, "n k"], private: Float[Tensor, "n q"]) -> Tensor:
        """The same, from what the label generator gave."""
        own = self.private_generators[self.towers.names.index(name)](private)
        return super().read_out(name, label, own)


def factorised_loss(
    module: FactorisedModule, batch: Batch, task: KnownTask, *, reconstruction: float, matching: float
) -> Float[Tensor, ""]:
    """The loss of `FactorisedFission`."""
    if batch.target is None:
        raise ValueError("A supervised loss needs batch.target.")
    shared, private, present = module.factors(batch.columns)
    label = module.label_generator(shared)
    loss = prediction_loss(module.head(label).float(), batch.target, task)
    for name in sorted(private) if reconstruction else ():
        decoder = module.decoders[name]
        made = module.read_label(name, label, private[name])
        errors = decoder.errors(made, decoder.targets(batch.columns[name])) / decoder.size
        loss = loss + reconstruction * torch.where(present[name], errors, 0.0).mean()
    if matching:
        # a factor that a row lacks is a draw from its prior
        parts = [
            torch.where(present[name][:, None], private[name], torch.randn_like(private[name]))
            for name in sorted(private)
        ]
        factors = torch.cat([shared, *parts], dim=1)
        loss = loss + matching * maximum_mean_discrepancy(factors, torch.randn_like(factors))
    return loss


class FactorisedFission(ScoringPredictor, GenerativeFission):
    r"""The multimodal factorisation model: one factor makes the label and all modalities, others make one modality each.

    $$ L = -\log p(y | G_y(z_y)) + \lambda \sum_m \tfrac{1}{d_m} |x_m - F_m(G_m(z_m), G_y(z_y))|^2
       + \gamma\, \mathrm{MMD}^2(Q_z, N(0, I)) $$

    $z_y$ is the mean of what the modalities of a row say, $z_m$ comes from modality m alone. Matching the distribution of all factors
    side by side to a normal prior, which is a product, asks the factors to be independent; the label is predicted from $z_y$ alone.
    `transform` gives $z_y$ as `"shared"` and the $z_m$; `predict` the target; `generate` a modality; `recombine` keeps all
    factors of a row but one, which it takes from another row. `score` is the accuracy (R2 of quantities).

    Args:
        n_shared: Dimensions of the label factor.
        n_private: Dimensions of each private factor.
        encoders: Name -> encoder of a vector or a picture; its decoder is as wide (and, of a vector, as deep).
        reconstruction: lambda >= 0.
        matching: gamma >= 0.
        training: How to train.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns as
            labels and all else as classes.
        random_state: Fixes weights, draws and the order of rows.

    Attributes:
        module_: Encoders, generators, decoders and head on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> mean and scale of the features.
        decoder_settings_: Name -> what the decoder needs.
        history_: Losses per epoch.
        classes_: The classes, sorted, or the columns of labels; not there for quantities.
        task_: The task that was learned.

    Raises:
        ModalityError: an encoder whose values cannot be made again, a modality called "shared", or a target of a single class.
        ConfigError: a parameter out of range.

    Relations:
        * predict is the likeliest class of predict_proba, and reads nothing but the shared part.
        * taking the shared part from another row gives data of that row's class.

    References:
        Tsai, Liang, Zadeh, Morency and Salakhutdinov 2019, "Learning factorized multimodal representations".
    """

    requires = Requirements(
        min_modalities=2, kinds=frozenset({"vector", "grid"}), missing=True, target="required"
    )

    module_: FactorisedModule

    def __init__(
        self,
        n_shared: int = 8,
        *,
        n_private: int = 4,
        encoders: Mapping[str, Encoder] | None = None,
        reconstruction: float = 1.0,
        matching: float = 1.0,
        training: Training = DEFAULT_TRAINING,
        task: Task = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.reconstruction = reconstruction
        self.matching = matching
        self.training = training
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[FactorisedFission]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, n_private=2, training=training, random_state=0)]

    # --- predicting -------------------------------------------------------------------------------------------------

    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        def outputs(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, FactorisedModule)
            return {"y": module.outputs(module.factors(batch.columns)[0])}

        found = self._infer(data, outputs)
        return found["y"].astype(np.float64) if found else np.empty((0, self._target.n_outputs))

    # --- learning ---------------------------------------------------------------------------------------------------

    def _encode_target(self, y: np.ndarray) -> Tensor:
        target = Target.of(y, self.task)
        self._take_target(target)
        return target_tensor(target, y)

    def _make_module(self, build: Callable[[int], Towers]) -> FactorisedModule:
        towers = build(self.n_shared + self.n_private)
        return FactorisedModule(
            towers, self._make_decoders(), self.n_shared, self.n_private, self._target.n_outputs
        )

    def _make_loss(self, data: Modalities) -> Loss:
        del data

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, FactorisedModule)
            return factorised_loss(
                module, batch, self.task_, reconstruction=self.reconstruction, matching=self.matching
            )

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("reconstruction", "matching"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"FactorisedFission needs {name} >= 0, got {getattr(self, name)!r}.")
