"""Kernel CCA: curved functions of two or more modalities that correlate most. Exact, by landmarks, or by random features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from polymodal.coordination._kernel_features import (
    MappedStore,
    NystroemFeatures,
    RandomFourierFeatures,
    check_positive,
    check_varies,
    has_unbounded_rank,
    kernel_of,
    mapped,
)
from polymodal.coordination._kernel_pencil import (
    check_components,
    correlations_of_features,
    leading_of_features,
    leading_of_grams,
)
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Coordination, Spec
from polymodal.core.linalg import signs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.moments import BLOCK_SIZE, Moments, Precision, moments
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.evaluation.correlation import paired_correlations
from polymodal.similarity._gram import centred, gram, median_width
from polymodal.similarity.kernels import RBF, Similarity

EXACT_ROWS = 2000  # up to here method="auto" is exact
MOST_EXACT_ROWS = 10_000  # beyond, the exact form is refused: its memory grows with the square of the rows, its time with the cube
WIDTH_ROWS = 1000  # whose median distance is the width of an RBF kernel

Method = Literal["auto", "exact", "nystroem", "fourier"]


class KernelCCA(Coordination):
    r"""Functions of two or more modalities, linear in the feature space of a kernel, that correlate as much as possible.

    $$ \sum_{b \ne a} \frac{K_a K_b}{n-1} \alpha_b = \lambda \Big( (1-c) \frac{K_a^2}{n-1} + c K_a \Big) \alpha_a,
       \qquad f_a(x) = \sum_i \alpha_{a,i}\, \bar k_a(x, x_i) $$

    with centred Gram matrices K. With two modalities lambda is the largest covariance of $f_a$ and $f_b$ of unit ridged variance; with
    more, the sum of covariances over pairs is maximised. New rows are centred by the training rows' means.
    "exact" solves this. "nystroem" and "fourier" replace the kernel by the inner product of `n_features` features: its projection onto
    that many landmark rows, or random cosines and sines (RBF and ExponentialDistance only). Features stream through means and
    covariances, so memory does not grow with the rows.
    Rows that lack a modality are refused in `fit` (use `data.complete()`); `transform` takes any modalities of a row.
    `score` is the correlation on the data given, with its sign, averaged over components and pairs of modalities.

    Args:
        n_components: Components to keep.
        kernel: An object of `polymodal.similarity` (anything with `pairwise(a, b)` that is positive semi-definite), or "rbf",
            "linear", "cosine"; or a mapping from name to one of these. "rbf" takes as width the median distance between
            1,000 training rows.
        reg: Ridge c in [0, 1]. It is measured against the kernel's own variance: for kernels within 0..1 (RBF, cosine) as it stands;
            for linear and polynomial kernels it has units, so standardise first. 0 is refused where it would give correlations of 1
            whatever the data.
        method: "exact", "nystroem" or "fourier". "auto" is exact up to 2,000 rows and "nystroem" beyond.
        n_features: Landmarks or random features of each modality (at most as many landmarks as rows).
        precision: Of features and products in "fourier": "float32" takes under half the time, and moves correlations by about 1e-11 / reg.
        random_state: Seed of landmarks, random features, and of the rows that the median is taken over.

    Attributes:
        correlations_: Correlation of each component on the training rows, averaged over pairs of modalities.
        eigenvalues_: lambda of each component, largest first (with a ridge, correlations need not fall in the same order).
        kernels_: Name -> kernel, with the width that was found.
        maps_: Name -> the features used; in the exact form, kernel values against all training rows.
        weights_: Name -> weights of the features, (features, n_components); alpha in the exact form.
        means_: Name -> means of the features.
        method_: What "auto" became.
        n_samples_: Rows seen.

    Raises:
        ModalityError: missing rows, a constant modality, more components than the data have, too many rows for the exact form.
        ConfigError: a parameter out of range, a kernel that is not positive semi-definite, reg = 0 where it says nothing.

    Complexity:
        Exact: O(M n^3) time, O(M n^2) memory for M modalities; at most 10,000 rows. With D features of each: O(n M D (d + M D)) time,
        O(M^2 D^2) memory.

    Relations:
        * linear kernels: `CCA`'s correlations and directions; with ridge, where every modality has mean variance t per feature, those of
          CCA(reg=r) with r = c / (c + (1 - c) t).
        * "nystroem" with every row a landmark equals "exact".
        * "fourier" approaches "exact" as n_features grows.
        * "fourier": `partial_fit` over blocks equals `fit` with the same widths and seed.
        * c = 1: singular vectors of the cross-covariance in feature space (kernel partial least squares).

    References:
        Akaho 2001. Hardoon, Szedmak and Shawe-Taylor 2004. Lopez-Paz et al. 2014 (random features).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=False, min_rows=3)
    maps_: dict[str, NystroemFeatures | RandomFourierFeatures]
    moments_: Moments | None
    solution_: dict[str, Any] | None

    def __init__(
        self,
        n_components: int = 2,
        *,
        kernel: Any = "rbf",
        reg: float = 0.01,
        method: Method = "auto",
        n_features: int = 500,
        precision: Precision = "float64",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.reg = reg
        self.method = method
        self.n_features = n_features
        self.precision = precision
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[KernelCCA]:
        return [
            cls(2, random_state=0),
            cls(2, kernel=RBF(3.0), method="fourier", n_features=60, random_state=0),
            cls(1, method="nystroem", n_features=20, random_state=0),
        ]

    # --- fitting ----------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters()
        ordered = data.select(*self._names)
        rng = generator(self.random_state)
        fitting: Method = "nystroem" if len(data) > EXACT_ROWS else "exact"
        self.method_ = fitting if self.method == "auto" else self.method
        self.kernels_ = {name: self._kernel(name, column, rng) for name, column in ordered.items()}
        self._check_ridge()
        self.moments_ = self.solution_ = None
        if self.method_ == "exact":
            self._fit_exact(ordered)
            return
        self.maps_ = {}
        landmark_rows = (
            np.sort(rng.permutation(len(data))[: self.n_features]) if self.method_ == "nystroem" else None
        )
        for name, column in ordered.items():
            kernel = self.kernels_[name]
            if landmark_rows is not None:
                landmarks = np.asarray(column.store[column.index[landmark_rows]], dtype=np.float64)
                check_positive(name, kernel, gram(kernel, landmarks[:200], landmarks[:200]))
                self.maps_[name] = NystroemFeatures.at(kernel, landmarks)
            else:
                self.maps_[name] = RandomFourierFeatures.draw(
                    kernel, column.shape[0], self.n_features, random_state=rng
                )
        self.moments_ = self._moments(ordered)
        self.solution_ = self._solve(self.moments_)

    def partial_fit(self, data: Modalities | Mapping[str, Any], y: None = None) -> KernelCCA:
        """Add rows to what has been seen, in blocks of any size; the solution is found when first asked for.

        Starts a model with method="fourier" and kernels of given width, whose features do not depend on the rows; or goes on from a
        `fit` by "fourier" or "nystroem", with the widths and landmarks found there.

        Raises:
            ConfigError: a start with features that are not fixed in advance.
            ModalityError: the data do not meet `requires`, or an exact fit is to be added to.
        """
        self._check_parameters()
        frame = Modalities.of(data)
        replace(self.requires, min_rows=1).check(type(self).__name__, frame, y)
        if hasattr(self, "modalities_"):
            frame = self._check_known(frame)
            if self.method_ == "exact":
                raise ModalityError(
                    f"An exact KernelCCA ({self.n_samples_} rows) keeps no moments to add to. Use method='fourier' or 'nystroem'."
                )
        else:
            self._start(frame)
        new = self._moments(frame.select(*self._names))
        self.moments_ = new if self.moments_ is None else self.moments_.merge(new)
        self.solution_ = None
        return self

    def _start(self, frame: Modalities) -> None:
        names = sorted(frame.names)
        kernels = {name: kernel_of(name, self.kernel) for name in names}
        unknown = [name for name, kernel in kernels.items() if kernel is None]
        if self.method != "fourier" or unknown:
            raise ConfigError(
                "partial_fit starts with features that are fixed in advance: method='fourier' and kernels of given width such as "
                f"RBF(2.0), got method={self.method!r}"
                + (f' and "rbf" for {unknown}' if unknown else "")
                + "."
                " Or fit on the first rows, and go on from there."
            )
        self.kernels_ = {name: kernel for name, kernel in kernels.items() if kernel is not None}
        self.method_, self.moments_ = "fourier", None
        self._check_ridge()
        rng = generator(self.random_state)
        self.maps_ = {
            name: RandomFourierFeatures.draw(
                self.kernels_[name], frame[name].shape[0], self.n_features, random_state=rng
            )
            for name in names
        }
        self.modalities_ = {name: Spec(column.kind, column.shape) for name, column in frame.items()}

    def _fit_exact(self, data: Modalities) -> None:
        n = len(data)
        if n > MOST_EXACT_ROWS:
            memory = 4 * 8 * n * n * len(self._names) / 2**30
            raise ModalityError(
                f"Exact kernel CCA of {self._names} keeps matrices of rows by rows: {n:,} rows need about {memory:,.0f} GiB; it stops at "
                f"{MOST_EXACT_ROWS:,} rows. Use method='nystroem' or 'fourier'."
            )
        self.maps_ = {}
        grams, means = [], {}
        for name, column in data.items():
            rows = np.array(column.values(), dtype=np.float64)
            self.maps_[name] = NystroemFeatures(self.kernels_[name], rows)
            K = gram(self.kernels_[name], rows, rows)
            means[name] = K.mean(axis=0)
            size = float(np.abs(np.diag(K)).sum()) + float(np.abs(means[name]).sum())
            grams.append(centred(K))
            check_varies(name, float(np.trace(grams[-1])), size)
            check_positive(name, self.kernels_[name], grams[-1])
        try:
            values, alphas, ranks = leading_of_grams(grams, k=self.n_components, reg=self.reg)
        except np.linalg.LinAlgError as error:
            sizes = {name: float(np.trace(K)) / n for name, K in zip(self._names, grams, strict=True)}
            raise ModalityError(
                f"KernelCCA needs kernels whose variance (here {sizes}) the ridge reg={self.reg} is not lost beside. Standardise the "
                "modalities, or raise reg."
            ) from error
        check_components(
            dict(zip(self._names, ranks, strict=True)), values, k=self.n_components, reg=self.reg, n=n
        )
        alphas = [alpha - alpha.mean(axis=0) for alpha in alphas]  # what centring a new row comes to
        alphas = [alpha * signs(alphas[0]) for alpha in alphas]
        variates = [K @ alpha for K, alpha in zip(grams, alphas, strict=True)]
        self.solution_ = {
            "weights": dict(zip(self._names, alphas, strict=True)),
            "means": means,
            "eigenvalues": values,
            "correlations": _mean_correlations(variates),
            "rows": n,
        }

    def _moments(self, ordered: Modalities) -> Moments:
        precision: Precision = self.precision if self.method_ == "fourier" else "float64"
        columns = {name: mapped(column, self.maps_[name], precision) for name, column in ordered.items()}
        return moments(Modalities(columns), precision=precision, block_size=BLOCK_SIZE)

    def _solve(self, seen: Moments) -> dict[str, Any]:
        names = self._names
        n = seen.count(names[0])
        if n < self.requires.min_rows:
            raise ModalityError(
                f"KernelCCA of {names} needs at least {self.requires.min_rows} rows, has seen {n}. Call partial_fit with more."
            )
        S = [[seen.covariance(a, b) for b in names] for a in names]
        for a, name in enumerate(names):
            size = float(np.square(seen.mean(name)).sum())
            check_varies(name, float(np.trace(S[a][a])), size + float(np.trace(S[a][a])))
        values, weights, ranks = leading_of_features(S, k=self.n_components, reg=self.reg)
        check_components(
            dict(zip(self._names, ranks, strict=True)), values, k=self.n_components, reg=self.reg, n=n
        )
        flips = signs(weights[0])
        weights = [w * flips for w in weights]
        return {
            "weights": dict(zip(names, weights, strict=True)),
            "means": {name: seen.mean(name) for name in names},
            "eigenvalues": values,
            "correlations": correlations_of_features(S, weights),
            "rows": n,
        }

    # --- what was learned -------------------------------------------------------------------------------------

    @property
    def correlations_(self) -> Float[np.ndarray, " k"]:
        """Correlation of each component on the training rows, averaged over pairs of modalities."""
        return np.asarray(self._solved()["correlations"])

    @property
    def eigenvalues_(self) -> Float[np.ndarray, " k"]:
        """What was maximised: with two modalities, the covariance of variates of unit ridged variance."""
        return np.asarray(self._solved()["eigenvalues"])

    @property
    def weights_(self) -> dict[str, Float[np.ndarray, "d k"]]:
        """Name -> weights of the features of `maps_`."""
        return dict(self._solved()["weights"])

    @property
    def means_(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Name -> means of the features of `maps_`."""
        return dict(self._solved()["means"])

    @property
    def n_samples_(self) -> int:
        """Rows seen."""
        return int(self._solved()["rows"])

    # --- using it ---------------------------------------------------------------------------------------------

    def _transform(self, data: Modalities) -> Modalities:
        weights, means = self.weights_, self.means_
        columns = {}
        for name, column in data.items():
            # each stored value once: rows that share one keep sharing its representation
            used, index = column.used()
            features = MappedStore(column.store, self.maps_[name])
            out = np.empty((len(used), self.n_components))
            for start in range(0, len(used), BLOCK_SIZE):
                block = features[used[start : start + BLOCK_SIZE]]
                out[start : start + BLOCK_SIZE] = (block - means[name]) @ weights[name]
            columns[name] = Modality(out, index)
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        whole = data.complete()
        if set(whole.names) != set(self.modalities_) or len(whole) < 2:
            raise ModalityError(
                f"A correlation needs at least 2 rows that have all of {self._names}, got {len(whole)} with {list(data.names)}."
            )
        variates = self._transform(whole)
        values = [variates[name].values() for name in self._names]
        return float(_mean_correlations(values).mean())

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        """In alphabetical order, so that the order in which modalities are given changes nothing."""
        return sorted(self.modalities_)

    def _kernel(self, name: str, column: Modality, rng: np.random.Generator) -> Similarity:
        kernel = kernel_of(name, self.kernel)
        if kernel is not None:
            return kernel
        used = np.arange(len(column))
        if len(used) > WIDTH_ROWS:
            used = np.sort(rng.choice(len(used), WIDTH_ROWS, replace=False))
        width = median_width(np.asarray(column.store[column.index[used]], dtype=np.float64))
        check_varies(name, width, 0.0)
        return RBF(width)

    def _solved(self) -> dict[str, Any]:
        self._check_fitted()
        if self.solution_ is None and self.moments_ is not None:
            self.solution_ = self._solve(self.moments_)
        assert self.solution_ is not None
        return self.solution_

    def _check_ridge(self) -> None:
        endless = [name for name, kernel in self.kernels_.items() if has_unbounded_rank(kernel)]
        if not self.reg and self.method_ == "exact" and endless:
            raise ConfigError(
                f"KernelCCA needs reg > 0 here: the Gram matrices of {endless} have full rank, and without ridge every correlation is 1 "
                "whatever the data. Start at reg=0.01, and choose it by score on held-out rows."
            )

    def _check_parameters(self) -> None:
        wrong = []
        if self.n_components < 1:
            wrong.append(f"n_components >= 1, got {self.n_components}")
        if not 0 <= self.reg <= 1:
            wrong.append(f"0 <= reg <= 1, got {self.reg}")
        if self.method not in ("auto", "exact", "nystroem", "fourier"):
            wrong.append(f'method "auto", "exact", "nystroem" or "fourier", got {self.method!r}')
        if self.n_features < 1:
            wrong.append(f"n_features >= 1, got {self.n_features}")
        if self.precision not in ("float64", "float32"):
            wrong.append(f'precision "float64" or "float32", got {self.precision!r}')
        if wrong:
            raise ConfigError("KernelCCA needs " + "; ".join(wrong) + ".")

    def _get_state(self) -> dict[str, Any]:
        self._solved()
        return super()._get_state()


def _mean_correlations(variates: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean([paired_correlations(a, b) for a, b in combinations(variates, 2)], axis=0))
