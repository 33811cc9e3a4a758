from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polymodal.nn import Towers


@dataclass
class Column:
    values: Tensor
    index: Tensor
    present: Tensor


class Counted(nn.Module):
    def __init__(self, n_in: int, dim: int) -> None:
        super().__init__()
        self.dim, self.seen = dim, 0
        self.layer = nn.Linear(n_in, dim)

    def collate(self, values: Tensor) -> Tensor:
        return values

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return self.layer(x)


def column(values: Tensor, index: list[int]) -> Column:
    where = torch.tensor(index)
    return Column(values, where, where >= 0)


def test_distinct_values_are_encoded_once_and_absent_rows_are_zero() -> None:
    towers = Towers({"a.b": Counted(2, 3), "": Counted(1, 3)})
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    vectors, present = towers({"a.b": column(values, [1, -1, 1, 0, 1])})
    encoder = towers["a.b"]
    assert encoder.seen == 2
    assert list(vectors) == ["a.b"]
    assert present["a.b"].tolist() == [True, False, True, True, True]
    torch.testing.assert_close(vectors["a.b"][0], encoder.layer(values)[1])
    assert vectors["a.b"][1].tolist() == [0, 0, 0]


def test_a_row_without_the_modality_passes_no_gradient() -> None:
    towers = Towers({"x": Counted(1, 2)})
    vectors, _ = towers({"x": column(torch.tensor([[torch.nan], [1.0]])[1:], [0, -1])})
    vectors["x"][1].sum().backward()
    assert all((p.grad == 0).all() for p in towers.parameters())


def test_no_value_at_all() -> None:
    towers = Towers({"x": Counted(1, 2)})
    vectors, present = towers({"x": column(torch.zeros(0), [-1, -1])})
    assert vectors["x"].shape == (2, 2)
    assert not present["x"].any()
    assert "x" in towers
    assert "y" not in towers


def test_parameters_stand_in_the_order_of_the_names() -> None:
    a, b = Counted(1, 2), Counted(3, 2)
    assert list(Towers({"a": a, "b": b}).state_dict()) == list(Towers({"b": b, "a": a}).state_dict())
    assert set(Towers({"a": a, "b": b}).collates) == {"a", "b"}
