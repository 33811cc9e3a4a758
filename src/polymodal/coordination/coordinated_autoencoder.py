"""Coordinated autoencoders: one autoencoder a modality, with codes tied to each other; one modality can be generated from another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.coordination._learned import CoordinationModule, LearnedCoordination, Loss
from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.encoders.decoders import Decoders, decodable, decode
from polymodal.nn.towers import Towers
from polymodal.training.batches import Batch
from polymodal.training.options import Training

Tie = Literal["distance", "cosine"]


def code_distance(a: Float[Tensor, "n k"], b: Float[Tensor, "n k"], tie: Tie) -> Float[Tensor, ""]:
    r"""How far the codes of partners lie apart.

    "distance": $\sum_i |a_i - b_i|^2 \big/ \tfrac12 \sum_i (|a_i - \bar a|^2 + |b_i - \bar b|^2)$, relative to how much codes vary: a
    plain distance falls when all codes shrink and the decoders stretch. "cosine": the mean of 1 - cos(a_i, b_i).

    Returns:
        0 where all partners are equal. 0 for no row, and with "distance" for one.

    Relations:
        * "distance": multiplying both codes by a number, or shifting both, changes nothing. Unrelated codes of one mean: about 2.
        * "cosine": the lengths of codes do not matter.
    """
    if len(a) < (2 if tie == "distance" else 1):
        return (a.sum() + b.sum()) * 0
    if tie == "cosine":
        return (1 - functional.cosine_similarity(a, b, dim=1)).mean()
    spread = (a - a.mean(dim=0)).square().sum() + (b - b.mean(dim=0)).square().sum()
    return (a - b).square().sum() / (spread / 2).clamp_min(torch.finfo(a.dtype).tiny)


class AutoencoderModule(CoordinationModule):
    """Towers and decoders."""

    def __init__(self, towers: Towers, decoders: Decoders) -> None:
        super().__init__(towers)
        self.decoders = decoders


def autoencoder_loss(
    module: AutoencoderModule, batch: Batch, *, alpha: float, cross: float, tie: Tie
) -> Float[Tensor, ""]:
    """The loss of `CoordinatedAutoencoder`: own reconstruction, distance of codes, and reconstruction from each other's codes."""
    codes, present = module(batch.columns)
    total: Tensor = sum(
        (z.sum() * 0 for z in codes.values()), start=torch.zeros((), device=batch.rows.device)
    )
    for name in module.decoders.names:
        features = len(module.decoders.means[name])
        total = total + module.decoders.errors(name, codes[name], batch.columns[name]) / features
    for a, b in combinations(sorted(codes), 2):
        both = present[a] & present[b]
        total = total + alpha * code_distance(codes[a][both], codes[b][both], tie)
    for source, name in permutations(sorted(codes), 2):
        if cross and name in module.decoders:
            both = present[source] & present[name]
            error = module.decoders.errors(name, codes[source], batch.columns[name], both)
            total = total + cross * error / len(module.decoders.means[name])
    return total


