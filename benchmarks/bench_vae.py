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

from collections.abc import Sequence
from typing import Any

import numpy as np
from measuring import (
    Answer,
    Row,
    command_line,
    contend,
    difference,
    interpreter,
    present,
    row,
)
from networks import (
    BATCH,
    ROWS,
    SIZES,
    WIDTH,
    seconds_of_a_step,
    seconds_of_an_epoch,
    train_multivae,
    use_multivae,
)

K = 20
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
        return seconds_of_an_epoch(lambda epochs: fit(ROWS, epochs))
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

    return seconds_of_a_step(step)


# --- multivae ---------------------------------------------------------------------------------------------------------


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

    use_multivae()
    from multivae.data.datasets.base import MultimodalBaseDataset

    data = {name: torch.from_numpy(values).float() for name, values in _data().items()}

    if work == "an epoch":
        return seconds_of_an_epoch(lambda epochs: train_multivae(_peer_model(), data, epochs))
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

    return seconds_of_a_step(step)


def contender(who: str, work: str) -> Answer:
    return (_ours if who == "ours" else _multivae)(work)


if __name__ == "__main__":
    command_line(run, contender, WORKS)
