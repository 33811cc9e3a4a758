"""`train`: AdamW over shuffled batches of rows, with validation, checkpoints and several processes."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError, ModalityError, PolymodalError, StoreError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.random import seed as seed_of
from polymodal.training import distributed
from polymodal.training.batches import Batch, Batches, Collate, split_rows
from polymodal.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from polymodal.training.devices import choose_device, choose_precision
from polymodal.training.gradient_cache import EmbeddingLoss, cached_loss
from polymodal.training.history import History
from polymodal.training.options import Training
from polymodal.training.progress import Progress, Report, progress_reports
from polymodal.training.seeding import seeded
from polymodal.training.validation import hold_out

Loss = Callable[[nn.Module, Batch], Tensor]


class DivergenceError(PolymodalError, ArithmeticError):
    """The loss became infinite or not a number."""


def train(
    module: nn.Module,
    loss: Loss,
    data: Modalities,
    *,
    collates: Mapping[str, Collate],
    options: Training,
    random_state: RandomState,
    target: Tensor | np.ndarray | None = None,
    groups: Any = None,
) -> History:
    """Minimise the mean of `loss(module, batch)` over batches of the rows of `data`, in place.

    The module ends on the CPU, in evaluation mode. torch's global random state is left as it was found. Epoch e draws
    its order and its random numbers from (seed, e) alone, so a continued training equals an uninterrupted one.

    Args:
        module: Everything that trains, the loss's own parameters included.
        loss: Mean loss of a batch, a scalar that is differentiable in the module's parameters. In several processes
            it sees this process's rows; a loss over the whole batch gathers them (`all_gather_rows`).
        data: The rows; they may lack modalities.
        collates: Name -> function that turns stored values into tensors (`Towers.collates`).
        options: See `Training`.
        random_state: Fixes the order of rows, dropout and the held-out rows.
        target: (n, ...), given to the loss as `batch.target`.
        groups: (n,) labels of rows that must stay together when some are held out.

    Raises:
        DivergenceError: the loss is not finite; says where and what to change.
        ModalityError: no rows, or fewer rows in a batch than processes.
        ConfigError: `chunk_size` with a loss that is not made of vectors of rows (`EmbeddingLoss`).
        StoreError: a checkpoint of another training, or one that cannot be read or written.
    """
    if not len(data):
        raise ModalityError("Training needs at least one row, got none.")
    device = choose_device(options.device)
    kept = None if options.checkpoint is None else read_checkpoint(Path(options.checkpoint))
    seed = kept.facts["seed"] if kept is not None and random_state is None else seed_of(random_state)
    rows, held = hold_out(data, options.validation, groups, seed)
    module.to(device)
    run = _Run(module, loss, Batches(data, collates, target=target), options, device, seed, rows, held)
    run.agreement = _agreement(module, data, options, seed)
    if kept is None:
        distributed.broadcast_state(module)
    else:
        run.resume(kept)
    with (
        seeded(seed),
        progress_reports(
            f"Training {type(module).__name__}", options.progress if _first() else False
        ) as report,
    ):
        run.all_epochs(report)
    distributed.broadcast_state(module)  # batch norms kept running means of the rows of their own process
    module.to("cpu")
    module.eval()
    return run.history()


@dataclass
class _Run:
    """One training: what it works on, and how far it is."""

    module: nn.Module
    loss: Loss
    batches: Batches
    options: Training
    device: torch.device
    seed: int
    rows: np.ndarray
    held: np.ndarray
    agreement: dict[str, Any] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        world = distributed.world()[1]
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        if not self.parameters:
            raise ModalityError(
                f"{type(self.module).__name__} has no parameter that trains. Leave one encoder or head unfrozen."
            )
        if self.options.chunk_size is not None and not isinstance(self.loss, EmbeddingLoss):
            raise ConfigError(
                f"Training(chunk_size={self.options.chunk_size}) needs a method whose loss compares one vector per row, and "
                f"{type(self.module).__name__} is trained otherwise. Leave chunk_size out and take a smaller batch_size."
            )
        self.steps = len(split_rows(self.rows, self.options.batch_size))
        if len(self.rows) // self.steps < world:
            raise ModalityError(
                f"Training in {world} processes needs batches of at least {world} rows, got {len(self.rows) // self.steps}. "
                "Raise batch_size or start fewer processes."
            )
        self.optimizer = _optimizer(self.module, self.options, self.device)
        self.dtype = choose_precision(self.options.precision, self.device)

    # --- epochs ---------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.losses)

    def all_epochs(self, report: Report) -> None:
        """Train until the last epoch or until patience runs out; then take the best weights back."""
        while self.epoch < self.options.max_epochs and not self.out_of_patience:
            begin = time.perf_counter()
            self._one_epoch(report)
            if len(self.held):
                self.validation.append(self._validate())
                if self.options.patience is not None and self.best_epoch == self.epoch:
                    self.best = {k: v.detach().cpu().clone() for k, v in self.module.state_dict().items()}
            self.seconds += time.perf_counter() - begin
            self._save()
        if self.best:
            self.module.load_state_dict(self.best)

    def _one_epoch(self, report: Report) -> None:
        number = self.epoch + 1
        rank, _ = distributed.world()
        order = np.random.default_rng([self.seed, 0, number]).permutation(self.rows)
        torch.manual_seed((self.seed * 1_000_003 + number * 1009 + rank) % 2**63)
        parts = split_rows(order, self.options.batch_size)
        total = torch.zeros((), dtype=torch.float64)
        self.module.train()
        done = 0
        for i, batch in enumerate(self.batches.iterate([distributed.shard(part) for part in parts])):
            step = (number - 1) * self.steps + i
            total += self._step(batch, len(parts[i]), step) * len(parts[i])
            done += len(parts[i])
            report(Progress(step + 1, self.options.max_epochs * self.steps, number, float(total) / done))
        self.losses.append(float(total) / len(order))
        self.rates.append(self.optimizer.param_groups[0]["lr"])

    def _step(self, batch: Batch, global_rows: int, step: int) -> float:
        rate = learning_rate_at(step, self.options.max_epochs * self.steps, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        share = len(batch) / global_rows
        self.optimizer.zero_grad(set_to_none=True)
        value, finish = self._loss(batch)
        value = value * share
        whole = float(distributed.add_up(value))
        if not math.isfinite(whole):
            raise DivergenceError(
                f"The loss became {whole} in epoch {step // self.steps + 1}, step {step % self.steps + 1} of {self.steps}, "
                f"at learning rate {rate:.2g}. Try Training(learning_rate={self.options.learning_rate / 10:.1g}), a smaller "
                "clip_norm, or look for very large values in the data."
            )
        value.backward()  # type: ignore[no-untyped-call]
        finish()
        distributed.add_gradients(self.parameters)
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
        self.optimizer.step()
        return whole

    def _loss(self, batch: Batch) -> tuple[Tensor, Callable[[], None]]:
        """The loss of a batch, and what is left to do after its `backward`."""
        chunk = self.options.chunk_size
        if chunk is not None and len(batch) > chunk and isinstance(self.loss, EmbeddingLoss):
            return cached_loss(
                self.loss,
                self.module,
                batch,
                chunk_size=chunk,
                device=self.device,
                precision=self._precision,
            )
        with self._precision():
            return self.loss(self.module, batch.to(self.device)), lambda: None

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _validate(self) -> float:
        """Mean loss of the held-out rows; the same parts and random numbers after every epoch."""
        torch.manual_seed(self.seed)
        self.module.eval()
        parts = split_rows(self.held, max(self.options.batch_size, distributed.world()[1]))
        total = torch.zeros((), dtype=torch.float64, device="cpu")
        with torch.no_grad():
            for part, batch in zip(
                parts, self.batches.iterate([distributed.shard(part) for part in parts]), strict=True
            ):
                if len(part) < distributed.world()[1]:
                    raise ModalityError(
                        f"Validation needs a row per process, got {len(part)} rows. Raise validation=."
                    )
                total += float(distributed.add_up(self._loss(batch)[0] * (len(batch) / len(part)))) * len(
                    part
                )
        return float(total) / len(self.held)

    # --- stopping and the result ----------------------------------------------------------------------------------

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of least validation loss (or training loss, without validation)."""
        return int(np.argmin(self.validation or self.losses)) + 1

    @property
    def out_of_patience(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        patience = self.options.patience
        return patience is not None and bool(self.validation) and self.epoch - self.best_epoch >= patience

    def history(self) -> History:
        """The result."""
        stopped = self.epoch < self.options.max_epochs
        return History(
            tuple(self.losses),
            tuple(self.validation),
            tuple(self.rates),
            self.best_epoch,
            stopped,
            self.seconds,
            str(self.device),
        )

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        last = self.epoch >= self.options.max_epochs or self.out_of_patience
        if self.options.checkpoint is None or (self.epoch % self.options.checkpoint_every and not last):
            return
        if _first():
            tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
            tensors |= {f"best.{k}": v for k, v in self.best.items()}
            for number, state in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{k}": torch.as_tensor(v) for k, v in state.items()}
            facts = {
                "epoch": self.epoch,
                "seed": self.seed,
                "agreement": self.agreement,
                "loss": self.losses,
                "validation_loss": self.validation,
                "learning_rate": self.rates,
                "seconds": self.seconds,
            }
            write_checkpoint(Path(self.options.checkpoint), self.epoch, Checkpoint(tensors, facts))
        distributed.wait()

    def resume(self, kept: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            StoreError: it belongs to another training; says what differs.
        """
        theirs = kept.facts["agreement"]
        differ = [
            f"{key} was {theirs.get(key)!r}, is {mine!r}"
            for key, mine in self.agreement.items()
            if theirs.get(key) != mine
        ]
        if differ:
            raise StoreError(
                f"The checkpoint in {self.options.checkpoint} belongs to another training ({'; '.join(differ)}). "
                "Choose another folder, or delete it to start anew."
            )
        self.module.load_state_dict(_part(kept.tensors, "module."))
        self.best = _part(kept.tensors, "best.")
        states: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _part(kept.tensors, "optimizer.").items():
            number, name = key.split(".", 1)
            states.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict(
            {"state": states, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        self.losses, self.validation = list(kept.facts["loss"]), list(kept.facts["validation_loss"])
        self.rates, self.seconds = list(kept.facts["learning_rate"]), float(kept.facts["seconds"])


def learning_rate_at(step: int, steps: int, options: Training) -> float:
    r"""The learning rate of a step (from 0): linear warm-up, then constant or $\tfrac{1}{2}(1 + \cos \pi t)$, $t \in [0, 1)$.

    Relations:
        * schedule="constant", warmup=0: `learning_rate` at every step.
        * never 0: every step learns something.
    """
    warm = round(options.warmup * steps)
    if step < warm:
        return options.learning_rate * (step + 1) / (warm + 1)
    if options.schedule == "constant":
        return options.learning_rate
    return options.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _optimizer(module: nn.Module, options: Training, device: torch.device) -> torch.optim.Optimizer:
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda") and all(p.is_floating_point() for p in trained)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=options.learning_rate, fused=fused)


def _agreement(module: nn.Module, data: Modalities, options: Training, seed: int) -> dict[str, Any]:
    """What a checkpoint must share with the training that goes on from it."""
    codes = 0
    for name in sorted(data.names):
        codes = zlib.crc32(np.ascontiguousarray(data[name].index).tobytes(), zlib.crc32(name.encode(), codes))
    shapes = [[name, list(tensor.shape)] for name, tensor in module.state_dict().items()]
    return {
        "seed": seed,
        "rows": len(data),
        "pairing of the rows (checksum)": codes,
        "weights (checksum of names and shapes)": zlib.crc32(repr(shapes).encode()),
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "warmup": options.warmup,
        "schedule": options.schedule,
        "clip_norm": options.clip_norm,
        "validation": options.validation,
        "patience": options.patience,
    }


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _first() -> bool:
    return distributed.world()[0] == 0
