"""A recurrent network over steps with a mask: places without a step are as if they did not exist."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polymodal.core.errors import ConfigError
from polymodal.core.typing import Bool, Float

Cell = Literal["gru", "lstm"]


class Recurrent(nn.Module):
    """One layer of gated units (Cho et al. 2014) or of long short-term memory (Hochreiter and Schmidhuber 1997).

    Args:
        dim: Features of a step.
        width: Features of a state, in each direction.
        cell: "gru" or "lstm".
        bidirectional: Whether a second pass runs from the last step to the first.

    Attributes:
        size: Features of the last state: `width`, twice that in both directions.

    Complexity:
        O(t width (dim + width)) an item, one step after the other.

    Relations:
        * mask all True: `torch.nn.LSTM` or `torch.nn.GRU`
        * an item alone gives what it gives among longer ones; gaps in the mask are closed

    Raises:
        ConfigError: an unknown cell.
    """

    def __init__(self, dim: int, width: int, *, cell: Cell = "gru", bidirectional: bool = False) -> None:
        super().__init__()
        cells = {"gru": nn.GRU, "lstm": nn.LSTM}
        if cell not in cells:
            raise ConfigError(f"cell must be one of {list(cells)}, got {cell!r}.")
        self.cells: nn.RNNBase = cells[cell](dim, width, batch_first=True, bidirectional=bidirectional)
        self.size = width * (2 if bidirectional else 1)

    def forward(self, x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]) -> Float[Tensor, "u k"]:
        """The state after the last step (and, backwards, after the first); zeros without any step."""
        steps, counts = front_steps(x, mask)
        packed = nn.utils.rnn.pack_padded_sequence(
            steps, counts.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        state = self.cells(packed)[1]
        last = (state[0] if isinstance(state, tuple) else state).transpose(0, 1).flatten(1)
        ended: Tensor = last.masked_fill((counts == 0)[:, None], 0.0)
        return ended


def front_steps(
    x: Float[Tensor, "u t d"], mask: Bool[Tensor, "u t"]
) -> tuple[Float[Tensor, "u t d"], torch.Tensor]:
    """The steps of each item moved to its front in their order, zeros after them; and how many there are (u,)."""
    counts = mask.sum(1)
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    front = x.masked_fill(~mask[..., None], 0.0).gather(1, order[..., None].expand_as(x))
    return front, counts
