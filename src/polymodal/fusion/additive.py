r"""Additive fusion: each modality adds its own contribution. $z = \sum_m W_m f_m(x_m) + c$."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import FusionLayer
from polymodal.fusion._supervised import SupervisedFusion
from polymodal.training.options import Training


class AdditiveLayer(FusionLayer):
    r"""A sum of linear maps, one per modality, in which an absent modality adds a constant instead.

    $$ z = c + \sum_m \begin{cases} W_m x_m & m \text{ present} \\ a_m & m \text{ absent} \end{cases} $$

    The absence vectors $a_m$ start at zero (the term is dropped) and are learned from rows that lack m.

    Args:
        dims: Name -> d_m of each modality.
        n_components: Size of z.

    Complexity:
        O(n k sum_m d_m) time, (1 + sum_m (d_m + 1)) k parameters plus k for c.

    Relations:
        * equals one linear layer on the concatenated inputs when every modality is present
        * equals `TensorLayer` whose coefficients of products of two and more modalities are zero
        * the effect of changing one modality does not depend on the others (no interaction)
    """

    def __init__(self, dims: Mapping[str, int], n_components: int) -> None:
        super().__init__(dims, n_components)
        whole = nn.Linear(sum(self.dims.values()), n_components)  # the initial weights of early fusion
        parts = torch.split(whole.weight.detach(), list(self.dims.values()), dim=1)
        self.weights = nn.ParameterList([nn.Parameter(part.clone()) for part in parts])
        self.absences = nn.ParameterList([nn.Parameter(torch.zeros(n_components)) for _ in self.dims])
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        total: Tensor = self.bias
        for name, weight, absence in zip(self.dims, self.weights, self.absences, strict=True):
            total = total + torch.where(has[name][:, None], values[name] @ weight.T, absence)
        return total


class AdditiveFusion(SupervisedFusion):
    r"""Learn one encoder per modality and add up what they contribute to the prediction.

    $$ z = c + \sum_m W_m f_m(x_m), \qquad \hat y = H z + h $$

    As H is linear too, the prediction is a sum of one term per modality: it can be read, but it cannot learn that
    two modalities mean something together that neither means alone (take `TensorFusion`).

    A modality that a row lacks adds a learned constant. Where training never saw a modality absent, the constant is
    its mean contribution over the training rows.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
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
        * with linear encoders it represents linear (regression) and logistic (classification) regression on the
          concatenated features, and nothing else
        * has no interactions: f(a, b) - f(a', b) does not depend on b

    References: Liang, Zadeh & Morency 2024, Foundations and trends in multimodal machine learning (additive fusion).
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[AdditiveFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=4, modality_dropout=0.3, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return AdditiveLayer(dims, self.n_components)

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim

    def _settle(self, data: Modalities) -> None:
        """Give the modalities that training never saw absent their mean contribution as the constant of absence."""
        names = self.module_.towers.names
        if self.modality_dropout > 0 or len(names) < 2:
            return
        layer = cast(AdditiveLayer, self.module_.layer)
        vectors = self._infer(data, lambda module, batch: module.towers(batch.columns)[0])
        for place, name in enumerate(names):
            if data[name].present.all():
                mean = torch.from_numpy(vectors[name].mean(axis=0, dtype=np.float64)).to(layer.bias)
                with torch.no_grad():
                    layer.absences[place].copy_(layer.weights[place] @ mean)
