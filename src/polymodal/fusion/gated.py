r"""Gated fusion: each row decides how much of each modality enters. $z = \sum_m g_m(x) * \tanh(W_m x_m + c_m)$."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.fusion._inputs import fill_absent, hide_at_random
from polymodal.fusion._layer import FusionLayer
from polymodal.fusion._supervised import FusionNetwork, SupervisedFusion, _given
from polymodal.training.batches import Batch
from polymodal.training.options import Training

Gate = Literal["gmu", "softmax", "reinforce", "gumbel"]
HARD = ("reinforce", "gumbel")


def reinforce_loss(log_prob: Float[Tensor, "s n"], reward: Float[Tensor, "s n"]) -> Float[Tensor, ""]:
    r"""A number whose gradient estimates that of minus the expected reward, from s draws of each row's decisions.

    $$ -\frac{1}{sn} \sum_{i,j} (R_{ij} - b_{ij}) \log p(g_{ij}), \qquad b_{ij} = \frac{1}{s-1} \sum_{i' \ne i} R_{i'j} $$

    The baseline is the mean reward of the row's other draws. It does not depend on the draw it is subtracted
    from, so that the estimate is unbiased, with less variance. With one draw there is no baseline.

    Args:
        log_prob: log p of each draw, differentiable.
        reward: Reward of each draw; no gradient passes.

    Relations:
        * its mean gradient over all draws is the gradient of -E[R], exactly
        * a reward that is the same for all draws of a row gives no gradient (s > 1)

    References: Williams 1992, Simple statistical gradient-following algorithms for connectionist reinforcement learning.
    """
    reward, s = reward.detach(), len(reward)
    baseline = (reward.sum(dim=0) - reward) / (s - 1) if s > 1 else torch.zeros_like(reward)
    return -((reward - baseline) * log_prob).mean()


class Gated(NamedTuple):
    """What a gated layer did.

    Attributes:
        z: (n, k) the representation.
        gates: (n, M, k) for `"gmu"`, else (n, M, 1), in the order of the modalities' names; 0 where absent.
        open_rate: (n, M) the probability that a hard gate is open, or the mean soft gate; 0 where absent.
        log_prob: (n,) log-probability of the gates drawn, for `"reinforce"` in training; otherwise zeros.
    """

    z: Tensor
    gates: Tensor
    open_rate: Tensor
    log_prob: Tensor


class GatedLayer(FusionLayer):
    r"""A sum over modalities of gate times feature. The gates see all modalities that are present.

    $$ z = \sum_m g_m * h_m, \qquad h_m = \tanh(W_m x_m + c_m), \qquad l = U [x_1, \dots, x_M] + d $$

    * `"gmu"`, the gated multimodal unit: one gate per component. Two modalities share one, g and 1 - g with g = sigmoid(l) that
      of the first name; with any other number g_m = sigmoid(l_m), which need not sum to 1.
    * `"softmax"`: attention over modalities, g = softmax(l_1, ..., l_M) over those present.
    * `"reinforce"` and `"gumbel"`, hard gates: g_m is 1 with probability sigmoid(l_m), else 0. In evaluation it is 1 where that is
      at least one half. In training it is drawn. `"reinforce"` passes no gradient through the draw: learn from `log_prob`
      (`reinforce_loss`). `"gumbel"` is straight-through: forward the draw, backward sigmoid((l_m + logistic noise) / temperature).

    A modality that is absent is zero for the gates, and has gate 0. A modality that is left alone under `"gmu"` of two or `"softmax"`
    has gate 1.

    Args:
        dims: Name -> d_m of each modality.
        n_components: Size of z.
        gate: The kind of gate.
        temperature: Of the backward pass of `"gumbel"`, > 0.

    Complexity:
        O(n (k sum_m d_m + G sum_m d_m)) time, with G gates: k or M k for `"gmu"`, M for the others.

    References: Arevalo et al. 2017, Gated multimodal units for information fusion; Chen et al. 2017, Multimodal sentiment analysis
        with word-level fusion and reinforcement learning; Jang, Gu & Poole 2017, Categorical reparameterization with
        Gumbel-softmax.
    """

    def __init__(
        self, dims: Mapping[str, int], n_components: int, gate: Gate = "gmu", temperature: float = 1.0
    ) -> None:
        super().__init__(dims, n_components)
        _check_gate(gate)
        if not temperature > 0:
            raise ConfigError(f"temperature must be a number above 0, got {temperature!r}.")
        self.gate: Gate = gate
        self.temperature = temperature
        self.features = nn.ModuleList([nn.Linear(dim, n_components) for dim in self.dims.values()])
        self.width = n_components if gate == "gmu" else 1
        self.shared = gate == "gmu" and len(self.dims) == 2
        n_gates = 1 if self.shared else len(self.dims)
        self.gating = nn.Linear(sum(self.dims.values()), n_gates * self.width)
        if gate in HARD:
            nn.init.ones_(self.gating.bias)  # open in 73 of 100 draws: what is closed teaches nothing

    def run(
        self,
        inputs: Mapping[str, Float[Tensor, "n _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> Gated:
        """Fuse, and say with which gates. Hard gates are drawn anew at each call in training.

        Raises:
            ModalityError: an unknown name, no modality, a wrong width, rows or mask.
        """
        return self._run(*fill_absent(inputs, present, self.dims))

    def _fuse(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Tensor:
        return self._run(values, has).z

    def _run(self, values: dict[str, Tensor], has: dict[str, Tensor]) -> Gated:
        mask = torch.stack([has[name] for name in self.dims], dim=1)
        logits = self.gating(torch.cat(list(values.values()), dim=1)).reshape(len(mask), -1, self.width)
        gates, rate, log_prob = self._decide(logits, mask[:, :, None])
        parts = [
            torch.tanh(feature(values[name])) for name, feature in zip(self.dims, self.features, strict=True)
        ]
        z = (gates * torch.stack(parts, dim=1)).sum(dim=1)
        return Gated(z, gates, rate.mean(dim=2), log_prob)

    def _decide(self, logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gates, rate of opening (both n, M, width) and the log-probability of what was drawn (n,)."""
        nothing = logits.new_zeros(len(logits))
        if self.shared or self.gate == "softmax":
            scores = torch.cat([logits, torch.zeros_like(logits)], dim=1) if self.shared else logits
            soft = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=1) * mask
            return soft, soft, nothing
        rate = torch.sigmoid(logits) * mask
        if self.gate == "gmu":
            return rate, rate, nothing
        if not self.training:
            return ((logits >= 0) & mask).to(rate.dtype), rate, nothing
        if self.gate == "gumbel":
            uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
            soft = torch.sigmoid((logits + uniform.logit()) / self.temperature) * mask
            hard = (soft >= 0.5).to(soft.dtype)
            return hard + soft - soft.detach(), rate, nothing
        drawn = (torch.rand_like(rate) < rate).to(rate.dtype)
        log_prob = -nn.functional.binary_cross_entropy_with_logits(logits, drawn, reduction="none")
        return drawn, rate, (log_prob * mask).sum(dim=(1, 2))


