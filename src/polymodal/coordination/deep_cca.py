"""Deep CCA: two encoders whose outputs correlate as much as possible; with decoders, canonically correlated autoencoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from torch import Tensor

from polymodal.coordination._correlated import CorrelatedCoordination, blocks_of
from polymodal.core.errors import ConfigError
from polymodal.core.linalg import canonical_pairs
from polymodal.core.moments import Moments
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.encoders.base import Encoder
from polymodal.objectives.correlation import canonical_loss
from polymodal.training.options import Training


class DeepCCA(CorrelatedCoordination):
    r"""Encoders of two modalities whose outputs have the largest canonical correlations; then a linear CCA of those outputs.

    $$ \min_{f, g} -\big\| (S_{11} + rI)^{-1/2}\, S_{12}\, (S_{22} + rI)^{-1/2} \big\| + \tfrac{\lambda}{n} \sum_i
       \big(|x_i - \hat x_i|^2 + |y_i - \hat y_i|^2\big) $$

    S are covariances of f(x) and g(y). $\lambda$ = 0 is deep CCA; above 0 decoders rebuild the standardised features from the outputs
    (DCCAE). A batch's covariances are joined with those of the rows before it (`memory`), so small batches do. Rows that lack
    one modality are left out of the fit. `transform` gives canonical components, strongest first; `score` is the mean over
    components of the correlation on the rows given, as for `CCA`.

    A correlation of learned functions is easily made by chance: judge by `score` on rows not fitted on, beside `CCA`.

    Args:
        n_components: Outputs of each encoder, and components.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        reg: Ridge r >= 0, in the squared units of the outputs.
        norm: "nuclear" adds up the correlations, "frobenius" their squares.
        reconstruction: $\lambda$ >= 0; needs vectors encoded by `MLPEncoder`.
        memory: Rows that the covariances of a training step stand for; None: 50 a component. A batch of as many rows or more stands
            for itself.
        training: How to train. The loss of held-out rows (`validation`) is of these rows by themselves: hold out many a component.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        correlations_: Correlation of each component on the training rows, largest first.
        weights_: Name -> (outputs, n_components), the final linear projection.
        means_: Name -> mean of the outputs.
        module_: Encoders (and decoders) on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: other than two modalities, fewer than two rows that have both, a modality with one value only, an encoder
            that does not fit, or `reconstruction` of something that is no vector.
        ConfigError: a parameter out of range.

    Complexity:
        Of an epoch: one pass of both encoders, and 14 k^2 operations a row and about 30 k^3 a batch for k components.

    Relations:
        * linear encoders (`MLPEncoder(depth=0)`), one batch: the correlations of `CCA`.
        * transform of one modality equals its column of transform of both.

    References:
        Andrew, Arora, Bilmes and Livescu 2013, "Deep canonical correlation analysis". Wang, Arora, Livescu and Bilmes 2015,
        "On deep multi-view representation learning" (reconstruction). Wang, Arora, Livescu and Srebro 2015, "Stochastic
        optimization for deep CCA via nonlinear orthogonal iterations" (covariances that remember).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = DeepCCA(1, training=Training(max_epochs=30, batch_size=200), random_state=0)
        >>> data = {"a": x, "b": np.abs(x[:, :1])}
        >>> bool(model.fit(data).correlations_[0] > 0.9)
        True
    """

    requires = Requirements(min_modalities=2, max_modalities=2, missing=True)

    def __init__(
        self,
        n_components: int = 10,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        reg: float = 1e-4,
        norm: Literal["nuclear", "frobenius"] = "nuclear",
        reconstruction: float = 0.0,
        memory: int | None = None,
        training: Training = Training(max_epochs=50, batch_size=512),  # noqa: B008  # frozen
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.reg = reg
        self.norm = norm
        self.reconstruction = reconstruction
        self.memory = memory
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[DeepCCA]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(2, training=training, random_state=0),
            cls(2, training=training, norm="frobenius", reconstruction=0.1, random_state=0),
        ]

    def _correlation(self, S: Tensor, sizes: list[int]) -> Tensor:
        k = sizes[0]
        return canonical_loss(S[:k, :k], S[k:, k:], S[:k, k:], reg=self.reg, norm=self.norm)

    def _directions(self, seen: Moments) -> list[np.ndarray]:
        a, b = seen.names
        S = blocks_of(seen)
        ridge = self.reg * np.eye(seen.dims[0])
        pairs = canonical_pairs(S[a, a] + ridge, S[b, b] + ridge, S[a, b])
        return [pairs.weights_a, pairs.weights_b]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.norm not in ("nuclear", "frobenius"):
            raise ConfigError(f'DeepCCA needs norm "nuclear" or "frobenius", got {self.norm!r}.')
