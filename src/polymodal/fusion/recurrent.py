"""Recurrent fusion: one network per modality whose ends are joined, or one network over steps joined on a common clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.random import RandomState
from polymodal.core.task import Task
from polymodal.core.typing import Bool, Float, Int
from polymodal.encoders.base import Encoder
from polymodal.fusion._inputs import hide_at_random
from polymodal.fusion._steps import StepFusion
from polymodal.fusion._supervised import FusionNetwork
from polymodal.fusion._tokens import TokenLayer, TokenNetwork, fill_absent_tokens
from polymodal.nn.recurrent import Cell, Recurrent, front_steps
from polymodal.training.batches import Batch
from polymodal.training.options import Training

Fuse = Literal["step", "end"] | float


def common_clock(
    counts: Int[Tensor, "n m"],
    seconds: Float[Tensor, "n m"],
    step_seconds: float | None = None,
) -> tuple[Int[Tensor, "n t m"], Bool[Tensor, "n t"]]:
    r"""Which step of each stream falls on which tick of a clock that all streams of a row share.

    Streams with a rate begin together. A tick is as long as the shortest of their steps, or `step_seconds`; tick k reads
    the step that is on in its middle, $\lfloor (k + \tfrac12) \cdot \text{tick} / s_m \rfloor$, and none after the stream's
    end. Streams without a rate are spread over the whole row, $\lfloor (k + \tfrac12) T_m / K \rfloor$; where no stream has
    one, there are as many ticks as the longest has steps.

    Args:
        counts: Steps $T_m$ of each stream; 0 where the row lacks it.
        seconds: $s_m$, from one step to the next; 0 where the stream has no rate.
        step_seconds: Length of a tick.

    Returns:
        The step of each stream at each tick, -1 where there is none; and which ticks the row has.

    Relations:
        * one stream: its own steps
        * rates 2:1 over the same time: each step of the slower one stands twice
    """
    seconds = seconds.double()
    rated = (seconds > 0) & (counts > 0)
    some = rated.any(1)
    finest = seconds.masked_fill(~rated, torch.inf).amin(1)
    tick = (finest if step_seconds is None else torch.full_like(finest, step_seconds)).masked_fill(~some, 1.0)
    span = (counts * seconds).masked_fill(~rated, 0.0).amax(1)
    by_rate = torch.ceil(span / tick - 1e-6).long()
    length = torch.where(some, by_rate, counts.amax(1))
    k = torch.arange(max(1, int(length.max())), device=counts.device)
    middle = (k + 0.5)[None, :, None].double()
    on_clock = middle * tick[:, None, None] / seconds.masked_fill(~rated, 1.0)[:, None]
    spread = middle * counts[:, None] / length.clamp(min=1)[:, None, None]
    step = torch.floor(torch.where(rated[:, None], on_clock, spread) + 1e-9).long()
    ticks = k[None] < length[:, None]
    there = ticks[..., None] & (step < counts[:, None])
    return step.masked_fill(~there, -1), ticks


class RecurrentLayer(TokenLayer):
    r"""Recurrent networks over tokens, joined at each step or at the end.

    * `"end"`: $z = W [h^1_{T_1}, \dots, h^M_{T_M}] + c$, one network per modality; one that is absent has a constant
      of its own in place of its state.
    * `"step"`: $z = W h_K + c$, one network over $[x^1_k, \dots, x^M_k]$ for the ticks k of `common_clock`; a stream
      without a step at a tick is zero there and says so by a flag. A single vector is the same at every tick.

    Args:
        dims: Name -> d_m of each modality's tokens.
        n_components: Size of z, and of a state in each direction.
        cell: "gru" or "lstm".
        fuse: "end"; or "step", whose ticks are those of the row's finest stream; or the seconds of a tick.
        bidirectional: Whether a second pass runs backwards.

    Relations:
        * "end", one modality: `torch.nn.LSTM` and a linear layer
        * "end", several modalities: a sum of one term each

    Complexity:
        One step after the other; "step" does as many as the finest stream has, "end" as many as all have together.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n_components: int,
        *,
        cell: Cell = "gru",
        fuse: Fuse = "step",
        bidirectional: bool = False,
    ) -> None:
        super().__init__(dims, n_components)
        if fuse not in ("step", "end") and (isinstance(fuse, str) or not fuse > 0):
            raise ConfigError(f"fuse must be 'step', 'end' or the seconds of a step, above 0; got {fuse!r}.")
        self.fuse: Fuse = fuse
        # By steps, one more feature of each stream says whether it has one.
        widths = list(self.dims.values()) if fuse == "end" else [sum(d + 1 for d in self.dims.values())]
        self.readers = nn.ModuleList(
            Recurrent(width, n_components, cell=cell, bidirectional=bidirectional) for width in widths
        )
        ends = sum(reader.size for reader in self.readers)
        self.join = nn.Linear(ends + (len(widths) if fuse == "end" else 0), n_components)

    def forward(
        self,
        inputs: Mapping[str, Float[Tensor, "n _ _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
        masks: Mapping[str, Bool[Tensor, "n _"]] | None = None,
        seconds: Mapping[str, Float[Tensor, " n"]] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Fuse tokens (n, T_m, d_m) in the order of time.

        Args:
            inputs: Name -> tokens.
            present: Name -> True where the row has the modality.
            masks: Name -> True where there is a token; gaps are closed.
            seconds: Name -> seconds from one token to the next in each row; 0, or no name: no rate.

        Raises:
            ModalityError: an unknown name, no modality, a wrong width, rows or mask.
        """
        values, has = fill_absent_tokens(inputs, present, masks, self.dims)
        return self._fuse(values, has) if self.fuse == "end" else self._by_steps(values, has, seconds or {})

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        ends = [
            torch.cat([reader(values[name], has[name]), ~has[name].any(1, keepdim=True)], dim=1)
            for reader, name in zip(self.readers, self.dims, strict=True)
        ]
        joined: Tensor = self.join(torch.cat(ends, dim=1))
        return joined

    def _by_steps(
        self, values: dict[str, Tensor], has: dict[str, Tensor], seconds: Mapping[str, Tensor]
    ) -> Tensor:
        fronts = {name: front_steps(values[name], has[name]) for name in self.dims}
        counts = torch.stack([count for _, count in fronts.values()], dim=1)
        periods = [seconds.get(name, counts.new_zeros(len(counts))) for name in self.dims]
        tick = None if isinstance(self.fuse, str) else self.fuse
        step, ticks = common_clock(counts, torch.stack([p.double() for p in periods], dim=1), tick)
        streams = []
        for m, (x, _) in enumerate(fronts.values()):
            there = step[:, :, m] >= 0
            places = step[:, :, m].clamp(min=0)[..., None].expand(-1, -1, x.shape[2])
            streams.append(x.gather(1, places).masked_fill(~there[..., None], 0.0))
            streams.append(there[..., None].to(x.dtype))
        fused: Tensor = self.join(self.readers[0](torch.cat(streams, dim=2), ticks))
        return fused


class RecurrentNetwork(TokenNetwork):
    """Encoders that keep tokens and know their clocks, a `RecurrentLayer`, and a linear head."""

    layer: RecurrentLayer

    def fuse(self, batch: Batch, *, hide: float = 0.0) -> Float[Tensor, "n k"]:
        """The representation of each row; while training, `hide` is the share of rows under modality dropout."""
        tokens, masks, present = self.towers(batch.columns)
        if self.training:
            present = hide_at_random(present, hide)
        fused: Tensor = self.layer(tokens, present, masks, self._seconds(batch))
        return fused

    def _seconds(self, batch: Batch) -> dict[str, Tensor]:
        found = {}
        for name in self.towers.names:
            column = batch.columns.get(name)
            if column is None or not bool(column.present.any()):
                continue
            periods = self.towers[name].token_seconds(column.values)  # type: ignore[operator]
            if periods is not None:
                found[name] = periods.index_select(0, column.index.clamp(min=0))
        return found


class RecurrentFusion(StepFusion):
    r"""Learn recurrent networks over sequences of any lengths and rates, joined at each step or at the end.

    Sequences are read step by step (`StepEncoder`), sounds as convolved frames of their spectrogram (`SoundEncoder`), steps
    that are pictures through a small convolutional network: CNN-RNN hybrids. Texts come word by word; vectors and pictures
    are one vector, which at `fuse="step"` stands at every step. Seconds come from the rates of the stores (`Ragged.rate`) with
    these two encoders; a sequence without a rate, and the tokens of any other encoder, are spread evenly over the row.

    Args:
        n_components: Size of the states, of the steps' vectors and of z.
        encoders: Name -> encoder; by kind where a name is not given.
        cell: "gru" or "lstm".
        fuse: `"step"`: one network over the joined steps sees what coincides. `"end"`: one network per modality, and
            their last states are joined by a linear layer. A number: as `"step"`, with a step every so many seconds in
            place of the finest of the row's streams.
        bidirectional: Whether a second pass runs from the last step to the first.
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
        * solves y = whether two streams agree step by step, which the sum of `fuse="end"` cannot
        * padding never enters: a row alone gives what it gives among longer ones

    References: Cho et al. 2014 (gated units); Hochreiter and Schmidhuber 1997 (long short-term memory);
        Ngiam et al. 2011 (fusion of streams); Nojavanasghari et al. 2016; Chen et al. 2017 (fusion at each word).
    """

    exempt: ClassVar[Mapping[str, str]] = {
        "every_parameter_gets_a_gradient": "the checks give vectors, a sequence of one step: the recurrent weights multiply the "
        "first state, which is 0; with two steps they learn",
    }
    _network: ClassVar[type[FusionNetwork]] = RecurrentNetwork

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        cell: Cell = "gru",
        fuse: Fuse = "step",
        bidirectional: bool = False,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.cell = cell
        self.fuse = fuse
        self.bidirectional = bidirectional
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[RecurrentFusion]:
        options = Training(max_epochs=2, batch_size=16)
        return [
            cls(4, training=options, random_state=0),
            cls(3, cell="lstm", fuse="end", bidirectional=True, training=options, random_state=0),
        ]

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        return RecurrentLayer(
            dims,
            self.n_components,
            cell=self.cell,
            fuse=self.fuse,
            bidirectional=self.bidirectional,
        )
