import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.training import choose_device
from polymodal.training.devices import choose_precision


def test_auto_is_a_device_that_works() -> None:
    torch.zeros(1, device=choose_device("auto"))
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_an_unknown_device_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'.*auto"):
        choose_device(name)


def test_half_precision_only_where_it_pays() -> None:
    assert choose_precision("auto", torch.device("cpu")) == torch.float32
    assert choose_precision("float32", torch.device("cuda")) == torch.float32
    assert choose_precision("bfloat16", torch.device("cpu")) == torch.bfloat16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_on_cuda() -> None:
    device = choose_device("auto")
    assert device.type == "cuda"
    assert choose_precision("auto", device) == torch.bfloat16
