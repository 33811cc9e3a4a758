"""The multimodal factorisation model: a label factor and one private factor a modality, each with its own normal prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils import ClassifierTags, Tags
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float, Shaped
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders
from polymodal.fission._generative import GenerativeFission, GenerativeModule, cross_errors
from polymodal.fission._learned import DEFAULT_TRAINING, Loss, mean_of_present
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.prior_matching import maximum_mean_discrepancy
from polymodal.training.batches import Batch
from polymodal.training.options import Training


class FactorisedModule(GenerativeModule):
    """Encoders of both factors, generators from factors to features of the decoders, decoders, and the head on the label factor."""

    def __init__(
        self, towers: Towers, decoders: Decoders, n_shared: int, n_private: int, n_classes: int
    ) -> None:
        super().__init__(towers, decoders)
        self.sizes = (n_shared, n_private)
        self.label_generator = MLP(n_shared, n_shared, width=64)
        self.private_generators = nn.ModuleList([MLP(n_private, n_private, width=64) for _ in towers.names])
        self.head = nn.Linear(n_shared, n_classes)

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
        """One number a class, from the label factor alone."""
        logits: Tensor = self.head(self.label_generator(shared))
        return logits

    def read_out(
        self, name: str, shared: Float[Tensor, "n k"], private: Float[Tensor, "n q"]
    ) -> Float[Tensor, "n d"]:
        """Standardised features of one modality, from its generators and decoder."""
        own = self.private_generators[self.towers.names.index(name)](private)
        return super().read_out(name, self.label_generator(shared), own)


def factorised_loss(
    module: FactorisedModule, batch: Batch, *, reconstruction: float, matching: float
) -> Float[Tensor, ""]:
    """The loss of `FactorisedClassifier`."""
    if batch.target is None:
        raise ValueError("A supervised loss needs batch.target.")
    shared, private, present = module.factors(batch.columns)
    loss = functional.cross_entropy(module.outputs(shared).float(), batch.target)
    if reconstruction:
        loss = loss + reconstruction * cross_errors(
            module, batch.columns, shared, dict.fromkeys(private, shared), private, cross=0.0
        )
    if matching:
        # a factor that a row lacks is a draw from its prior
        parts = [
            torch.where(present[name][:, None], private[name], torch.randn_like(private[name]))
            for name in sorted(private)
        ]
        factors = torch.cat([shared, *parts], dim=1)
        loss = loss + matching * maximum_mean_discrepancy(factors, torch.randn_like(factors))
    return loss


class FactorisedClassifier(GenerativeFission):
    r"""The multimodal factorisation model: one factor makes the label and all modalities, others make one modality each.

    $$ L = -\log p(y | G_y(z_y)) + \lambda \sum_m \tfrac{1}{d_m} |x_m - F_m(G_m(z_m), G_y(z_y))|^2
       + \gamma\, \mathrm{MMD}^2(Q_z, N(0, I)) $$

    $z_y$ is the mean of what the modalities of a row say, $z_m$ comes from modality m alone. Matching the distribution of all factors
    side by side to a normal prior, which is a product, asks the factors to be independent; the label is predicted from $z_y$ alone.
    `transform` gives $z_y$ as `"shared"` and the $z_m$; `predict` classes; `generate` a modality; `recombine` keeps all
    factors of a row but one, which it takes from another row. `score` is accuracy.

    Args:
        n_shared: Dimensions of the label factor.
        n_private: Dimensions of each private factor.
        encoders: Name -> `MLPEncoder`; a decoder is as wide and deep as its encoder.
        reconstruction: lambda >= 0.
        matching: gamma >= 0.
        training: How to train.
        random_state: Fixes weights, draws and the order of rows.

    Attributes:
        module_: Encoders, generators, decoders and head on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> mean and scale of the features.
        history_: Losses per epoch.
        classes_: The classes, sorted.

    Raises:
        ModalityError: an encoder that is no `MLPEncoder`, a modality called "shared", or a target that is not one class a row.
        ConfigError: a parameter out of range.

    Relations:
        * predict is the likeliest class of predict_proba, and reads nothing but the shared part.
        * taking the shared part from another row gives data of that row's class.

    References:
        Tsai, Liang, Zadeh, Morency and Salakhutdinov 2019, "Learning factorized multimodal representations".
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, target="required")

    module_: FactorisedModule
    classes_: np.ndarray

    def __init__(
        self,
        n_shared: int = 8,
        *,
        n_private: int = 4,
        encoders: Mapping[str, Encoder] | None = None,
        reconstruction: float = 1.0,
        matching: float = 1.0,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.reconstruction = reconstruction
        self.matching = matching
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[FactorisedClassifier]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, n_private=2, training=training, random_state=0)]

    # --- predicting -------------------------------------------------------------------------------------------------

    def decision_function(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n ..."]:
        """Log-odds of the second of two classes (n,), or those of every class up to a constant per row.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        outputs = self._outputs(data)
        odds: np.ndarray = outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs
        return odds

    def predict_proba(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """Probability of each class (rows sum to 1), in the order of `classes_`."""
        from scipy.special import softmax

        probability: np.ndarray = softmax(self._outputs(data), axis=1)
        return probability

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, " n"]:
        """The likeliest class."""
        likeliest: np.ndarray = self.classes_[self._outputs(data).argmax(axis=1)]
        return likeliest

    def _outputs(self, data: Modalities | Mapping[str, Any]) -> np.ndarray:
        frame = self._check_known(data)
        nothing = ~np.logical_or.reduce(list(frame.present.values()))
        if nothing.any():
            raise ModalityError(
                f"FactorisedClassifier predicts from at least one of {list(self.modalities_)} on every row; {int(nothing.sum())} "
                f"of {len(frame)} rows have none (ids {frame.ids[nothing][:3].tolist()}). Drop those rows."
            )

        def outputs(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, FactorisedModule)
            return {"y": module.outputs(module.factors(batch.columns)[0])}

        found = self._infer(frame, outputs)
        return found["y"].astype(np.float64) if found else np.empty((0, len(self.classes_)))

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        if y is None:
            raise ModalityError("FactorisedClassifier needs a target y, got none. Pass score(data, y).")
        return float(np.mean(self.predict(data) == y.ravel()))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        tags.target_tags.required = True
        return tags

    # --- learning ---------------------------------------------------------------------------------------------------

    def _encode_target(self, y: np.ndarray) -> Tensor:
        flat = y.ravel()
        classes, codes = np.unique(flat, return_inverse=True)
        numbers = flat.dtype.kind == "f" and bool((flat != np.round(flat)).any())
        if len(flat) != len(y) or numbers or len(classes) < 2:
            raise ModalityError(
                f"FactorisedClassifier needs a target of one class per row, of two classes or more; got {y.dtype} of shape "
                f"{y.shape} with {len(classes)} different values."
            )
        self.classes_ = classes
        return torch.from_numpy(codes.reshape(-1))

    def _make_module(self, build: Callable[[int], Towers]) -> FactorisedModule:
        towers = build(self.n_shared + self.n_private)
        return FactorisedModule(
            towers, self._make_decoders(), self.n_shared, self.n_private, len(self.classes_)
        )

    def _make_loss(self, data: Modalities) -> Loss:
        del data

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, FactorisedModule)
            return factorised_loss(module, batch, reconstruction=self.reconstruction, matching=self.matching)

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("reconstruction", "matching"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"FactorisedClassifier needs {name} >= 0, got {getattr(self, name)!r}.")
