"""Data: built-in real data sets that need no download, generators whose truth is known, readers and adapters."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Dataset": "dataset",
        "read": "readers",
        "write": "writers",
        "from_pandas": "adapters",
        "to_pandas": "adapters",
        "from_huggingface": "adapters",
        "to_huggingface": "adapters",
        "from_mudata": "adapters",
        "to_mudata": "adapters",
        "load_glyphs": "glyphs",
        "held_out_characters": "glyphs",
        "load_digits": "digits",
        "load_linnerud": "linnerud",
        "make_redundant_unique_synergistic": "synthetic",
        "InformationTruth": "synthetic",
        "make_shared_private": "synthetic",
        "FactorTruth": "synthetic",
        "make_warped": "synthetic",
        "WarpTruth": "synthetic",
        "drop_modalities": "synthetic",
    },
)
