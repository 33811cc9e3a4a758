"""Emissions of the parts of a joint state."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.alignment import Categorical
from polymodal.alignment._joint_emission import JointEmission
from polymodal.core.errors import ModalityError


@pytest.fixture
def joint(rng):
    parts = {n: Categorical(probabilities=rng.dirichlet(np.ones(2), size=2)) for n in "ab"}
    return JointEmission(parts, {"a": np.array([0, 0, 1, 1]), "b": np.array([0, 1, 0, 1])})


def test_adds_up_what_the_parts_say(joint):
    frames = {"a": np.array([0, 1]), "b": np.array([1, -1])}
    p, q = joint.parts["a"].probabilities, joint.parts["b"].probabilities
    found = np.exp(joint.log_likelihood(frames))
    np.testing.assert_allclose(found[0], np.outer(p[:, 0], q[:, 1]).ravel())
    np.testing.assert_allclose(found[1], np.outer(p[:, 1], np.ones(2)).ravel())


def test_each_part_learns_from_its_share_of_the_posterior(joint):
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    frames = {"a": np.array([0, 1]), "b": np.array([0, 1])}
    fresh = joint.maximised(joint.statistics(frames, weights))
    np.testing.assert_allclose(fresh.parts["a"].probabilities, [[0.3, 0.7], [0.7, 0.3]])
    np.testing.assert_allclose(fresh.parts["b"].probabilities, [[0.4, 0.6], [0.6, 0.4]])


def test_unknown_streams_are_named(joint):
    with pytest.raises(ModalityError, match=r"Unknown streams \['c'\]"):
        joint.checked({"c": np.zeros(2, dtype=int)})
    with pytest.raises(ModalityError, match=r"Streams \['a', 'b'\] needed"):
        joint.checked(np.zeros(2, dtype=int))
