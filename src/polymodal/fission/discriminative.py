"""Shared and private parts driven by labels: a predictor whose evidence is told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.modalities import Modalities
from polymodal.core.predictor import ScoringPredictor
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders, decodable
from polymodal.fission._learned import DEFAULT_TRAINING, LearnedFission, Loss, mean_of_present
from polymodal.fission._shared_private import (
    Overlap,
    Parts,
    Penalty,
    SharedPrivateModule,
    check_penalty,
    check_weights,
)
from polymodal.nn.towers import Towers
from polymodal.objectives.infonce import pairwise_info_nce
from polymodal.objectives.prediction import prediction_loss, target_tensor
from polymodal.training.batches import Batch, row_codes
from polymodal.training.options import Training

TEMPERATURE = 0.2


class SharedPrivateNetwork(SharedPrivateModule):
    """Shared and private encoders, a linear head over all parts, decoders, and what measures the overlap of the parts."""

    def __init__(
        self, shared: Towers, private: Towers, head: nn.Linear, overlap: Overlap, decoders: Decoders
    ) -> None:
        super().__init__(shared, private)
        self.head, self.overlap, self.decoders = head, overlap, decoders

    def outputs(self, parts: Parts) -> Float[Tensor, "n k"]:
        """One number per class, label or quantity, from the shared part and every private part (zeros where a modality is absent)."""
        common = mean_of_present(parts.shared, parts.present)
        n_private = (self.head.in_features - common.shape[1]) // len(self.towers.names)
        absent = common.new_zeros(len(common), n_private)
        whole = torch.cat([common, *(parts.private.get(name, absent) for name in self.towers.names)], dim=1)
        scores: Tensor = self.head(whole)
        return scores

    def errors(self, parts: Parts, batch: Batch) -> Float[Tensor, ""]:
        """Mean squared error of each number of the decoded modalities, averaged over modalities; 0 where none is decoded."""
        found = [
            self.decoders.errors(
                name, torch.cat([parts.shared[name].detach(), parts.private[name]], 1), batch.columns[name]
            )
            / len(self.decoders.means[name])
            for name in self.decoders.names
        ]
        return torch.stack(found).mean() if found else self.head.bias.new_zeros(())


class DiscriminativeFission(ScoringPredictor, LearnedFission):
    r"""A predictor with a shared part s and a private part $p_m$ of each modality (domain separation, for paired modalities).

    $$ L = \ell\big(y, W[s, p_1, \dots, p_M]\big) + \lambda_s L_{\text{InfoNCE}}(s_1, \dots, s_M)
       + \lambda_d \operatorname{mean}_m \mathrm{overlap}(p_m, s_m)
       + \lambda_r \operatorname{mean}_m \tfrac1{d_m} \|x_m - D_m(\bar s_m, p_m)\|^2, \qquad s = \operatorname{mean}_m s_m $$

    The target drives both parts: $\ell$ is the cross entropy of classes (strings, integers) or of labels (several 0/1 columns), or the
    squared error of quantities (floats). The second term brings the shared parts of one row together and those of different rows apart
    (cosines, temperature 0.2), the third keeps private parts from repeating shared ones, the fourth makes both parts together keep what the
    modality holds (the bar: its gradient stops there, so that it does not pull what is private into the shared part). The shared
    part is thus what the modalities agree on, not only what the label needs; what labels alone would leave of the private parts
    is seen with `reconstruction=0`. Differs from the published method in the second term (which had to match distributions, for
    want of pairs), in the bar, and in having a head on the private parts too. Give the shared part a dimension or two more than it
    needs: cosines of k dimensions tell k - 1 numbers apart.

    Reconstructed are the modalities that an `MLPEncoder` reads (vectors, by default). Rows may lack modalities: an absent private part
    counts as zeros. `score` is the accuracy (R2 of quantities).

    Args:
        n_shared: Dimensions of the shared part.
        n_private: Dimensions of each private part.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`. Both parts have their own.
        training: How to train.
        penalty: The overlap: "decorrelation" (mean squared correlation), "difference" (as published), "club" or "adversarial";
            the last two see more than linear dependence, by a network that is trained along.
        similarity: lambda_s >= 0.
        difference: lambda_d >= 0.
        reconstruction: lambda_r >= 0.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        classes_: The classes, sorted, or the columns of labels; not there for quantities.
        task_: The task that was learned.
        module_: `SharedPrivateNetwork` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: a target of a single class, or a modality called "shared".
        ConfigError: a parameter out of range.

    Complexity:
        Two passes of each encoder and one of each decoder a row; the similarity is O(b^2) in the batch.

    Relations:
        * transform of some modalities: their private parts as in transform of all.
        * predict is the likeliest class of predict_proba.
        * all weights 0: a predictor on encoders side by side, and nothing is held apart.

    References: Bousmalis et al. 2016, "Domain separation networks". Salzmann et al. 2010, "Factorized orthogonal latent spaces".
    """

    requires = Requirements(min_modalities=2, missing=True, unpaired=True, target="required")

    module_: SharedPrivateNetwork
    task: Task = "auto"

    def __init__(
        self,
        n_shared: int = 8,
        *,
        n_private: int = 8,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = DEFAULT_TRAINING,
        penalty: Penalty = "decorrelation",
        similarity: float = 1.0,
        difference: float = 10.0,
        reconstruction: float = 1.0,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.training = training
        self.penalty = penalty
        self.similarity = similarity
        self.difference = difference
        self.reconstruction = reconstruction
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[DiscriminativeFission]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(2, n_private=3, training=training, random_state=0),
            cls(3, n_private=2, training=training, penalty="club", reconstruction=0, random_state=0),
        ]

    # --- predicting -------------------------------------------------------------------------------------------------

    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n q"]:
        def outputs(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, SharedPrivateNetwork)
            return {"y": module.outputs(module.parts(batch.columns))}

        found = self._infer(data, outputs)
        return found["y"].astype(np.float64) if found else np.empty((0, self._target.n_outputs))

    # --- learning ---------------------------------------------------------------------------------------------------

    def _encode_target(self, y: np.ndarray) -> Tensor:
        target = Target.of(y, self.task)
        self._take_target(target)
        return target_tensor(target, y)

    def _make_module(self, build: Callable[[int], Towers]) -> SharedPrivateNetwork:
        shared, private = build(self.n_shared), build(self.n_private)
        head = nn.Linear(self.n_shared + len(shared.names) * self.n_private, self._target.n_outputs)
        overlap = Overlap(
            shared.names if self.difference else (), self.n_shared, self.n_private, self.penalty
        )
        decoded = decodable(self.encoders_) if self.reconstruction else {}
        return SharedPrivateNetwork(
            shared, private, head, overlap, Decoders(decoded, self.settings_, self.n_shared + self.n_private)
        )

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of = row_codes(data)
        similarity, difference, reconstruction = self.similarity, self.difference, self.reconstruction
        task = self._target.task

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, SharedPrivateNetwork)
            assert batch.target is not None
            parts = module.parts(batch.columns)
            total = prediction_loss(module.outputs(parts), batch.target, task)
            if similarity:
                agreement = pairwise_info_nce(
                    parts.shared, parts.present, temperature=TEMPERATURE, codes=codes_of(batch.rows)
                )
                total = total + similarity * agreement
            if difference:
                found = module.overlap(parts)
                total = total + difference * found.penalty + found.fit
            return total + reconstruction * module.errors(parts, batch) if reconstruction else total

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_penalty(self.penalty, method=type(self).__name__)
        check_weights(
            type(self).__name__,
            similarity=self.similarity,
            difference=self.difference,
            reconstruction=self.reconstruction,
        )
