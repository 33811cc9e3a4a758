"""Discriminative fusion of sequences: a linear-chain conditional random field over multimodal steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from polymodal.alignment._markov_chain import Chain
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Estimator, Fusion, check_target
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import Predictor
from polymodal.core.ragged import Ragged, array_of_rows
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.typing import Float, Int, Shaped
from polymodal.fusion._row_sequences import STEPWISE, RowSequences, mean_and_scale, row_sequences

Unaries = Float[np.ndarray, "t k"]
Transitions = Float[np.ndarray, "k k"]
Offsets = Int[np.ndarray, " n1"]


def log_partition(unaries: Unaries, transitions: Transitions, offsets: Offsets) -> Float[np.ndarray, " n"]:
    r"""$\log Z = \log \sum_y \exp(\sum_t u_t(y_t) + \sum_{t>1} T(y_{t-1}, y_t))$ of each sequence; 0 of an empty one.

    Args:
        unaries: u, steps of all sequences one after the other.
        transitions: T; -inf forbids.
        offsets: Sequence i has steps offsets[i] to offsets[i + 1].

    Complexity:
        O(steps k^2).
    """
    chain, shift = _chain(transitions)
    return chain.log_likelihoods(np.ascontiguousarray(unaries), offsets) + shift * _pairs(offsets)


def label_marginals(
    unaries: Unaries, transitions: Transitions, offsets: Offsets
) -> tuple[Float[np.ndarray, "t k"], Float[np.ndarray, "k k"], Float[np.ndarray, " n"]]:
    """p(y_t | x) of each step, expected number of each transition over all sequences, and `log_partition`; by forward-backward.

    Relations:
        * they are the gradients of the sum of `log_partition` in unaries and transitions.
    """
    chain, shift = _chain(transitions)
    posteriors, counts, logs = chain.expectations(np.ascontiguousarray(unaries), offsets)
    return posteriors, counts, logs + shift * _pairs(offsets)


def best_labels(unaries: Unaries, transitions: Transitions, offsets: Offsets) -> Int[np.ndarray, " t"]:
    """The likeliest labels of each sequence as a whole (Viterbi); ties go to the first label."""
    return _chain(transitions)[0].best_paths(np.ascontiguousarray(unaries), offsets)[0]


def _chain(transitions: np.ndarray) -> tuple[Chain, float]:
    """The chain of hidden states whose recursions these are: weights exp(T) in the place of probabilities, the largest 1."""
    largest = transitions.max()
    shift = float(largest) if np.isfinite(largest) else 0.0
    ones = np.ones(len(transitions))
    return Chain(ones, np.ascontiguousarray(np.exp(transitions - shift)), ones), shift


def _pairs(offsets: np.ndarray) -> Int[np.ndarray, " n"]:
    return np.asarray(np.maximum(np.diff(offsets) - 1, 0))


def negative_log_likelihood(
    weights: Float[np.ndarray, "d k"],
    bias: Float[np.ndarray, " k"],
    transitions: Transitions,
    x: Float[np.ndarray, "t d"],
    labels: Int[np.ndarray, " t"],
    offsets: Offsets,
) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """-log p(labels | x) of all sequences with u = x W + b, and its gradients in W, b and T. Convex in them."""
    unaries = x @ weights + bias
    posteriors, pairs, logs = label_marginals(unaries, transitions, offsets)
    every = np.arange(len(labels))
    follows = np.ones(len(labels), dtype=bool)
    follows[offsets[:-1][np.diff(offsets) > 0]] = False
    now = np.flatnonzero(follows)
    before, after = labels[now - 1], labels[now]
    reached = unaries[every, labels].sum() + transitions[before, after].sum()
    posteriors[every, labels] -= 1
    np.subtract.at(pairs, (before, after), 1)
    return float(logs.sum() - reached), (x.T @ posteriors, posteriors.sum(axis=0), pairs)


class ConditionalRandomField(Predictor, Fusion):
    r"""A label for each step of a sequence, from all modalities of the step and from the labels beside it.

    $$ p(y \mid x) = \exp\Big( \sum_t u_t(y_t) + \sum_{t > 1} T(y_{t-1}, y_t) \Big) / Z(x) $$

    $u_t = b + \sum_m W_m x_t^m$ over the modalities that the row has; for one that it lacks a learned vector $a_m$ takes the place of
    $W_m x_t^m$. Features are standardised. The penalised likelihood is convex: there is one answer, and chance has no part in it.

    A row is a sequence, and its modalities go step by step together; a vector is a sequence of one step. y holds one label for each
    step: a list of label arrays (or a `Ragged`), one per row; or one label a row where every row has one step. `sequences_of` makes
    sequences of rows that belong together. `predict` gives the likeliest labels as y was given, `marginals` the probabilities of each step;
    `predict_proba` and `transform` the expected share of each label among the steps of a row.

    Args:
        reg: Penalty reg / 2 times the squares of all W and a, > 0.
        transition_reg: The same of T, > 0. T has few numbers, which all steps speak for: it needs less.
        transitions: Whether neighbouring labels depend on each other; without, T = 0.
        max_iter: Most steps of L-BFGS.

    Attributes:
        weights_: Modality -> W_m for standardised features, (features, labels).
        absence_: Modality -> a_m; zero where no training row lacked the modality.
        bias_: b.
        transitions_: T, (labels, labels).
        scales_: Modality -> mean and standard deviation of each feature over all training steps.
        classes_: The labels in sorted order.
        loss_: Penalised negative log-likelihood reached, nats a step.
        converged_: Whether L-BFGS ended before `max_iter`.

    Complexity:
        A step of the fit is O(all steps x labels x (features + labels)).

    Relations:
        * transitions=False: multinomial logistic regression of each step, C = 1 / reg.
        * rows of one step: the same, whatever `transitions`.

    References:
        Lafferty, McCallum & Pereira 2001, Conditional random fields.
    """

    requires: ClassVar[Requirements] = Requirements(
        min_modalities=1, kinds=STEPWISE, unpaired=True, target="required"
    )

    weights_: dict[str, np.ndarray]
    absence_: dict[str, np.ndarray]
    scales_: dict[str, tuple[np.ndarray, np.ndarray]]

    def __init__(
        self,
        reg: float = 1.0,
        *,
        transition_reg: float = 1.0,
        transitions: bool = True,
        max_iter: int = 500,
    ) -> None:
        self.reg = reg
        self.transition_reg = transition_reg
        self.transitions = transitions
        self.max_iter = max_iter

    @classmethod
    def _examples(cls) -> list[Estimator]:
        return [cls(), cls(transitions=False)]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        for name in ("reg", "transition_reg"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be a penalty > 0, got {getattr(self, name)!r}.")
        self._check_some_present(data)
        given = self._required(y, "fit")
        sequences = row_sequences(data, self.modalities_)
        labels = step_labels(given, sequences.lengths)
        self._take_target(Target.of(labels, "classification"))
        self.flat_ = bool(given.ndim == 1 and given.dtype != object)
        names = sorted(sequences.frames)
        self.scales_ = {name: mean_and_scale(sequences.frames[name]) for name in names}
        self._climb(self._design(sequences, names), self._target.encode(labels), sequences.offsets, names)

    def _climb(self, x: np.ndarray, codes: np.ndarray, offsets: np.ndarray, names: list[str]) -> None:
        from scipy.optimize import minimize

        (steps, d), k = x.shape, len(self.classes_)

        def parts(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return theta[: d * k].reshape(d, k), theta[d * k : d * k + k], theta[d * k + k :].reshape(k, k)

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            W, b, T = parts(theta)
            loss, (of_W, of_b, of_T) = negative_log_likelihood(W, b, T, x, codes, offsets)
            loss += self.reg / 2 * float((W**2).sum()) + self.transition_reg / 2 * float((T**2).sum())
            of_T = of_T + self.transition_reg * T if self.transitions else np.zeros_like(T)
            gradient = np.concatenate([(of_W + self.reg * W).ravel(), of_b, of_T.ravel()])
            return loss / steps, gradient / steps

        found = minimize(
            objective,
            np.zeros(d * k + k + k * k),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iter, "maxfun": 2 * self.max_iter, "ftol": 1e-14, "gtol": 1e-7},
        )
        W, self.bias_, self.transitions_ = (np.array(p) for p in parts(found.x))
        self.loss_, self.converged_ = float(found.fun), bool(found.success)
        widths = [self.scales_[name][0].size for name in names]
        blocks = np.split(W, np.cumsum(widths))
        self.weights_ = dict(zip(names, blocks, strict=False))
        self.absence_ = dict(zip(names, blocks[-1], strict=True))

    def _design(self, sequences: RowSequences, names: list[str]) -> Float[np.ndarray, "t d"]:
        """Standardised features, 0 where missing; then for each modality a column that is 1 on the steps that lack it."""
        total = int(sequences.offsets[-1])
        blocks, lacks = [], np.ones((total, len(names)))
        for place, name in enumerate(names):
            mean, scale = self.scales_[name]
            if name not in sequences.frames:
                blocks.append(np.zeros((total, mean.size)))
                continue
            frames = sequences.frames[name]
            missing = np.isnan(frames[:, 0])
            lacks[:, place] = missing
            blocks.append(np.where(missing[:, None], 0.0, (frames - mean) / scale))
        return np.hstack([*blocks, lacks])

    # --- using ------------------------------------------------------------------------------------------------------

    def _unaries(self, data: Modalities) -> tuple[Float[np.ndarray, "t k"], Int[np.ndarray, " n1"]]:
        sequences, names = row_sequences(data, self.modalities_), sorted(self.weights_)
        W = np.vstack([*(self.weights_[n] for n in names), *(self.absence_[n] for n in names)])
        return self._design(sequences, names) @ W + self.bias_, sequences.offsets

    def unaries(self, data: Modalities | Mapping[str, Any]) -> dict[str, Ragged]:
        """What each modality says of each step: name -> (steps, labels) of each row, the share of u that is W_m x or a_m.

        Together with `bias_` they add up to u; differences between labels are log-odds, before neighbours have their say.
        """
        frame = self._ready(data)
        sequences, found = row_sequences(frame, self.modalities_), {}
        for name, frames in sequences.frames.items():
            mean, scale = self.scales_[name]
            said = (frames - mean) / scale @ self.weights_[name]
            found[name] = Ragged(np.where(np.isnan(said), self.absence_[name], said), sequences.offsets)
        return found

    def marginals(self, data: Modalities | Mapping[str, Any]) -> Ragged:
        """p(y_t | x) of each step of each row: a `Ragged` of (steps, labels), labels in the order of `classes_`."""
        unaries, offsets = self._unaries(self._ready(data))
        return Ragged(label_marginals(unaries, self.transitions_, offsets)[0], offsets)

    def _answers(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        unaries, offsets = self._unaries(data)
        steps = label_marginals(unaries, self.transitions_, offsets)[0]
        lengths = np.diff(offsets)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        total = np.zeros((len(lengths), len(self.classes_)))
        np.add.at(total, rows, steps)
        shares: np.ndarray = total / np.maximum(lengths, 1)[:, None]
        return shares

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._answers(data)

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, " n"]:
        """The likeliest labels of each row as a whole: an array of label arrays; labels (n,) if y was one label a row."""
        labels, offsets = self._decode(self._ready(data))
        if self.flat_ and (np.diff(offsets) == 1).all():
            return labels
        return array_of_rows([labels[a:b] for a, b in pairwise(offsets)])

    def _decode(self, data: Modalities) -> tuple[np.ndarray, np.ndarray]:
        unaries, offsets = self._unaries(data)
        return self.classes_[best_labels(unaries, self.transitions_, offsets)], offsets

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """Share of the steps of all rows that `predict` labels right."""
        self._check_some_present(data)
        labels, offsets = self._decode(data)
        return self._target.score(step_labels(self._required(y, "score"), np.diff(offsets)), labels)


def step_labels(y: Shaped[np.ndarray, "n ..."], lengths: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " t"]:
    """One label per step, of all rows one after the other.

    Raises:
        ModalityError: a row that has more or fewer labels than steps.
    """
    parts = [np.atleast_1d(np.asarray(row)) for row in y]
    wrong = [i for i, (p, n) in enumerate(zip(parts, lengths, strict=True)) if p.shape != (n,)]
    if wrong:
        i = wrong[0]
        raise ModalityError(
            f"y needs one label for each step of a row, but row {i} has {lengths[i]} steps and labels of shape {parts[i].shape} "
            f"({len(wrong)} rows so). Give a list of label arrays, one per row."
        )
    return check_target(np.concatenate(parts))
