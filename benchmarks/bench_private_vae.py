"""One epoch of the factorised VAE beside multivae's `DMVAE`, and of the factorisation model beside a plain loop: equal networks and data.

Two modalities of 784 and 400 normal numbers, standardised, 8,192 rows in steps of 128; a shared part of 20 and private parts of 10; one
hidden layer of 256 with layer normalisation and GELU in encoders and decoders. `PrivateVAE` and `DMVAE` go through each package's
public way of training; all parts together and each modality alone tell the shared part, with weight 1. `FactorisedFission` has no
peer with a package: beside it stands the same network in plain torch, whole tensors in memory and a loop of ten lines, so that the
ratio says what our loop, and rows that may lack modalities, cost.

An epoch is the difference of a long and a short run. Seconds are processor seconds of one thread. "Loss and gradient" is the objective of
one step; its agreement is that of the loss from the same weights with all draws at 0, relative: for `DMVAE` of the bound in which all
modalities tell the shared part (where one tells it, ours counts the prior as an expert and multivae does not).

    python benchmarks/bench_private_vae.py
    POLYMODAL_BENCH_PYTHON=/other/environment/bin/python python benchmarks/bench_private_vae.py    # multivae installed elsewhere
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from measuring import Answer, Row, command_line, contend, difference, interpreter, present, row
from networks import (
    BATCH,
    ROWS,
    SIZES,
    WIDTH,
    no_noise,
    seconds_of_a_step,
    seconds_of_an_epoch,
    train_multivae,
    use_multivae,
)

SHARED, PRIVATE, CLASSES = 20, 10, 4
OURS = {"DMVAE": "PrivateVAE", "plain": "FactorisedFission"}
PEERS = {"DMVAE": "multivae DMVAE", "plain": "plain torch"}
WORKS = [
    (peer, work)
    for peer, works in (
        ("DMVAE", ("an epoch", "loss and gradient")),
        ("plain", ("an epoch", "loss and gradient")),
    )
    for work in works
]


def run(works: Sequence[tuple[str, str]] = WORKS) -> list[Row]:
    """One row per piece of work."""
    return [
        row(
            work=f"{OURS[peer]}, {work}, {ROWS if work == 'an epoch' else BATCH:,} rows of {SIZES['a']} + {SIZES['b']}",
            ours=present(contend(__file__, OURS[peer], work)),
            peer_name=PEERS[peer],
            peer=contend(__file__, peer, work, python=interpreter() if peer == "DMVAE" else sys.executable),
            agreement=None if work == "an epoch" else difference("loss", relative=True),
        )
        for peer, work in works
    ]


def _data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Standardised modalities, and classes."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((ROWS, 10))
    found = {}
    for name, size in SIZES.items():
        values = z @ rng.standard_normal((10, size)) / 3 + 0.5 * rng.standard_normal((ROWS, size))
        found[name] = (values - values.mean(axis=0)) / values.std(axis=0)
    return found, (z[:, 0] > 0) + 2 * (z[:, 1] > 0)


def _fill(*networks: Any) -> None:
    """The same numbers into the layers of any contender, network after network; layers in order, biases 0, normalisations new."""
    import torch
    from torch import nn

    rng = np.random.default_rng(1)
    with torch.no_grad():
        for layer in (layer for network in networks for layer in network.modules()):
            if isinstance(layer, nn.Linear):
                values = rng.standard_normal(tuple(layer.weight.shape)) / np.sqrt(layer.in_features)
                layer.weight.copy_(torch.from_numpy(0.5 * values))
                layer.bias.zero_()
            elif isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()


def _layers(n_in: int, n_out: int, width: int = WIDTH) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(n_in, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, n_out))


def _stepper(parameters: Sequence[Any], objective: Callable[[], tuple[Any, Any]]) -> Callable[[], float]:
    """One step without its update: of what the objective gives, the first is differentiated and the second told."""

    def step() -> float:
        for p in parameters:
            p.grad = None
        loss, told = objective()
        loss.backward()
        return float(told)

    return step


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours(who: str, work: str) -> Answer:
    import torch

    from polymodal import Modalities, Training
    from polymodal.encoders import MLPEncoder
    from polymodal.fission import FactorisedFission, PrivateVAE
    from polymodal.fission.factorised import factorised_loss
    from polymodal.fission.private_vae import private_vae_loss, row_bounds
    from polymodal.training.batches import make_batch

    values, y = _data()
    data = Modalities(values)

    def fit(rows: int, epochs: int) -> Any:
        training = Training(
            max_epochs=epochs,
            batch_size=BATCH,
            weight_decay=0.0,
            clip_norm=None,
            device="cpu",
            progress=False,
        )
        encoders = {name: MLPEncoder(width=WIDTH) for name in SIZES}
        if who == "PrivateVAE":
            model = PrivateVAE(
                SHARED, n_private=PRIVATE, encoders=encoders, cross=2.0, training=training, random_state=0
            )
            return model.fit(data[:rows])
        return FactorisedFission(
            SHARED, n_private=PRIVATE, encoders=encoders, training=training, random_state=0
        ).fit(data[:rows], y[:rows])

    if work == "an epoch":
        return seconds_of_an_epoch(lambda epochs: fit(ROWS, epochs))
    module = fit(BATCH, 1).module_.train()
    with torch.no_grad():
        for name in SIZES:  # both read the numbers as they are
            module.decoders[name].mean[:], module.decoders[name].scale[:] = 0.0, 1.0
    target = torch.from_numpy(y)
    batch = make_batch(
        data, np.arange(BATCH), {name: lambda v: torch.from_numpy(v).float() for name in SIZES}, target
    )
    networks = [module.towers[name].layers for name in SIZES] + [
        module.decoders[name].network for name in SIZES
    ]
    if who == "PrivateVAE":
        _fill(*networks)
        module.log_noise.data.zero_()

        def objective() -> tuple[Any, Any]:
            loss = private_vae_loss(module, batch, beta=1.0, cross=2.0, total_correlation=0.0)
            return loss, loss.detach()

        figures = seconds_of_a_step(_stepper(list(module.parameters()), objective))
        with no_noise(), torch.no_grad():
            found = module.posterior(batch.columns)
            bounds, _ = row_bounds(module, batch.columns, found, [tuple(SIZES)], 1.0)
            return figures | {"loss": -float(bounds.mean())}
    _fill(*networks, module.label_generator, module.private_generators, module.head)

    def supervised() -> tuple[Any, Any]:
        loss = factorised_loss(module, batch, "classification", reconstruction=1.0, matching=1.0)
        return loss, loss.detach()

    return seconds_of_a_step(_stepper(list(module.parameters()), supervised))


# --- multivae ---------------------------------------------------------------------------------------------------------


def _dmvae(work: str) -> Answer:
    import torch

    use_multivae()
    from multivae.data.datasets.base import MultimodalBaseDataset
    from multivae.models import DMVAE, DMVAEConfig
    from multivae.models.base import BaseDecoder, ModelOutput
    from multivae.models.nn.base_architectures import BaseMultilatentEncoder

    class Encoder(BaseMultilatentEncoder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.latent_dim, self.style_dim = SHARED, PRIVATE
            self.layers = _layers(size, 2 * (SHARED + PRIVATE))

        def forward(self, x: Any) -> Any:
            mean, spread, own, own_spread = self.layers(x).split((SHARED, SHARED, PRIVATE, PRIVATE), dim=1)
            return ModelOutput(
                embedding=mean, log_covariance=spread, style_embedding=own, style_log_covariance=own_spread
            )

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.layers = _layers(SHARED + PRIVATE, size)

        def forward(self, z: Any) -> Any:
            return ModelOutput(reconstruction=self.layers(z))

    data = {name: torch.from_numpy(values).float() for name, values in _data()[0].items()}

    def model() -> Any:
        torch.manual_seed(0)
        config = DMVAEConfig(
            n_modalities=2,
            latent_dim=SHARED,
            input_dims={name: (size,) for name, size in SIZES.items()},
            decoders_dist=dict.fromkeys(SIZES, "normal"),
            uses_likelihood_rescaling=False,
            modalities_specific_dim=dict.fromkeys(SIZES, PRIVATE),
        )
        encoders = {name: Encoder(size) for name, size in SIZES.items()}
        return DMVAE(config, encoders, {name: Decoder(size) for name, size in SIZES.items()})

    if work == "an epoch":
        return seconds_of_an_epoch(lambda epochs: train_multivae(model(), data, epochs))
    network = model().train()
    _fill(
        *(network.encoders[name].layers for name in SIZES), *(network.decoders[name].layers for name in SIZES)
    )
    batch = MultimodalBaseDataset({name: values[:BATCH] for name, values in data.items()})

    def objective() -> tuple[Any, Any]:
        found = network(batch, epoch=1)
        return found.loss, found.metrics["joint"].detach()

    return seconds_of_a_step(_stepper(list(network.parameters()), objective))


# --- the same network, plainly ----------------------------------------------------------------------------------------


def _plain(work: str) -> Answer:
    """The factorisation model for rows that have everything; its matching term is written as in Gretton et al."""
    import torch
    from torch import nn
    from torch.nn import functional

    values, y = _data()
    x = {name: torch.from_numpy(v).float() for name, v in values.items()}
    target = torch.from_numpy(y)
    names = tuple(SIZES)

    def make() -> tuple[Any, ...]:
        torch.manual_seed(0)
        return (
            nn.ModuleList([_layers(SIZES[name], SHARED + PRIVATE) for name in names]),
            nn.ModuleList([_layers(SHARED + PRIVATE, SIZES[name]) for name in names]),
            _layers(SHARED, SHARED, 64),
            nn.ModuleList([_layers(PRIVATE, PRIVATE, 64) for _ in names]),
            nn.Linear(SHARED, CLASSES),
        )

    def discrepancy(a: Any, b: Any) -> Any:
        both = torch.cat([a, b])
        far = torch.cdist(both, both, compute_mode="use_mm_for_euclid_dist").square()
        kernel = torch.stack([(-far / (2 * c * a.shape[1])).exp() for c in (0.25, 1.0, 4.0)]).mean(dim=0)
        n = len(a)
        return kernel[:n, :n].mean() - 2 * kernel[:n, n:].mean() + kernel[n:, n:].mean()

    def loss_of(networks: tuple[Any, ...], part: dict[str, Any], wanted: Any) -> Any:
        encoders, decoders, of_label, of_own, head = networks
        cut = [e(part[name]).split((SHARED, PRIVATE), dim=1) for e, name in zip(encoders, names, strict=True)]
        shared = torch.stack([c[0] for c in cut]).mean(dim=0)
        label = of_label(shared)
        loss = functional.cross_entropy(head(label), wanted)
        for name, (_, own), decoder, maker in zip(names, cut, decoders, of_own, strict=True):
            loss = loss + functional.mse_loss(decoder(torch.cat([label, maker(own)], dim=1)), part[name])
        factors = torch.cat([shared, *(own for _, own in cut)], dim=1)
        return loss + discrepancy(factors, torch.randn_like(factors))

    def train(epochs: int) -> None:
        networks = make()
        parameters = [p for network in networks for p in network.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
        for _ in range(epochs):
            for rows in torch.randperm(ROWS).split(BATCH):
                optimizer.zero_grad(set_to_none=True)
                loss_of(networks, {name: v[rows] for name, v in x.items()}, target[rows]).backward()
                optimizer.step()

    if work == "an epoch":
        return seconds_of_an_epoch(train)
    networks = make()
    _fill(*networks)
    part = {name: v[:BATCH] for name, v in x.items()}

    def objective() -> tuple[Any, Any]:
        loss = loss_of(networks, part, target[:BATCH])
        return loss, loss.detach()

    return seconds_of_a_step(_stepper([p for network in networks for p in network.parameters()], objective))


def contender(who: str, work: str) -> Answer:
    """One contender on one thread."""
    import torch

    torch.set_num_threads(1)
    if who in OURS.values():
        return _ours(who, work)
    return _dmvae(work) if who == "DMVAE" else _plain(work)


if __name__ == "__main__":
    command_line(run, contender, WORKS)
