"""`Decoder`: from codes to what is likely of one modality, for values of any kind that can be made again.

The protocol, for methods that generate:

* `prepare_decoders(encoders, data, likelihoods)` (in `decoders`) learns the settings; keep and save them beside `settings_`.
* `Decoders(recipes, settings, dim)` builds one decoder a modality; `decoders[name]` is a `Decoder`.
* `decoder(codes)` gives parameters (..., n, *shape), `decoder.targets(column)` what a batch holds (n, *shape), and
  `decoder.log_prob(parameters, targets)` nats per row in the units of the data: leading axes broadcast, so that many draws of codes are
  compared with the same targets. Rows that lack the modality get the numbers of another row: mask them with `column.present`.
* `decoder.errors(parameters, targets)`: squared errors per row, in standard deviations where the values are standardised.
* `decoder.restore(parameters)`: the expected values in the units and the shape of the data, as numpy.

What a decoder is compared with is read off what the modality's encoder collated: nothing is stored twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float
from polymodal.nn.towers import EncodedColumn
from polymodal.objectives.likelihoods import SMALLEST_SCALE, GaussianLikelihood, Likelihood


class Decoder(nn.Module):
    """A network from codes to parameters of a likelihood.

    Args:
        network: Maps (u, dim) codes to (u, *shape).
        settings: What `prepare_decoders` learned: "shape" of the parameters of one value, "restored", the shape of a value in the data;
            "mean" and "scale" of the features, which broadcast against it; "raw", whether the encoder collates numbers in
            the units of the data (not standardised); "peak", the value that counts as 1 (255 in pictures of bytes); and "likelihood". The
            mean and the scale alone are vectors under a normal of scale 1.
    """

    def __init__(self, network: nn.Module, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.scale = np.asarray(settings["mean"]), np.asarray(settings["scale"])
        self.shape = tuple(settings.get("shape", self.mean.shape))
        self.restored = tuple(settings.get("restored", self.shape))
        self.size = math.prod(self.shape)
        self.raw, self.peak = bool(settings.get("raw", False)), float(settings.get("peak", 1.0))
        self.likelihood: Likelihood = settings.get("likelihood") or GaussianLikelihood(scale=1.0)
        fixed = self.likelihood.scale
        start = torch.full(
            (self.size if self.likelihood.each else 1,), math.log(1.0 if fixed is None else fixed)
        )
        if fixed is None:
            self.learned_scale = nn.Parameter(start)
        else:
            self.register_buffer("fixed_scale", start, persistent=False)
        spread = np.broadcast_to(self.scale, self.shape) if self.likelihood.standard else np.ones(1)
        self.log_units = float(np.log(spread).sum())

    @property
    def log_scale(self) -> Tensor:
        """Logarithm of the scale of the likelihood, for standardised values; (1,) or one a feature."""
        if self.likelihood.scale is None:
            return self.learned_scale.clamp_min(math.log(SMALLEST_SCALE))
        return self.fixed_scale  # type: ignore[return-value]

    def forward(self, codes: Float[Tensor, "... dim"]) -> Tensor:
        """Parameters (..., *shape) for codes (..., dim)."""
        made: Tensor = self.network(codes.reshape(-1, codes.shape[-1]))
        return made.float().reshape(*codes.shape[:-1], *self.shape)

    def targets(self, column: EncodedColumn) -> Tensor:
        """What the rows of a batch hold, (n, *shape), as the likelihood reads it; rows that lack it hold anything finite."""
        if not bool(column.present.any()):
            return torch.zeros(len(column.present), *self.shape, device=column.present.device)
        return self.read(column.values).index_select(0, column.index.clamp_min(0))

    def read(self, values: Any) -> Tensor:
        """The same for the distinct values that the encoder collated, (u, *shape).

        Raises:
            ModalityError: values of another shape than in training.
        """
        tensor: Tensor = values
        unlike = tuple(tensor.shape[1:]) != self.shape and tensor[:1].numel() != self.size * len(tensor[:1])
        if unlike or tensor.ndim < 2:
            raise ModalityError(
                f"Values had shape {self.restored} in training, got {tuple(tensor.shape[1:])}. A decoder makes one shape only."
            )
        tensor = tensor.reshape(len(tensor), *self.shape)
        mean = torch.as_tensor(self.mean, dtype=torch.float32, device=tensor.device)
        scale = torch.as_tensor(self.scale, dtype=torch.float32, device=tensor.device)
        units = self.raw or tensor.dtype == torch.uint8  # bytes stay bytes until they are here
        if self.likelihood.standard:
            return (tensor.float() - mean) / scale if units else tensor
        plain = tensor.float() if units else tensor * scale + mean
        return plain / self.peak

    def log_prob(self, parameters: Tensor, targets: Tensor) -> Tensor:
        """Nats of each row, (..., n), in the units of the data, for parameters (..., n, *shape) and targets (n, *shape)."""
        flat = parameters.flatten(-len(self.shape))
        return (
            self.likelihood.log_prob(targets.flatten(-len(self.shape)), flat, self.log_scale) - self.log_units
        )

    def errors(self, parameters: Tensor, targets: Tensor) -> Tensor:
        """Squared errors of each row, (..., n): of standardised locations, or of expected shares and counts."""
        if self.likelihood.standard:
            expected = parameters
        else:
            shown = self.likelihood.expect(parameters.detach().cpu().numpy())
            expected = torch.from_numpy(shown).to(parameters)
        return (expected - targets).square().flatten(-len(self.shape)).sum(dim=-1)

    def restore(self, parameters: np.ndarray) -> np.ndarray:
        """Expected values in the units of the data, (..., *restored) as float64."""
        flat = parameters.astype(np.float64)
        expected = self.likelihood.expect(flat)
        values = expected * self.scale + self.mean if self.likelihood.standard else expected * self.peak
        restored: np.ndarray = values.reshape(*flat.shape[: flat.ndim - len(self.shape)], *self.restored)
        return restored
