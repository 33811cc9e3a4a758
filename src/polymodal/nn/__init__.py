"""Trainable blocks without an objective: attention, convolution, pooling over masks, and the towers of several modalities.

A block never picks a device, reads no global state, and registers every tensor that should train.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "MLP": "mlp",
        "Towers": "towers",
    },
)
