r"""Channel exchange: one convolutional network over modalities of one shape, which swap the channels they can do without."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float
from polymodal.encoders.picture import ConvEncoder, ConvModule, PictureModule
from polymodal.fusion._inputs import hide_at_random
from polymodal.fusion._supervised import FusionNetwork, SupervisedFusion
from polymodal.fusion.exchange_network import ExchangeNetwork, add_channel_exchange, put_module
from polymodal.objectives.prediction import prediction_loss
from polymodal.training.batches import Batch
from polymodal.training.options import Training

FIRST_SCALE = 0.25
"""Of every channel. AdamW moves a scale by no more than about the learning rate a step: from 1, few would reach 0 in time."""

DEFAULT_TRAINING = Training(max_epochs=40, batch_size=64, learning_rate=1e-2)
"""Ten times the usual learning rate, for the same reason; batch norms bear it."""


class PixelModule(PictureModule):
    """The standardised pixels themselves, (channels, height, width) as one vector."""

    def __init__(self, settings: Mapping[str, Any], shape: Sequence[int]) -> None:
        super().__init__(settings, math.prod(shape), 0)

    def forward(self, batch: Any) -> Float[Tensor, "u dim"]:
        """One vector per picture."""
        return self.pixels(batch).flatten(1)


class PixelExchange(nn.Module):
    """An `ExchangeNetwork` that takes pixels as vectors."""

    def __init__(self, network: ExchangeNetwork, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        self.shape = shape

    def forward(self, vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The weighted mean of the representations."""
        fused: Tensor = self.network(self.pictures(vectors), present)
        return fused

    def pictures(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Vectors back in the shape of pictures."""
        return {name: vector.reshape(-1, *self.shape) for name, vector in vectors.items()}


class ExchangeClassifier(FusionNetwork):
    """Pixels, the network, and a linear head that all modalities share."""

    layer: PixelExchange

    def decisions(self, batch: Batch, *, hide: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own outputs (n, q), and the rows where it has one."""
        vectors, present = self.towers(batch.columns)
        if self.training:
            present = hide_at_random(present, hide)
        streams, has = self.layer.network.streams(self.layer.pictures(vectors), present)
        return {name: self.head(stream) for name, stream in streams.items()}, has


class ChannelExchange(SupervisedFusion):
    r"""Learn one convolutional network for all modalities, whose channels change places where one modality can do without.

    Convolutions and the head are shared, batch norms are private. After each norm, a channel of modality m with a scale
    $|\gamma_{mc}| < \theta$ is replaced by the mean of the other modalities' channel. The loss is

    $$ \sum_m \ell(y, \hat y_m) + \ell\Big(y, \sum_m a_m \hat y_m\Big) + \lambda \sum_m \sum_{c \in P_m} |\gamma_{mc}| $$

    summed over layers, with disjoint parts $P_m$ of the channels, so that no two modalities give up the same one, and $a$
    a softmax. The last prediction trains $a$ alone. A row that lacks a modality takes no part in its losses, means and
    variances, and lends no channel; a row that has one modality keeps its own channels.

    Args:
        n_components: Size of each modality's representation; `transform` gives their weighted mean.
        width: Channels of the first of three stages; the third has four times as many.
        depth: Residual blocks of each stage.
        threshold: A channel with $|\gamma|$ below it is replaced.
        sparsity: $\lambda$, at least 0. 0 exchanges next to nothing.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        modality_dropout: Share of training rows, in [0, 1], from which a random part of the modalities is
            hidden (never all), so that the model learns to do without them.
        training: How to train. A scale falls from 0.25 by about the learning rate in a step: with few steps or a small
            rate none reaches the threshold, and nothing is exchanged.
        random_state: Seed of initial weights, batches and dropout.

    Attributes:
        classes_: The classes in sorted order (classification), or the label columns.
        task_: The task that was learned.
        module_: The trained `nn.Module`.
        history_: Loss by epoch.
        exchange_rate_: Layer -> modality -> share of its channels that are replaced, at most 1 / M.
        exchange_history_: (steps,) the mean of `exchange_rate_` before each step of training.
        modality_weights_: Name -> $a_m$.

    Relations:
        * sparsity 0 and scales above the threshold: nothing is exchanged
        * one modality present: its prediction is that of its own stream

    References: Wang et al. 2020, Deep multimodal fusion by channel exchanging.
    """

    requires: ClassVar[Requirements] = Requirements(
        min_modalities=2, kinds=frozenset({"grid"}), unpaired=True, target="required"
    )
    encoders = None

    module_: ExchangeClassifier

    def __init__(
        self,
        n_components: int = 32,
        *,
        width: int = 16,
        depth: int = 1,
        threshold: float = 0.02,
        sparsity: float = 0.01,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.depth = depth
        self.threshold = threshold
        self.sparsity = sparsity
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[ChannelExchange]:
        options = Training(max_epochs=2, batch_size=16, learning_rate=1e-2)
        return [cls(3, width=4, sparsity=0.01, training=options, random_state=0)]

    # --- the network ------------------------------------------------------------------------------------------------

    def _prepare(self, data: Modalities, y: np.ndarray, seed: int) -> tuple[FusionNetwork, Target]:
        shapes = {name: column.shape for name, column in data.items()}
        if len({_picture_shape(shape) for shape in shapes.values()}) > 1:
            raise ModalityError(
                f"ChannelExchange needs pictures of one shape in all modalities, got {shapes}. Resize or crop them first, or take "
                "a fusion with an encoder for each modality (AdditiveFusion)."
            )
        if not self.sparsity >= 0:
            raise ConfigError(f"sparsity must be at least 0, got {self.sparsity!r}.")
        return super()._prepare(data, y, seed)

    def _build(self) -> FusionNetwork:
        names = sorted(self.modalities_)
        shape = _picture_shape(self.modalities_[names[0]].shape)
        channels_first = (shape[2], shape[0], shape[1])
        encoders = {name: PixelModule(self.settings_[name], channels_first) for name in names}
        layer = self._make_layer(dict.fromkeys(names, math.prod(shape)))
        return ExchangeClassifier(encoders, layer, nn.Linear(self.n_components, self._target.n_outputs))

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        names = sorted(dims)
        height, width, channels = _picture_shape(self.modalities_[names[0]].shape)
        recipe = ConvEncoder(width=self.width, depth=self.depth)
        network = batch_normalised(recipe.build(self.settings_[names[0]], self.n_components))
        return PixelExchange(
            add_channel_exchange(network, names, threshold=self.threshold), (channels, height, width)
        )

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.n_components

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._rates: list[Tensor] = []
        super()._fit(data, y)
        # A training that a checkpoint shows to be finished makes no step.
        self.exchange_history_ = torch.stack(self._rates or [torch.zeros(0)]).cpu().numpy().ravel()
        del self._rates

    def _loss(self, target: Target) -> Callable[[nn.Module, Batch], Tensor]:
        task = target.task
        plain = super()._loss(target)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            if not module.training:
                return plain(module, batch)
            model = cast(ExchangeClassifier, module)
            network, wanted = model.layer.network, cast(Tensor, batch.target)
            self._rates.append(torch.stack([b.exchange_rate() for b in network.blocks().values()]).mean())
            outputs, has = model.decisions(batch, hide=self.modality_dropout)
            some = {name: rows for name, rows in has.items() if bool(rows.any())}
            alone = [prediction_loss(outputs[name][rows], wanted[rows], task) for name, rows in some.items()]
            together = network.ensemble({name: output.detach() for name, output in outputs.items()}, has)
            penalty = self.sparsity * network.penalty()
            return torch.stack([*alone, prediction_loss(together, wanted, task), penalty]).sum()

        return loss

    def _settle(self, data: Modalities) -> None:
        network = self.module_.layer.network
        self.exchange_rate_ = network.exchange_rate()
        self.modality_weights_ = network.weights()

    # --- using ------------------------------------------------------------------------------------------------------

    def _check_known(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        frame = super()._check_known(data)
        for name, column in frame.items():
            fitted = self.modalities_[name].shape
            if column.present.any() and _picture_shape(column.shape) != _picture_shape(fitted):
                raise ModalityError(
                    f"Modality {name!r} was fitted as pictures of shape {fitted}, got {column.shape}. Resize or crop them."
                )
        return frame


def batch_normalised(module: nn.Module) -> nn.Module:
    """A picture encoder without its handling of pixels, its group norms replaced by batch norms, which have one scale a channel."""
    conv = cast(ConvModule, module)
    network: nn.Module = nn.Sequential(OrderedDict(stem=conv.stem, stages=conv.stages, head=conv.head))
    for name, part in list(network.named_modules()):
        if isinstance(part, nn.GroupNorm):
            norm = nn.BatchNorm2d(part.num_channels)
            nn.init.constant_(norm.weight, FIRST_SCALE)
            network = put_module(network, name, norm)
    return network


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width, channels."""
    if len(shape) not in (2, 3):
        raise ModalityError(
            f"ChannelExchange needs pictures (height, width[, channels]) of one size, got shape {shape}. Give the reader a size."
        )
    height, width, *channels = shape
    return height, width, channels[0] if channels else 1
