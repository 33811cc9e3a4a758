"""Hierarchical hidden Markov models: states that are hidden Markov models themselves, flattened for exact inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.alignment._markov_chain import Chain, Expected, climb, expected
from polymodal.alignment._markov_model import MarkovModel, checked
from polymodal.alignment._markov_sequences import Sequences
from polymodal.alignment.emissions import Emission, Gaussian, dirichlet, first_labels, normalised
from polymodal.alignment.hidden_markov import Ergodic, HiddenMarkovModel, Topology
from polymodal.core.errors import ModalityError
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int

if TYPE_CHECKING:
    from polymodal.alignment.dynamic_bayesian import DynamicBayesianNetwork

Tree = int | Sequence[Any]  # how many leaves, or the trees of the children
Path = tuple[int, ...]
EXIT = 0.1  # first probability of leaving a level


@dataclass(frozen=True, eq=False)
class Level:
    """One inner state: the chain of its children.

    Args:
        start: Probability of each child on entering.
        transitions: Row i: what follows child i, each child and, in the last column, leaving to the level above (never at the top).
    """

    start: Float[np.ndarray, " n"]
    transitions: Float[np.ndarray, "n n1"]


Levels = dict[Path, Level]


class HierarchicalHMM(MarkovModel):
    r"""A tree of states. A leaf emits a frame; an inner state runs the chain of its children until one of them leaves it.

    Entering goes down by `start`, leaving goes up by the last column of `transitions`; the next state of the level then
    reached is drawn there. Between two frames one may leave k levels, step, and enter k levels:
    $a_{ij} = \sum_d \prod_{e > d} \text{exit}_e(i) \; A_d(i, j) \prod_{e > d} \text{start}_e(j)$.
    So the leaves are a flat chain, and inference is exact. `posteriors`, `viterbi`, `predict` and `align` speak of leaves,
    numbered from left to right; `levels` and `level_posteriors` of every level.

    Args:
        tree: Number of leaves under each inner state, nested: (3, 2) is two states of three and of two leaves,
            ((2, 2), (2, 3)) has one more level; a bare number is a plain hidden Markov model. All leaves are equally deep.
        emission: What a leaf emits.
        topologies: Of each level from the top; `Ergodic()` unless given. A level can be left where its topology may end.
        prior: Times that every possible start, transition and exit is taken to have been seen before, >= 0.
        max_iter: Most steps of a fit.
        tol: A fit ends when a step gains less than this many nats per frame.
        n_init: Fits from different starts, of which the best is kept.
        random_state: Seed of the starts.

    Attributes:
        levels_: Path from the root, () first -> `Level`.
        emission_: The emission with its parameters.

    Complexity: A step of the fit is O(frames J^2), J leaves.

    Relations:
        * flat() has the same log-likelihood, posteriors and best path.
        * one level: a `HiddenMarkovModel`.
        * as_network() (states and exits of every level as nodes) has the same log-likelihood.

    References: Fine, Singer & Tishby 1998; Murphy & Paskin 2001.
    """

    levels_: Levels
    emission_: Emission

    def __init__(
        self,
        tree: Tree = (2, 2),
        *,
        emission: Emission | None = None,
        topologies: Sequence[Topology] | None = None,
        prior: float = 0.0,
        max_iter: int = 100,
        tol: float = 1e-6,
        n_init: int = 1,
        random_state: RandomState = None,
    ) -> None:
        self.tree = tree
        self.emission = emission
        self.topologies = topologies
        self.prior = prior
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.random_state = random_state

    @classmethod
    def of(cls, levels: Levels, emission: Emission) -> HierarchicalHMM:
        """A model of known parameters.

        Args:
            levels: Path of every inner state, () the root, (0,) its first child -> its `Level`.
            emission: With parameters for every leaf.
        """
        model = cls(_tree_of(levels, ()), emission=emission)
        paths = model.leaves
        for path, level in levels.items():
            n = len(level.start)
            sums = np.append(level.transitions.sum(1), level.start.sum())
            if (
                level.transitions.shape != (n, n + 1)
                or not np.allclose(sums, 1)
                or (not path and level.transitions[:, -1].any())
            ):
                raise ModalityError(
                    f"Level {path} of {n} children needs start ({n},) and transitions ({n}, {n + 1}) whose rows sum to 1, "
                    f"the last column (exit) being 0 at the top; got {level.transitions.shape} with sums {sums[:5].round(4).tolist()}."
                )
        if emission.n_states != len(paths):
            raise ModalityError(
                f"The tree has {len(paths)} leaves, the emission parameters for {emission.n_states}."
            )
        model.levels_, model.emission_, model.history_, model.converged_ = dict(levels), emission, [], True
        return model

    @property
    def leaves(self) -> Int[np.ndarray, "j depth"]:
        """Path of each leaf: which child at each level, from the top."""
        paths = _leaf_paths(self.tree)
        if len({len(p) for p in paths}) != 1:
            raise ModalityError(
                f"HierarchicalHMM needs leaves of one depth, got depths {sorted({len(p) for p in paths})} in {self.tree}. "
                "Give a shallow leaf a level of its own: (1, ...)."
            )
        return np.array(paths, dtype=np.int64)

    def fit(self, sequences: Any, y: Any = None) -> HierarchicalHMM:
        """Baum-Welch over starts, transitions and exits of every level. `y` is not used."""
        emission = self.emission if self.emission is not None else Gaussian()
        data = checked(sequences, emission)
        if not data.total or self.n_init < 1 or self.max_iter < 1:
            raise ModalityError(
                f"HierarchicalHMM needs at least one frame, n_init >= 1 and max_iter >= 1; "
                f"got {data.total}, {self.n_init}, {self.max_iter}."
            )
        rng = generator(self.random_state)
        best: tuple[tuple[Levels, Emission], list[float], bool] | None = None
        for trial in range(self.n_init):
            begun = self._started(emission, data, rng, shuffled=trial > 0)
            found = climb(
                (self._first_levels(), begun),
                lambda model: self._step(model, data),
                frames=data.total,
                max_iter=self.max_iter,
                tol=self.tol,
            )
            if best is None or found[1][-1] > best[1][-1]:
                best = found
        assert best is not None
        (self.levels_, self.emission_), self.history_, self.converged_ = best
        return self

    def _started(
        self, emission: Emission, data: Sequences, rng: np.random.Generator, *, shuffled: bool
    ) -> Emission:
        """Clusters of frames as leaves; clusters that follow each other often are put under one inner state."""
        j = len(self.leaves)
        if emission.n_states is not None:
            return emission
        labels = first_labels(emission, data.frames, j, rng)
        if labels is not None:
            order = rng.permutation(j) if shuffled else _neighbours(labels, j)
            place = np.empty(j, dtype=np.int64)
            place[order] = np.arange(j)
            labels = place[labels]
        return emission.started(data.frames, labels, j, rng)

    def _first_levels(self) -> Levels:
        leaves = self.leaves
        depth = leaves.shape[1]
        topologies = list(self.topologies) if self.topologies is not None else [Ergodic()] * depth
        if len(topologies) != depth:
            raise ModalityError(f"The tree has {depth} levels, got {len(topologies)} topologies.")
        levels = {}
        for path in _inner_paths(leaves):
            here = leaves[(leaves[:, : len(path)] == path).all(1)]
            n = int(here[:, len(path)].max()) + 1
            chain = topologies[len(path)].chain(n)
            leave = np.where(chain.end > 0, EXIT if path else 0.0, 0.0)[:, None]
            levels[path] = Level(chain.start, np.hstack([chain.transitions * (1 - leave), leave]))
        return levels

    def _step(self, model: tuple[Levels, Emission], data: Sequences) -> tuple[float, tuple[Levels, Emission]]:
        levels, emission = model
        terms, start = _terms(levels, self.leaves)
        found = expected(Chain.of(start, terms.sum(0)), emission, data)
        objective = found.log_likelihood + emission.log_prior()
        objective += sum(dirichlet(p, self.prior) for v in levels.values() for p in (v.start, v.transitions))
        return objective, (
            _maximised(levels, self.leaves, terms, found, self.prior),
            emission.maximised(found.emission),
        )

    def _chain(self) -> Chain:
        terms, start = _terms(self.levels_, self.leaves)
        return Chain.of(start, terms.sum(0))

    def _emission(self) -> Emission:
        return self.emission_

    def flat(self) -> HiddenMarkovModel:
        """The plain hidden Markov model of the leaves."""
        self._check_fitted()
        chain = self._chain()
        return HiddenMarkovModel.of(chain.start, chain.transitions, self.emission_)

    def levels(self, sequences: Any) -> Ragged:
        """The best path, level by level: (depth,) children from the top for each frame."""
        states = self.predict(sequences)
        return Ragged(self.leaves[states.values], states.offsets, states.rate)

    def level_posteriors(self, sequences: Any, level: int) -> Ragged:
        """Probability of every inner state (or leaf) of one level, 1 the topmost, at each frame; from left to right in the tree."""
        leaves = self.leaves
        if not 1 <= level <= leaves.shape[1]:
            raise ModalityError(f"The tree has levels 1 to {leaves.shape[1]}, got {level}.")
        _, which = np.unique(leaves[:, :level], axis=0, return_inverse=True)
        share = np.eye(int(which.max()) + 1)[which.ravel()]
        posteriors = self.posteriors(sequences)
        return Ragged(posteriors.values @ share, posteriors.offsets, posteriors.rate)

    def as_network(self) -> DynamicBayesianNetwork:
        """The same model as a network: a node "level d" for the state of each level and "exit d" for whether it was left."""
        from polymodal.alignment._hierarchy_network import hierarchy_network

        self._check_fitted()
        return hierarchy_network(self.levels_, self.leaves, self.emission_)


def _leaf_paths(tree: Tree) -> list[Path]:
    if isinstance(tree, int | np.integer):
        if tree < 1:
            raise ModalityError(f"HierarchicalHMM needs at least one child under every state, got {tree}.")
        return [(i,) for i in range(tree)]
    if not len(tree):
        raise ModalityError("HierarchicalHMM needs at least one child under every state, got none.")
    return [(i, *rest) for i, child in enumerate(tree) for rest in _leaf_paths(child)]


def _inner_paths(leaves: Int[np.ndarray, "j depth"]) -> list[Path]:
    return sorted({tuple(int(x) for x in row[:e]) for row in leaves for e in range(leaves.shape[1])})


def _tree_of(levels: Levels, path: Path) -> Tree:
    if path not in levels:
        raise ModalityError(f"Level {path} is missing; given are {sorted(levels)}.")
    n = len(levels[path].start)
    if (*path, 0) not in levels:
        return n
    return tuple(_tree_of(levels, (*path, i)) for i in range(n))


def _terms(
    levels: Levels, leaves: Int[np.ndarray, "j depth"]
) -> tuple[Float[np.ndarray, "depth j j"], Float[np.ndarray, " j"]]:
    """For each depth d, the probability of going from leaf to leaf by a step at depth d; and of each first leaf."""
    j, depth = leaves.shape
    rows = [tuple(int(x) for x in row) for row in leaves]
    start = np.array([[levels[r[:e]].start[r[e]] for e in range(depth)] for r in rows])
    leave = np.array([[levels[r[:e]].transitions[r[e], -1] for e in range(depth)] for r in rows])
    terms = np.zeros((depth, j, j))
    for d in range(depth):
        out, into = leave[:, d + 1 :].prod(1), start[:, d + 1 :].prod(1)
        together = (leaves[:, None, :d] == leaves[None, :, :d]).all(2)
        for a, b in zip(*np.nonzero(together), strict=True):
            terms[d, a, b] = out[a] * levels[rows[a][:d]].transitions[rows[a][d], rows[b][d]] * into[b]
    return terms, start.prod(1)


def _maximised(
    levels: Levels, leaves: np.ndarray, terms: np.ndarray, found: Expected, prior: float
) -> Levels:
    """Each flat transition's count is shared out among the depths by which it may have come about."""
    flat = terms.sum(0)
    counts = terms * np.where(flat > 0, found.transitions / np.where(flat > 0, flat, 1.0), 0.0)
    fresh = {}
    for path, level in levels.items():
        e, n = len(path), len(level.start)
        under = (leaves[:, :e] == path).all(1)
        child = np.eye(n)[leaves[under, e]]  # leaves below, by child
        across = child.T @ counts[e][np.ix_(under, under)] @ child
        above = counts[:e].sum(0) if e else np.zeros_like(flat)
        left = child.T @ above[under].sum(1)
        entered = child.T @ (above[:, under].sum(0) + found.start[under])
        fresh[path] = Level(
            normalised(entered + prior, level.start),
            normalised(np.hstack([across, left[:, None]]) + prior, level.transitions),
        )
    return fresh


def _neighbours(labels: Int[np.ndarray, " n"], k: int) -> Int[np.ndarray, " k"]:
    """Clusters in an order that puts those that follow each other often side by side."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if k < 3:
        return np.arange(k)
    follows = np.zeros((k, k))
    np.add.at(follows, (labels[:-1], labels[1:]), 1)
    follows += follows.T
    size = np.maximum(np.bincount(labels, minlength=k), 1)
    near = follows / np.sqrt(np.outer(size, size))
    away = near.max() - near
    np.fill_diagonal(away, 0)
    return np.asarray(leaves_list(linkage(squareform(away, checks=False), "average")), dtype=np.int64)
