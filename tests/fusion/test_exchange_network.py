"""`add_channel_exchange` on networks that know nothing of it: a residual network, streams of their own weights, dense output."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import add_channel_exchange

NAMES = ["thermal", "colour.camera"]


class BasicBlock(nn.Module):
    """As in torchvision: two convolutions, two norms, a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2))
        self.fc = nn.Linear(16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def network(seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    made = ResNet()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0.0, 0.3)
    return made


def pictures(n: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(n, 3, 6, 6) for name in NAMES}


def kill(exchanging: nn.Module) -> None:
    with torch.no_grad():
        for block in exchanging.blocks().values():
            for name, norm in zip(block.names, block.norms, strict=True):
                norm.weight[block.parts()[name]] = 0.0


def test_before_any_exchange_every_modality_gets_what_the_network_gives() -> None:
    plain, x = network().eval(), pictures()
    exchanging = add_channel_exchange(plain, NAMES).eval()
    outputs, _ = exchanging.streams(x)
    for name in NAMES:
        torch.testing.assert_close(outputs[name], plain(x[name]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exchanging(x), sum(outputs.values()) / 2)
    assert isinstance(plain.bn1, nn.BatchNorm2d), "the network given must stay as it is"


def test_convolutions_are_shared_and_norms_are_private() -> None:
    plain, exchanging = network(), add_channel_exchange(network(), NAMES)

    def count(module: nn.Module, kind: type) -> int:
        return sum(isinstance(part, kind) for part in module.modules())

    assert count(exchanging, nn.Conv2d) == count(plain, nn.Conv2d) == 8
    assert count(plain, nn.BatchNorm2d) == 8
    assert count(exchanging, nn.BatchNorm2d) == 16
    assert list(exchanging.blocks()) == [n for n, m in plain.named_modules() if isinstance(m, nn.BatchNorm2d)]


def test_dead_scales_let_the_other_modality_in_and_a_missing_one_does_not() -> None:
    exchanging, x = add_channel_exchange(network(), NAMES).eval(), pictures()
    before = exchanging.streams(x)[0]["thermal"]
    moved = {**x, "colour.camera": x["colour.camera"] + 1}
    assert torch.equal(exchanging.streams(moved)[0]["thermal"], before)
    kill(exchanging)
    after = exchanging.streams(x)[0]["thermal"]
    assert (exchanging.streams(moved)[0]["thermal"] - after).abs().min() > 1e-4
    absent = {"colour.camera": torch.tensor([True, False, True, True])}
    moved["colour.camera"] = torch.where(
        absent["colour.camera"][:, None, None, None], x["colour.camera"], torch.nan
    )
    missing = exchanging.streams(moved, absent)[0]["thermal"]
    torch.testing.assert_close(missing[[0, 2, 3]], after[[0, 2, 3]], rtol=1e-4, atol=1e-5)
    alone = exchanging.streams({"thermal": x["thermal"]})[0]["thermal"]
    torch.testing.assert_close(missing[1], alone[1], rtol=1e-4, atol=1e-5)
    rates = [rate for layer in exchanging.exchange_rate().values() for rate in layer.values()]
    assert rates == [0.5] * 16


def test_a_row_does_not_depend_on_its_batch_in_evaluation() -> None:
    exchanging, x = add_channel_exchange(network(), NAMES).eval(), pictures(6)
    kill(exchanging)
    present = {"thermal": torch.tensor([True, True, False, True, False, True])}
    whole = exchanging(x, present)
    for row in (0, 2):
        one = exchanging({k: v[[row]] for k, v in x.items()}, {"thermal": present["thermal"][[row]]})
        torch.testing.assert_close(one[0], whole[row], rtol=1e-4, atol=1e-5)
    only = exchanging.streams({"colour.camera": x["colour.camera"]})[0]["colour.camera"]
    torch.testing.assert_close(whole[2], only[2], rtol=1e-4, atol=1e-5)


def test_streams_of_equal_weights_equal_the_shared_network_and_train_apart() -> None:
    plain, x = network(), pictures()
    shared = add_channel_exchange(plain, NAMES)
    own = add_channel_exchange({name: copy.deepcopy(plain) for name in NAMES})
    kill(shared)
    kill(own)
    torch.testing.assert_close(own.eval()(x), shared.eval()(x), rtol=1e-4, atol=1e-5)
    own.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in own.parameters())
    grads = [layer.weight.grad for layer in own.network.conv1.layers]
    assert not torch.equal(*grads)
    assert sum(p.numel() for p in own.parameters()) == 2 * sum(p.numel() for p in plain.parameters()) + 2


@pytest.mark.parametrize("poison", [1e9, float("nan")])
def test_gradients_never_see_absent_values(poison: float) -> None:
    present = {"thermal": torch.tensor([True, False, True, True])}
    gradients = []
    for value in (0.0, poison):
        exchanging, x = add_channel_exchange(network(), NAMES), pictures()
        kill(exchanging)
        x["thermal"] = torch.where(present["thermal"][:, None, None, None], x["thermal"], value)
        exchanging(x, present).square().sum().backward()
        gradients.append([p.grad for p in exchanging.parameters()])
    for clean, poisoned in zip(*gradients, strict=True):
        assert torch.equal(clean, poisoned)
        assert torch.isfinite(clean).all()


def test_only_the_named_layers_exchange() -> None:
    exchanging = add_channel_exchange(network(), NAMES, layers=["layer1.0.bn2", "layer2.0.bn2"])
    assert list(exchanging.exchange_rate()) == ["layer1.0.bn2", "layer2.0.bn2"]
    exchanging.penalty().backward()
    touched = [
        name for name, p in exchanging.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    ]
    assert len(touched) == 4
    assert all("bn2" in name for name in touched)


def test_dense_outputs_keep_their_place() -> None:
    dense = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    exchanging = add_channel_exchange(dense, NAMES)
    x = {name: torch.randn(3, 1, 5, 7) for name in NAMES}
    has = {NAMES[0]: torch.tensor([True, False, True]), NAMES[1]: torch.tensor([True, False, False])}
    out = exchanging(x, has)
    assert out.shape == (3, 2, 5, 7)
    assert out[1].abs().sum() == 0  # no modality at all


def test_a_norm_used_twice_stays_one() -> None:
    norm = nn.BatchNorm2d(4)
    twice = nn.Sequential(nn.Conv2d(1, 4, 1), norm, nn.Conv2d(4, 4, 1), norm)
    exchanging = add_channel_exchange(twice, NAMES)
    assert exchanging.network[1] is exchanging.network[3]
    exchanging({name: torch.randn(2, 1, 3, 3) for name in NAMES}).sum().backward()


def test_the_softmax_weighs_the_modalities_that_are_there() -> None:
    exchanging, x = add_channel_exchange(network(), NAMES).eval(), pictures(2)
    with torch.no_grad():
        exchanging.logits.copy_(torch.tensor([0.0, 1.0]).log1p())  # colour.camera 1/3, thermal 2/3
    outputs, _ = exchanging.streams(x)
    assert exchanging.weights() == pytest.approx({"colour.camera": 1 / 3, "thermal": 2 / 3})
    torch.testing.assert_close(exchanging(x), (outputs["colour.camera"] + 2 * outputs["thermal"]) / 3)


def test_what_does_not_fit_is_refused_by_name() -> None:
    exchanging, x = add_channel_exchange(network(), NAMES), pictures()
    with pytest.raises(ModalityError, match="'thermal': \\(4, 3, 5, 6\\)"):
        exchanging({**x, "thermal": x["thermal"][:, :, 1:]})
    with pytest.raises(ModalityError, match="termal"):
        exchanging({"termal": x["thermal"]})
    with pytest.raises(ConfigError, match="none"):
        add_channel_exchange(nn.Sequential(nn.Conv2d(1, 2, 1)), NAMES)
    with pytest.raises(ConfigError, match="at least two"):
        add_channel_exchange(network(), ["thermal"])
    with pytest.raises(ConfigError, match="bn9"):
        add_channel_exchange(network(), NAMES, layers=["bn9"])
    with pytest.raises(ConfigError, match="one architecture"):
        add_channel_exchange({"thermal": ResNet(3), "colour": ResNet(4)})
    with pytest.raises(ConfigError, match="one tensor"):
        add_channel_exchange(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(0)), NAMES)(x)
