"""Supervised alignment: learn from known alignments what makes two frames alike, so that the true path wins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.alignment import _costs
from polymodal.alignment.answer import Aligner, Alignment
from polymodal.alignment.dtw import DTW
from polymodal.alignment.soft_warping import soft_dtw_costs
from polymodal.core.errors import ConfigError, ModalityError, NotFittedError
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState
from polymodal.core.typing import Float, Int, Num
from polymodal.nn.mlp import MLP
from polymodal.training.batches import Batch, Column
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

DEFAULT_TRAINING = Training(max_epochs=30, batch_size=4, learning_rate=1e-2, weight_decay=0.0)


def complete_path(pairs: Num[np.ndarray, "p 2"], length_a: int, length_b: int) -> Int[np.ndarray, "q 2"]:
    """A warping path through known pairs, corner to corner, straight between them.

    Pairs that would lead back in b are raised to the furthest position before them; frames that several pairs name take the mean.

    Args:
        pairs: True (frame of a, frame of b): a whole path, or some landmarks.
        length_a: Frames of a.
        length_b: Frames of b.

    Raises:
        ModalityError: no pairs, or frames that are not there.

    Relations:
        * a warping path comes back as it is.
    """
    given = np.asarray(pairs)
    if given.ndim != 2 or given.shape[1] != 2 or not len(given):
        raise ModalityError(
            f"A known alignment is (pairs, 2) with at least one pair, got shape {given.shape}."
        )
    if given.min() < 0 or (given >= [length_a, length_b]).any():
        raise ModalityError(
            f"A known alignment names frames 0..{length_a - 1} of a and 0..{length_b - 1} of b, got up to {given.max(axis=0).tolist()} "
            f"and down to {given.min(axis=0).tolist()}."
        )
    whole = np.unique(np.rint(given).astype(np.int64), axis=0)
    steps = np.diff(whole, axis=0)
    corners = np.array([[0, 0], [length_a - 1, length_b - 1]])
    is_path = (whole[[0, -1]] == corners).all() and ((steps >= 0) & (steps <= 1)).all()
    if is_path and steps.any(axis=1).all():
        return whole
    rows, place = np.unique(given[:, 0], return_inverse=True)
    columns = np.bincount(place.ravel(), weights=given[:, 1]) / np.bincount(place.ravel())
    points = np.stack([rows, np.maximum.accumulate(columns)], axis=1)
    inner = points[(points > 0).any(axis=1) & (points < corners[1]).any(axis=1)]
    anchors = np.vstack([corners[:1], inner, corners[1:]])
    return _straight(np.rint(anchors).astype(np.int64))


def _straight(anchors: Int[np.ndarray, "p 2"]) -> Int[np.ndarray, "q 2"]:
    """Cells on straight lines from anchor to anchor, each step of at most one frame."""
    parts = [anchors[:1]]
    for start, end in itertools.pairwise(anchors):
        steps = int((end - start).max())
        share = np.arange(1, steps + 1)[:, None] / max(steps, 1)
        parts.append(start + np.floor((end - start) * share + 0.5).astype(np.int64))
    return np.concatenate(parts)


class FrameNetwork(nn.Module):
    """A linear map of standardised frames, and beside it, where `width` is given, a network with one hidden layer."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self, mean: Num[np.ndarray, " d"], scale: Num[np.ndarray, " d"], dim: int, width: int
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.linear = nn.Linear(len(mean), dim, bias=False)
        if len(mean) == dim:  # begin as the distance of standardised frames
            nn.init.eye_(self.linear.weight)
        self.network = MLP(len(mean), dim, width=width) if width else None
        if self.network is not None:
            last = self.network.layers[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, frames: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        """Each frame by itself."""
        x = (frames - self.mean) / self.scale
        out: Tensor = self.linear(x)
        return out if self.network is None else out + self.network(x)


class PairNetwork(nn.Module):
    """The networks of both sides; one and the same where the features are."""

    def __init__(self, a: FrameNetwork, b: FrameNetwork | None) -> None:
        super().__init__()
        self.a = a
        self.b = b

    def forward(
        self, a: Float[Tensor, "n d_a"], b: Float[Tensor, "m d_b"]
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]]:
        """Frames of both in the learned space, where squared distances are costs in nats."""
        return self.a(a), (self.a if self.b is None else self.b)(b)


