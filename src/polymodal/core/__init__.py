"""The contracts: data, estimators, errors, chance, linear algebra. Knows no method."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Modalities": "modalities",
        "Modality": "modalities",
        "Ragged": "ragged",
        "Texts": "texts",
        "Files": "files",
        "ImageReader": "files",
        "AudioReader": "files",
        "Description": "describe",
        "Requirements": "requirements",
        "Spec": "estimator",
        "Moments": "moments",
        "CanonicalPairs": "linalg",
        "BlockPencil": "linalg",
        "Estimator": "estimator",
        "Fusion": "estimator",
        "Coordination": "estimator",
        "Fission": "estimator",
    },
)
