"""Several sequences on one time: planted mixtures, a descent that is one, and canonical time warping for two."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import CanonicalTimeWarping, GeneralisedTimeWarping
from polymodal.alignment._projections import Sequences
from polymodal.core.errors import ModalityError
from polymodal.evaluation.alignment import path_error


def latent(t):
    return np.stack([np.sin(3 * np.pi * t) + t, np.cos(4.6 * np.pi * t + 1)], axis=1)


def planted(rng, sizes):
    """Name -> (frames, features, speed): mixtures beside a feature of loud noise."""
    out = {}
    for name, (length, features, gamma) in sizes.items():
        mixed = latent(np.linspace(0, 1, length) ** gamma) @ rng.normal(size=(2, features))
        out[name] = np.c_[mixed + 0.05 * rng.normal(size=mixed.shape), 3 * rng.normal(size=(length, 1))]
    return out


SIZES = {"video": (90, 5, 1.0), "audio": (120, 8, 1.6), "motion": (100, 3, 0.7)}


def test_three_sequences_with_features_of_their_own(rng):
    sequences = planted(rng, SIZES)
    result = GeneralisedTimeWarping(2).fit(sequences)
    assert result.converged
    assert result.objective < 0.03
    assert np.diff(result.history).max() <= 1e-12
    assert result.consensus.shape == (120, 2)
    for a, b in [("video", "audio"), ("audio", "motion"), ("motion", "video")]:
        (n, _, gamma_a), (m, _, gamma_b) = SIZES[a], SIZES[b]
        j = np.arange(m)
        truth = np.stack([np.rint((j / (m - 1)) ** (gamma_b / gamma_a) * (n - 1)).astype(int), j], axis=1)
        found = result.alignment(a, b)
        assert path_error(found.path, truth).mean < 1.5
        assert (np.diff(found.path, axis=0) >= 0).all()
        assert found.path[0].tolist() == [0, 0]
        assert found.path[-1].tolist() == [n - 1, m - 1]


def test_the_order_of_the_sequences_does_not_matter(rng):
    sequences = planted(rng, SIZES)
    one = GeneralisedTimeWarping().fit(sequences)
    other = GeneralisedTimeWarping().fit(dict(reversed(sequences.items())))
    assert one.objective == other.objective
    np.testing.assert_array_equal(one.consensus, other.consensus)


def test_on_the_cells_of_one_path_two_sequences_are_canonical_time_warping(rng):
    sequences = planted(rng, {"a": (60, 4, 1.0), "b": (70, 5, 1.4)})
    pairwise = CanonicalTimeWarping(2).fit(sequences["a"], sequences["b"])
    path = pairwise.alignment.path
    ready = Sequences.of(sequences, 2, 1e-3)
    cells = np.arange(len(path))
    found = ready.agreeing([(path[:, 0], cells), (path[:, 1], cells)], 2, 70 / 2)
    np.testing.assert_allclose(found.weights[0], pairwise.weights_a, atol=1e-10)
    assert found.objective == pytest.approx(pairwise.objective)
    both = GeneralisedTimeWarping(2).fit(sequences)
    there, here = both.alignment("a", "b").path, path
    assert path_error(there, here).mean < 1.5  # the same warp, by way of a consensus


def test_copies_agree_wholly(rng):
    x = latent(np.linspace(0, 1, 40))
    result = GeneralisedTimeWarping(2, reg=0.0).fit({"a": x, "b": x, "c": x})
    assert result.objective == pytest.approx(0.0, abs=1e-12)
    for path in result.paths.values():
        np.testing.assert_array_equal(path[:, 0], path[:, 1])
    np.testing.assert_allclose(result.warp("b", x), x)


@pytest.mark.parametrize("length", [30, 80])
def test_a_common_time_of_another_length(rng, length):
    sequences = planted(rng, {"a": (60, 4, 1.0), "b": (50, 5, 1.4)})
    result = GeneralisedTimeWarping(1, length=length).fit(sequences)
    assert result.consensus.shape == (length, 1)
    assert result.warp("a", sequences["a"]).shape == (length, 5)
    assert np.diff(result.history).max() <= 1e-12


def test_what_cannot_be_warped_is_said(rng):
    good = latent(np.linspace(0, 1, 20))
    with pytest.raises(ModalityError, match=r"at least two sequences by name.*\['audio'\]"):
        GeneralisedTimeWarping().fit({"audio": good})
    with pytest.raises(ModalityError, match="audio of shape .* is constant"):
        GeneralisedTimeWarping().fit({"audio": np.ones((5, 2)), "video": good})
    with pytest.raises(ModalityError, match="Sequence audio holds NaN"):
        GeneralisedTimeWarping().fit({"audio": good * np.nan, "video": good})
    with pytest.raises(ModalityError, match="at least 2 steps"):
        GeneralisedTimeWarping(length=1)
    result = GeneralisedTimeWarping().fit({"audio": good, "video": good})
    with pytest.raises(ModalityError, match="Did you mean 'audio'"):
        result.warp("audo", good)
