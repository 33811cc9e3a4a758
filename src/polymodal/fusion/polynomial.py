r"""Polynomial fusion: products of any P features. $z_k = \sum_r w_{rk} \langle v_{rk}, [x_1, \dots, x_M, 1] \rangle^P$."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import Bounded, FusionLayer, check_count
from polymodal.fusion._supervised import SupervisedFusion
from polymodal.training.options import Training


class PolynomialLayer(FusionLayer):
    r"""A polynomial of degree P in all features of all modalities, with coefficients of symmetric CP rank R.

    $$ z_k = \langle W_k, f^{\otimes P} \rangle = \sum_{r=1}^{R} w_{rk} \langle v_{rk}, f \rangle^P, \qquad f = [x_1, \dots, x_M, 1] $$

    Where tensor fusion takes at most one feature of each modality into a product, this takes any P, so that the degree may
    exceed the number of modalities, and powers and products within a modality are part of it. A modality that is absent
    is zero: every monomial it has a part in vanishes.

    At the start v = [u, 1] with var(u_i) = 1 / (P^2 d), so that the power is about exp(N(0, 1)) for inputs of unit
    variance and any degree, and w = +-1 / sqrt(R) by a fair coin.

    Args:
        dims: Name -> d_m of each modality.
        n_components: Size of z.
        degree: P.
        rank: Number R of powers summed.

    Complexity:
        n k R (d + 1) multiply-adds and k R (d + 2) parameters for d = sum_m d_m, whatever the degree; there are
        (d + P)! / (d! P!) monomials.

    Relations:
        * equals the explicit sum over all monomials of degree at most P
        * degree 1: equals an `AdditiveLayer` whose constants of absence are zero

    References: Hou et al. 2019, Deep multimodal multilinear fusion with high-order polynomial pooling.
    """

    def __init__(self, dims: Mapping[str, int], n_components: int, degree: int = 3, rank: int = 8) -> None:
        super().__init__(dims, n_components)
        check_count("degree", degree)
        check_count("rank", rank)
        self.degree, self.rank = degree, rank
        d = sum(self.dims.values())
        directions = torch.randn(d + 1, rank, n_components) / (degree * math.sqrt(d))
        directions[-1] = 1.0
        self.directions = nn.Parameter(directions)
        self.weights = nn.Parameter((torch.randint(2, (rank, n_components)) * 2.0 - 1) / math.sqrt(rank))

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        flat = self.directions.flatten(1)
        sums = torch.addmm(flat[-1], torch.cat(list(values.values()), dim=1), flat[:-1])
        powers = (sums**self.degree).reshape(-1, self.rank, self.n_components)
        return (powers * self.weights).sum(dim=1)


class PolynomialFusion(SupervisedFusion):
    r"""Learn one encoder per modality and a polynomial of any degree in all their features.

    $$ z_k = \sum_{r=1}^{R} w_{rk} \langle v_{rk}, [\tanh f_1(x_1), \dots, \tanh f_M(x_M), 1] \rangle^P, \qquad \hat y = H z + h $$

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
        degree: Degree P, at least 1 and beyond the number of modalities if wanted. 1 is additive.
        rank: Number R of powers that are summed. More can say more, and need more rows.
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
        * degree 3 fits y = a^2 b of two numbers, degree 2 does not

    References: Hou et al. 2019, Deep multimodal multilinear fusion with high-order polynomial pooling.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 16,
        degree: int = 3,
        rank: int = 8,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.degree = degree
        self.rank = rank
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[PolynomialFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=4, degree=3, rank=2, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return Bounded(PolynomialLayer(dims, self.n_components, self.degree, self.rank))

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim
