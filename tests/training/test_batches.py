import numpy as np
import pytest
import torch
from torch import Tensor

from polymodal import Modalities, Modality, Ragged
from polymodal.training import Batches, make_batch
from polymodal.training.batches import row_codes, split_rows


class Collate:
    """Counts what it is asked for."""

    def __init__(self, *, cached: bool = True) -> None:
        self.cache_collated = cached
        self.sizes: list[int] = []

    def __call__(self, values: np.ndarray) -> Tensor:
        self.sizes.append(len(values))
        return torch.from_numpy(np.asarray(values))


def pad(values: Ragged) -> dict[str, Tensor]:
    steps, mask = values.pad()
    return {"steps": torch.from_numpy(steps), "mask": torch.from_numpy(mask)}


@pytest.fixture
def data(rng: np.random.Generator) -> Modalities:
    store = rng.normal(size=(5, 2))
    return Modalities(
        {
            "image": Modality(store, np.array([0, 0, 3, -1, 4, 3])),
            "sound": Modality(Ragged.of([np.arange(n) for n in (1, 3, 2)]), np.array([-1, 2, 1, 0, 0, -1])),
        }
    )


@pytest.mark.parametrize("keep", [0, 1 << 20])
def test_each_distinct_value_stands_once(data: Modalities, keep: int) -> None:
    batches = Batches(data, {"image": Collate(), "sound": pad}, target=np.arange(6.0), keep_bytes=keep)
    rows = np.array([5, 1, 3, 2])
    batch = batches[rows]
    image = batch.columns["image"]
    assert len(image.values) == 2
    assert image.present.tolist() == [True, True, False, True]
    assert image.index[2] == -1
    np.testing.assert_array_equal(image.values[image.index[[0, 1, 3]]], data["image"].store[[3, 0, 3]])
    sound = batch.columns["sound"]
    assert isinstance(sound.values, dict)
    assert sound.values["mask"][sound.index[1:]].sum(1).tolist() == [2, 1, 3]
    assert batch.rows.tolist() == [5, 1, 3, 2]
    assert batch.target is not None
    assert batch.target.tolist() == [5, 1, 3, 2]
    assert len(batch) == 4
    assert list(batch.present) == ["image", "sound"]
    assert len(batch.to("cpu")) == 4


def test_make_batch_agrees_and_leaves_out_columns_without_a_collate(data: Modalities) -> None:
    one = make_batch(data, np.array([2, 4]), {"image": Collate()}, target=torch.arange(6))
    many = Batches(data, {"image": Collate()}, target=torch.arange(6))[np.array([2, 4])]
    assert list(one.columns) == ["image"]
    assert torch.equal(one.columns["image"].values, many.columns["image"].values)
    assert one.rows.tolist() == many.rows.tolist() == [2, 4]
    assert torch.equal(one.target, many.target)


def test_a_small_store_is_collated_once_and_only_what_rows_use(data: Modalities) -> None:
    collate = Collate()
    batches = Batches(data[[0, 2]], {"image": collate})
    for _ in range(3):
        batches[np.arange(2)]
    assert collate.sizes == [2, 2]  # to estimate the size, and to keep


def test_what_may_not_be_kept_is_collated_again(data: Modalities) -> None:
    collate = Collate(cached=False)
    batches = Batches(data, {"image": collate})
    assert not batches.deterministic
    for batch in batches.iterate([np.arange(3)] * 2):
        assert len(batch) == 3
    assert collate.sizes == [2, 2]


def test_reading_ahead_gives_the_same_batches_in_order(data: Modalities) -> None:
    parts = split_rows(np.arange(6), 2)
    ahead = list(Batches(data, {"image": Collate()}, keep_bytes=0).iterate(parts))
    assert [b.rows.tolist() for b in ahead] == [[0, 1], [2, 3], [4, 5]]
    for batch, part in zip(ahead, parts, strict=True):
        assert torch.equal(
            batch.columns["image"].values,
            make_batch(data, part, {"image": Collate()}).columns["image"].values,
        )


def test_a_column_that_all_rows_lack(data: Modalities) -> None:
    batch = make_batch(data, np.array([3]), {"image": Collate()})
    assert len(batch.columns["image"].values) == 0
    assert not batch.columns["image"].present.any()


@pytest.mark.parametrize(("n", "size"), [(10, 4), (1, 4), (9, 3), (257, 256)])
def test_parts_are_nearly_equal_and_whole(n: int, size: int) -> None:
    parts = split_rows(np.arange(n), size)
    lengths = [len(p) for p in parts]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert np.concatenate(parts).tolist() == list(range(n))
    assert split_rows(np.arange(0), size) == []


def test_row_codes_tell_which_rows_hold_the_same_thing() -> None:
    data = Modalities({"text": ["a", "b", None, "a"], "number": np.arange(4.0)})
    codes = row_codes(data)(torch.tensor([3, 0, 2, 1]))
    assert codes["text"].tolist() == [0, 0, -1, 1]
    assert len(set(codes["number"].tolist())) == 4