def path_loss(
    costs: Float[Tensor, "batch n m"], true: Float[Tensor, "batch n m"], lengths: tuple[Tensor, Tensor]
) -> Float[Tensor, " batch"]:
    r"""-log probability of the true path, per cell of it, when $p(A) \propto e^{-\langle A, C \rangle}$ over all warping paths A.

    $$ L = \frac{1}{|P|}\Big(\langle P, C \rangle + \log \sum_A e^{-\langle A, C \rangle}\Big) \ge 0,
       \qquad \partial L / \partial C = \big(P - E[A]\big) / |P| $$

    Args:
        costs: Cost of each pair of frames, in nats.
        true: 1 on the true path, 0 elsewhere.
        lengths: Frames in use of each a and each b.

    Relations:
        * 0 where there is one path only (length one on a side).
        * large costs everywhere but on the true path: 0.
    """
    cells = true.sum(dim=(1, 2))
    loss: Tensor = (
        (true * costs).sum(dim=(1, 2)) - soft_dtw_costs(costs, gamma=1.0, lengths=lengths)
    ) / cells
    return loss


class SupervisedAligner:
    r"""Time warping with a learned cost: frames go through networks that make known alignments the likeliest of all paths.

    $$ c_{ij} = \lVert f(x_i) - g(y_j) \rVert^2, \qquad \min_{f, g} \sum_{\text{pairs}} -\log p(\text{true path}) $$

    With as many features on both sides f = g unless `shared=False`, and learning begins at the distance of standardised frames; so what
    is learned is where that distance is wrong. Other features on each side, or other modalities, work the same.

    Args:
        n_components: Features of the learned space; None is the smaller number of features.
        width: Width of a hidden layer beside the linear map; 0 is a linear map alone (a learned Mahalanobis distance).
        shared: Whether both sides use one network; None does where they have as many features.
        aligner: What finds the path in the learned space; `DTW("sqeuclidean")`, whose costs are those learned.
        crop: Training looks at pieces of true paths with at most so many frames a side, a new one in each round.
        training: How to train.
        random_state: Fixes weights, order and pieces.

    Attributes:
        module_: The networks.
        history_: Losses per epoch.

    Raises:
        ModalityError: numbers of sequences or of alignments that differ, frames that are not there, or no two sequences.

    Complexity:
        O(crop^2) per pair and round; aligning as the aligner.

    Relations:
        * before any training (and equal features): DTW of standardised frames.

    References:
        Sequence models over paths: Lafferty et al. 2001. Soft-DTW as their normaliser: Cuturi and Blondel 2017.
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        width: int = 0,
        shared: bool | None = None,
        aligner: Aligner | None = None,
        crop: int = 256,
        training: Training = DEFAULT_TRAINING,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.shared = shared
        self.aligner = aligner
        self.crop = crop
        self.training = training
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"SupervisedAligner({self.n_components}, width={self.width})"

    # --- learning ---------------------------------------------------------------------------------------------------

    def fit(self, a: Sequence[Any], b: Sequence[Any], alignments: Sequence[Any]) -> SupervisedAligner:
        """Learn from pairs of sequences and what is known of their alignment; returns itself.

        Args:
            a: Sequences, (frames,) or (frames, features), or a `Ragged`.
            b: The other of each pair.
            alignments: For each pair (p, 2): a path, landmarks (note onsets, word ends), or an `Alignment`.
        """
        if self.crop < 2 or self.width < 0 or (self.n_components is not None and self.n_components < 1):
            raise ConfigError(
                f"SupervisedAligner needs crop >= 2, width >= 0 and n_components >= 1 or None, got {self.crop}, {self.width} and "
                f"{self.n_components}."
            )
        if not len(a) == len(b) == len(alignments) or not len(a):
            raise ModalityError(
                f"SupervisedAligner learns from pairs and an alignment of each: got {len(a)} of a, {len(b)} of b and {len(alignments)} "
                "alignments."
            )
        x, y = (
            [_costs.frames(s, f"{side}[{k}]")[0] for k, s in enumerate(all_)]
            for side, all_ in (("a", a), ("b", b))
        )
        for side in (x, y):
            for s in side:
                _costs.same_features(side[0], s)
        paths = [
            complete_path(np.asarray(getattr(known, "path", known)), len(s), len(t))
            for s, t, known in zip(x, y, alignments, strict=True)
        ]
        data = Modalities({"a": Ragged.of(x), "b": Ragged.of(y)})
        with seeded(self.random_state) as seed:
            module = self._build(np.concatenate(x), np.concatenate(y))
        self.history_ = train(
            module,
            self._loss(paths),
            data,
            collates={"a": _collate, "b": _collate},
            options=self.training,
            random_state=None if self.random_state is None else seed,
        )
        self.module_ = module
        return self

    def _build(self, a: Float[np.ndarray, "n d_a"], b: Float[np.ndarray, "m d_b"]) -> PairNetwork:
        dims = a.shape[1], b.shape[1]
        shared = dims[0] == dims[1] if self.shared is None else self.shared
        if shared and dims[0] != dims[1]:
            raise ModalityError(
                f"shared=True needs as many features of a as of b, got {dims[0]} and {dims[1]}. Leave shared=None."
            )
        dim = self.n_components or min(dims)
        if shared:
            return PairNetwork(FrameNetwork(*_moments(np.concatenate([a, b])), dim, self.width), None)
        return PairNetwork(*(FrameNetwork(*_moments(side), dim, self.width) for side in (a, b)))

    def _loss(self, paths: Sequence[Int[np.ndarray, "_ 2"]]) -> Any:
        def loss(module: nn.Module, batch: Batch) -> Tensor:
            pieces = [_piece(paths[int(row)], self.crop, training=module.training) for row in batch.rows]
            a, b = batch.columns["a"], batch.columns["b"]
            matrices = []
            for k, piece in enumerate(pieces):
                (i, j), (last_i, last_j) = piece[0], piece[-1]
                f, g = module(_frames_of(a, k)[i : last_i + 1], _frames_of(b, k)[j : last_j + 1])
                matrices.append(_squares(f, g))
            n, m = (torch.tensor([c.shape[axis] for c in matrices]) for axis in (0, 1))
            costs = torch.stack([
                nn.functional.pad(c, (0, int(m.max()) - c.shape[1], 0, int(n.max()) - c.shape[0])) for c in matrices
            ])  # fmt: skip
            true = torch.zeros_like(costs)
            for k, piece in enumerate(pieces):
                at = torch.from_numpy(piece - piece[0])
                true[k, at[:, 0], at[:, 1]] = 1.0
            return path_loss(costs, true, (n, m)).mean()

        return loss

    # --- using ------------------------------------------------------------------------------------------------------

    def align(self, a: Any, b: Any) -> Alignment:
        """Which frame of a goes with which of b, by the learned costs.

        Raises:
            NotFittedError: before `fit`.
            ModalityError: other numbers of features than were learned.
        """
        (x, rate_a), (y, rate_b) = _costs.frames(a, "a"), _costs.frames(b, "b")
        f, g = self.embed(x, y)
        aligner = DTW("sqeuclidean") if self.aligner is None else self.aligner
        return aligner.align(Ragged.of([f], rate=rate_a), Ragged.of([g], rate=rate_b))

    def align_costs(self, costs: Any) -> Alignment:
        """As the aligner within: costs that are given need no learning."""
        return (DTW("sqeuclidean") if self.aligner is None else self.aligner).align_costs(costs)

    def embed(
        self, a: Num[np.ndarray, "n ..."], b: Num[np.ndarray, "m ..."]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "m k"]]:
        """Frames of both in the learned space, where the squared distance is the learned cost."""
        if not hasattr(self, "module_"):
            raise NotFittedError(
                "This SupervisedAligner has learned nothing yet. Call fit(a, b, alignments) first."
            )
        x, y = (_costs.frames(s, name)[0] for s, name in ((a, "a"), (b, "b")))
        wanted = [len(net.mean) for net in (self.module_.a, self.module_.b or self.module_.a)]
        if [x.shape[1], y.shape[1]] != wanted:
            raise ModalityError(
                f"Learned on frames of {wanted[0]} (a) and {wanted[1]} (b) features, got {x.shape[1]} and {y.shape[1]}."
            )
        with torch.no_grad():
            f, g = self.module_(*(torch.as_tensor(s, dtype=torch.float32) for s in (x, y)))
        return f.double().numpy(), g.double().numpy()


def _squares(f: Float[Tensor, "n k"], g: Float[Tensor, "m k"]) -> Float[Tensor, "n m"]:
    return (f.square().sum(1)[:, None] + g.square().sum(1) - 2 * f @ g.T).clamp_min(0)


def _moments(frames: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each feature; a constant one keeps scale 1."""
    scale = frames.std(axis=0)
    return frames.mean(axis=0), np.where(scale > 1e-12 * np.abs(frames).max(axis=0), scale, 1.0)


def _collate(sequences: Ragged) -> dict[str, Tensor]:
    values, mask = sequences.pad()
    return {
        "frames": torch.as_tensor(values, dtype=torch.float32),
        "length": torch.as_tensor(mask.sum(axis=1), dtype=torch.int64),
    }


def _frames_of(column: Column, row: int) -> Float[Tensor, "t d"]:
    assert isinstance(column.values, dict)
    at = int(column.index[row])
    frames: Tensor = column.values["frames"][at, : int(column.values["length"][at])]
    return frames


def _piece(path: Int[np.ndarray, "p 2"], crop: int, *, training: bool) -> Int[np.ndarray, "q 2"]:
    """A piece of a path within `crop` frames a side: anywhere while training, else the first."""
    spans = path[-1] - path[0]
    if (spans < crop).all():
        return path
    ends = np.minimum(*(np.searchsorted(path[:, axis], path[:, axis] + crop, side="left") for axis in (0, 1)))
    last = int(np.flatnonzero(ends == len(path))[0])  # from here on the piece would reach the end
    start = int(torch.randint(last + 1, (1,))) if training else 0
    return path[start : ends[start]]
