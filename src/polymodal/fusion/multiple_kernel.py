"""Multiple kernel learning: one kernel machine on a weighted sum of kernels of every modality."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
from sklearn.utils.metaestimators import available_if

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Fusion
from polymodal.core.modalities import Modalities
from polymodal.core.predictor import Predictor
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.target import Target
from polymodal.core.task import Task
from polymodal.core.typing import Float, Shaped
from polymodal.fusion._grams import Expansion, Grams, Member, Normalise, expand_modality
from polymodal.fusion._kernel_choice import MedianRBF as MedianRBF
from polymodal.fusion._kernel_choice import check_precomputed, kernel_choices, settle
from polymodal.fusion._kernel_machines import Dual, combine, ridge_regression, support_vectors
from polymodal.fusion._kernel_weights import EasyMKL as EasyMKL
from polymodal.fusion._kernel_weights import (
    KernelWeights,
    alignment_maximising,
    alignments,
    easy_weights,
    equal_weights,
    independent_alignment,
    target_norm,
)
from polymodal.fusion._simple_mkl import SimpleMKL as SimpleMKL
from polymodal.fusion._simple_mkl import simple_weights
from polymodal.fusion._vectors import as_vectors, fit_vectorizer

MOST_ROWS = 10_000  # beyond, Gram matrices are refused: their memory grows with the square of the rows
BLOCK = 2048

Named = Literal["alignment", "independent alignment", "uniform", "easy", "simple"]


def _decides(model: MultipleKernelFusion) -> bool:
    if getattr(model, "task_", model.task) == "regression":
        raise AttributeError("This MultipleKernelFusion predicts quantities: it has predict, no decisions.")
    return True


def _has_no_probabilities(model: MultipleKernelFusion) -> bool:
    raise AttributeError(
        "MultipleKernelFusion gives distances, not probabilities: use decision_function or predict, or calibrate it "
        "(sklearn.calibration.CalibratedClassifierCV)."
    )


class MultipleKernelFusion(Predictor, Fusion):
    r"""A kernel machine on $\sum_m d_m \bar K_m$, $d \ge 0$, $\sum_m d_m = 1$: kernels of all modalities, weighted by what they tell of y.

    Classes and labels get a support vector machine each (against the rest), quantities kernel ridge regression. All outputs share one
    set of weights, so that they say what each modality brings.

    `weights`: "uniform" learns none. "independent alignment" weighs each kernel by its own centred alignment with the target.
    "alignment" takes the combination of largest alignment. "easy" (`EasyMKL`, classes and labels only) weighs the distance that a
    kernel puts between classes. "simple" (`SimpleMKL`) minimises the machine's own objective over the weights, which is convex as long
    as the kernels are fixed; it solves the machine again and again, the others once.

    A row that lacks a modality counts, for its kernels, as their mean feature vector: the centred kernel is 0 there, so the row gets its
    decision from its other modalities. Centring changes no decision otherwise. Pictures, texts, sounds and sequences become
    vectors first (`polymodal.encoders.Vectorize`, which sees no target).

    `transform` gives the decisions before they are made: (n, 1) signed distances for two classes, (n, k) for more classes or labels,
    the predicted quantities (n, q). `contributions` gives each modality's part of them.

    Args:
        weights: One of the names above, or `EasyMKL(...)`, `SimpleMKL(...)`.
        kernels: For every modality, or name -> for this one: "rbf" (as wide as the median distance), "linear", "polynomial" (degree 3),
            "cosine", `MedianRBF(factor)`, an object of `polymodal.similarity`, or several of these as a list or as label -> kernel.
            "precomputed": the modality is a square matrix with a row and a column per stored value; rows are chosen by data[rows],
            and new rows have their kernel values with all stored values. "rbf" by default.
        C: What an error costs, > 0: the largest dual coefficient; of quantities, 1 / ridge.
        normalise: "variance": every kernel gets variance 1, so that neither units nor the number of features weigh. "cosine":
            k(x, z) / sqrt(k(x, x) k(z, z)), which forgets the length of vectors. "none".
        standardise: Give every feature of the vector modalities mean 0 and variance 1 first.
        task: What y holds: classes, quantities or 0/1 labels; `"auto"` takes floats as quantities, several 0/1 columns
            as labels and all else as classes.
        random_state: Of the 1,000 rows whose median distance is taken, where there are more.

    Attributes:
        weights_: Modality -> kernel -> d. A kernel that does not vary has 0.
        kernels_: Modality -> label -> kernel, with the width that was found; None: precomputed.
        objective_: What the weights made largest (alignment) or smallest; for "uniform" the alignment.
        alignment_: Centred alignment of the weighted sum with the target, 0 to 1.
        gap_: Relative duality gap of "simple" (how far from the best weights at most), NaN for the others.
        n_iter_: Steps of "simple", 0 for the others.
        classes_: The classes in sorted order, or the label columns.
        task_: The task that was learned.

    Raises:
        ModalityError: over 10,000 rows; a precomputed kernel that is not square, symmetric or positive semi-definite.
        ConfigError: an unknown name or kernel, a parameter out of range.

    Complexity:
        Memory for 4 to 5 matrices (n, n); up to 1 GiB all M kernels are kept, beyond they are computed again whenever needed. Time
        O(M n^2) for the weights ("alignment": M^2 n^2), and that of the machines.

    Relations:
        * one kernel and two classes: scikit-learn's SVC on it.
        * a kernel given twice changes no prediction of "alignment" and "simple".
        * the contributions of the modalities and the intercept add up to `transform`.

    References:
        Cortes, Mohri & Rostamizadeh 2012 (alignment); Rakotomamonjy et al. 2008 (SimpleMKL); Aiolli & Donini 2015 (EasyMKL);
        Zien & Ong 2007 (normalising by variance).
    """

    requires: ClassVar[Requirements] = Requirements(min_modalities=1, unpaired=True, target="required")

    weights_: dict[str, dict[str, float]]
    kernels_: dict[str, dict[str, Any]]
    intercept_: np.ndarray
    objective_: float
    alignment_: float
    gap_: float
    n_iter_: int

    def __init__(
        self,
        weights: Named | EasyMKL | SimpleMKL = "alignment",
        *,
        kernels: Any = None,
        C: float = 1.0,
        normalise: Normalise = "variance",
        standardise: bool = True,
        task: Task = "auto",
        random_state: RandomState = 0,
    ) -> None:
        self.weights = weights
        self.kernels = kernels
        self.C = C
        self.normalise = normalise
        self.standardise = standardise
        self.task = task
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MultipleKernelFusion]:
        return [
            cls(),
            cls("easy", kernels=["linear", MedianRBF(0.5), MedianRBF(2.0)]),
            cls("simple", kernels=["linear", "rbf"]),
            cls("uniform", kernels="polynomial", normalise="cosine", standardise=False),
        ]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        choices = self._check_settings(data)
        self._check_some_present(data)
        target = Target.of(self._required(y, "fit"), self.task)
        if target.task == "regression" and isinstance(self._method, EasyMKL):
            raise ConfigError(
                "EasyMKL weighs distances between classes, but y holds quantities. Take weights='alignment' or 'simple'."
            )
        self._take_target(target)
        Y = self._signs(target.encode(cast(np.ndarray, y)))
        vectors = self._fit_vectors(data, choices)
        grams = Grams(self._members(vectors, choices), self.normalise)
        learned = self._learn(grams, Y)
        K = combine(grams, learned.weights)
        dual = self._solve(K, Y)
        inner, norms = alignments([K], Y)
        self.alignment_ = float(inner[0] / norms[0] / target_norm(Y)) if norms[0] and Y.any() else 0.0
        self.objective_, self.gap_, self.n_iter_ = learned.objective, learned.gap, learned.n_iter
        self._keep(grams, learned.weights, dual)

    def _check_settings(self, data: Modalities) -> dict[str, dict[str, Any]]:
        """Label -> kernel of each modality."""
        if not isinstance(self.weights, EasyMKL | SimpleMKL) and self.weights not in get_args(Named):
            near = suggest(str(self.weights), get_args(Named))
            raise ConfigError(
                f"weights must be one of {list(get_args(Named))}, EasyMKL(...) or SimpleMKL(...), got {self.weights!r}.{near}"
            )
        if not self.C > 0:
            raise ConfigError(f"MultipleKernelFusion needs C > 0, got {self.C}.")
        if self.normalise not in get_args(Normalise):
            raise ConfigError(
                f"normalise must be one of {list(get_args(Normalise))}, got {self.normalise!r}."
            )
        if isinstance(self.kernels, Mapping):
            unknown = sorted(set(self.kernels) - set(data.names))
            if unknown:
                raise ModalityError(
                    f"kernels name unknown modalities {unknown}; the data have {list(data.names)}.{suggest(unknown[0], data.names)}"
                )
        choices = {name: kernel_choices(name, self.kernels) for name in sorted(data.names)}
        given = [name for name, kernels in choices.items() if "precomputed" in kernels.values()]
        wrong = [name for name in given if data[name].kind != "vector"]
        if wrong or (given and self.normalise == "cosine"):
            raise ModalityError(
                f"A precomputed kernel needs rows of numbers (modality {wrong[0]!r} holds {data[wrong[0]].kind})."
                if wrong
                else f"normalise='cosine' needs k(x, x) of new rows, which the precomputed kernels of {given} do not hold. "
                "Take 'variance', or divide the matrices before."
            )
        n = len(data)
        if n > MOST_ROWS:
            raise ModalityError(
                f"MultipleKernelFusion of {sorted(data.names)} keeps matrices of rows by rows: {n:,} rows need about "
                f"{5 * 8 * n * n / 2**30:,.0f} GiB; it stops at {MOST_ROWS:,} rows. Fit on some rows: data[:{MOST_ROWS}]."
            )
        return choices

    @property
    def _method(self) -> Any:
        return {"easy": EasyMKL(), "simple": SimpleMKL()}.get(cast(str, self.weights), self.weights)

    def _fit_vectors(self, data: Modalities, choices: Mapping[str, Mapping[str, Any]]) -> Modalities:
        """Everything but precomputed kernels as vectors, standardised where asked for."""
        plain = [name for name in data.names if "precomputed" not in choices[name].values()]
        if not plain:
            self._vectorizer: Any = None
        elif self.standardise:
            from polymodal.encoders.vectorize import Vectorize

            self._vectorizer = Vectorize(random_state=0).fit(data.select(*plain))
        else:
            self._vectorizer = fit_vectorizer(data.select(*plain))
        return as_vectors(self._vectorizer, data)

    def _members(self, data: Modalities, choices: Mapping[str, Mapping[str, Any]]) -> list[Member]:
        rng = generator(self.random_state)
        members = []
        self.kernels_ = {}
        self._columns: dict[str, np.ndarray] = {}
        for name in sorted(data.names):  # in the order of names, so that the given order changes nothing
            column = data[name]
            used, index = column.used()
            if "precomputed" in choices[name].values():
                check_precomputed(name, column.store)
                values = np.asarray(column.store, dtype=np.float64)[np.ix_(used, used)]
                kernels: dict[str, Any] = dict.fromkeys(choices[name])
            else:
                values = np.asarray(column.store[used], dtype=np.float64)
                kernels = {label: settle(choice, values, rng) for label, choice in choices[name].items()}
            self._columns[name] = used
            self.kernels_[name] = kernels
            members += [Member(name, label, kernel, values, index) for label, kernel in kernels.items()]
        return members

    def _learn(self, grams: Grams, Y: np.ndarray) -> KernelWeights:
        method = self._method
        if isinstance(method, EasyMKL):
            return easy_weights(grams, Y, reg=method.reg)
        if isinstance(method, SimpleMKL):
            found, _ = simple_weights(
                grams, lambda K: self._solve(K, Y), tol=method.tol, max_iter=method.max_iter
            )
            return found
        closed = {
            "uniform": equal_weights,
            "alignment": alignment_maximising,
            "independent alignment": independent_alignment,
        }
        return closed[method](grams, Y)

    def _signs(self, codes: np.ndarray) -> np.ndarray:
        """-1 and 1, one column per output (two classes: one column); quantities as they are."""
        if self.task_ == "regression":
            return codes
        if self.task_ == "multilabel":
            return np.where(codes > 0.5, 1.0, -1.0)
        k = len(self.classes_)
        return np.where(codes[:, None] == ([1] if k == 2 else np.arange(k)), 1.0, -1.0)

    def _solve(self, K: np.ndarray, Y: np.ndarray) -> Dual:
        return (ridge_regression if self.task_ == "regression" else support_vectors)(K, Y, self.C)

    def _keep(self, grams: Grams, weights: np.ndarray, dual: Dual) -> None:
        self.intercept_ = dual.intercepts
        self.weights_ = {name: {} for name in self.kernels_}
        self._parts: dict[str, Expansion] = {}
        for name in self.kernels_:
            places = [i for i, member in enumerate(grams.members) if member.modality == name]
            self.weights_[name] = {grams.members[i].label: float(weights[i]) for i in places}
            part = expand_modality(grams, places, weights, dual.coefficients)
            if part is not None:
                self._parts[name] = dataclasses.replace(part, columns=self._columns[name][part.columns])
        del self._columns

    # --- using ------------------------------------------------------------------------------------------------------

    def _contributions(self, data: Modalities) -> dict[str, np.ndarray]:
        vectors = as_vectors(self._vectorizer, data)
        scale = self._target.scale if self.task_ == "regression" else 1.0
        parts = {}
        for name, column in vectors.items():
            used, index = column.used()
            values = np.zeros((len(used) + 1, len(self.intercept_)))  # the last row: of rows that lack it
            if name in self._parts:
                for start in range(0, len(used), BLOCK):
                    block = np.asarray(column.store[used[start : start + BLOCK]], dtype=np.float64)
                    values[start : start + len(block)] = self._parts[name](block, self.normalise)
            parts[name] = values[index] * scale
        return parts

    def contributions(self, data: Modalities | Mapping[str, Any]) -> dict[str, Float[np.ndarray, "n o"]]:
        """Modality -> its part of `transform`, 0 where a row lacks it; what they do not sum to is the intercept."""
        return self._contributions(self._check_known(data))

    def kernel_weights(self) -> dict[str, float]:
        """Weight of each "modality: kernel", the largest first. Comparable where `normalise` is not "none"."""
        self._check_fitted()
        flat = {
            f"{name}: {label}": d for name, kernels in self.weights_.items() for label, d in kernels.items()
        }
        return dict(sorted(flat.items(), key=lambda item: -item[1]))

    def _answers(self, data: Modalities) -> Float[np.ndarray, "n o"]:
        total = self.intercept_
        if self.task_ == "regression":
            total = total * self._target.scale + self._target.mean
        parts = self._contributions(data)
        return np.asarray(total + sum(parts[name] for name in sorted(parts)))

    def _transform(self, data: Modalities) -> np.ndarray:
        return self._answers(data)

    @available_if(_decides)  # type: ignore[untyped-decorator, unused-ignore]
    def decision_function(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n ..."]:
        """Signed distances: positive for the second of two classes (n,); for each class against the rest, or each label."""
        decisions = self.transform(data)
        two = self.task_ == "classification" and decisions.shape[1] == 1
        return np.asarray(decisions[:, 0] if two else decisions)

    def predict(self, data: Modalities | Mapping[str, Any]) -> Shaped[np.ndarray, "n ..."]:
        """The class of largest decision, the labels of positive decision, or the quantities.

        Raises:
            ModalityError: a row that has none of the fitted modalities.
        """
        self._check_fitted()
        if self.task_ == "regression":
            quantities: np.ndarray = super().predict(data)
            return quantities
        decisions = self.decision_function(data)
        if self.task_ == "multilabel":
            return np.asarray(decisions > 0, dtype=np.int64)
        chosen = (decisions > 0).astype(int) if decisions.ndim == 1 else decisions.argmax(axis=1)
        decided: np.ndarray = self.classes_[chosen]
        return decided

    @available_if(_has_no_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """Not there: support vector machines give distances."""
        raise NotImplementedError

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        parts = {
            name: {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
            for name, part in self._parts.items()
        }
        return {**super()._get_state(), "vectorizer": self._vectorizer, "parts": parts}

    def _set_state(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self._vectorizer = state.pop("vectorizer")
        self._parts = {name: Expansion(**part) for name, part in state.pop("parts").items()}
        super()._set_state(state)
