"""As many representations as modalities: each modality keeps its own, and all of them live in one shared space."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"CCA": "cca", "CLIP": "clip"})
