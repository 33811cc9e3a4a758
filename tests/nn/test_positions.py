import torch

from polymodal.nn import FourierFeatures, sine_positions


def test_inner_product_depends_on_the_difference_alone() -> None:
    e = sine_positions(torch.arange(12.0), 16)
    products = e @ e.T
    for gap in range(5):
        torch.testing.assert_close(products.diagonal(gap), products.diagonal(gap)[:1].expand(12 - gap))


def test_odd_width_and_first_feature() -> None:
    e = sine_positions(torch.tensor([0.0, 1.0]), 5)
    assert e.shape == (2, 5)
    torch.testing.assert_close(e[1, 0], torch.tensor(1.0).sin())


def test_fourier_features_by_hand() -> None:
    features = FourierFeatures(2)
    x = torch.tensor([[0.5]])
    expected = [
        0.5,
        *[torch.tensor(a).sin().item() for a in (0.5, 1.0)],
        *[torch.tensor(a).cos().item() for a in (0.5, 1.0)],
    ]
    torch.testing.assert_close(features(x), torch.tensor([expected]))
    assert features(x).shape[1] == features.width(1)
    torch.testing.assert_close(FourierFeatures(0)(x), x)
