"""Trainable blocks without an objective: attention, convolution, pooling over masks, and the towers of several modalities.

A block never picks a device, reads no global state, and registers every tensor that should train.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "MLP": "mlp",
        "Attention": "attention",
        "ScoredAttention": "scored_attention",
        "TransformerBlock": "attention",
        "CrossBlock": "attention",
        "MeanMixer": "attention",
        "masked_softmax": "attention",
        "ResidualConv1d": "convolution",
        "ResidualConv2d": "convolution",
        "Deconvolution2d": "deconvolution",
        "AttentionPool": "pooling",
        "masked_mean": "pooling",
        "Recurrent": "recurrent",
        "sine_positions": "positions",
        "FourierFeatures": "positions",
        "product_of_experts": "experts",
        "Towers": "towers",
    },
)
