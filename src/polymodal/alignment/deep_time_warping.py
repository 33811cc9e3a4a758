"""Deep canonical time warping: canonical time warping on the outputs of one network a modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from polymodal.alignment._costs import frames
from polymodal.alignment.answer import Alignment
from polymodal.alignment.canonical_time_warping import CanonicalTimeWarping
from polymodal.alignment.dtw import DTW
from polymodal.core.errors import ModalityError
from polymodal.core.linalg import canonical_pairs
from polymodal.core.random import RandomState
from polymodal.core.typing import Float, Int
from polymodal.nn.mlp import MLP
from polymodal.objectives.correlation import correlation_loss
from polymodal.training.devices import choose_device
from polymodal.training.seeding import seeded

Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class DeepWarp:
    """Networks that make two modalities comparable frame by frame; an aligner for new pairs.

    Attributes:
        alignments: Those of the pairs it was learned from.
        correlations: Of the components, along the paths of the best round.
        history: 1 - the mean correlation after each round; a round may be worse than the one before, the best is kept.
        method: How it was learned.
    """

    alignments: tuple[Alignment, ...]
    correlations: Float[np.ndarray, " k"]
    history: tuple[float, ...]
    method: DeepTimeWarping
    towers: tuple[_Tower, _Tower]

    def project_a(self, a: Any) -> Float[np.ndarray, "t k"]:
        """Frames of a sequence of the first modality in the shared space."""
        return self._project(0, a, "a")

    def project_b(self, b: Any) -> Float[np.ndarray, "t k"]:
        """Frames of a sequence of the second modality in the shared space."""
        return self._project(1, b, "b")

    def align(self, a: Any, b: Any) -> Alignment:
        """The path of a pair, new or not: dynamic time warping in the shared space."""
        (_, rate_a), (_, rate_b) = frames(a, "a"), frames(b, "b")
        found = DTW("sqeuclidean").align(self.project_a(a), self.project_b(b))
        return Alignment.of_path(
            found.path, (found.length_a, found.length_b), self, cost=found.cost, rates=(rate_a, rate_b)
        )

    def align_costs(self, costs: Any) -> Alignment:
        """Refused, as by the method that learned it.

        Raises:
            ModalityError: always.
        """
        return self.method.align_costs(costs)

    def __repr__(self) -> str:
        return f"DeepWarp(of {len(self.alignments)} pairs, by {self.method})"

    def _project(self, side: int, sequence: Any, name: str) -> Float[np.ndarray, "t k"]:
        x, _ = frames(sequence, name)
        tower = self.towers[side]
        if x.shape[1] != len(tower.mean):
            raise ModalityError(
                f"The warp was learned with {len(tower.mean)} features in {name}, got {x.shape[1]}. Give sequences measured as those "
                "were."
            )
        return tower(x)


@dataclass(frozen=True)
class DeepTimeWarping:
    r"""Warp paths, and one network f a modality, such that $f_a(a_i)$ and $f_b(b_j)$ are most correlated along the paths.

    Rounds of two steps: the networks are trained for some steps on `correlation_loss` of the paths' pairs (all pairs of sequences
    together), and each path is found anew by dynamic time warping of their canonical projections. Paths start from the straight
    line and the networks from small random weights, so that early rounds see what is smooth. Unlike
    `CanonicalTimeWarping` no round is sure to improve; the best is kept. A network can learn a single short pair by heart, with any path:
    give several pairs, which share the networks.

    Args:
        n_components: Outputs of each network, and directions compared.
        width: Features of each hidden layer.
        depth: Hidden layers; 0 is a linear map.
        n_iter: Rounds.
        n_steps: Steps of AdamW in each round, each over all frames.
        learning_rate: Its step size.
        reg: Added to the variance of each (standardised) output.
        random_state: Of the networks' first weights.
        device: Where to train: "auto", "cpu", "cuda:1", ...

    Relations:
        * another unit or zero of any feature: the same networks and paths.
        * the alignments of the pairs it was learned from are what `align` gives for them.

    References: Trigeorgis, Nicolaou, Zafeiriou & Schuller 2016 (CVPR).
    """

    n_components: int = 2
    width: int = 64
    depth: int = 2
    n_iter: int = 10
    n_steps: int = 20
    learning_rate: float = 3e-3
    reg: float = 1e-2
    random_state: RandomState = None
    device: str = "auto"

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("n_components", "width", "n_iter", "n_steps")}
        if min(counts.values()) < 1 or self.depth < 0 or self.learning_rate <= 0 or self.reg < 0:
            raise ModalityError(
                f"DeepTimeWarping needs {', '.join(counts)} of at least 1, depth and reg >= 0 and learning_rate > 0, got {self}."
            )

    def align(self, a: Any, b: Any) -> Alignment:
        """Learn from this pair alone, and align it."""
        return self.fit([(a, b)]).alignments[0]

    def align_costs(self, costs: Any) -> Alignment:
        """Refused: the costs are what this method learns.

        Raises:
            ModalityError: always.
        """
        return CanonicalTimeWarping().align_costs(costs)

    def fit(self, pairs: Sequence[Any]) -> DeepWarp:
        """Learn the networks and the paths of all pairs.

        Args:
            pairs: (a, b): sequences of the two modalities, of any lengths; each modality with its own number of features.

        Raises:
            ModalityError: no pairs, NaN, unlike numbers of features within a modality, or one that is constant.
        """
        data = _checked(pairs)
        towers = self._towers(data)
        bounds = [np.cumsum([0] + [len(pair[side]) for pair in data]) for side in (0, 1)]
        flat = [np.concatenate([pair[side] for pair in data]) for side in (0, 1)]
        paths = [_line(len(x), len(y)) for x, y in data]
        history: list[float] = []
        best: tuple[list[Any], np.ndarray] | None = None
        for _ in range(self.n_iter):
            index = [
                np.concatenate([path[:, s] + bounds[s][k] for k, path in enumerate(paths)]) for s in (0, 1)
            ]
            self._train(towers, flat, index)
            self._read_out(towers, flat, index)
            found = [DTW("sqeuclidean").align(towers[0](x), towers[1](y)) for x, y in data]
            paths = [one.path for one in found]
            index = [
                np.concatenate([path[:, s] + bounds[s][k] for k, path in enumerate(paths)]) for s in (0, 1)
            ]
            correlations = _correlations(*(towers[s](flat[s])[index[s]] for s in (0, 1)))
            history.append(float(1 - correlations.mean()))
            if best is None or history[-1] <= min(history):
                best = [tower.state() for tower in towers], correlations
        if best is None:  # pragma: no cover - n_iter is at least 1
            raise RuntimeError("No round was run.")
        for tower, state in zip(towers, best[0], strict=True):
            tower.restore(state)
        warp = DeepWarp((), best[1], tuple(history), self, towers)
        return DeepWarp(tuple(warp.align(x, y) for x, y in pairs), best[1], tuple(history), self, towers)

    def _towers(self, data: Pairs) -> tuple[_Tower, _Tower]:
        device = choose_device(self.device)
        with seeded(self.random_state):
            made = [_Tower.of([pair[side] for pair in data], "ab"[side], self, device) for side in (0, 1)]
        return made[0], made[1]

    def _train(self, towers: tuple[_Tower, _Tower], flat: list[np.ndarray], index: list[np.ndarray]) -> None:
        inputs = [tower.standardised(x) for tower, x in zip(towers, flat, strict=True)]
        rows = [torch.as_tensor(at, device=x.device) for at, x in zip(index, inputs, strict=True)]
        weights = [w for tower in towers for w in tower.network.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=1e-2)
        for _ in range(self.n_steps):
            optimizer.zero_grad()
            z = [tower.network(x)[at] for tower, x, at in zip(towers, inputs, rows, strict=True)]
            loss = correlation_loss(z[0], z[1], reg=self.reg)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _read_out(
        self, towers: tuple[_Tower, _Tower], flat: list[np.ndarray], index: list[np.ndarray]
    ) -> None:
        """The canonical directions of the outputs along the paths: unit variance, uncorrelated, and of one sign."""
        outputs = [tower.raw(x) for tower, x in zip(towers, flat, strict=True)]
        u, v = (z[at] - z[at].mean(axis=0) for z, at in zip(outputs, index, strict=True))
        found = canonical_pairs(u.T @ u / len(u), v.T @ v / len(v), u.T @ v / len(u), reg=1e-6)
        for tower, z, at, weights in zip(
            towers, outputs, index, (found.weights_a, found.weights_b), strict=True
        ):
            tower.weights, tower.offset = weights, z[at].mean(axis=0)


@dataclass(eq=False)
class _Tower:
    """One modality's way into the shared space: standardise, network, canonical read-out."""

    mean: np.ndarray
    scale: np.ndarray
    network: nn.Module
    device: torch.device
    weights: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, sequences: list[np.ndarray], name: str, how: DeepTimeWarping, device: torch.device) -> _Tower:
        x = np.concatenate(sequences)
        mean, scale = x.mean(axis=0), x.std(axis=0)
        constant = scale <= 1e-12 * np.abs(x).max(axis=0)
        if constant.all():
            raise ModalityError(
                f"Canonical time warping needs sequences that change; all {len(x)} frames of {name} are equal. Leave that modality out."
            )
        network = MLP(x.shape[1], how.n_components, width=how.width, depth=how.depth).to(device)
        k = how.n_components
        return cls(mean, np.where(constant, np.inf, scale), network, device, np.eye(k), np.zeros(k))

    def standardised(self, x: np.ndarray) -> torch.Tensor:
        return torch.as_tensor((x - self.mean) / self.scale, dtype=torch.float32, device=self.device)

    def raw(self, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            z: np.ndarray = self.network(self.standardised(x)).double().cpu().numpy()
        return z

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray((self.raw(x) - self.offset) @ self.weights)

    def state(self) -> tuple[dict[str, torch.Tensor], np.ndarray, np.ndarray]:
        kept = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        return kept, self.weights, self.offset

    def restore(self, state: tuple[dict[str, torch.Tensor], np.ndarray, np.ndarray]) -> None:
        kept, self.weights, self.offset = state
        self.network.load_state_dict(kept)


def _checked(pairs: Sequence[Any]) -> Pairs:
    if not isinstance(pairs, Sequence) or not len(pairs) or any(len(pair) != 2 for pair in pairs):
        raise ModalityError(
            f"DeepTimeWarping needs a list of pairs (a, b) of sequences, at least one, got {type(pairs).__name__} of {len(pairs)}."
        )
    data = [
        (frames(a, f"a of pair {k}")[0], frames(b, f"b of pair {k}")[0]) for k, (a, b) in enumerate(pairs)
    ]
    for side, name in ((0, "a"), (1, "b")):
        sizes = sorted({pair[side].shape[1] for pair in data})
        if len(sizes) > 1:
            raise ModalityError(
                f"All sequences {name} must have the same features, got {sizes}. One network reads all of them."
            )
    return data


def _line(n: int, m: int) -> Int[np.ndarray, "p 2"]:
    u = np.linspace(0, 1, n + m)
    return np.unique(np.rint(np.stack([u * (n - 1), u * (m - 1)], axis=1)).astype(np.int64), axis=0)


def _correlations(u: np.ndarray, v: np.ndarray) -> Float[np.ndarray, " k"]:
    u, v = u - u.mean(axis=0), v - v.mean(axis=0)
    scale = np.sqrt((u**2).sum(axis=0) * (v**2).sum(axis=0))
    return np.asarray((u * v).sum(axis=0) / np.where(scale > 0, scale, np.inf))
