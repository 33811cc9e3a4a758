"""What the benchmarks of generative networks share: sizes, multivae as a peer, seconds of an epoch and of a step.

Epochs go through each package's public way of training, so what starting costs is taken off: the difference of a long and a short run.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import io
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

from measuring import Answer, best_of, memory_mark

SIZES = {"a": 784, "b": 400}
ROWS, BATCH, WIDTH = 8192, 128, 256
EPOCHS = (1, 4)  # a short and a long run: what starting costs is not counted


class _Stand(types.ModuleType):
    """Stands in for torchvision, which multivae imports for data sets that are not used here."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        del path, target
        wanted = name.split(".", maxsplit=1)[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: Any) -> Any:
        return _Stand(spec.name)

    def exec_module(self, module: Any) -> None:
        del module


def use_multivae() -> None:
    """Make multivae importable where torchvision is not installed."""
    sys.meta_path.insert(0, _Finder())


def train_multivae(model: Any, data: Mapping[str, Any], epochs: int) -> None:
    """Through multivae's own trainer, with the settings of our `Training`; its words are swallowed."""
    from multivae.data.datasets.base import MultimodalBaseDataset
    from multivae.trainers import BaseTrainer, BaseTrainerConfig

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_epochs=epochs,
            learning_rate=1e-3,
            optimizer_cls="AdamW",
            no_cuda=True,
        )
        BaseTrainer(model, train_dataset=MultimodalBaseDataset(dict(data)), training_config=config).train()


def seconds_of_an_epoch(train: Callable[[int], Any]) -> Answer:
    """Seconds of one epoch: the best of three differences of a long and a short run."""
    short, long = EPOCHS
    train(short)  # what loading libraries costs is not counted
    risen, found = memory_mark(), []
    for _ in range(3):
        seconds = []
        for epochs in (short, long):
            start = time.process_time()
            train(epochs)
            seconds.append(time.process_time() - start)
        found.append((seconds[1] - seconds[0]) / (long - short))
    return {"seconds": min(found), "mib": risen()}


def seconds_of_a_step(step: Callable[[], float]) -> Answer:
    """Best seconds of twenty steps, and the loss without noise."""
    step()
    figures = best_of(step, repeats=20).figures()
    with no_noise():
        return figures | {"loss": step()}


@contextlib.contextmanager
def no_noise() -> Iterator[None]:
    """Both draw their means."""
    import torch
    from torch.distributions import normal

    def zeros(shape: Any, dtype: Any, device: Any) -> Any:
        return torch.zeros(shape, dtype=dtype, device=device)

    with (
        mock.patch.object(torch, "randn_like", torch.zeros_like),
        mock.patch.object(normal, "_standard_normal", zeros),
    ):
        yield
