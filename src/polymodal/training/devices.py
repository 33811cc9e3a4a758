"""Where to compute. The only place that looks for accelerators."""

from __future__ import annotations

import os

import torch

from polymodal.core.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Turn a name into a device: "auto" is CUDA (each process of torchrun its own), then Apple's MPS, then the CPU.

    Raises:
        ConfigError: a name torch does not know, or a device this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", "0"))
            return torch.device("cuda", local % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        have = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f'Training cannot use device {name!r} ({reason}). This machine has {have}; device="auto" chooses.'
        ) from None
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: bfloat16 where it pays ("auto": CUDA devices that have it), else float32."""
    if name == "bfloat16" or (name == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()):
        return torch.bfloat16
    return torch.float32
