"""Answers from representations already made: an index in memory or on disk, exact or approximate, and the `Retriever`.

`Retriever.build(model, data)` embeds and indexes; `search` asks with any modality, or several, for any other.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Retriever": "retriever",
        "Hits": "hits",
        "Index": "index",
        "Layout": "layout",
        "MemoryIndex": "memory",
        "DiskIndex": "store",
        "ApproximateIndex": "approximate",
        "Approximation": "approximate",
        "exact_search": "exact",
        "ZeroShotClassifier": "zero_shot",
        "Calibration": "zero_shot",
        "WordingReport": "wording",
        "class_vectors": "zero_shot",
    },
)
