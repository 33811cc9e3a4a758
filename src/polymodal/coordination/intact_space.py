"""Multi-view intact space: one latent code behind all modalities, found although some values are grossly wrong or missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from polymodal.coordination._intact_codes import fit_intact_space, infer_codes, squared_residuals
from polymodal.core.errors import ConfigError, ConvergenceWarning, ModalityError
from polymodal.core.estimator import Coordination
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float


class IntactSpace(Coordination):
    r"""A latent space in which each row is whole, though every modality shows only part of it and some values are grossly wrong.

    $$ \min_{x, W, b} \frac{1}{N} \sum_{(v,i)} \log\Big(1 + \frac{|z_i^v - b_v - W_v x_i|^2}{c_v^2}\Big)
       + C \sum_v |W_v|_F^2 + \frac{C}{n} \sum_i |x_i|^2 $$

    The sum is over the N values that are present. The Cauchy loss grows with the logarithm of a residual, so a value far off has
    next to no say, and which ones those are is found along the way (`trust`). Modalities are first centred at the median of each feature
    and divided by their median distance from it, so units do not matter.
    `transform` gives each modality's own estimate of the code; `joint` the code from all modalities that a row has; `reconstruct` all
    modalities from it. Rows may lack modalities throughout.
    `score`: each modality is predicted from the code of the others; one minus its Cauchy loss as a share of that of the code 0. 1 is exact.

    The published objective has a constant each for W and x. Their ratio only scales the codes, so there is one here; and it has no b,
    which makes the result independent of where the modalities are centred.

    Args:
        n_components: Size of the code; may exceed the features of a modality, not those of all.
        reg: C > 0.
        scale: Cauchy scale c in units of a modality's median distance from its median. None gives every modality its own: the median
            length of its residuals, re-estimated during the first 30 rounds and then held.
        max_iter: Most rounds after those.
        tol: Stop when a round lowers the objective by less than this share.

    Attributes:
        maps_: Name -> W, (d, n_components), in the modality's own units.
        offsets_: Name -> b, (d,), in those units.
        scales_: Name -> c, in those units.
        codes_: The training rows' codes, (n, n_components), along principal axes.
        objective_: After each round.

    Raises:
        ModalityError: a modality that is the same on all rows; more components than rows less one, or than features of all.
        ConfigError: a parameter out of range; a reg so large that every code is 0.

    Complexity:
        O(rounds n (D k + M k^2 + k^3)) for M modalities of D features in all.

    Relations:
        * the objective never rises, and its gradient is 0 at the end.
        * large scale: least squares, so the maps span the principal components of the modalities side by side (scaled, small reg).
        * shifting a modality, or multiplying it by a positive number, leaves the codes as they are.
        * `joint` of the training rows: `codes_`.

    References:
        Xu, Tao and Xu 2015, "Multi-view intact space learning".
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, min_rows=3)

    def __init__(
        self,
        n_components: int = 2,
        *,
        reg: float = 1e-3,
        scale: float | None = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
    ) -> None:
        self.n_components = n_components
        self.reg = reg
        self.scale = scale
        self.max_iter = max_iter
        self.tol = tol

    @classmethod
    def _examples(cls) -> list[IntactSpace]:
        return [cls(2), cls(1, scale=1.0, reg=0.01)]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_parameters(data)
        names = sorted(data.names)
        centres, units = {}, {}
        for name in names:
            values = np.asarray(data[name].observed(), dtype=np.float64)
            centres[name] = np.median(values, axis=0)
            units[name] = _spread(name, values - centres[name])
        views, present = _blocks(data, names, centres, units)
        found = fit_intact_space(
            views,
            present,
            self.n_components,
            reg=self.reg,
            scale=self.scale,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if not np.abs(found.codes).max() > np.finfo(np.float32).tiny:
            raise ConfigError(
                f"IntactSpace needs a smaller reg: at {self.reg} the penalty outweighs what the codes explain of {names}, and all are 0."
            )
        if len(found.objective) > self.max_iter and self.tol > 0:
            warnings.warn(
                f"IntactSpace stopped after max_iter={self.max_iter} rounds while still improving. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.maps_ = {name: W * units[name] for name, W in zip(names, found.maps, strict=True)}
        self.offsets_ = {
            name: centres[name] + b * units[name] for name, b in zip(names, found.offsets, strict=True)
        }
        self.scales_ = {name: float(c * units[name]) for name, c in zip(names, found.scales, strict=True)}
        self.codes_, self.objective_ = found.codes, found.objective
        self.ridge_ = float(self.reg * present.sum() / len(present))

    # --- using it ---------------------------------------------------------------------------------------------

    def joint(self, data: Modalities | Mapping[str, Any]) -> Float[np.ndarray, "n k"]:
        """The code of each row from all modalities it has: contradicted values hardly count.

        Raises:
            ModalityError: a row that has none.
        """
        frame = self._check_known(data)
        nothing = ~np.logical_or.reduce(list(frame.present.values()))
        if nothing.any():
            raise ModalityError(
                f"A joint code needs at least one of {list(self.modalities_)} on every row; {int(nothing.sum())} of {len(frame)} rows "
                f"have none (ids {frame.ids[nothing][:3].tolist()}). Drop those rows."
            )
        return self._codes(frame, sorted(frame.names))

    def reconstruct(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """Every fitted modality of every row, from its joint code: fills what is missing, mends what is wrong."""
        frame = self._check_known(data)
        codes = self.joint(frame)
        columns = {name: self.offsets_[name] + codes @ self.maps_[name].T for name in self.modalities_}
        return Modalities(columns, ids=frame.ids)

    def trust(self, data: Modalities | Mapping[str, Any]) -> dict[str, Float[np.ndarray, " n"]]:
        """Name -> how far each value agrees with its row's joint code: c^2 / (c^2 + r^2), 0..1; NaN where it is missing."""
        frame = self._check_known(data)
        names = sorted(frame.names)
        squares, present = self._squares(frame, names, self.joint(frame))
        shares = np.where(present, 1 / (1 + squares), np.nan)
        return {name: shares[:, names.index(name)] for name in frame.names}

    def _transform(self, data: Modalities) -> Modalities:
        columns = {}
        for name, column in data.items():
            index = np.full(len(column), -1, dtype=np.int64)
            index[column.present] = np.arange(column.present.sum())
            seen = data.select(name)[np.flatnonzero(column.present)]
            columns[name] = Modality(self._codes(seen, [name]), index)
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        names = sorted(data.names)
        if len(names) < 2:
            raise ModalityError(
                f"The score predicts a modality from others, got {names} alone. Give at least two of {list(self.modalities_)}."
            )
        left, without = 0.0, 0.0
        for m, name in enumerate(names):
            others = [other for other in names if other != name]
            codes = self._codes(data, others)
            squares, present = self._squares(data, names, codes)
            centre, _ = self._squares(data, names, np.zeros_like(codes))
            known = present[:, m] & np.delete(present, m, axis=1).any(axis=1)
            left += float(np.log1p(squares[known, m]).sum())
            without += float(np.log1p(centre[known, m]).sum())
        if not without:
            raise ModalityError(f"The score needs rows that have two of {names}, got none.")
        return 1 - left / without

    # --- inside -----------------------------------------------------------------------------------------------

    def _codes(self, data: Modalities, names: list[str]) -> np.ndarray:
        """Solved in units of the scales, so that every c is 1."""
        views, present = _blocks(data, names, self.offsets_, self.scales_)
        maps = [self.maps_[name] / self.scales_[name] for name in names]
        offsets = [np.zeros(len(W)) for W in maps]
        return infer_codes(views, present, maps, offsets, np.ones(len(names)), ridge=self.ridge_)

    def _squares(
        self, data: Modalities, names: list[str], codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(r / c)^2 of each row and modality."""
        views, present = _blocks(data, names, self.offsets_, self.scales_)
        maps = [self.maps_[name] / self.scales_[name] for name in names]
        return squared_residuals(views, present, codes, maps, [np.zeros(len(W)) for W in maps]), present

    def _check_parameters(self, data: Modalities) -> None:
        k = self.n_components
        if k < 1 or not self.reg > 0 or (self.scale is not None and not self.scale > 0):
            raise ConfigError(
                f"IntactSpace needs n_components >= 1, reg > 0 and scale > 0 (or None), got {k}, {self.reg} and {self.scale}."
            )
        sizes = {name: column.shape[0] for name, column in data.items()}
        most = min(len(data) - 1, sum(sizes.values()))
        if k > most:
            raise ModalityError(
                f"IntactSpace needs n_components <= {most}, the smaller of rows less one ({len(data) - 1}) and features in all {sizes}, "
                f"got {k}. Lower it."
            )


def _blocks(
    data: Modalities, names: list[str], centres: Mapping[str, np.ndarray], units: Mapping[str, float]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Values less their centre, in their unit; zeros where a row lacks the modality."""
    views, present = [], np.column_stack([data[name].present for name in names])
    for m, name in enumerate(names):
        view = np.zeros((len(data), len(centres[name])))
        if present[:, m].any():
            values = np.asarray(data[name].observed(), dtype=np.float64)
            view[present[:, m]] = (values - centres[name]) / units[name]
        views.append(view)
    return views, present


def _spread(name: str, gaps: np.ndarray) -> float:
    """Median length; the mean length where more than half the rows are the same."""
    lengths = np.linalg.norm(gaps, axis=1)
    spread = float(np.median(lengths)) or float(lengths.mean())
    if not spread > 0:
        raise ModalityError(
            f"IntactSpace needs modalities that vary, but all rows of {name!r} are the same. Drop it."
        )
    return spread
