"""`add_channel_exchange`: any network with batch norms becomes one of several modalities that exchange channels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float
from polymodal.fusion._inputs import check_names
from polymodal.fusion.exchange_block import (
    THRESHOLD,
    ExchangeBlock,
    along_rows,
    check_equal_shapes,
    row_masks,
    where_present,
)


class ExchangeNetwork(nn.Module):
    """One network over several modalities of equal shape, made by `add_channel_exchange`.

    Attributes:
        modalities: Names, sorted.
        network: The network; it sees the rows of all modalities one after the other on the batch axis.
        logits: (M,) one per modality; their softmax weighs the decisions.

    References: Wang et al. 2020, Deep multimodal fusion by channel exchanging.
    """

    def __init__(self, network: nn.Module, modalities: Sequence[str], rows: _Rows) -> None:
        super().__init__()
        self.modalities = tuple(sorted(modalities))
        self.network = network
        self.logits = nn.Parameter(torch.zeros(len(self.modalities)))
        self._rows = rows

    def forward(
        self,
        inputs: Mapping[str, Float[Tensor, "n c ..."]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """The weighted mean of the modalities' outputs, over those that the row has; zeros without any."""
        outputs, has = self.streams(inputs, present)
        return self.ensemble(outputs, has)

    def streams(
        self,
        inputs: Mapping[str, Float[Tensor, "n c ..."]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> tuple[dict[str, Float[Tensor, "n ..."]], dict[str, Bool[Tensor, " n"]]]:
        """Each modality's own output, after the exchange, and where it has one. Rows that lack it hold unspecified values.

        Raises:
            ModalityError: an unknown name, no modality, or values of different shapes.
        """
        check_names(inputs, dict.fromkeys(self.modalities, 0))
        check_equal_shapes(inputs)
        names = [name for name in self.modalities if name in inputs]
        has = row_masks(inputs, present)
        stacked = torch.cat([where_present(inputs[name], has[name]) for name in names])
        self._rows.has = {name: has[name] for name in names}
        try:
            output: Tensor = self.network(stacked)
        finally:
            self._rows.has = {}
        if not isinstance(output, Tensor) or len(output) != len(stacked):
            raise ConfigError(
                "Channel exchange needs a network that returns one tensor with a row for every picture, got "
                f"{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__} for {len(stacked)} pictures."
            )
        return dict(zip(names, output.chunk(len(names)), strict=True)), has

    def ensemble(
        self, outputs: Mapping[str, Float[Tensor, "n ..."]], has: Mapping[str, Bool[Tensor, " n"]]
    ) -> Float[Tensor, "n ..."]:
        r"""$\sum_m a_m y_m$, $a$ the softmax of `logits` over the modalities that the row has."""
        names = sorted(outputs)
        there = torch.stack([has[name] for name in names], dim=1)
        chosen = self.logits[[self.modalities.index(name) for name in names]]
        some = there | ~there.any(dim=1, keepdim=True)  # a row without any: no softmax over nothing
        weights = chosen.expand(len(there), -1).masked_fill(~some, -torch.inf).softmax(1) * there
        parts = [along_rows(weights[:, m], outputs[name]) * outputs[name] for m, name in enumerate(names)]
        return torch.stack(parts).sum(0)

    def weights(self) -> dict[str, float]:
        """Name -> weight of its decision where all modalities are there."""
        return dict(zip(self.modalities, self.logits.detach().softmax(0).tolist(), strict=True))

    def blocks(self) -> dict[str, ExchangeBlock]:
        """Layer -> its exchange, for the layers that exchange, in the order of the network."""
        found = {
            name: module.block
            for name, module in self.network.named_modules()
            if isinstance(module, _StackedExchange)
        }
        return {name: block for name, block in found.items() if block.exchanges}

    def penalty(self) -> Float[Tensor, ""]:
        """The sum of the scales that may be given up, over all layers: add `sparsity` times it to the loss."""
        return torch.stack([block.penalty() for block in self.blocks().values()]).sum()

    def exchange_rate(self) -> dict[str, dict[str, float]]:
        """Layer -> modality -> share of its channels that are replaced."""
        return {
            layer: dict(zip(self.modalities, block.exchange_rate().tolist(), strict=True))
            for layer, block in self.blocks().items()
        }


def add_channel_exchange(
    network: nn.Module | Mapping[str, nn.Module],
    modalities: Sequence[str] | None = None,
    *,
    threshold: float = THRESHOLD,
    layers: Sequence[str] | None = None,
) -> ExchangeNetwork:
    """Make any network with batch norms one of several modalities that exchange channels.

    The network is copied, and its forward stays as it is: the modalities' rows go through it one after the other on the
    batch axis, so convolutions are shared, and every batch norm becomes an `ExchangeBlock` that tells them apart. No other
    layer may mix rows.

    Args:
        network: A module whose forward takes one tensor and returns one, a row per picture; with pretrained weights if
            wanted. Or name -> module: streams of one architecture, each with weights of its own.
        modalities: Names; left out where `network` names its streams.
        threshold: A channel with a scale below it is replaced.
        layers: Names of the batch norms that exchange, as `named_modules` gives them; all of them by default. The others
            get private normalisations only.

    Raises:
        ConfigError: no batch norm, one without scales, an unknown layer, fewer than two names, streams that differ.

    Relations:
        * all scales above `threshold`, in evaluation mode: each modality gets what `network` gives it
        * two streams of equal weights: equals the shared network
    """
    if isinstance(network, nn.Module):
        streams = dict.fromkeys(sorted(set(modalities or ())), network)
    else:
        streams = {name: network[name] for name in sorted(network)}
    if len(streams) < 2:
        raise ConfigError(f"Channel exchange needs at least two modalities, got {list(streams)}.")
    result = copy.deepcopy(next(iter(streams.values())))
    norms = [
        name for name, module in result.named_modules(remove_duplicate=False) if isinstance(module, BatchNorm)
    ]
    if not norms:
        raise ConfigError(
            f"Channel exchange needs a network with batch norms, whose scales say which channels are given up; "
            f"{type(result).__name__} has none. Put a BatchNorm2d after each convolution."
        )
    unknown = sorted(set(layers or ()) - set(norms))
    if unknown:
        raise ConfigError(f"Unknown layers {unknown}; the batch norms are {norms}.")
    rows = _Rows()
    if not isinstance(network, nn.Module):
        result = _unshared(result, streams, rows)
    made: dict[int, _StackedExchange] = {}
    for layer in norms:
        own = {name: stream.get_submodule(layer) for name, stream in streams.items()}
        block = ExchangeBlock(own, threshold=threshold, exchanges=layers is None or layer in layers)
        # A norm that stands in two places stays one.
        stacked = made.setdefault(id(own[next(iter(own))]), _StackedExchange(block, rows))
        result = put_module(result, layer, stacked)
    return ExchangeNetwork(result, list(streams), rows)


class _Rows:
    """Which rows of the stacked batch are whose, for the length of one forward."""

    def __init__(self) -> None:
        self.has: dict[str, Tensor] = {}


class _StackedExchange(nn.Module):
    """An `ExchangeBlock` where a network has a batch norm: modalities lie one after the other on the batch axis."""

    def __init__(self, block: ExchangeBlock, rows: _Rows) -> None:
        super().__init__()
        self.block = block
        self.rows = rows

    def forward(self, stacked: Tensor) -> Tensor:
        has = self.rows.has
        features = dict(zip(has, stacked.chunk(len(has)), strict=True))
        return torch.cat(list(self.block(features, has).values()))


class _Unshared(nn.Module):
    """One layer per modality on its part of the stacked batch."""

    def __init__(self, layers: Mapping[str, nn.Module], rows: _Rows) -> None:
        super().__init__()
        self.names = tuple(layers)
        self.layers = nn.ModuleList([copy.deepcopy(layer) for layer in layers.values()])
        self.rows = rows

    def forward(self, stacked: Tensor) -> Tensor:
        has = self.rows.has
        parts = zip(has, stacked.chunk(len(has)), strict=True)
        return torch.cat([self.layers[self.names.index(name)](part) for name, part in parts])


def _unshared(result: nn.Module, streams: Mapping[str, nn.Module], rows: _Rows) -> nn.Module:
    """`result` with every layer that has weights, except batch norms, replaced by the streams' own."""
    shapes = {
        name: [(key, tuple(value.shape)) for key, value in stream.state_dict().items()]
        for name, stream in streams.items()
    }
    if len({str(shape) for shape in shapes.values()}) > 1:
        raise ConfigError(
            f"Streams of one architecture are needed, got {list(streams)} with different layers or sizes."
        )
    for layer, module in list(result.named_modules()):
        if isinstance(module, BatchNorm) or not list(module.parameters(recurse=False)):
            continue
        if list(module.children()):
            raise ConfigError(
                f"Streams of their own weights need every weight in a layer without parts, but {layer!r} "
                f"({type(module).__name__}) has both. Give one network, whose weights are shared."
            )
        own = {name: stream.get_submodule(layer) for name, stream in streams.items()}
        result = put_module(result, layer, _Unshared(own, rows))
    return result


def put_module(root: nn.Module, layer: str, module: nn.Module) -> nn.Module:
    """`root` with `module` in the place `layer`; `module` itself where that is the root."""
    if not layer:
        return module
    parent, _, last = layer.rpartition(".")
    setattr(root.get_submodule(parent), last, module)
    return root
