"""`Recurrent`: torch's own cells on each sequence alone, whatever stands beside or between its steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polymodal.core.errors import ConfigError
from polymodal.nn import Recurrent
from polymodal.nn.recurrent import front_steps


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_equals_the_cells_of_torch_on_each_item_alone(cell: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    block = Recurrent(3, 4, cell=cell, bidirectional=bidirectional)
    plain = (nn.GRU if cell == "gru" else nn.LSTM)(3, 4, batch_first=True, bidirectional=bidirectional)
    plain.load_state_dict(block.cells.state_dict())
    x = torch.randn(4, 6, 3)
    mask = torch.zeros(4, 6, dtype=torch.bool)
    lengths = [6, 1, 0, 4]
    for i, length in enumerate(lengths):
        mask[i, :length] = True
    out = block(x.masked_fill(~mask[..., None], torch.nan), mask)
    assert out.shape == (4, block.size)
    for i, length in enumerate(lengths):
        if length:
            state = plain(x[i : i + 1, :length])[1]
            expected = (state if cell == "gru" else state[0])[:, 0].flatten()
            torch.testing.assert_close(out[i], expected)
    assert out[2].abs().sum() == 0


def test_gaps_are_closed() -> None:
    x = torch.arange(8.0).reshape(1, 4, 2)
    mask = torch.tensor([[False, True, False, True]])
    front, counts = front_steps(x, mask)
    assert counts.tolist() == [2]
    assert front[0].tolist() == [[2, 3], [6, 7], [0, 0], [0, 0]]
    block = Recurrent(2, 3)
    everything = torch.ones(1, 2, dtype=torch.bool)
    torch.testing.assert_close(block(x, mask), block(x[:, [1, 3]], everything))


def test_every_parameter_learns_from_two_steps() -> None:
    block = Recurrent(2, 3, cell="lstm", bidirectional=True)
    block(torch.randn(4, 2, 2), torch.ones(4, 2, dtype=torch.bool)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises((ConfigError, TypeError), match="cell"):
        Recurrent(2, 3, cell="rnn")
