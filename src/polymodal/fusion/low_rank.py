r"""Low-rank fusion: tensor fusion whose coefficients are a sum of R products. $z = b + \sum_r w_r \bigodot_m F_m^r [x_m;1]$."""

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
from polymodal.fusion.tensor import TensorLayer
from polymodal.training.options import Training


class LowRankLayer(FusionLayer):
    r"""All products across modalities, with coefficients of CP rank R; the tensor is never formed.

    $$ z_k = b_k + \sum_{r=1}^{R} w_r \prod_m \langle F_m^{r,k}, [x_m;1] \rangle $$

    An absent modality enters as [0; 1]: its factor is the coefficient of the appended 1.

    At the start each factor is c + u'x with c = 1 or -1 by a fair coin and var(u_i) = 1 / (M d_m), and w_r = 1 / sqrt(R). For
    inputs of unit variance the mean square of z is then (1 + 1/M)^M, between 2 and e for any number M of modalities;
    with the usual initial weights it would vanish or explode as the M-th power.

    Args:
        dims: Name -> d_m of each modality.
        n_components: Size of z.
        rank: Number R of products summed.

    Complexity:
        n k R sum_m (d_m + 1) multiply-adds, k R sum_m (d_m + 1) + R + k parameters: linear in the number of modalities.

    Relations:
        * equals the `TensorLayer` that `low_rank_to_tensor` gives, with modalities missing too
        * represents every `TensorLayer`, at a rank that may be large (`tensor_to_low_rank`)
        * for one modality it is linear

    References: Liu et al. 2018, Efficient low-rank multimodal fusion with modality-specific factors.
    """

    def __init__(self, dims: Mapping[str, int], n_components: int, rank: int = 4) -> None:
        super().__init__(dims, n_components)
        check_count("rank", rank)
        self.rank = rank
        factors = []
        for dim in self.dims.values():
            factor = torch.randn(dim + 1, rank, n_components) / math.sqrt(len(self.dims) * dim)
            factor[-1] = torch.randint(2, (rank, n_components)) * 2.0 - 1
            factors.append(nn.Parameter(factor))
        self.factors = nn.ParameterList(factors)  # (d_m + 1, R, k) each
        self.weight = nn.Parameter(torch.full((rank,), 1 / math.sqrt(rank)))
        self.bias = nn.Parameter(torch.zeros(n_components))

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        product: Tensor | None = None
        for name, factor in zip(self.dims, self.factors, strict=True):
            flat = factor.flatten(1)
            term = torch.addmm(flat[-1], values[name], flat[:-1])
            product = term if product is None else product * term
        assert product is not None  # `fill_absent` refuses a layer without modalities
        return (
            torch.einsum("nrk,r->nk", product.reshape(-1, self.rank, self.n_components), self.weight)
            + self.bias
        )


def low_rank_to_tensor(layer: LowRankLayer) -> TensorLayer:
    """The tensor layer with the same output for every input: its coefficients are the sum of products, written out.

    Raises:
        ModalityError: the tensor would hold more than 2**27 coefficients.

    Complexity: k R prod_m (d_m + 1) multiply-adds.
    """
    tensor = TensorLayer(layer.dims, layer.n_components).to(layer.bias)
    with torch.no_grad():
        product = layer.weight[None, :, None].expand(1, -1, layer.n_components)
        for factor in layer.factors:
            product = (product[:, None] * factor[None]).flatten(
                0, 1
            )  # the last modality's index runs fastest
        tensor.weight.copy_(product.sum(dim=1).T.reshape(tensor.weight.shape))
        tensor.weight.flatten(1)[:, -1].add_(layer.bias)  # the product of the appended ones
    return tensor


def tensor_to_low_rank(layer: TensorLayer) -> LowRankLayer:
    """A low-rank layer with the same output for every input: one product per line of coefficients that is not all zero.

    The lines run along the largest modality, so that the rank is at most the product of the other d_m + 1. It is exact,
    and in general far from the smallest rank (finding that is NP-hard).
    """
    sizes = [dim + 1 for dim in layer.dims.values()]
    longest = max(range(len(sizes)), key=sizes.__getitem__)
    with torch.no_grad():
        moved = layer.weight.movedim(longest + 1, -1)
        lines = moved.reshape(layer.n_components, -1, sizes[longest])  # (k, lines, size of the longest)
        places = (lines != 0).any(dim=2).any(dim=0).nonzero()[:, 0]
        places = places if len(places) else places.new_zeros(1)
        others = [size for axis, size in enumerate(sizes) if axis != longest]
        spots = list(torch.unravel_index(places, others)) if others else []
        low = LowRankLayer(layer.dims, layer.n_components, len(places)).to(layer.weight)
        low.weight.fill_(1.0)
        for axis, factor in enumerate(low.factors):
            if axis == longest:
                factor.copy_(lines[:, places].permute(2, 1, 0))
            else:
                spot = spots[axis - (axis > longest)]
                factor.copy_(nn.functional.one_hot(spot, sizes[axis]).T[:, :, None].expand_as(factor))
    return low


class LowRankFusion(SupervisedFusion):
    r"""Learn one encoder per modality and all products of their features, at a cost linear in the number of modalities.

    $$ z = b + \sum_{r=1}^{R} w_r \bigodot_m F_m^r [\tanh f_m(x_m);1], \qquad \hat y = H z + h $$

    Tensor fusion with coefficients of rank R: take it where `TensorFusion` grows too large, from about four modalities.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
        rank: Number R of products that are summed. More can say more, and need more rows.
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
        * is `TensorFusion` with constrained coefficients (`low_rank_to_tensor`)

    References: Liu et al. 2018, Efficient low-rank multimodal fusion with modality-specific factors.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        rank: int = 4,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.rank = rank
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[LowRankFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=4, rank=2, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return Bounded(LowRankLayer(dims, self.n_components, self.rank))

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim
