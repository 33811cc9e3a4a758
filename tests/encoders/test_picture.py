from collections.abc import Callable

import numpy as np
import pytest
import torch

from polymodal.core import Modality
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders import ConvEncoder, EncoderModule, ViTEncoder
from polymodal.encoders.picture import plane_positions, random_shift

RECIPES = [ConvEncoder(width=4), ViTEncoder(width=8, depth=1, heads=2)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("shape", [(8, 8), (5, 9, 3), (32, 32), (2, 3, 2)])
def test_contract(
    recipe: ConvEncoder,
    shape: tuple[int, ...],
    check_encoder: Callable[..., EncoderModule],
    rng: np.random.Generator,
) -> None:
    check_encoder(recipe, Modality(rng.integers(0, 255, (4, *shape), dtype=np.uint8), np.arange(4)))
    check_encoder(recipe, Modality(rng.normal(size=(4, *shape)), np.arange(4)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_bytes_and_equal_floats_agree_and_any_size_goes_in(
    recipe: ConvEncoder, rng: np.random.Generator
) -> None:
    pictures = rng.integers(0, 255, (6, 8, 8), dtype=np.uint8)
    module = recipe.build(recipe.prepare(Modality(pictures, np.arange(6))), 3).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            module(module.collate(pictures)),
            module(module.collate(pictures.astype(float))),
            rtol=1e-4,
            atol=1e-5,
        )
        for size in ((13, 20), (1, 1)):
            assert module(module.collate(rng.integers(0, 255, (1, *size), dtype=np.uint8))).shape == (1, 3)


def test_bytes_stay_bytes_until_they_are_on_the_device() -> None:
    pictures = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    module = ConvEncoder(width=4).build(ConvEncoder().prepare(Modality(pictures, np.arange(3))), 2)
    assert module.collate(pictures).dtype == torch.uint8
    assert module.collate(pictures.astype(bool)).dtype == torch.uint8
    standard = module.eval().pixels(module.collate(pictures))
    torch.testing.assert_close(standard.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(standard.std(correction=0), torch.tensor(1.0))


def test_random_shift_moves_and_repeats_the_edge() -> None:
    picture = torch.arange(9.0).reshape(1, 3, 3, 1).repeat(64, 1, 1, 1)
    moved = random_shift(picture, 1)
    seen = {tuple(m.flatten().tolist()) for m in moved}
    assert tuple(range(9)) in seen
    assert (0, 0, 1, 0, 0, 1, 3, 3, 4) in seen
    assert 2 <= len(seen) <= 9


def test_shift_only_while_training(rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 255, (3, 8, 8), dtype=np.uint8)
    module = (
        ConvEncoder(width=4, shift=2).build(ConvEncoder().prepare(Modality(pictures, np.arange(3))), 2).eval()
    )
    batch = module.collate(pictures)
    assert torch.equal(module(batch), module(batch))


def test_plane_positions_tell_rows_from_columns() -> None:
    cells = plane_positions(3, 4, 8, torch.device("cpu"))
    assert cells.shape == (12, 8)
    assert len(torch.unique(cells, dim=0)) == 12
    torch.testing.assert_close(cells[0, :4], cells[3, :4])
    torch.testing.assert_close(cells[0, 4:], cells[8, 4:])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModalityError, match=r"got shape \(2, 2, 2, 1\)"):
        ConvEncoder().prepare(Modality(np.zeros((3, 2, 2, 2, 1)), np.arange(3)))
    module = ConvEncoder(width=4).build(
        ConvEncoder().prepare(Modality(np.zeros((3, 2, 2, 3)), np.arange(3))), 2
    )
    with pytest.raises(ModalityError, match="3 channels"):
        module.collate(np.zeros((3, 2, 2)))
    with pytest.raises(ConfigError, match="3 heads and width 8"):
        ViTEncoder(width=8, heads=3)
    with pytest.raises(ConfigError, match="patch"):
        ViTEncoder(patch=0)
