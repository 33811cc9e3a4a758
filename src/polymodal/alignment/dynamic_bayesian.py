"""Discrete dynamic Bayesian networks of two slices, with exact inference through the chain of joint states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from polymodal.alignment._joint_emission import JointEmission
from polymodal.alignment._markov_chain import Chain
from polymodal.alignment._markov_model import BestPaths, checked
from polymodal.alignment._markov_sequences import Sequences, sequences
from polymodal.alignment.emissions import Emission
from polymodal.core.errors import ModalityError, suggest
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int

MOST_STATES = 8192  # joint: a matrix of transitions of half a GiB


@dataclass(frozen=True, eq=False)
class Node:
    """A discrete variable of every slice.

    Args:
        name: Its name.
        n_states: Its values are 0 to n_states - 1.
        table: From the second slice on: p(value | previous, parents), (states of each of previous, of each of parents, n_states).
        parents: Nodes of the same slice.
        previous: Nodes of the slice before.
        initial: In the first slice: p(value | parents), (states of each of parents, n_states); `table` where there are no previous.
    """

    name: str
    n_states: int
    table: Float[np.ndarray, "..."]
    parents: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    initial: Float[np.ndarray, "..."] | None = None

    @property
    def first(self) -> np.ndarray:
        """The table of the first slice."""
        if self.initial is not None:
            return np.asarray(self.initial, dtype=float)
        if self.previous:
            raise ModalityError(
                f"Node {self.name!r} depends on the slice before, so it needs initial, p(value | parents), for the first."
            )
        return np.asarray(self.table, dtype=float)


@dataclass(frozen=True, eq=False)
class Observation:
    """What is seen of a slice: an emission of the joint state of some nodes, the last of them running fastest.

    Args:
        name: Its name, under which `log_likelihood` and the others take its frames.
        parents: Nodes of the same slice.
        emission: With parameters for the product of the parents' states.
    """

    name: str
    parents: tuple[str, ...]
    emission: Emission


class DynamicBayesianNetwork:
    """A network of two slices: discrete nodes with edges within a slice and from the slice before, and observations.

    Inference is exact: the network is compiled to one chain whose states are the joint states of all nodes.
    Frames are given by observation, {"name": sequences}; nodes that were seen are given the same way, as whole numbers (-1: not seen).

    Args:
        nodes: The nodes, in any order.
        observations: What they emit.
        end: Which joint states a sequence may end in (in `joint_states` order); any unless given.

    Complexity: O(frames J^2), J the product of all nodes' states.

    Relations:
        * the log-likelihood equals the sum over all values of all nodes.
        * nodes without common edges: the sum of their own log-likelihoods.

    References: Murphy 2002.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        observations: Sequence[Observation] = (),
        *,
        end: Float[np.ndarray, " j"] | None = None,
    ) -> None:
        self.nodes = tuple(nodes)
        self.observations = tuple(observations)
        self._by_name = {n.name: n for n in self.nodes}
        self._check()
        self._sizes = [n.n_states for n in self.nodes]
        self.chain = Chain.of(self._joint_start(), self._joint_transitions(), end)
        self._joint = JointEmission(
            {o.name: o.emission for o in self.observations},
            {o.name: self._index(o.parents) for o in self.observations},
        )

    @property
    def joint_states(self) -> Int[np.ndarray, "j nodes"]:
        """The value of every node (columns, in the order given) in every joint state."""
        return np.stack(np.unravel_index(np.arange(int(np.prod(self._sizes))), self._sizes), axis=1)

    # --- the network -------------------------------------------------------------------------------------------

    def _check(self) -> None:
        names = [n.name for n in self.nodes] + [o.name for o in self.observations]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if not self.nodes or doubled:
            raise ModalityError(
                f"A network needs at least one node, and every name once; got {names}, doubled {doubled}."
            )
        edges = [(n.name, p) for n in self.nodes for p in (*n.parents, *n.previous)]
        for child, parent in [*edges, *((o.name, p) for o in self.observations for p in o.parents)]:
            if parent not in self._by_name:
                known = sorted(self._by_name)
                raise ModalityError(
                    f"{child!r} has an unknown parent {parent!r}; nodes are {known}.{suggest(parent, known)}"
                )
        try:
            tuple(TopologicalSorter({n.name: set(n.parents) for n in self.nodes}).static_order())
        except CycleError as error:
            raise ModalityError(
                f"Edges within a slice form a cycle: {' -> '.join(error.args[1])}. One of them must come from the slice before."
            ) from None
        joint = int(np.prod([n.n_states for n in self.nodes]))
        if joint > MOST_STATES:
            raise ModalityError(
                f"The network has {joint} joint states, exact inference takes up to {MOST_STATES}. Use fewer or smaller nodes, or "
                "FactorialHMM, which has a variational approximation."
            )
        self._check_tables()

    def _check_tables(self) -> None:
        for node in self.nodes:
            within, before = self._shape(node.parents), self._shape(node.previous)
            _check_table(node.name, "table", node.table, (*before, *within, node.n_states))
            _check_table(node.name, "initial", node.first, (*within, node.n_states))
        for o in self.observations:
            wanted = int(np.prod(self._shape(o.parents)))
            if o.emission.n_states != wanted:
                raise ModalityError(
                    f"Observation {o.name!r} needs an emission of {wanted} states, one for each joint state of "
                    f"{list(o.parents)}; got {o.emission.n_states}."
                )

    def _shape(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._by_name[name].n_states for name in names)

    def _axes(self, names: Sequence[str]) -> list[int]:
        order = [n.name for n in self.nodes]
        return [order.index(name) for name in names]

    def _joint_start(self) -> Float[np.ndarray, " j"]:
        """Product of the first tables over the joint states of one slice."""
        n, total = len(self.nodes), np.ones(self._sizes)
        for i, node in enumerate(self.nodes):
            total = total * _spread(node.first, [*self._axes(node.parents), i], n)
        return total.ravel()

    def _joint_transitions(self) -> Float[np.ndarray, "j j"]:
        """Product of the tables over joint states of the slice before, and of this one."""
        n, total = len(self.nodes), np.ones((*self._sizes, *self._sizes))
        for i, node in enumerate(self.nodes):
            axes = [*self._axes(node.previous), *(n + a for a in self._axes(node.parents)), n + i]
            total *= _spread(np.asarray(node.table, dtype=float), axes, 2 * n)
        joint = int(np.prod(self._sizes))
        return total.reshape(joint, joint)

    def _index(self, names: Sequence[str]) -> Int[np.ndarray, " j"]:
        """For each joint state, the joint state of some nodes."""
        values = self.joint_states[:, self._axes(names)]
        return np.asarray(np.ravel_multi_index(tuple(values.T), self._shape(names)), dtype=np.int64)

    # --- inference ---------------------------------------------------------------------------------------------

    def _evidence(self, data: Mapping[str, Any]) -> tuple[Sequences, np.ndarray]:
        """Log-densities of every frame in every joint state."""
        if not isinstance(data, Mapping) or not data:
            raise ModalityError("A network needs frames by name, {name: sequences}.")
        known = [o.name for o in self.observations] + list(self._by_name)
        unknown = [name for name in data if name not in known]
        if unknown:
            raise ModalityError(
                f"Unknown names {unknown}; the network has {known}.{suggest(unknown[0], known)}"
            )
        given = sequences(data)
        log_b = np.zeros((given.total, len(self.chain.start)))
        seen = {name: x for name, x in given.frames.items() if name not in self._by_name}
        if seen:
            log_b = self._joint.log_likelihood(
                checked(Sequences(seen, given.offsets, given.rate), self._joint).frames
            )
        for name in self._by_name:
            if name in given.frames:
                self._clamp(log_b, name, np.asarray(given.frames[name]))
        return given, np.ascontiguousarray(log_b)

    def _clamp(self, log_b: np.ndarray, name: str, values: np.ndarray) -> None:
        node = self._by_name[name]
        if (
            values.dtype.kind not in "iub"
            or values.min(initial=-1) < -1
            or values.max(initial=-1) >= node.n_states
        ):
            raise ModalityError(
                f"Node {name!r} takes whole numbers from 0 to {node.n_states - 1} (-1: not seen), got {values.dtype} up to "
                f"{values.max(initial=-1)}."
            )
        column = self.joint_states[:, self._axes([name])[0]]
        for value in range(node.n_states):
            log_b[np.ix_(values == value, column != value)] = -np.inf

    def log_likelihood(self, data: Mapping[str, Any]) -> Float[np.ndarray, " m"]:
        """Log-likelihood of each sequence in nats, summed over everything that was not seen."""
        given, log_b = self._evidence(data)
        return self.chain.log_likelihoods(log_b, given.offsets)

    def posteriors(self, data: Mapping[str, Any]) -> dict[str, Ragged]:
        """For each node, the probability of its values at each frame."""
        given, log_b = self._evidence(data)
        joint = self.chain.expectations(log_b, given.offsets)[0]
        found = {}
        for node in self.nodes:
            share = np.eye(node.n_states)[self.joint_states[:, self._axes([node.name])[0]]]
            found[node.name] = given.ragged(joint @ share)
        return found

    def viterbi(self, data: Mapping[str, Any]) -> dict[str, BestPaths]:
        """The most probable joint values of all nodes, node by node; the log-probability is the joint one."""
        given, log_b = self._evidence(data)
        states, scores = self.chain.best_paths(log_b, given.offsets)
        values = self.joint_states[states]
        return {n.name: BestPaths(given.ragged(values[:, i]), scores) for i, n in enumerate(self.nodes)}

    def sample(self, length: int, random_state: RandomState = None) -> dict[str, Any]:
        """Draw one sequence: the values of every node, and the frames of every observation."""
        rng = generator(random_state)
        states = self.chain.sample(length, rng)
        drawn: dict[str, Any] = {n.name: self.joint_states[states, i] for i, n in enumerate(self.nodes)}
        return drawn | (self._joint.sample(states, rng) if self.observations else {})


def _spread(table: np.ndarray, axes: list[int], n_axes: int) -> np.ndarray:
    """A table brought to `n_axes` axes, its own at `axes`, the others of length one."""
    order = np.argsort(axes)
    shape = [1] * n_axes
    for axis, size in zip(axes, table.shape, strict=True):
        shape[axis] = size
    return np.transpose(table, order).reshape(shape)


def _check_table(name: str, what: str, table: np.ndarray, shape: tuple[int, ...]) -> None:
    table = np.asarray(table, dtype=float)
    if table.shape != shape:
        raise ModalityError(
            f"Node {name!r} needs {what} of shape {shape} (previous, parents, own states), got {table.shape}."
        )
    if (table < 0).any() or not np.allclose(table.sum(-1), 1, atol=1e-8):
        raise ModalityError(
            f"Node {name!r} needs {what} whose last axis sums to 1, got sums from {table.sum(-1).min():.6g} to {table.sum(-1).max():.6g}."
        )
