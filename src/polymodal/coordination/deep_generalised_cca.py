"""Deep generalised CCA: an encoder for each of two or more modalities, trained so that all outputs agree with one common component."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from polymodal.coordination._correlated import CorrelatedCoordination, blocks_of
from polymodal.core.linalg import block_pencil, nearest_semidefinite
from polymodal.core.moments import Moments
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.encoders.base import Encoder
from polymodal.objectives.correlation import pencil_loss
from polymodal.training.options import Training


class DeepGeneralisedCCA(CorrelatedCoordination):
    r"""Encoders of two or more modalities whose outputs are as close as possible to common components G; rows may lack modalities.

    $$ \min_{f, G, W} \sum_m \| G - f_m(X_m) W_m \|^2, \; G'G = I \quad \Longleftrightarrow \quad
       \min_f -\sum_{i \le k} \lambda_i\Big(\sum_m P_m\Big) $$

    $P_m$ projects onto the outputs of modality m, with ridge r. Each covariance is that of the rows that have both modalities, so a
    row counts in every pair that it has; rows with one modality are left out. Afterwards a linear generalised CCA of the outputs
    gives the projections. `transform` gives components, strongest first; `score` is the mean, over components and pairs of
    modalities, of the correlation on the rows given.

    Args:
        n_components: Outputs of each encoder, and components.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        reg: Ridge r >= 0, in the squared units of the outputs.
        reconstruction: Weight of the squared error of standardised features rebuilt from the outputs, summed over features and
            modalities, mean over rows; needs vectors encoded by `MLPEncoder`.
        memory: Rows that the covariances of a training step stand for; None: 50 a component. A batch of as many rows or more stands
            for itself.
        training: How to train. The loss of held-out rows (`validation`) is of these rows by themselves: hold out many a component.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        correlations_: For each component the mean over pairs of modalities of the correlation on the training rows.
        eigenvalues_: For each component lambda, at most the number of modalities, where nothing is missing; 1: unrelated.
        weights_: Name -> (outputs, n_components), the final linear projection.
        means_: Name -> mean of the outputs.
        module_: Encoders (and decoders) on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: a modality that meets no other on two rows, or has one value only, an encoder that does not fit, or
            `reconstruction` of something that is no vector.
        ConfigError: a parameter out of range.

    Complexity:
        Of an epoch: one pass of the encoders, and O((M k)^2) operations a row and O((M k)^3) a batch for M modalities.

    Relations:
        * linear encoders (`MLPEncoder(depth=0)`), one batch: the eigenvalues of `GeneralisedCCA`.
        * two modalities: eigenvalues are 1 + the correlations of `DeepCCA`'s last step on the same outputs (reg = 0).

    References:
        Benton et al. 2019, "Deep generalized canonical correlation analysis".

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(200, 1))
        >>> model = DeepGeneralisedCCA(1, training=Training(max_epochs=40, batch_size=200), random_state=0)
        >>> data = {"a": x, "b": x**3, "c": np.hstack([x, x**2])}
        >>> bool(model.fit(data).correlations_[0] > 0.9)
        True
    """

    requires = Requirements(min_modalities=2, missing=True, unpaired=True)

    eigenvalues_: np.ndarray

    def __init__(
        self,
        n_components: int = 10,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        reg: float = 1e-4,
        reconstruction: float = 0.0,
        memory: int | None = None,
        training: Training = Training(max_epochs=50, batch_size=512),  # noqa: B008  # frozen
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.reg = reg
        self.reconstruction = reconstruction
        self.memory = memory
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[DeepGeneralisedCCA]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, training=training, random_state=0)]

    def _correlation(self, S: Tensor, sizes: list[int]) -> Tensor:
        return pencil_loss(S, sizes, reg=self.reg, n_components=self.n_components)

    def _directions(self, seen: Moments) -> list[np.ndarray]:
        S = blocks_of(seen)
        joint = np.block([[S[a, b] for b in seen.names] for a in seen.names])
        if not seen.complete:
            joint = nearest_semidefinite(joint)
        ends = np.cumsum(seen.dims).tolist()
        blocks = [
            joint[end - d : end, end - d : end] + self.reg * np.eye(d)
            for d, end in zip(seen.dims, ends, strict=True)
        ]
        solution = block_pencil(joint, blocks, n_components=self.n_components)
        self.eigenvalues_ = solution.eigenvalues
        # v'Bv = 1 over all modalities: modalities that agree get unit variance each
        return [np.sqrt(len(blocks)) * weights for weights in solution.weights]
