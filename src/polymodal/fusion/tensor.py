r"""Tensor fusion: every product of features of different modalities. $z = W \cdot \mathrm{vec}([x_1;1] \otimes \dots \otimes [x_M;1])$."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Float
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import FusionLayer
from polymodal.fusion._supervised import SupervisedFusion
from polymodal.training.options import Training

MAX_COEFFICIENTS = 2**27
"""Largest tensor of coefficients that is built: 512 MiB of float32."""
_COMFORTABLE = 2**20


def outer_product(vectors: Sequence[Float[Tensor, "n _"]]) -> Float[Tensor, "n p"]:
    r"""Row by row, vec(x_1 (x) x_2 (x) ...), flattened row-major: the last vector's index runs fastest.

    Relations:
        * for two vectors it is `numpy.kron(a, b)` of each row
    """
    product = vectors[0]
    for vector in vectors[1:]:
        product = (product[:, :, None] * vector[:, None, :]).flatten(1)
    return product


def tensor_contract(
    vectors: Sequence[Float[Tensor, "n _"]], weight: Float[Tensor, "k ..."]
) -> Float[Tensor, "n k"]:
    r"""$z_k = \langle W_k,\; x_1 \otimes \dots \otimes x_M \rangle$, exactly, without forming the product of all M vectors.

    The modalities are cut into a left and a right group. The right group's product (n, R) meets W as one matrix
    (k L, R), and the left group's product (n, L) sums the result. The cut is the one that needs least memory.

    Args:
        vectors: One batch per modality, (n, p_m).
        weight: Coefficients, (k, p_1, ..., p_M).

    Complexity:
        n k prod(p) multiply-adds, as with the full product; min over cuts of n (R + L + k L) numbers kept for the
        backward pass, instead of n prod(p).

    Relations:
        * equals `outer_product(vectors) @ weight.flatten(1).T`
    """
    sizes, k = [v.shape[1] for v in vectors], weight.shape[0]
    cut = _best_cut(sizes, k)
    right = outer_product(vectors[cut:])
    if cut == 0:
        return right @ weight.flatten(1).T
    left = outer_product(vectors[:cut])
    partial = right @ weight.reshape(k * left.shape[1], right.shape[1]).T
    return torch.bmm(partial.reshape(len(left), k, left.shape[1]), left[:, :, None])[:, :, 0]


def _best_cut(sizes: Sequence[int], k: int) -> int:
    def kept(cut: int) -> int:
        return math.prod(sizes[cut:]) + (0 if cut == 0 else (k + 1) * math.prod(sizes[:cut]))

    return min(range(len(sizes)), key=kept)


class TensorLayer(FusionLayer):
    r"""A linear map of all products across modalities: $z = W \cdot \mathrm{vec}([x_1;1] \otimes \dots \otimes [x_M;1])$.

    The appended ones make every product of fewer modalities part of it: with three, all uni-, bi- and trimodal
    terms, and a constant. An absent modality enters as [0; 1], so that exactly the terms it has a part in vanish.

    Args:
        dims: Name -> d_m of each modality. Modalities stand in the tensor in the order of their names.
        n_components: Size of z.

    Raises:
        ModalityError: the tensor would hold more than 2**27 coefficients.

    Complexity:
        n k prod_m (d_m + 1) multiply-adds, k prod_m (d_m + 1) coefficients; memory as `tensor_contract`.

    Relations:
        * coefficients zero but for products of at most one modality: equals `AdditiveLayer`
        * a row that lacks a modality gets what a layer without this modality (its slice at the appended 1) gives
    """

    def __init__(self, dims: Mapping[str, int], n_components: int) -> None:
        super().__init__(dims, n_components)
        shape = [d + 1 for d in self.dims.values()]
        _check_size(self.dims, n_components)
        self.weight = nn.Parameter(torch.zeros(n_components, *shape))
        self._start_additive()

    def _start_additive(self) -> None:
        """Products start at zero, the terms of one modality as in early fusion: it begins as `AdditiveLayer` does."""
        bound = 1 / math.sqrt(sum(self.dims.values()))
        ones: list[int | slice] = list(self.dims.values())  # the place of the appended 1 on each axis
        with torch.no_grad():
            self.weight[(slice(None), *ones)].uniform_(-bound, bound)
            for axis, dim in enumerate(self.dims.values()):
                line = [slice(dim) if other == axis else place for other, place in enumerate(ones)]
                self.weight[(slice(None), *line)].uniform_(-bound, bound)

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        with_one = [nn.functional.pad(values[name], (0, 1), value=1.0) for name in self.dims]
        return tensor_contract(with_one, self.weight)


class _BoundedTensorLayer(TensorLayer):
    """What `Bounded` does, under the names of weights that saved models have."""

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        return super()._fuse({name: value.tanh() for name, value in values.items()}, has)


def _check_size(dims: Mapping[str, int], n_components: int) -> None:
    size = n_components * math.prod(d + 1 for d in dims.values())
    if size > MAX_COEFFICIENTS:
        fits = max(1, int((MAX_COEFFICIENTS / n_components) ** (1 / len(dims))) - 1)
        raise ModalityError(
            f"Tensor fusion of {dict(dims)} into {n_components} components needs {size:,} coefficients, more than "
            f"{MAX_COEFFICIENTS:,}. Take embedding_dim={fits} or less, fewer modalities, or a low-rank form of the tensor."
        )


class TensorFusion(SupervisedFusion):
    r"""Learn one encoder per modality and a linear map of all products of their features.

    $$ z = W \cdot \mathrm{vec}\big([f_1(x_1);1] \otimes \dots \otimes [f_M(x_M);1]\big), \qquad \hat y = H z + h $$

    Each f_m ends in tanh, for products of many unbounded features explode. Training starts from additive fusion, with all
    products at zero. Learns what modalities mean together (irony: the words against the voice). Costs prod_m (d_m + 1) coefficients.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size d_m of each f_m(x_m). None: 16, or less where the tensor would exceed about a million
            coefficients.
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
        * a missing modality drops out of every product

    References: Zadeh et al. 2017, Tensor fusion network for multimodal sentiment analysis.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int | None = None,
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
    def _examples(cls) -> list[TensorFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [cls(3, embedding_dim=3, modality_dropout=0.3, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return _BoundedTensorLayer(dims, self.n_components)

    def _embedding_dim(self, n_modalities: int) -> int:
        if self.embedding_dim is not None:
            return self.embedding_dim
        fits = int((_COMFORTABLE / self.n_components) ** (1 / n_modalities)) - 1
        return max(1, min(16, fits))
