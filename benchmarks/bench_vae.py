"""One epoch of the multimodal VAE with a product of experts, beside multivae's `MVAE`: the same architecture, data and objective.

Two modalities: 784 Bernoulli numbers and 400 normal ones of scale 1, 8,192 rows in steps of 128; 20 components; one hidden layer of 256
with layer normalisation and GELU on both sides. Every contender runs in a process of its own, on one thread. "An epoch" goes through
each package's public way of training (`fit`; `BaseTrainer.train`), as the difference of a long and a short run; "loss and gradient" is
the objective of one step. Seconds are processor seconds. Agreement is the difference of both losses from the same weights with the noise
of the draws at 0, relative to their size.

    python benchmarks/bench_vae.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_vae.py    # multivae installed elsewhere
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
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
from measuring import (
    Answer,
    Row,
    best_of,
    command_line,
    contend,
    difference,
    interpreter,
    memory_mark,
    present,
    row,
)

SIZES = {"a": 784, "b": 400}
ROWS, BATCH, K, WIDTH = 8192, 128, 20, 256
EPOCHS = (1, 4)  # a short and a long run: what starting costs is not counted
WORKS = [("an epoch",), ("loss and gradient",)]


def run(works: Sequence[tuple[str]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    return [
        row(
            work=f"MVAE, {work}, {BATCH if work != 'an epoch' else ROWS:,} rows of {SIZES['a']} + {SIZES['b']}",
            ours=present(contend(__file__, "ours", work)),
            peer_name="multivae MVAE",
            peer=contend(__file__, "multivae", work, python=interpreter()),
            agreement=difference("loss", relative=True) if work != "an epoch" else None,
        )
        for (work,) in works
    ]


def _data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((ROWS, 10))
    a = (z @ rng.standard_normal((10, SIZES["a"])) > 0).astype(np.float64)
    b = z @ rng.standard_normal((10, SIZES["b"])) / 3 + 0.5 * rng.standard_normal((ROWS, SIZES["b"]))
    return {"a": a, "b": (b - b.mean(axis=0)) / b.std(axis=0)}


def _weights() -> dict[str, np.ndarray]:
    """The same numbers for both: first and second layer of encoders and decoders."""
    rng = np.random.default_rng(1)
    found = {}
    for name, size in SIZES.items():
        for part, sides in (("encoder", (size, 2 * K)), ("decoder", (K, size))):
            found[f"{part}.{name}.0"] = rng.standard_normal((WIDTH, sides[0])) / np.sqrt(sides[0])
            found[f"{part}.{name}.1"] = 0.3 * rng.standard_normal((sides[1], WIDTH)) / np.sqrt(WIDTH)
    return found


def _put(layers: Any, weights: dict[str, np.ndarray], key: str) -> None:
    """Weights into a sequence of linear, normalisation, GELU, (dropout,) linear; biases 0."""
    import torch

    with torch.no_grad():
        for place, layer in ((0, layers[0]), (1, layers[-1])):
            layer.weight.copy_(torch.from_numpy(weights[f"{key}.{place}"]))
            layer.bias.zero_()
        layers[1].weight.fill_(1.0)
        layers[1].bias.zero_()


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours(work: str) -> Answer:
    import torch

    from polymodal import Modalities, Training
    from polymodal.encoders import MLPEncoder
    from polymodal.fusion import MVAE
    from polymodal.objectives import GaussianLikelihood
    from polymodal.training.batches import make_batch

    data = Modalities(_data())

    def fit(rows: int, epochs: int) -> Any:
        training = Training(
            max_epochs=epochs,
            batch_size=BATCH,
            weight_decay=0.0,
            clip_norm=None,
            device="cpu",
            progress=False,
        )
        return MVAE(
            K,
            encoders={name: MLPEncoder(width=WIDTH) for name in SIZES},
            likelihoods={"a": "bernoulli", "b": GaussianLikelihood(scale=1.0)},
            training=training,
            random_state=0,
        ).fit(data[:rows])

    if work == "an epoch":
        return _slope(lambda epochs: fit(ROWS, epochs))
    module, weights = fit(BATCH, 1).module_.train(), _weights()
    for name in SIZES:
        _put(module.towers[name].layers.layers, weights, f"encoder.{name}")
        _put(module.decoders[name].network.layers, weights, f"decoder.{name}")
    with torch.no_grad():
        module.decoders["b"].mean[:], module.decoders["b"].scale[:] = 0.0, 1.0
    batch = make_batch(
        data, np.arange(BATCH), {name: lambda v: torch.from_numpy(v).float() for name in SIZES}
    )
    for name in ("a", "b"):  # both read the numbers as they are
        module.decoders[name].raw, module.decoders[name].log_units = True, 0.0

    def step() -> float:
        torch.manual_seed(0)
        for p in module.parameters():
            p.grad = None
        loss = -module.objective(batch.columns).mean()
        loss.backward()
        return float(loss.detach())

    return _repeat(step)


# --- multivae ---------------------------------------------------------------------------------------------------------


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


def _peer_model() -> Any:
    """multivae's model with fresh weights."""
    import torch
    from multivae.models import MVAE, MVAEConfig
    from multivae.models.base import BaseDecoder, BaseEncoder, ModelOutput
    from torch import nn

    def layers(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(n_in, WIDTH), nn.LayerNorm(WIDTH), nn.GELU(), nn.Linear(WIDTH, n_out))

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.latent_dim, self.layers = K, layers(size, 2 * K)

        def forward(self, x: Any) -> Any:
            mean, spread = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=spread)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.layers = layers(K, size)

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=self.layers(z))

    torch.manual_seed(0)
    config = MVAEConfig(
        n_modalities=2,
        latent_dim=K,
        input_dims={name: (size,) for name, size in SIZES.items()},
        decoders_dist={"a": "bernoulli", "b": "normal"},
        uses_likelihood_rescaling=False,
        use_subsampling=True,
        k=0,
        warmup=0,
    )
    encoders = {name: Encoder(size) for name, size in SIZES.items()}
    return MVAE(config, encoders, {name: Decoder(size) for name, size in SIZES.items()})


