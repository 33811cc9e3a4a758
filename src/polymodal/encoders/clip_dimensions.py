"""How large the towers of a CLIP model are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from polymodal.core.errors import ConfigError

Activation = Literal["quick_gelu", "gelu"]


@dataclass(frozen=True)
class ImageDimensions:
    """Size of an image tower.

    Args:
        width: Features of a patch (transformer), or channels behind the stem (residual network, whose vectors have 32
            times as many).
        layers: Transformer blocks, or the blocks of the four stages of a residual network.
        heads: Attention heads; of a residual network, those of its attention pooling.
        resolution: Height and width of a picture in pixels.
        patch: Side of a patch in pixels; None means a residual network.
        hidden: Features inside a transformer block; None is four times `width`.
        activation: "quick_gelu" is x sigmoid(1.702 x), as in the weights OpenAI published; "gelu" the exact one.
        eps: Added to variances in layer normalisation.
    """

    width: int
    layers: int | tuple[int, ...]
    heads: int
    resolution: int
    patch: int | None = None
    hidden: int | None = None
    activation: Activation = "quick_gelu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        features = self.features
        problems = [
            (not _counts(self.width, self.heads, self.resolution), "whole numbers of at least 1"),
            (self.activation not in get_args(Activation), f"an activation of {get_args(Activation)}"),
        ]
        if isinstance(self.layers, tuple):
            problems += [
                (len(self.layers) != 4 or not _counts(*self.layers), "layers as four whole numbers"),
                (self.patch is not None, "patch=None beside four numbers of layers (a residual network)"),
                (self.resolution % 32 != 0, "a resolution that 32 divides (a residual network)"),
            ]
        else:
            problems += [
                (self.patch is None, "a patch beside one number of layers (a transformer)"),
                (
                    not _counts(self.layers, self.patch or 1, self.hidden or 1),
                    "whole numbers of at least 1",
                ),
                (bool(self.patch and self.resolution < self.patch), "a resolution of at least one patch"),
            ]
        problems.append((bool(features % max(1, self.heads)), f"heads that divide {features}"))
        _refuse(self, problems)

    @property
    def features(self) -> int:
        """Width of the vectors before the projection."""
        return self.width if isinstance(self.layers, int) else 32 * self.width

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ImageDimensions:
        """From what `asdict` (or JSON) made of it."""
        layers = settings["layers"]
        return cls(**{**settings, "layers": layers if isinstance(layers, int) else tuple(layers)})


@dataclass(frozen=True)
class TextDimensions:
    """Size of a text tower.

    Args:
        width: Features of a token.
        layers: Transformer blocks.
        heads: Attention heads; they divide `width`.
        context: Most tokens of a text, its start and its end counted; what is longer is cut.
        vocabulary: Number of tokens.
        hidden: Features inside a block; None is four times `width`.
        activation: As for `ImageDimensions`.
        eps: Added to variances in layer normalisation.
    """

    width: int
    layers: int = 12
    heads: int = 8
    context: int = 77
    vocabulary: int = 49_408
    hidden: int | None = None
    activation: Activation = "quick_gelu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        numbers = (self.width, self.layers, self.heads, self.vocabulary, self.hidden or 1)
        _refuse(
            self,
            [
                (not _counts(*numbers), "whole numbers of at least 1"),
                (not _counts(self.context) or self.context < 3, "a context of at least 3 tokens"),
                (self.activation not in get_args(Activation), f"an activation of {get_args(Activation)}"),
                (bool(self.width % max(1, self.heads)), f"heads that divide {self.width}"),
            ],
        )

    @property
    def features(self) -> int:
        """Width of the vectors before the projection."""
        return self.width


def dimensions_to_json(dimensions: ImageDimensions | TextDimensions) -> dict[str, Any]:
    """Fields as JSON holds them."""
    fields = asdict(dimensions)
    if isinstance(fields["layers"], tuple):
        fields["layers"] = list(fields["layers"])
    return fields


def _counts(*values: Any) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values)


def _refuse(dimensions: Any, problems: list[tuple[bool, str]]) -> None:
    found = [what for wrong, what in problems if wrong]
    if found:
        raise ConfigError(
            f"{type(dimensions).__name__} needs {'; and '.join(dict.fromkeys(found))}, got {dimensions}."
        )