class GatedFusion(SupervisedFusion):
    r"""Learn one encoder per modality, and for each row how far to trust each of them.

    $$ z = \sum_m g_m(x) * \tanh(W_m f_m(x_m) + c_m), \qquad \hat y = H z + h $$

    Take it where the quality of a modality changes from row to row, or where modalities should be switched off. `gates(data)` says what
    was used.

    Hard gates trained by `"reinforce"` maximise minus the loss of each row, minus `gate_cost` for each open gate; the gates
    learn by policy gradient from two draws per row, each the other's baseline, and everything else by backpropagation.
    `"gumbel"` learns all of it by backpropagation, straight through the draw.

    Args:
        n_components: Size of z.
        encoders: Name -> encoder; by kind where a name is not given.
        embedding_dim: Size of each f_m(x_m).
        gate: `"gmu"`, a gate per component; `"softmax"`, attention over modalities; `"reinforce"` or `"gumbel"`, on or off.
        gate_cost: Price of an open gate, in units of the loss, at least 0: with it, a modality that does not help is closed. Gates that
            sum to 1 (`"softmax"`, and `"gmu"` of two modalities) are not changed by it. Without it a gate may carry the
            answer itself: opening the noise for one class tells the head which class it is.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        modality_dropout: Share of training rows, in [0, 1], from which a random part of the modalities is
            hidden (never all), so that the model learns to do without them.
        training: How to train.
        random_state: Seed of initial weights, gates, batches and dropout.

    Attributes:
        classes_: The classes in sorted order (classification), or the label columns.
        task_: The task that was learned.
        module_: The trained `nn.Module`.
        history_: Loss by epoch, the price of open gates included.

    Relations:
        * a missing modality has gate 0
        * the gate of a modality that is noise closes: softmax by itself, hard gates at a price

    References: Arevalo et al. 2017, Gated multimodal units for information fusion; Chen et al. 2017, Multimodal sentiment analysis
        with word-level fusion and reinforcement learning.
    """

    _n_draws: ClassVar[int] = 2

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        embedding_dim: int = 32,
        gate: Gate = "gmu",
        gate_cost: float = 0.0,
        task: Task = "auto",
        modality_dropout: float = 0.3,
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.gate = gate
        self.gate_cost = gate_cost
        self.task = task
        self.modality_dropout = modality_dropout
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[GatedFusion]:
        options = Training(max_epochs=2, batch_size=16)
        examples: list[tuple[Gate, float]] = [("gmu", 0.0), ("reinforce", 0.01)]
        return [
            cls(3, embedding_dim=4, gate=gate, gate_cost=cost, training=options, random_state=0)
            for gate, cost in examples
        ]

    def gates(self, data: Modalities | Mapping[str, Any]) -> dict[str, Float[np.ndarray, " n"]]:
        """How far each modality enters, by name: values in [0, 1] for each row, 0 where it is absent.

        The mean over components for `"gmu"`, the attention for `"softmax"`, and 0 or 1 for hard gates.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        frame = self._check_known(data)
        self._check_some_present(frame)

        def used(module: FusionNetwork, batch: Batch) -> dict[str, Tensor]:
            layer = _layer_of(module)
            gates = layer.run(*module.towers(batch.columns)).gates.mean(dim=2)
            return {name: gates[:, place] for place, name in enumerate(layer.dims)}

        return self._infer(frame, used)

    def _make_layer(self, dims: Mapping[str, int]) -> nn.Module:
        _check_gate(self.gate)
        if not self.gate_cost >= 0:
            raise ConfigError(f"gate_cost must be a number of at least 0, got {self.gate_cost!r}.")
        return GatedLayer(dims, self.n_components, self.gate)

    def _embedding_dim(self, n_modalities: int) -> int:
        return self.embedding_dim

    def _loss(self, target: Target) -> Callable[[nn.Module, Batch], Tensor]:
        draws = self._n_draws if self.gate == "reinforce" else 1

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            network = cast(FusionNetwork, module)
            layer = _layer_of(network)
            vectors, present = network.towers(batch.columns)
            if module.training:
                present = hide_at_random(present, self.modality_dropout)
            done = [layer.run(vectors, present) for _ in range(draws)]
            rows = torch.stack([_row_loss(target.task, network.head(d.z), _given(batch)) for d in done])
            price = torch.stack([d.gates.mean(dim=2).sum(dim=1) for d in done])
            rows = rows + self.gate_cost * price
            total = rows.mean()
            if self.gate == "reinforce" and module.training:
                policy = reinforce_loss(torch.stack([d.log_prob for d in done]), -rows)
                total = total + policy - policy.detach()  # adds a gradient and no value
            return total

        return loss


def _check_gate(gate: object) -> None:
    if gate not in get_args(Gate):
        raise ConfigError(f"gate must be one of {list(get_args(Gate))}, got {gate!r}.")


def _layer_of(module: FusionNetwork) -> GatedLayer:
    return cast(GatedLayer, module.layer)


def _row_loss(task: str, outputs: Tensor, target: Tensor) -> Tensor:
    """The loss of each row (n,); its mean is the loss of the other fusions."""
    if task == "classification":
        return nn.functional.cross_entropy(outputs, target, reduction="none")
    if task == "multilabel":
        return nn.functional.binary_cross_entropy_with_logits(outputs, target, reduction="none").mean(dim=1)
    return nn.functional.mse_loss(outputs, target, reduction="none").mean(dim=1)