class CoordinatedAutoencoder(LearnedCoordination):
    r"""One autoencoder for each modality, whose codes of one row lie close together; and any vector modality made from any other.

    $$ L = \sum_m \tfrac{1}{d_m} |x_m - D_m(E_m(x_m))|^2 + \alpha \sum_{a < b} \operatorname{dist}(E_a(x_a), E_b(x_b))
       + \gamma \sum_{a \ne b} \tfrac{1}{d_b} |x_b - D_b(E_a(x_a))|^2 $$

    Averaged over rows; features are standardised and errors divided by their number, so each reconstruction costs at most about 1
    whatever the modality. Rows may lack modalities: each term takes the rows that have what it needs, so a row with one modality
    still trains its autoencoder. Modalities that are no vectors have an encoder only. `transform` gives codes, `generate`
    another modality; `score` is the mean reciprocal rank of retrieval over pairs of modalities and both directions, in (0, 1].

    Args:
        n_components: Dimensions of a code.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`. A decoder is as wide and
            deep as its `MLPEncoder`.
        alpha: Weight of the distance between codes, >= 0.
        cross: $\gamma$, weight of reconstruction from another modality's code, >= 0.
        tie: "distance" (squared, relative to the codes' variance) or "cosine".
        training: How to train.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        module_: Encoders and decoders on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: no modality of vectors encoded by `MLPEncoder`, or an encoder that does not fit.
        ConfigError: a parameter out of range.

    Complexity:
        Of an epoch: one pass of encoders and decoders, and of M (M - 1) decoders more where cross > 0.

    Relations:
        * alpha = cross = 0: separate autoencoders; linear ones (`MLPEncoder(depth=0)`) span the principal components of each.
        * a larger alpha brings codes closer.
        * transform of some modalities equals the same columns of transform of all.

    References:
        Feng, Wang and Li 2014, "Cross-modal retrieval with correspondence autoencoder" (Corr-AE; the cross model for cross > 0).
        Silberer and Lapata 2014, "Learning grounded meaning representations with autoencoders". Ngiam et al. 2011.

    Examples:
        >>> z = np.random.default_rng(0).normal(size=(200, 2))
        >>> data = {"a": z, "b": z @ np.array([[1.0, 2.0], [0.0, 1.0]])}
        >>> model = CoordinatedAutoencoder(2, training=Training(max_epochs=40, batch_size=50, learning_rate=1e-2), random_state=0)
        >>> made = model.fit(data).generate({"a": z}, target="b")
        >>> bool(np.corrcoef(made[:, 0], data["b"][:, 0])[0, 1] > 0.9)
        True
    """

    requires = Requirements(min_modalities=2, missing=True, unpaired=True)

    module_: AutoencoderModule

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        alpha: float = 1.0,
        cross: float = 1.0,
        tie: Tie = "distance",
        training: Training = Training(max_epochs=50),  # noqa: B008  # frozen
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.alpha = alpha
        self.cross = cross
        self.tie = tie
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[CoordinatedAutoencoder]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls(3, training=training, random_state=0),
            cls(2, training=training, tie="cosine", cross=0.0, random_state=0),
        ]

    def generate(self, data: Modalities | Mapping[str, Any], *, target: str) -> Float[np.ndarray, "n d"]:
        """`target` as each row's code says, in the units of the data: the decoder of the mean code of the row's modalities.

        The modality itself takes part where `data` hold it; leave it out to have it predicted from the others.

        Raises:
            ModalityError: a target that was not fitted or is no vector, or rows without any modality.
        """
        frame = self._check_known(data)
        decoders = self.module_.decoders
        if target not in decoders:
            raise ModalityError(
                f"{type(self).__name__} generates vectors, one of {list(decoders.names)}, got target={target!r}."
                f"{suggest(target, decoders.names)}"
            )
        present = np.stack([column.present for _, column in frame.items()])
        counts = present.sum(axis=0)
        if (counts == 0).any():
            raise ModalityError(
                f"Generating {target!r} needs at least one of {list(self.modalities_)} on every row, "
                f"{int((counts == 0).sum())} of {len(frame)} rows have none. Drop those rows."
            )
        codes = np.zeros((len(frame), self.n_components))
        for _, column in self._transform(frame).items():
            codes[column.present] += column.observed()
        return decode(self.module_, decoders, target, codes / counts[:, None])

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _select(self, data: Modalities) -> Modalities:
        """All rows that have something: one modality is enough for its own reconstruction."""
        ordered = data.select(*sorted(data.names))
        some: np.ndarray = np.logical_or.reduce(list(ordered.present.values()))
        return ordered[some]

    def _make_module(self, towers: Towers) -> AutoencoderModule:
        recipes = decodable(self.encoders_)
        if not recipes:
            raise ModalityError(
                f"{type(self).__name__} needs a modality of vectors to rebuild (encoded by MLPEncoder), got "
                f"{ {name: type(recipe).__name__ for name, recipe in self.encoders_.items()} }. "
                "Turn one into vectors first (polymodal.encoders.Vectorize)."
            )
        return AutoencoderModule(towers, Decoders(recipes, self.settings_, self._width()))

    def _make_loss(self, data: Modalities) -> Loss:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, AutoencoderModule)
            return autoencoder_loss(module, batch, alpha=self.alpha, cross=self.cross, tie=self.tie)

        return loss

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("alpha", "cross"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"CoordinatedAutoencoder needs {name} >= 0, got {getattr(self, name)!r}.")
        if self.tie not in ("distance", "cosine"):
            raise ConfigError(f'CoordinatedAutoencoder needs tie "distance" or "cosine", got {self.tie!r}.')
