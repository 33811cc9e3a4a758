r"""Generative fusion: a mixture of Gaussians for every class, of each modality apart or of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.utils.metaestimators import available_if

from polymodal.alignment.gaussian_mixture import GaussianMixture
from polymodal.alignment.hidden_markov import HiddenMarkovModel
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import gives_probabilities
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.target import Target
from polymodal.core.task import Task, resolve_task
from polymodal.core.typing import Float, Int
from polymodal.fusion._likelihood import LikelihoodFusion
from polymodal.fusion._vectors import as_vectors, fit_vectorizer

Shape = Literal["diag", "full", "spherical", "tied"]
TOLERANCE = 1e-6  # nats a row
JOINT = "joint"


def fit_mixtures(
    x: Float[np.ndarray, "n d"],
    states: Int[np.ndarray, " n"],
    recipe: GaussianMixture,
    *,
    max_iter: int = 200,
    random_state: RandomState = None,
) -> tuple[GaussianMixture, list[float]]:
    """A Gaussian mixture for each state, by expectation-maximisation; NaN features are integrated out.

    Rows are sequences of length one of a hidden Markov model whose states are known.

    Args:
        x: Rows, NaN where a feature is missing.
        states: The state (class) of each row, 0 to k - 1, each on some row.
        recipe: Number of components, covariance, floor and prior; parameters in it are where the climb begins.
        max_iter: Most steps.
        random_state: Of the k-means that starts the components.

    Returns:
        The mixtures, and log p(x, state) plus log-prior before each step, which never falls.

    Relations:
        * no missing values: scikit-learn's GaussianMixture from the same start (prior 0, floor -> 0).
    """
    k = int(states.max()) + 1
    model = HiddenMarkovModel(k, emission=recipe, max_iter=max_iter, tol=TOLERANCE, random_state=random_state)
    one_each = np.arange(len(x) + 1)
    model.fit(Ragged(x, one_each), Ragged(states.astype(np.int64), one_each))
    found: Any = model.emission_
    return found, model.history_


def bayes_information(
    mixtures: GaussianMixture, x: Float[np.ndarray, "n d"], states: Int[np.ndarray, " n"]
) -> float:
    """-2 log p(x | state) + (free parameters) log n: lower is better."""
    d, k, c = x.shape[1], mixtures.n_states or 1, mixtures.n_components
    each = {"diag": c * d, "spherical": c, "full": c * d * (d + 1) // 2, "tied": 0}[mixtures.covariance]
    shared = d * (d + 1) // 2 if mixtures.covariance == "tied" else 0
    free = k * (c - 1 + c * d + each) + shared
    reached = mixtures.log_likelihood(x)[np.arange(len(x)), states].sum()
    return float(-2 * reached + free * np.log(len(x)))


def conditional_mean(
    mixtures: GaussianMixture,
    x: Float[np.ndarray, "n d"],
    wanted: slice,
    prior: Float[np.ndarray, " k"],
) -> Float[np.ndarray, "n w"]:
    r"""$E[x_w \mid x_s]$ under $\sum_k \pi_k\, p(x \mid k)$: features `wanted` given those that are not NaN.

    $$ \sum_{kc} p(k, c \mid x_s) \big( \mu_w + \Sigma_{ws} \Sigma_{ss}^{-1} (x_s - \mu_s) \big) $$

    Relations:
        * one state, one component, full covariance: least-squares regression of x_w on x_s.
    """
    weights, parts = mixtures.weights, mixtures.components
    if weights is None or parts is None or parts.means is None or parts.covariances is None:
        raise ModalityError("conditional_mean needs mixtures with parameters. Fit them first.")
    x = np.array(x, dtype=float)
    x[:, wanted] = np.nan
    with np.errstate(divide="ignore"):
        logs = parts.log_likelihood(x) + np.log(prior[:, None] * weights).ravel()
    shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
    answer = shares @ parts.means[:, wanted]
    if mixtures.covariance in ("diag", "spherical"):
        return np.asarray(answer)
    seen = ~np.isnan(x)
    for pattern in np.unique(seen, axis=0):
        if not pattern.any():
            continue
        rows = (seen == pattern).all(axis=1)
        for j, mean in enumerate(parts.means):
            S = parts.covariances if mixtures.covariance == "tied" else parts.covariances[j]
            slope = np.linalg.solve(S[np.ix_(pattern, pattern)], S[pattern, wanted])
            away = x[np.ix_(rows, pattern)] - mean[pattern]
            answer[rows] += shares[rows, j : j + 1] * (away @ slope)
    return np.asarray(answer)


class GaussianMixtureFusion(LikelihoodFusion):
    r"""Classes by Bayes' rule, $p(y \mid x) \propto p(y)\, p(x_1, \dots, x_M \mid y)$, with mixtures of Gaussians; also quantities.

    Apart (naive Bayes): $\prod_m p(x_m \mid y)$, a mixture for each modality and class; a modality that a row lacks is a factor left out.
    Joint: one mixture over all modalities side by side for each class, whose covariances reach across modalities; a missing modality is
    integrated out by leaving its part of means and covariances away, and expectation-maximisation learns from rows that lack some.
    Both are exact: nothing is imputed. Quantities y are one more part of the joint mixture, predicted by their conditional mean.

    `transform` gives log p(y, the modalities that the row has), one column a class (nats); for quantities their conditional mean.
    Pictures, texts, sounds and sequences become vectors first (`polymodal.encoders.Vectorize`, which sees no target).

    Args:
        n_components: Gaussians for each class; of several numbers that of the least BIC is taken, for each modality.
        joint: Whether modalities may depend on each other given y.
        covariance: "diag", "full", "spherical", or "tied" (one full covariance for all components of all classes). None: "diag" apart,
            "full" joint. With d features, "full" and "tied" cost d^3; vectors of thousands want "diag", or components of `Vectorize`.
        floor: Least variance in every direction, as a share of each feature's variance over all rows, in (0, 1].
        prior: Rows of the overall variance that every covariance is taken to have seen before, >= 0: it shrinks covariances of few
            rows to the diagonal.
        max_iter: Most steps of expectation-maximisation.
        task: "classification", "regression" (joint only), or "auto": floats are quantities.
        random_state: Of the k-means that starts several components.

    Attributes:
        mixtures_: Modality -> its mixtures, one for each class that has the modality; of the joint model "joint" -> all features in
            order of the names.
        shown_: Modality -> which classes have it on some training row. It says nothing about the others.
        joint_: Whether the mixtures are joint ones.
        history_: As `mixtures_`: the objective before each step; it never falls.
        prior_: Share of each class.
        classes_: The classes in sorted order.

    Complexity:
        A step is O(rows x classes x components x d) for "diag", d^2 for "full", and d^3 for each set of modalities that rows have.

    Relations:
        * diag, one component, prior 0, floor -> 0: GaussianNB, and LateFusion("product") of GaussianNB.
        * tied, one component, prior 0, floor -> 0: linear discriminant analysis.
        * joint, quantities, one component, prior 0, floor -> 0: least-squares regression.
        * joint with covariances that are zero between modalities: the model apart.
        * a modality of one distribution in all classes leaves the posterior as it is.

    References:
        Hastie & Tibshirani 1996, Discriminant analysis by Gaussian mixtures; Ghahramani & Jordan 1994, Supervised learning from
        incomplete data via an EM approach.
    """

    mixtures_: dict[str, GaussianMixture]
    shown_: dict[str, np.ndarray]
    joint_: bool
    history_: dict[str, list[float]]

    def __init__(
        self,
        n_components: int | Sequence[int] = 1,
        *,
        joint: bool = False,
        covariance: Shape | None = None,
        floor: float = 1e-3,
        prior: float = 1.0,
        max_iter: int = 200,
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.n_components = n_components
        self.joint = joint
        self.covariance = covariance
        self.floor = floor
        self.prior = prior
        self.max_iter = max_iter
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[Estimator]:
        return [cls(), cls((1, 2), covariance="full"), cls(2, joint=True)]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        counts = self._check_settings()
        self._check_some_present(data)
        self._vectorizer = fit_vectorizer(data)
        vectors = as_vectors(self._vectorizer, data)
        y = self._required(y, "fit")
        task = resolve_task(y, self.task)
        if task == "multilabel":
            raise ModalityError(
                f"GaussianMixtureFusion models one class per row, got labels of shape {y.shape}. Fit one model for each label."
            )
        if task == "regression":
            blocks, codes = self._quantity_block(vectors, y)
        else:
            codes = self._take_classes(y)
            blocks = self._class_blocks(vectors, codes)
        rng, self.joint_ = generator(self.random_state), self.joint
        self.mixtures_, self.shown_, self.history_ = {}, {}, {}
        for name, (x, rows) in blocks.items():
            shown, states = np.unique(codes[rows], return_inverse=True)
            self.shown_[name] = np.isin(np.arange(len(self.prior_)), shown)
            fits = [self._fit_block(x, states, c, rng) for c in counts]
            scores = [bayes_information(f[0], x, states) for f in fits] if len(fits) > 1 else [0.0]
            self.mixtures_[name], self.history_[name] = fits[int(np.argmin(scores))]

    def _check_settings(self) -> list[int]:
        single = isinstance(self.n_components, int | np.integer)
        counts = [self.n_components] if single else list(self.n_components)  # type: ignore[arg-type]
        whole = [isinstance(c, int | np.integer) and not isinstance(c, bool) and c >= 1 for c in counts]
        if not counts or not all(whole):
            raise ConfigError(
                f"n_components must be a whole number of at least 1, or several to choose from, got {self.n_components!r}."
            )
        return [int(c) for c in counts]  # type: ignore[arg-type]

    def _fit_block(
        self, x: np.ndarray, states: np.ndarray, n_components: int, rng: np.random.Generator
    ) -> tuple[GaussianMixture, list[float]]:
        shape = self.covariance or ("full" if self.joint else "diag")
        recipe = GaussianMixture(n_components, shape, self.floor, self.prior)
        return fit_mixtures(x, states, recipe, max_iter=self.max_iter, random_state=rng)

    def _class_blocks(
        self, vectors: Modalities, codes: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        present = vectors.present
        if not self.joint:
            return {
                name: (np.asarray(vectors[name].observed(), dtype=float), present[name])
                for name in sorted(vectors.names)
            }
        for name in sorted(vectors.names):
            never = self.classes_[np.bincount(codes[present[name]], minlength=len(self.classes_)) == 0]
            if len(never):
                raise ModalityError(
                    f"A joint mixture needs every modality on some row of every class, but no row of {never.tolist()[:5]} has {name!r}. "
                    "Take joint=False, or leave that modality out."
                )
        return {JOINT: (self._side_by_side(vectors), np.ones(len(vectors), dtype=bool))}

    def _quantity_block(
        self, vectors: Modalities, y: np.ndarray
    ) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
        if not self.joint:
            raise ConfigError(
                "Quantities are predicted by the joint mixture of x and y: say joint=True, or task='classification' if y holds classes."
            )
        target = Target.of(y, "regression")
        self._take_target(target)
        self.prior_ = np.ones(1)
        x = np.hstack([self._side_by_side(vectors), target.encode(y)])
        every = np.ones(len(vectors), dtype=bool)
        return {JOINT: (x, every)}, np.zeros(len(vectors), dtype=np.int64)

    # --- using ------------------------------------------------------------------------------------------------------

    def _places(self) -> dict[str, slice]:
        """Where each modality stands among the features side by side."""
        made = {} if self._vectorizer is None else self._vectorizer.state_
        places, at = {}, 0
        for name in sorted(self.modalities_):
            wide = made[name]["components"].shape[1] if name in made else self.modalities_[name].shape[0]
            places[name] = slice(at, at + wide)
            at += wide
        return places

    def _side_by_side(self, vectors: Modalities, n_quantities: int = 0) -> Float[np.ndarray, "n d"]:
        """All features, and after them places for the quantities y; NaN where missing."""
        places = self._places()
        x = np.full((len(vectors), max(p.stop for p in places.values()) + n_quantities), np.nan)
        for name, column in vectors.items():
            x[column.present, places[name]] = column.observed()
        return x

    def _log_given_class(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        vectors = as_vectors(self._vectorizer, data)
        if self.joint_:
            return self._log_joint(vectors)
        total = np.zeros((len(data), len(self.prior_)))
        for name in sorted(vectors.names):
            total[vectors[name].present] += self._log_given_one(name, vectors)
        return total

    def _log_joint(self, vectors: Modalities) -> Float[np.ndarray, "n k"]:
        return self.mixtures_[JOINT].log_likelihood(self._side_by_side(vectors, len(self._target.mean)))

    def _log_given_one(self, name: str, vectors: Modalities) -> Float[np.ndarray, "n k"]:
        """Log p(x_m | y) on the rows that have the modality."""
        if self.joint_:
            has = vectors.select(name)[vectors[name].present]
            return self._log_joint(has)
        x = np.asarray(vectors[name].observed(), dtype=float)
        shown, known = self.shown_[name], self.mixtures_[name].log_likelihood(x)
        logs = np.empty((len(x), len(shown)))
        logs[:, shown] = known
        if not shown.all():  # a class that never showed it: no evidence for or against
            prior = self.prior_[shown] / self.prior_[shown].sum()
            logs[:, ~shown] = np.logaddexp.reduce(known + np.log(prior), axis=1)[:, None]
        return logs

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def evidence(self, data: Modalities | Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What each modality alone says: name -> log p(x_m | y), (n, classes) in nats; NaN on rows that lack it.

        Differences between columns are evidence for one class against another. Apart, prior and evidence add up to `transform`; joint,
        what modalities say together is more or less than the sum.
        """
        vectors = as_vectors(self._vectorizer, self._ready(data))
        found = {}
        for name, column in vectors.items():
            logs = np.full((len(vectors), len(self.prior_)), np.nan)
            logs[column.present] = self._log_given_one(name, vectors)
            found[name] = logs
        return found

    def generate(self, data: Modalities | Mapping[str, Any], target: str) -> Float[np.ndarray, "n d"]:
        """E[x_target | the other modalities of the row]: the mean of what a missing modality would be.

        Args:
            data: Rows; what they hold of `target` itself is not looked at.
            target: The modality to generate; it must have been fitted as vectors.
        """
        self._check_fitted()
        if target not in self.modalities_ or self.modalities_[target].kind != "vector":
            raise ModalityError(
                f"generate needs a modality fitted as vectors, one of {[n for n, s in self.modalities_.items() if s.kind == 'vector']}, "
                f"got {target!r}."
            )
        known = self._check_known(data)
        if len(known.names) < 2 and target in known:
            raise ModalityError(f"generate needs a modality other than {target!r} to go by.")
        known = self._ready(known.drop(target) if target in known else known)
        if self.joint_:
            x = self._side_by_side(as_vectors(self._vectorizer, known), len(self._target.mean))
            return conditional_mean(self.mixtures_[JOINT], x, self._places()[target], self.prior_)
        mixtures, shown = self.mixtures_[target], self.shown_[target]
        means = np.stack(
            [mixtures.weights[k] @ self._means(target)[k] for k in range(mixtures.n_states or 0)]  # type: ignore[index]
        )
        posterior = self.predict_proba(known)[:, shown]
        total = np.maximum(posterior.sum(axis=1, keepdims=True), 1e-300)
        generated: np.ndarray = posterior / total @ means
        return generated

    def _means(self, name: str) -> Float[np.ndarray, "k c d"]:
        mixtures = self.mixtures_[name]
        parts: Any = mixtures.components
        means: np.ndarray = parts.means.reshape(mixtures.n_states, mixtures.n_components, -1)
        return means

    def _outputs(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        if self.task_ == "classification":
            return super()._outputs(data)
        x = self._side_by_side(as_vectors(self._vectorizer, data), len(self._target.mean))
        last = slice(x.shape[1] - len(self._target.mean), x.shape[1])
        return conditional_mean(self.mixtures_[JOINT], x, last, self.prior_)

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._outputs(data) if self.task_ == "classification" else self._answers(data)

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        return {**super()._get_state(), "vectorizer": self._vectorizer}

    def _set_state(self, state: dict[str, Any]) -> None:
        self._vectorizer = state["vectorizer"]
        super()._set_state({k: v for k, v in state.items() if k != "vectorizer"})
