import numpy as np
import pytest

from polymodal.interactions._measurements import Contrast, best_label


def test_zones_are_one_sided_tests() -> None:
    assert Contrast(0.0, 0.1, np.inf).zone(1, 0.95) == "same"
    assert Contrast(2.0, 0.1, np.inf).zone(1, 0.95) == "more"
    assert Contrast(-2.0, 0.1, np.inf).zone(1, 0.95) == "less"
    assert Contrast(0.9, 0.1, np.inf).zone(1, 0.95) == "unclear"
    assert Contrast(1.0 - 1.6448 * 0.1, 0.1, np.inf).zone(1, 0.95) == "unclear"
    assert Contrast(1.0 - 1.6449 * 0.1, 0.1, np.inf).zone(1, 0.95) == "same"


@pytest.mark.parametrize("signs", [1, -1])
def test_the_label_of_known_effects_is_the_nearest_cell(signs: int) -> None:
    assert best_label(4 * signs, 6 * signs, 5.2 * signs, 1) == "dominance"
    assert best_label(4 * signs, 6 * signs, 8 * signs, 1) == "modulation"
    assert best_label(1.1 * signs, 6 * signs, 7 * signs, 1) == "independence"
    assert best_label(1.1 * signs, 6 * signs, 6.2 * signs, 1) == "dominance"
