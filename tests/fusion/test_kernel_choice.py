from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import MedianRBF
from polymodal.fusion._kernel_choice import check_positive, check_precomputed, kernel_choices, settle
from polymodal.similarity import RBF, Cosine, Euclidean, Linear, Polynomial
from polymodal.similarity._gram import centred


def test_every_way_to_name_kernels():
    assert kernel_choices("image", None) == {"rbf": "rbf"}
    assert kernel_choices("image", "linear") == {"linear": "linear"}
    assert list(kernel_choices("image", ["rbf", "rbf", RBF(2.0)])) == ["rbf", "rbf (2)", "RBF(scale=2.0)"]
    widths = {"narrow": MedianRBF(0.5), "wide": MedianRBF(2.0)}
    assert kernel_choices("image", {"image": widths, "text": "linear"}) == widths
    assert kernel_choices("image", {"image": None}) == {"rbf": "rbf"}


@pytest.mark.parametrize(
    ("kernels", "match"),
    [
        ("rdf", "'rdf' for 'image'.*Did you mean 'rbf'"),
        ({"text": "rbf"}, "none for 'image'"),
        (RBF, "for 'image'"),
        (lambda a, b: a @ b.T, "for 'image'.*pairwise"),
        ([], "alone, for 'image'"),
        (["precomputed", "rbf"], "alone, for 'image'"),
    ],
)
def test_what_is_no_kernel_is_refused(kernels, match):
    with pytest.raises(ConfigError, match=match):
        kernel_choices("image", kernels)


def test_widths_follow_the_median_distance(rng):
    x = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    assert settle("rbf", x, rng) == RBF(2.0)
    assert settle(MedianRBF(0.25), x, rng) == RBF(0.5)
    assert settle("rbf", np.ones((3, 1)), rng) == RBF(1.0)  # nothing differs: any width will do
    assert settle("linear", x, rng) == Linear()
    assert settle("cosine", x, rng) == Cosine()
    assert settle("polynomial", np.ones((3, 4)), rng) == Polynomial(3, gain=0.25)
    assert settle(RBF(7.0), x, rng) == RBF(7.0)
    many = rng.standard_normal((1500, 2))
    width = settle("rbf", many, rng)
    assert isinstance(width, RBF)
    np.testing.assert_allclose(width.scale, np.sqrt(2 * 2 * np.log(2)), rtol=0.05)  # of chi-squared distances


def test_median_rbf_needs_a_factor():
    with pytest.raises(ConfigError, match="factor > 0"):
        MedianRBF(0.0)


def test_precomputed_kernels_are_square_and_symmetric(rng):
    K = np.eye(4)
    check_precomputed("text", K)
    with pytest.raises(ModalityError, match="'text'.*square.*\\(3, 4\\)"):
        check_precomputed("text", K[:3])
    K[0, 1] = 0.5
    with pytest.raises(ModalityError, match="'text'.*differ by up to 0.5"):
        check_precomputed("text", K)


def test_indefinite_kernels_are_refused(rng):
    x = rng.standard_normal((12, 2))
    check_positive("text", "mine", centred(x @ x.T))
    check_positive(
        "text", "mine", centred(Euclidean().pairwise(x, x))
    )  # conditionally positive: centring is enough
    wrong = centred(-(x @ x.T))
    with pytest.raises(ModalityError, match="'mine' of modality 'text'.*eigenvalue of -"):
        check_positive("text", "mine", wrong)
