"""polymodal: learn, align, search and explain representations of several modalities at once."""

from polymodal._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, _names = attach(
    __name__,
    {
        "Modalities": "core",
        "Modality": "core",
        "Ragged": "core",
        "Texts": "core",
        "Files": "core",
        "CCA": "coordination",
        "CLIP": "coordination",
        "AdditiveFusion": "fusion",
        "TensorFusion": "fusion",
        "EarlyFusion": "fusion",
        "LateFusion": "fusion",
        "HybridFusion": "fusion",
        "SharedIndividual": "fission",
        "align": "alignment",
        "DTW": "alignment",
        "Training": "training",
        "Retriever": "retrieval",
        "save": "persistence",
        "load": "persistence",
    },
)
__all__ = ["__version__", *_names]
