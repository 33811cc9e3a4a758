"""Fully connected layers with normalisation between them."""

from __future__ import annotations

from torch import Tensor, nn

from polymodal.core.typing import Float


class MLP(nn.Module):
    r"""`depth` hidden layers and a linear read-out: $x \to W_L\,\phi(\mathrm{norm}(W_{L-1} \cdots))$, $\phi$ = GELU.

    Args:
        n_in: Features of one input.
        n_out: Features of one output.
        width: Features of each hidden layer.
        depth: Hidden layers; 0 leaves one linear map.
        dropout: Share of hidden features dropped while training, in [0, 1).

    Relations:
        * depth = 0 is `nn.Linear(n_in, n_out)`.
    """

    def __init__(
        self, n_in: int, n_out: int, *, width: int = 256, depth: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers += [
                nn.Linear(n_in if layer == 0 else width, width),
                nn.LayerNorm(width),
                nn.GELU(),
                nn.Dropout(dropout),
            ]
        layers.append(nn.Linear(width if depth else n_in, n_out))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "*batch n_in"]) -> Float[Tensor, "*batch n_out"]:
        """Map the last axis."""
        out: Tensor = self.layers(x)
        return out
