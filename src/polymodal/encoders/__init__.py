"""From raw values to vectors: one recipe per kind of value.

A recipe (`Encoder`) is a frozen dataclass without weights; `prepare` learns its settings from the training values, and
`build` makes the module. Pass recipes to a learned method by modality: `encoders={"image": ConvEncoder(width=32)}`.
`Decoders` go the other way, for methods that generate.
"""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Encoder": "base",
        "EncoderModule": "base",
        "default_encoder": "defaults",
        "choose_encoders": "defaults",
        "prepare_encoders": "defaults",
        "build_encoders": "defaults",
        "MLPEncoder": "vector",
        "ConvEncoder": "picture",
        "ViTEncoder": "picture",
        "BagOfTokensEncoder": "text",
        "TextTransformerEncoder": "text",
        "GRUEncoder": "sequence",
        "SequenceTransformerEncoder": "sequence",
        "StepEncoder": "steps",
        "PointSetEncoder": "points",
        "SoundEncoder": "sound",
        "ModuleEncoder": "custom",
        "PartsEncoder": "parts",
        "words_of": "spelling",
        "Decoder": "decoder_base",
        "Decoders": "decoders",
        "prepare_decoders": "decoders",
        "Vectorize": "vectorize",
        "CLIPPreset": "clip_presets",
        "ImageDimensions": "clip_dimensions",
        "TextDimensions": "clip_dimensions",
        "clip_preset": "clip_presets",
        "CLIPImageEncoder": "clip_encoders",
        "CLIPTextEncoder": "clip_encoders",
        "CroppedImageReader": "fitted_pictures",
        "TruncatedTextWarning": "clip_tokens",
        "PretrainedImageEncoder": "pretrained",
        "PretrainedTextEncoder": "pretrained",
        "PretrainedFeatures": "pretrained_features",
    },
)
