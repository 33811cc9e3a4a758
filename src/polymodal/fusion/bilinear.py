r"""Bilinear fusion: all products of two features of two modalities, in full or sketched. $z_k = a^\top W_k b$."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Float, Int
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import Bounded, FusionLayer, check_count
from polymodal.fusion._supervised import SupervisedFusion
from polymodal.fusion.tensor import tensor_contract
from polymodal.training.options import Training


def count_sketch(
    x: Float[Tensor, "n d"], places: Int[Tensor, " d"], signs: Float[Tensor, " d"], size: int
) -> Float[Tensor, "n q"]:
    r"""Each feature, with a sign, added to one of `size` sums: $\mathrm{cs}(x)_j = \sum_{i : h(i) = j} s_i x_i$.

    Args:
        x: Rows.
        places: h(i) in [0, size) of each feature.
        signs: s_i, -1 or 1, of each feature.
        size: Length of the sketch.

    Relations:
        * for random places and signs, <cs(x), cs(y)> has mean <x, y>
        * linear in x

    References: Charikar, Chen & Farach-Colton 2002, Finding frequent items in data streams.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.new_zeros(len(x), size).index_add(1, places, wide * signs.to(wide.dtype))


def tensor_sketch(sketches: Sequence[Float[Tensor, "n q"]]) -> Float[Tensor, "n q"]:
    r"""The count sketch of the outer product, from the count sketches of its factors: their circular convolution.

    $$ \mathrm{ts}(a, b) = \mathrm{FFT}^{-1}\big(\mathrm{FFT}(\mathrm{cs}_1(a)) * \mathrm{FFT}(\mathrm{cs}_2(b))\big) $$

    The outer product's feature (i, j) goes to the place h_1(i) + h_2(j) modulo q, with the sign s_1(i) s_2(j).

    Args:
        sketches: One per factor, drawn independently.

    Complexity: O(n q log q) for each factor.

    Relations:
        * equals the count sketch of a (x) b under these places and signs
        * <ts(a, b), ts(c, d)> has mean <a, c> <b, d>

    References: Pham & Pagh 2013, Fast and scalable polynomial kernels via explicit feature maps.
    """
    spectrum = torch.fft.rfft(sketches[0])
    for sketch in sketches[1:]:
        spectrum = spectrum * torch.fft.rfft(sketch)
    product: Tensor = torch.fft.irfft(spectrum, n=sketches[0].shape[1])
    return product


class BilinearLayer(FusionLayer):
    r"""Linear terms and the products of every pair of modalities.

    $$ z_k = c_k + \sum_m \langle u_m^k, x_m \rangle + \sum_{m < m'} x_m^\top W_k^{mm'} x_{m'} $$

    With row-major flattening $a^\top W_k b = \langle \mathrm{vec}(W_k), a \otimes b \rangle$ (`outer_product`, `numpy.kron(a, b)`);
    column-major flattening goes with $b \otimes a$. A modality that is absent is zero: all terms it has a part in vanish.

    The compact form replaces each pair's $a \otimes b$ by its tensor sketch of `sketch_size` numbers, which preserves inner products
    in the mean. Places and signs are drawn once and kept with the weights.

    Products start at zero, linear terms as in early fusion.

    Args:
        dims: Name -> d_m of each modality. Pairs stand in the order of the names.
        n_components: Size of z.
        sketch_size: Length of the sketch of each pair; None: all products.

    Complexity:
        For each pair n k d d' multiply-adds and k d d' coefficients; sketched n (k q + q log q), and k q coefficients.

    Relations:
        * equals `TensorLayer` for two modalities and the same coefficients
        * for three and more it is `TensorLayer` without the products of more than two
        * sketched, it is a bilinear layer whose W_k are constant, up to signs, on the q sets of products that share a place
    """

    def __init__(self, dims: Mapping[str, int], n_components: int, sketch_size: int | None = None) -> None:
        super().__init__(dims, n_components)
        if sketch_size is not None:
            check_count("sketch_size", sketch_size)
        self.sketch_size = sketch_size
        self.pairs = tuple(combinations(self.dims, 2))
        self.linear = nn.Linear(sum(self.dims.values()), n_components)
        self.products = nn.ParameterList(
            [
                nn.Parameter(
                    torch.zeros(n_components, self.dims[a], self.dims[b])
                    if sketch_size is None
                    else torch.zeros(n_components, sketch_size)
                )
                for a, b in self.pairs
            ]
        )
        if sketch_size is not None and self.pairs:
            total = sum(self.dims.values())
            self.register_buffer("places", torch.randint(sketch_size, (total,)))
            self.register_buffer("signs", torch.randint(2, (total,)) * 2.0 - 1)

    places: Tensor
    signs: Tensor

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        total: Tensor = self.linear(torch.cat(list(values.values()), dim=1))
        if self.sketch_size is None:
            for (a, b), weight in zip(self.pairs, self.products, strict=True):
                total = total + tensor_contract([values[a], values[b]], weight)
        elif self.pairs:
            sketches = self._sketches(values, self.sketch_size)
            for (a, b), weight in zip(self.pairs, self.products, strict=True):
                total = total + tensor_sketch([sketches[a], sketches[b]]) @ weight.T
        return total

    def _sketches(self, values: dict[str, Tensor], size: int) -> dict[str, Tensor]:
        widths = list(self.dims.values())
        places, signs = torch.split(self.places, widths), torch.split(self.signs, widths)
        return {
            name: count_sketch(values[name], place, sign, size)
            for name, place, sign in zip(self.dims, places, signs, strict=True)
        }


class BilinearFusion(SupervisedFusion):
    r"""Learn one encoder per modality, and all products of two features of two modalities.

    $$ z_k = c_k + \sum_m \langle u_m^k, g_m \rangle + \sum_{m < m'} g_m^\top W_k^{mm'} g_{m'}, \quad g_m = \tanh f_m(x_m),
       \qquad \hat y = H z + h $$

    Two-way interactions only: the cost grows with the square of the number of modalities. `sketch_size` makes it
    independent of the encoders' width.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
        sketch_size: Length of the count sketch that stands for all products of a pair; None: the products themselves.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        modality_dropout: Share of training rows, in [0, 1], from which a random part of the modalities is
            hidden (never all), so that the model learns to do without them.
        training: How to train.
        random_state: Seed of initial weights, sketches, batches and dropout.

    Attributes:
        classes_: The classes in sorted order (classification), or the label columns.
        task_: The task that was learned.
        module_: The trained `nn.Module`.
        history_: Loss by epoch.

    Relations:
        * solves y = sign(a b), of which `AdditiveFusion` learns nothing
        * gets at most seven of the eight cells of y = sign(a b c) right, which needs `TensorFusion` or `LowRankFusion`
        * a missing modality drops out of every product

    References: Tenenbaum & Freeman 2000, Separating style and content with bilinear models; Fukui et al. 2016, Multimodal compact
        bilinear pooling for visual question answering and visual grounding.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 16,
        sketch_size: int | None = None,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.sketch_size = sketch_size
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[BilinearFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [
            cls(3, embedding_dim=4, sketch_size=size, training=options, random_state=0) for size in (None, 6)
        ]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return Bounded(BilinearLayer(dims, self.n_components, self.sketch_size))

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim
