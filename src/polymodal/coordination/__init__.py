"""As many representations as modalities: each modality keeps its own, and all of them live in one shared space."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CCA": "cca",
        "MultisetCCA": "multiset_cca",
        "GeneralisedCCA": "generalised_cca",
        "PLS": "pls",
        "SparseCCA": "sparse_cca",
        "PenaltyChoice": "sparse_cca",
        "IntactSpace": "intact_space",
        "KernelCCA": "kernel_cca",
        "NystroemFeatures": "_kernel_features",
        "RandomFourierFeatures": "_kernel_features",
        "DeepCCA": "deep_cca",
        "DeepGeneralisedCCA": "deep_generalised_cca",
        "CoordinatedAutoencoder": "coordinated_autoencoder",
        "VisualSemanticEmbedding": "visual_semantic",
        "CLIP": "clip",
        "MarginCoordination": "margin",
        "PartialCoordination": "partial",
        "GatedCoordination": "gated",
        "load_clip": "pretrained_clip",
    },
)
