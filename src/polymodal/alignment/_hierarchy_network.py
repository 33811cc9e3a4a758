"""A hierarchy of chains written as a network of two slices: the state of every level, and whether it was left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.alignment._joint_emission import JointEmission
from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork, Node, Observation
from polymodal.alignment.emissions import Emission
from polymodal.core.typing import Int

if TYPE_CHECKING:
    from polymodal.alignment.hierarchical_hmm import Level


def hierarchy_network(
    levels: dict[tuple[int, ...], Level], leaves: Int[np.ndarray, "j depth"], emission: Emission
) -> DynamicBayesianNetwork:
    """Nodes "level 1" (top) to "level D" and "exit 2" to "exit D"; the observation is "frames" of the leaf.

    "exit d" is 1 where the chain at level d was left after this frame, which needs that the one below was left too.
    Branches of unequal width are filled up with states that are never entered.
    """
    depth = leaves.shape[1]
    sizes = [int(leaves[:, e].max()) + 1 for e in range(depth)]
    nodes: list[Node] = []
    for e in range(depth):
        nodes.append(_state(levels, sizes, e))
        if e:
            nodes.append(_exit(levels, sizes, e))
    index = np.zeros(int(np.prod(sizes)), dtype=np.int64)  # states never entered: any leaf will do
    index[np.ravel_multi_index(tuple(leaves.T), tuple(sizes))] = np.arange(len(leaves))
    names = tuple(f"level {e + 1}" for e in range(depth))
    seen = _Spread({"frames": emission}, {"frames": index}, True)
    return DynamicBayesianNetwork(nodes, [Observation("frames", names, seen)])


class _Spread(JointEmission):
    """An emission of leaves as one of all combinations of the levels' states; frames come bare."""

    def checked(self, frames: Any) -> Any:
        return self.parts["frames"].checked(frames)

    def log_likelihood(self, frames: Any) -> Any:
        return self.parts["frames"].log_likelihood(frames)[:, self.indices["frames"]]


def _parents(e: int) -> tuple[str, ...]:
    return tuple(f"level {d + 1}" for d in range(e))


def _state(levels: dict[tuple[int, ...], Level], sizes: list[int], e: int) -> Node:
    """p(state of level e | ancestors now; own state, whether the level below was left, whether this one was left, before)."""
    n, last = sizes[e], e == len(sizes) - 1
    initial = np.zeros((*sizes[:e], n))
    initial[..., 0] = 1.0  # under ancestors that are never entered
    step = np.zeros((*sizes[:e], n, n))
    step[...] = np.eye(n)
    for path, level in levels.items():
        if len(path) == e:
            k = len(level.start)
            initial[path] = np.pad(level.start, (0, n - k))
            stay = 1 - level.transitions[:, -1:]  # given that the level is not left
            rows = np.where(stay > 0, level.transitions[:, :-1] / np.where(stay > 0, stay, 1.0), np.eye(k))
            step[path][:k, :k] = rows
    # axes: own state before, ancestors now, own state now
    moved = np.moveaxis(step, -2, 0)
    entered = np.broadcast_to(initial, moved.shape)
    kept = np.broadcast_to(np.eye(n).reshape(n, *[1] * e, n), moved.shape)
    below = moved[:, None] if last else np.stack([kept, moved], axis=1)
    previous = (f"level {e + 1}", *(() if last else (f"exit {e + 2}",)))
    table = below
    if e:
        table = np.stack([below, np.broadcast_to(entered[:, None], below.shape)], axis=2)
        previous = (*previous, f"exit {e + 1}")
    if last:
        table = table[:, 0]
    return Node(f"level {e + 1}", n, np.ascontiguousarray(table), _parents(e), previous, initial)


def _exit(levels: dict[tuple[int, ...], Level], sizes: list[int], e: int) -> Node:
    """p(level e is left | states of levels 1 to e, whether the level below is left)."""
    last = e == len(sizes) - 1
    leave = np.zeros(tuple(sizes[: e + 1]))
    for path, level in levels.items():
        if len(path) == e:
            leave[path][: len(level.start)] = level.transitions[:, -1]
    both = np.stack([1 - leave, leave], axis=-1)
    if last:
        return Node(f"exit {e + 1}", 2, both, _parents(e + 1))
    never = np.broadcast_to(np.array([1.0, 0.0]), both.shape)
    table = np.stack([never, both], axis=-2)
    return Node(f"exit {e + 1}", 2, table, (*_parents(e + 1), f"exit {e + 2}"))
