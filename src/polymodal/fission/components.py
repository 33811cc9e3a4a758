"""Principal and independent components: of all modalities side by side, and of what these leave of each one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np

from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError
from polymodal.core.estimator import Fission
from polymodal.core.linalg import signs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.fission.factors import Loadings

Kind = Literal["pca", "ica"]


def principal_loadings(x: Float[np.ndarray, "n d"], n_components: int) -> Float[np.ndarray, "k d"]:
    r"""Orthonormal rows W such that $x \approx (x W') W$ with the least squared error; x is centred.

    The entry of largest size of each row is positive. Directions are in falling order of variance.

    Complexity:
        O(n d min(n, d)).

    Relations:
        * scikit-learn's `PCA.components_`, up to signs.
    """
    Vt = np.linalg.svd(x, full_matrices=False)[2][:n_components]
    return np.asarray(Vt * signs(Vt.T)[:, None])


def independent_loadings(
    x: Float[np.ndarray, "n d"], n_components: int, *, max_iter: int = 1000, tol: float = 1e-4, seed: int = 0
) -> Float[np.ndarray, "k d"]:
    r"""Rows A such that $x \approx s A$ with sources s of variance 1 that are as far from Gaussian as can be (FastICA); x is centred.

    Rows are ordered by the variance they explain, largest first, and the entry of largest size of each is positive; independent
    components have neither order nor sign of their own. Sources come back as $x A^+$.

    Relations:
        * scikit-learn's `FastICA.mixing_`, up to order and signs.
        * the rows span what `principal_loadings` of as many components spans.
        * one component is the principal one, scaled to a source of variance 1.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning as Unfinished

    model = FastICA(
        n_components,
        whiten="unit-variance",
        max_iter=max_iter,
        tol=tol,
        random_state=seed,
        whiten_solver="svd",
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(x)
    if any(issubclass(w.category, Unfinished) for w in told):
        warnings.warn(
            f"Independent components did not settle in max_iter={max_iter} rounds: the data may be near Gaussian, where none are "
            "better than others. Raise max_iter or tol, or ask for fewer.",
            ConvergenceWarning,
            stacklevel=2,
        )
    A = np.asarray(model.mixing_.T, dtype=np.float64)
    A = A[np.argsort(-(A**2).sum(axis=1), kind="stable")]
    return np.asarray(A * signs(A.T)[:, None])


class ComponentFission(Fission):
    r"""Joint components of all modalities as the shared part, and components of each modality's residual as its private part.

    $$ [x_1, \ldots, x_M] \approx \mu + s\,[W_1, \ldots, W_M], \qquad x_m - \mu_m - s W_m \approx p_m V_m $$

    Two steps, each in closed form for PCA. Where one modality has a strong factor of its own, that factor is a joint component too:
    `SharedIndividual` tells shared from strong, this does not. A row that lacks modalities at `transform` gets least-squares scores
    from those it has; fitting needs whole rows. `score` is the share of variance that both parts explain, averaged over modalities.

    Args:
        n_shared: Joint components; 0 leaves components of each modality alone.
        n_private: Components of each residual, or name -> number; 0 leaves joint components alone.
        method: "pca", or "ica" (FastICA with log-cosh contrast, for sources that are independent and not Gaussian).
        scale: "modality" divides each modality by its total standard deviation; "none" takes the values as they are.
        max_iter: Most rounds of FastICA.
        tol: When FastICA stops.
        random_state: Start of FastICA; PCA has no use for it.

    Attributes:
        loadings_: Name -> `Loadings` (mean, shared, private), in scaled units.
        scales_: Name -> what each modality was divided by.

    Raises:
        ModalityError: a modality called "shared", rows that lack a modality, or more components than there are directions of variance.

    Relations:
        * n_private = 0, scale = "none": scikit-learn's `PCA` or `FastICA` of the modalities side by side.
        * n_shared = 0, scale = "none": the same of each modality.
        * "ica" and "pca" explain the same variance.

    References:
        Hotelling 1933. Hyvarinen 1999, "Fast and robust fixed-point algorithms for independent component analysis". Calhoun, Adali,
        Giuliani, Pekar, Kiehl and Pearlson 2006 (joint ICA of several modalities).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=False, min_rows=3)

    def __init__(
        self,
        n_shared: int = 1,
        *,
        n_private: int | Mapping[str, int] = 1,
        method: Kind = "pca",
        scale: Literal["modality", "none"] = "modality",
        max_iter: int = 1000,
        tol: float = 1e-4,
        random_state: int = 0,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.method = method
        self.scale = scale
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[ComponentFission]:
        return [cls(1, n_private=1), cls(1, n_private=0, method="ica", scale="none")]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        names = sorted(data.names)
        n_private = self._check_parameters(names)
        values = {name: np.asarray(data[name].values(), dtype=np.float64) for name in names}
        self.scales_ = {name: self._scale_of(values[name]) for name in names}
        means = {name: values[name].mean(axis=0) / self.scales_[name] for name in names}
        blocks = {name: values[name] / self.scales_[name] - means[name] for name in names}
        joint = np.hstack([blocks[name] for name in names])
        W = self._components(joint, self.n_shared, "all modalities side by side")
        S = joint @ np.linalg.pinv(W) if self.n_shared else np.zeros((len(data), 0))
        self.loadings_ = {}
        for name, own in zip(
            names, np.split(W, np.cumsum([blocks[n].shape[1] for n in names])[:-1], axis=1), strict=True
        ):
            V = self._components(
                blocks[name] - S @ own, n_private[name], f"what shared components leave of modality {name!r}"
            )
            self.loadings_[name] = Loadings(means[name], own, V)

    def _transform(self, data: Modalities) -> Modalities:
        names = sorted(data.names)
        blocks, shared = self._scores(data)
        known: np.ndarray = np.logical_or.reduce([data[name].present for name in names])
        columns = {"shared": _column(shared, known)}
        for name in data.names:
            part = self.loadings_[name]
            left = blocks[name] - shared @ part.shared
            columns[name] = _column(left @ np.linalg.pinv(part.private), data[name].present)
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        blocks, shared = self._scores(data)
        explained = []
        for name, column in data.items():
            if not column.present.any():
                continue
            part, rows = self.loadings_[name], column.present
            left = blocks[name][rows] - shared[rows] @ part.shared
            rest = left - left @ np.linalg.pinv(part.private) @ part.private
            total = float(((blocks[name][rows] - blocks[name][rows].mean(axis=0)) ** 2).sum())
            explained.append(1 - float((rest**2).sum()) / total if total > 0 else 0.0)
        return float(np.mean(explained)) if explained else 0.0

    # --- inside -----------------------------------------------------------------------------------------------------

    def _scores(self, data: Modalities) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Name -> scaled and centred values (zeros where absent), and the shared scores of each row from what it has."""
        names = sorted(data.names)
        blocks = {}
        for name in names:
            column, part = data[name], self.loadings_[name]
            block = np.zeros((len(data), len(part.mean)))
            if column.present.any():
                block[column.present] = (
                    np.asarray(column.observed(), dtype=np.float64) / self.scales_[name] - part.mean
                )
            blocks[name] = block
        shared = np.zeros((len(data), self.n_shared))
        present = np.stack([data[name].present for name in names], axis=1)
        kinds, which = np.unique(present, axis=0, return_inverse=True)
        for i, kind in enumerate(kinds):
            here = [name for name, has in zip(names, kind, strict=True) if has]
            if here and self.n_shared:
                rows = np.flatnonzero(which.reshape(-1) == i)
                inverse = np.linalg.pinv(
                    np.hstack([self.loadings_[name].shared for name in here]), rcond=1e-10
                )
                shared[rows] = np.hstack([blocks[name][rows] for name in here]) @ inverse
        return blocks, shared

    def _components(self, x: np.ndarray, count: int, what: str) -> np.ndarray:
        if not count:
            return np.zeros((0, x.shape[1]))
        s = np.linalg.svd(x, compute_uv=False)
        rank = int((s > 1e-8 * max(float(s[0]), 1e-300)).sum()) if s[0] > 0 else 0
        if count > rank:
            raise ModalityError(
                f"ComponentFission needs as many directions of variance as components: {what} has {rank}, got {count}. "
                "Lower n_shared, or n_private (a number for each modality is possible)."
            )
        if self.method == "pca":
            return principal_loadings(x, count)
        return independent_loadings(
            x, count, max_iter=self.max_iter, tol=self.tol, seed=int(self.random_state)
        )

    def _scale_of(self, values: np.ndarray) -> float:
        spread = float(np.sqrt(values.var(axis=0).sum()))
        return spread if self.scale == "modality" and spread > 0 else 1.0

    def _check_parameters(self, names: list[str]) -> dict[str, int]:
        if "shared" in names:
            raise ModalityError(
                'ComponentFission gives its shared part the name "shared", got a modality of that name. Rename it.'
            )
        if self.method not in ("pca", "ica") or self.scale not in ("modality", "none"):
            raise ConfigError(
                f'ComponentFission needs method "pca" or "ica" and scale "modality" or "none", got {self.method!r} and {self.scale!r}.'
            )
        given = self.n_private
        counts = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
        if set(counts) != set(names):
            raise ModalityError(
                f"n_private needs one number for each of {names}, got {counts}. Name every modality."
            )
        if self.n_shared < 0 or min(counts.values()) < 0 or not self.n_shared + max(counts.values()):
            raise ModalityError(
                f"ComponentFission needs some components, got n_shared={self.n_shared} and n_private={counts}. Raise one."
            )
        return counts


def _column(values: np.ndarray, present: np.ndarray) -> Modality:
    return Modality(values, np.where(present, np.arange(len(values)), -1))
