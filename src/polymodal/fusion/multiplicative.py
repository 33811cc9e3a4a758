r"""Multiplicative fusion: the elementwise product of one linear map per modality. $z = \bigodot_m (W_m x_m + c_m)$."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import Bounded, FusionLayer
from polymodal.fusion._supervised import SupervisedFusion
from polymodal.fusion.additive import AdditiveLayer
from polymodal.training.options import Training


class MultiplicativeLayer(FusionLayer):
    r"""The Hadamard product of linear maps, and the sum of others if wanted.

    $$ z = \bigodot_{m \text{ present}} (V_m x_m + c_m) \;\; \Big[ + \; b + \sum_m W_m x_m \Big] $$

    A modality that is absent is left out of the product: its factor is the neutral 1. At the start c = 0 and
    var(V_ij) = 1 / d_m, so that z has mean square 1 for inputs of unit variance and any number of modalities.

    Args:
        dims: Name -> d_m of each modality.
        n_components: Size of z.
        additive: Whether to add an `AdditiveLayer` of the same inputs.

    Complexity:
        O(n k sum_m d_m) time; k sum_m (d_m + 1) parameters, and those of the `AdditiveLayer`.

    Relations:
        * V_m = I and c_m = 0: z = a * b, elementwise
        * with every modality present, equals a `LowRankLayer` of rank 1
        * with `additive`, equals the product plus the `AdditiveLayer`
    """

    def __init__(self, dims: Mapping[str, int], n_components: int, additive: bool = False) -> None:
        super().__init__(dims, n_components)
        self.factors = nn.ModuleList([nn.Linear(dim, n_components) for dim in self.dims.values()])
        for factor, dim in zip(self.factors, self.dims.values(), strict=True):
            nn.init.normal_(factor.weight, std=1 / math.sqrt(dim))  # type: ignore[arg-type, unused-ignore]
            nn.init.zeros_(factor.bias)  # type: ignore[arg-type, unused-ignore]
        self.additive = AdditiveLayer(self.dims, n_components) if additive else None

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        like = next(iter(values.values()))
        product = like.new_ones(len(like), self.n_components)
        for name, factor in zip(self.dims, self.factors, strict=True):
            term = factor(values[name])
            product = product * torch.where(has[name][:, None], term, torch.ones_like(term))
        return product if self.additive is None else product + self.additive(values, has)


class MultiplicativeFusion(SupervisedFusion):
    r"""Learn one encoder per modality and multiply what they give, component by component.

    $$ z = \bigodot_m (V_m \tanh f_m(x_m) + c_m) \;\; \Big[ + \; b + \sum_m W_m \tanh f_m(x_m) \Big],
       \qquad \hat y = H z + h $$

    The smallest fusion with products. Each modality can switch a component of the others on and off.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
        additive: Whether to add the sum of one term per modality: evidence that a modality gives alone.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        modality_dropout: Share of training rows, in [0, 1], from which a random part of the modalities is
            hidden (never all), so that the model learns to do without them.
        training: How to train.
        random_state: Seed of initial weights, batches and dropout.

    Attributes:
        classes_: The classes in sorted order (classification), or the label columns.
        task_: The task that was learned.
        module_: The trained `nn.Module`.
        history_: Loss by epoch.

    Relations:
        * solves y = sign(a b), of which `AdditiveFusion` learns nothing
        * a missing modality is a factor of 1

    References: Liang, Zadeh & Morency 2024, Foundations and trends in multimodal machine learning (multiplicative fusion).
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        additive: bool = False,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.additive = additive
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MultiplicativeFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=4, additive=True, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return Bounded(MultiplicativeLayer(dims, self.n_components, self.additive))

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim
