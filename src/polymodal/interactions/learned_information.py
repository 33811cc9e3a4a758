r"""Bounds of mutual information by networks that are trained: what `polymodal.information.mutual_information` takes as its method.

For numbers of many features, where neighbours are far and normality is far from true. The network is fitted to a part of the
rows, and the bound is computed on the others: on its own rows a fitted critic claims too much. An interval fits a network
for every resample; a few tens are enough.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import seed
from polymodal.core.typing import Float
from polymodal.information.answer import Information
from polymodal.information.bounds import (
    club_upper_bound,
    donsker_varadhan_lower_bound,
    infonce_lower_bound,
    nwj_lower_bound,
)
from polymodal.information.problems import Estimate
from polymodal.objectives.infonce import info_nce_of_scores
from polymodal.training.batches import Batch
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

_LARGEST_LOG_VARIANCE = 8.0


class PairCritic(nn.Module):
    """f(x, y) for every pair of rows: a network with two hidden layers of (x, y), whose first layer is computed row by row.

    Args:
        n_x: Features of x.
        n_y: Features of y.
        hidden: Units of both hidden layers.

    Complexity:
        O(n^2 hidden^2) for n rows, memory n^2 hidden.
    """

    def __init__(self, n_x: int, n_y: int, hidden: int = 64) -> None:
        super().__init__()
        self.from_x = nn.Linear(n_x, hidden)
        self.from_y = nn.Linear(n_y, hidden, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Float[Tensor, "n d_x"], y: Float[Tensor, "m d_y"]) -> Float[Tensor, "n m"]:
        """Scores of all pairs."""
        scores: Tensor = self.rest(self.from_x(x)[:, None] + self.from_y(y)[None])[:, :, 0]
        return scores


class ConditionalNormal(nn.Module):
    """log q(y | x) for every pair of rows: q is normal, its mean and variances are networks of x.

    Args:
        n_x: Features of x.
        n_y: Features of y.
        hidden: Units of the hidden layer of each network.
    """

    def __init__(self, n_x: int, n_y: int, hidden: int = 64) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(n_x, hidden), nn.ReLU(), nn.Linear(hidden, n_y))
        self.log_variance = nn.Sequential(nn.Linear(n_x, hidden), nn.ReLU(), nn.Linear(hidden, n_y))

    def forward(self, x: Float[Tensor, "n d_x"], y: Float[Tensor, "m d_y"]) -> Float[Tensor, "n m"]:
        """Logarithms of densities of all pairs."""
        mean = self.mean(x)
        spread = _LARGEST_LOG_VARIANCE * torch.tanh(self.log_variance(x) / _LARGEST_LOG_VARIANCE)
        distance = (y[None] - mean[:, None]) ** 2 * torch.exp(-spread)[:, None]
        log_density: Tensor = -0.5 * (distance + spread[:, None] + float(np.log(2 * np.pi))).sum(2)
        return log_density


@dataclass(frozen=True)
class _LearnedBound(ABC):
    """Fits a network to some rows, and evaluates the bound on the others."""

    hidden: int = 64
    held_out: float = 0.3
    evaluation_batch: int = 512
    training: Training = field(
        default_factory=lambda: Training(max_epochs=40, batch_size=128, learning_rate=2e-3, progress=False)
    )

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1 or self.hidden < 1 or self.evaluation_batch < 2:
            raise ModalityError(
                f"{type(self).__name__} needs 0 < held_out < 1, hidden >= 1 and evaluation_batch >= 2, "
                f"got {self.held_out}, {self.hidden} and {self.evaluation_batch}."
            )

    def __str__(self) -> str:
        return f"{type(self).__name__}(hidden={self.hidden}, held_out={self.held_out}, max_epochs={self.training.max_epochs})"

    def mutual_information(self, x: Any, y: Any, given: Any, rng: np.random.Generator) -> Estimate:
        """The bound on the held-out rows, averaged over batches of them."""
        if given is not None:
            raise ModalityError(
                f"{type(self).__name__} cannot condition on `given`. Use KSG() or Gaussian()."
            )
        columns = {"x": _numbers(x, "x"), "y": _numbers(y, "y")}
        n = len(columns["x"])
        order = rng.permutation(n)
        n_held = round(n * self.held_out)
        if n_held < 2 or n - n_held < 2:
            raise ModalityError(
                f"{type(self).__name__} needs two rows to fit and two to evaluate, got {n} rows with held_out={self.held_out}."
            )
        held, fitted = order[:n_held], order[n_held:]
        columns = {name: _standardised(values, fitted) for name, values in columns.items()}
        number = seed(rng)
        with seeded(number):
            network = self._network(columns["x"].shape[1], columns["y"].shape[1])
        collate = torch.from_numpy
        train(
            network,
            self._batch_loss,
            Modalities({name: values[fitted] for name, values in columns.items()}),
            collates={"x": collate, "y": collate},
            options=self.training,
            random_state=number,
        )
        return self._evaluated(network, columns["x"][held], columns["y"][held])

    def _evaluated(self, network: nn.Module, x: np.ndarray, y: np.ndarray) -> Estimate:
        parts = np.array_split(np.arange(len(x)), max(1, -(-len(x) // self.evaluation_batch)))
        found = []
        with torch.no_grad():
            for rows in parts:
                scores = network(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]))
                found.append(self._bound(scores.double().numpy()))
        value, limit = np.mean([(part.value, part.limit) for part in found], axis=0)
        return Estimate(float(value), found[0].bound, float(limit))

    def _batch_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        x, y = (column.values[column.index] for column in (batch.columns["x"], batch.columns["y"]))  # type: ignore[index]
        return self._loss(network(x, y))

    def _network(self, n_x: int, n_y: int) -> nn.Module:
        return PairCritic(n_x, n_y, self.hidden)

    @abstractmethod
    def _loss(self, scores: Tensor) -> Tensor:
        """Mean loss of a batch."""

    @abstractmethod
    def _bound(self, scores: np.ndarray) -> Information:
        """The bound in nats."""


@dataclass(frozen=True)
class MINELowerBound(_LearnedBound):
    r"""Donsker and Varadhan's bound, maximised by a network: $E_p[f] - \log E_{p_x p_y}[e^f]$.

    A lower bound up to the bias of the logarithm of a mean, which can lift it above the truth when there are few held-out rows;
    its spread grows like $e^I / n$.

    Args:
        hidden: Units of the critic's two hidden layers.
        held_out: Share of the rows that the critic never sees and the bound is computed on.
        evaluation_batch: Most rows whose pairs are compared at once.
        training: Options of the training.

    Raises:
        ModalityError: labels instead of numbers, too few rows, `given`.

    References: Belghazi et al. 2018.
    """

    def _loss(self, scores: Tensor) -> Tensor:
        others = _off_diagonal(scores)
        return others.logsumexp(0) - float(np.log(len(others))) - scores.diagonal().mean()

    def _bound(self, scores: np.ndarray) -> Information:
        return donsker_varadhan_lower_bound(scores)


@dataclass(frozen=True)
class NWJLowerBound(_LearnedBound):
    r"""Nguyen, Wainwright and Jordan's bound, maximised by a network: $E_p[f] - E_{p_x p_y}[e^{f - 1}]$.

    No bias, a larger spread than MINE's.

    Args:
        hidden: As for `MINELowerBound`.
        held_out: As for `MINELowerBound`.
        evaluation_batch: As for `MINELowerBound`.
        training: As for `MINELowerBound`.

    Raises:
        ModalityError: labels instead of numbers, too few rows, `given`.

    References: Nguyen, Wainwright and Jordan 2010.
    """

    def _loss(self, scores: Tensor) -> Tensor:
        return (_off_diagonal(scores) - 1).exp().mean() - scores.diagonal().mean()

    def _bound(self, scores: np.ndarray) -> Information:
        return nwj_lower_bound(scores)


@dataclass(frozen=True)
class InfoNCELowerBound(_LearnedBound):
    r"""InfoNCE's bound, maximised by a network: the steadiest of the three, and never above the logarithm of the batch.

    The result's `limit` is that logarithm (its mean over the batches of held-out rows): a value near it says only that the truth is
    larger.

    Args:
        hidden: As for `MINELowerBound`.
        held_out: As for `MINELowerBound`.
        evaluation_batch: As for `MINELowerBound`; sets the limit.
        training: As for `MINELowerBound`.

    Raises:
        ModalityError: labels instead of numbers, too few rows, `given`.

    References: van den Oord et al. 2018; Poole et al. 2019.
    """

    def _loss(self, scores: Tensor) -> Tensor:
        return info_nce_of_scores(scores)

    def _bound(self, scores: np.ndarray) -> Information:
        return infonce_lower_bound(scores)


@dataclass(frozen=True)
class CLUBUpperBound(_LearnedBound):
    r"""CLUB with a normal q(y|x) fitted by likelihood: $E_p[\log q(y|x)] - E_{p_x p_y}[\log q(y|x)]$.

    An upper bound where q is close to the truth. Not tight: two normal numbers give $\rho^2 / (1 - \rho^2)$. Not symmetric.

    Args:
        hidden: Units of the hidden layer of the mean and of the variances.
        held_out: As for `MINELowerBound`.
        evaluation_batch: As for `MINELowerBound`.
        training: As for `MINELowerBound`.

    Raises:
        ModalityError: labels instead of numbers, too few rows, `given`.

    References: Cheng et al. 2020.
    """

    def _network(self, n_x: int, n_y: int) -> nn.Module:
        return ConditionalNormal(n_x, n_y, self.hidden)

    def _loss(self, scores: Tensor) -> Tensor:
        return -scores.diagonal().mean()

    def _bound(self, scores: np.ndarray) -> Information:
        return club_upper_bound(scores)


def _off_diagonal(scores: Float[Tensor, "n n"]) -> Float[Tensor, " pairs"]:
    return scores[~torch.eye(len(scores), dtype=torch.bool, device=scores.device)]


def _numbers(values: Any, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise ModalityError(
            f"{name} needs numbers for a learned bound, got {found.dtype}. For labels use Plugin()."
        )
    return found.astype(np.float64).reshape(len(found), -1)


def _standardised(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """In units of the fitted rows; constant features become 0."""
    mean, spread = values[fitted].mean(0), values[fitted].std(0)
    return np.asarray((values - mean) / np.where(spread > 0, spread, 1), dtype=np.float32)