def _multivae(work: str) -> Answer:
    import torch

    sys.meta_path.insert(0, _Finder())
    from multivae.data.datasets.base import MultimodalBaseDataset
    from multivae.trainers import BaseTrainer, BaseTrainerConfig

    data = {name: torch.from_numpy(values).float() for name, values in _data().items()}

    def train(epochs: int) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            config = BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                num_epochs=epochs,
                learning_rate=1e-3,
                optimizer_cls="AdamW",
                no_cuda=True,
            )
            rows = MultimodalBaseDataset(data)
            BaseTrainer(_peer_model(), train_dataset=rows, training_config=config).train()

    if work == "an epoch":
        return _slope(train)
    network, weights = _peer_model().train(), _weights()
    for name in SIZES:
        _put(network.encoders[name].layers, weights, f"encoder.{name}")
        _put(network.decoders[name].layers, weights, f"decoder.{name}")
    batch = MultimodalBaseDataset({name: values[:BATCH] for name, values in data.items()})

    def step() -> float:
        torch.manual_seed(0)
        for p in network.parameters():
            p.grad = None
        loss = network(batch, epoch=1).loss
        loss.backward()
        return float(loss.detach())

    return _repeat(step)


# --- measuring --------------------------------------------------------------------------------------------------------


def _slope(train: Callable[[int], Any]) -> Answer:
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


def _repeat(step: Callable[[], float]) -> Answer:
    """Best seconds of twenty steps, and the loss without noise."""
    step()
    figures = best_of(step, repeats=20).figures()
    with _no_noise():
        return figures | {"loss": step()}


@contextlib.contextmanager
def _no_noise() -> Iterator[None]:
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


def contender(who: str, work: str) -> Answer:
    return (_ours if who == "ours" else _multivae)(work)


if __name__ == "__main__":
    command_line(run, contender, WORKS)
