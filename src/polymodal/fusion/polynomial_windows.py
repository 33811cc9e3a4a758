"""Polynomials stacked over windows of modalities and time: high order in few coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.fusion._layer import check_count
from polymodal.fusion._steps import StepFusion
from polymodal.fusion._tokens import TokenLayer
from polymodal.fusion.polynomial import PolynomialLayer
from polymodal.nn.recurrent import front_steps
from polymodal.training.options import Training


@dataclass(frozen=True)
class PolynomialWindows:
    """Which steps and modalities each polynomial of a `WindowedPolynomialLayer` sees.

    Args:
        steps: Each stream is read at so many steps, spread evenly over it.
        layers: Length and stride in steps of the windows of each layer. They must cover the steps exactly. One more
            layer follows, of one window over all that is left.
        modalities: The first layer has one polynomial for each choice of so many modalities; None is all of them together.

    Raises:
        ConfigError: numbers below 1, or windows that leave steps over.
    """

    steps: int = 8
    layers: tuple[tuple[int, int], ...] = ((2, 2), (2, 2))
    modalities: int | None = None

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        if self.modalities is not None:
            check_count("modalities", self.modalities)
        steps = self.steps
        for length, stride in self.layers:
            check_count("length of a window", length)
            check_count("stride of a window", stride)
            if length > steps or (steps - length) % stride or stride > length:
                raise ConfigError(
                    f"Windows of {length} steps every {stride} do not cover {steps} steps. Choose a length of at most {steps} and a "
                    f"stride of at most the length, of which {steps} - length is a multiple."
                )
            steps = (steps - length) // stride + 1

    def counts(self) -> list[int]:
        """Steps before each layer, and before the last."""
        counts = [self.steps]
        for length, stride in self.layers:
            counts.append((counts[-1] - length) // stride + 1)
        return counts


def spread_steps(
    x: Float[Tensor, "n t d"], mask: Bool[Tensor, "n t"], steps: int
) -> Float[Tensor, "n steps d"]:
    r"""A stream read at `steps` places, $\lfloor (k + \tfrac12) T / K \rfloor$ of its T steps; zeros where T = 0.

    Relations:
        * T = K: the stream itself
    """
    front, counts = front_steps(x, mask)
    middle = torch.arange(steps, device=x.device) * 2 + 1
    places = middle * counts[:, None] // (2 * steps)
    chosen: Tensor = front.gather(1, places[..., None].expand(-1, -1, x.shape[2]))
    return chosen


class WindowedPolynomialLayer(TokenLayer):
    r"""Polynomial layers over windows of modalities and time, one on top of the other.

    Every window of the first layer gives $z = \sum_r w_r \langle v_r, f \rangle^P$ with f the steps of its modalities and a 1;
    the weights are the same for all windows in time. The next layer does the same with $\tanh z$ in place of the steps,
    and the last has one window over what is left. L layers of degree P reach degree $P^L$ between features that one
    window of the last layer joins.

    Args:
        dims: Name -> d_m of each modality's tokens.
        n_components: Size of z, in every layer.
        degree: P.
        rank: Number R of powers summed.
        windows: Steps, windows and strides.

    Relations:
        * no layer but the last: equals a `PolynomialLayer` of the steps of each modality side by side
        * two layers: equals a `PolynomialLayer` on each window by hand

    Complexity:
        $R k$ times the features of a window and 1, for each window. The coefficients do not grow with the number of windows.

    References: Hou et al. 2019, Deep multimodal multilinear fusion with high-order polynomial pooling.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n_components: int,
        degree: int = 2,
        rank: int = 8,
        windows: PolynomialWindows | None = None,
    ) -> None:
        super().__init__(dims, n_components)
        self.windows = PolynomialWindows() if windows is None else windows
        counts = self.windows.counts()
        chosen = min(self.windows.modalities or len(self.dims), len(self.dims))
        layers: list[nn.Module] = []
        widths: Mapping[str, int] = self.dims
        for depth, (length, _) in enumerate([*self.windows.layers, (counts[-1], 1)]):
            last = depth == len(self.windows.layers)
            size = chosen if depth == 0 and not last else len(widths)
            groups = [
                PolynomialLayer({name: length * widths[name] for name in group}, n_components, degree, rank)
                for group in combinations(widths, size)
            ]
            layers.append(nn.ModuleList(groups))
            widths = {str(g): n_components for g in range(len(groups))}
        self.layers = nn.ModuleList(layers)

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        streams = {name: spread_steps(x, has[name], self.windows.steps) for name, x in values.items()}
        last = self.windows.counts()[-1]
        for depth, (length, stride) in enumerate([*self.windows.layers, (last, 1)]):
            if depth:
                streams = {name: x.tanh() for name, x in streams.items()}
            cut = {name: _windows_of(x, length, stride) for name, x in streams.items()}
            groups = cast(list[PolynomialLayer], list(cast(nn.ModuleList, self.layers[depth])))
            streams = {str(g): _on_each_window(group, cut) for g, group in enumerate(groups)}
        return streams["0"][:, 0]


def _windows_of(x: Float[Tensor, "n t d"], length: int, stride: int) -> Float[Tensor, "n w f"]:
    """The steps of each window side by side, step after step."""
    return x.unfold(1, length, stride).transpose(2, 3).flatten(2)


def _on_each_window(layer: PolynomialLayer, cut: Mapping[str, Tensor]) -> Float[Tensor, "n w k"]:
    parts = {name: cut[name] for name in layer.dims}
    count = next(iter(parts.values())).shape[1]
    fused: Tensor = layer({name: part.flatten(0, 1) for name, part in parts.items()})
    return fused.reshape(-1, count, layer.n_components)


class TanhTokens(nn.Module):
    """Tokens go through tanh before a layer: products of many unbounded features explode."""

    def __init__(self, layer: TokenLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The layer's result for tanh of the tokens."""
        fused: Tensor = self.layer({name: x.tanh() for name, x in inputs.items()}, present, masks)
        return fused


class WindowedPolynomialFusion(StepFusion):
    r"""Learn polynomials over windows of modalities and time, stacked: a high degree in few coefficients.

    $$ z_w = \sum_r w_r \langle v_r, [\tanh x_t : t, m \in w; 1] \rangle^P $$

    in every window w, then the same over windows of these, up to one window over all. Sequences are read step by step
    (`StepEncoder`), texts by words, sounds by frames; a vector or a picture is the same at every step.

    Args:
        n_components: Size of the steps' vectors, of every layer and of z.
        encoders: Name -> encoder; by kind where a name is not given.
        degree: Degree P of each layer.
        rank: Number R of powers that are summed.
        windows: Steps, windows and strides.
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
        * degree 2 solves y = whether two streams agree step by step; degree 1 in one window cannot

    References: Hou et al. 2019, Deep multimodal multilinear fusion with high-order polynomial pooling.
    """

    def __init__(
        self,
        n_components: int = 16,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        degree: int = 2,
        rank: int = 8,
        windows: PolynomialWindows | None = None,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.degree = degree
        self.rank = rank
        self.windows = windows
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[WindowedPolynomialFusion]:
        options = Training(max_epochs=2, batch_size=16)
        windows = PolynomialWindows(steps=3, layers=((2, 1),), modalities=2)
        return [cls(3, rank=2, windows=windows, training=options, random_state=0)]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return TanhTokens(
            WindowedPolynomialLayer(dims, self.n_components, self.degree, self.rank, self.windows)
        )
