"""Take one modality out of the others: what is left once everything linear in it is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.estimator import Fission
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float
from polymodal.fission.factors import patterns

_RCOND = 1e-10
"""Directions of less than this share of the largest spread count as not there."""


class ProjectOut(Fission):
    r"""Orthogonal projection of one modality out of the others, by least squares.

    $$ p_a = \bar x_a - \hat B^\top \bar x_r, \qquad \hat B = \arg\min_B \| \bar X_a - \bar X_r B \|_F^2, \qquad
       p_r = \bar x_r - \hat C^\top \bar x_{\text{others}} $$

    with bars for centred values. `transform` gives `"shared"`, the centred reference $\bar x_r$, and under each modality's name what
    is left of it: of the others, without the reference; of the reference, without all the others. In the units of the data.
    A modality that a row lacks is put at its least-squares estimate from those the row has (the conditional mean, for normals), so a
    private part may be had without the reference; it is then the estimate of that part. A row without any has no part.
    Closed form; learned from the rows that have every modality. `score` is the share of the others' variance that the reference
    accounts for, averaged over modalities, on the rows that have both; it can be below 0 on new rows.

    Args:
        reference: The modality to project out; None takes the first in alphabetical order.

    Attributes:
        reference_: Its name.
        means_: Name -> mean.
        scales_: Name -> standard deviation of each feature, 1 where it is constant.
        factor_: R of the QR decomposition of the standardised rows; names in sorted order.

    Raises:
        ModalityError: a reference that is no modality, or a modality called "shared".

    Complexity:
        O(n D min(n, D)) to fit for D features in all; O(D^3) for each pattern of modalities, O(D^2) a row.

    Relations:
        * on the training rows each other private part is uncorrelated with the reference, the reference's own with all others.
        * correlations of the private parts of two others are their partial correlations given the reference.
        * two modalities, the same on both sides: nothing is left.
        * blind to scale and shift of the reference.

    References: Frisch and Waugh 1933; Lovell 1963; Anderson 2003, section 2.5 (partial correlation).
    """

    requires = Requirements(min_modalities=2, kinds=frozenset({"vector"}), missing=True, min_rows=3)

    def __init__(self, reference: str | None = None) -> None:
        self.reference = reference

    @classmethod
    def _examples(cls) -> list[ProjectOut]:
        return [cls()]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        names = sorted(data.names)
        if "shared" in names:
            raise ModalityError(
                'ProjectOut gives the reference the name "shared", got a modality of that name. Rename it.'
            )
        chosen = names[0] if self.reference is None else self.reference
        if chosen not in names:
            raise ModalityError(
                f"ProjectOut needs a reference among {names}, got {chosen!r}.{suggest(chosen, names)}"
            )
        self.reference_ = chosen
        rows = data.select(*names).complete()
        if len(rows) < 2:
            raise ModalityError(f"ProjectOut needs two rows that have all of {names}, got {len(rows)}.")
        values = {name: np.asarray(rows[name].values(), dtype=np.float64) for name in names}
        self.means_ = {name: x.mean(axis=0) for name, x in values.items()}
        spread = {name: x.std(axis=0) for name, x in values.items()}
        floor = {name: 1e-12 * np.abs(x).max(axis=0, initial=1e-300) for name, x in values.items()}
        self.scales_ = {name: np.where(s > floor[name], s, 1.0) for name, s in spread.items()}
        centred = np.hstack([(values[name] - self.means_[name]) / self.scales_[name] for name in names])
        self.factor_ = np.linalg.qr(centred, mode="r")

    def _transform(self, data: Modalities) -> Modalities:
        whole, present = self._estimated(data)
        parts = self._parts(whole)
        some = np.asarray(present.any(axis=1))
        columns = {"shared": _column(whole[self.reference_] * self.scales_[self.reference_], some)}
        for name in data.names:
            columns[name] = _column(parts[name] * self.scales_[name], data[name].present)
        return Modalities(columns, ids=data.ids)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        found = []
        for name in data.names:
            if name == self.reference_ or self.reference_ not in data:
                continue
            rows = np.flatnonzero(data[name].present & data[self.reference_].present)
            if len(rows):
                whole, _ = self._estimated(data[rows])
                total = float(np.square(whole[name]).sum())
                found.append(1 - float(np.square(self._parts(whole)[name]).sum()) / total if total else 0.0)
        if not found:
            raise ModalityError(
                f"ProjectOut.score needs rows that have {self.reference_!r} and another of {list(self.modalities_)}, got none in {data!r}."
            )
        return float(np.mean(found))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _parts(self, whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Name -> standardised residual."""
        names, others = sorted(whole), [name for name in sorted(whole) if name != self.reference_]
        taken = {name: [self.reference_] for name in names} | {self.reference_: others}
        return {
            name: whole[name]
            - np.hstack([whole[o] for o in taken[name]]) @ self._regression(taken[name], [name])
            for name in names
        }

    def _estimated(self, data: Modalities) -> tuple[dict[str, np.ndarray], Bool[np.ndarray, "n m"]]:
        """Every fitted modality, standardised, on every row: as given, or by least squares from the others; and presence."""
        names = sorted(self.modalities_)
        widths = [len(self.means_[name]) for name in names]
        cuts = np.cumsum(widths)[:-1]
        whole = np.zeros((len(data), sum(widths)))
        present = np.zeros((len(data), len(names)), dtype=bool)
        for m, block in enumerate(np.split(whole, cuts, axis=1)):
            if names[m] in data and data[names[m]].present.any():
                present[:, m] = data[names[m]].present
                values = np.asarray(data[names[m]].observed(), dtype=np.float64)
                block[present[:, m]] = (values - self.means_[names[m]]) / self.scales_[names[m]]
        for rows, here in patterns(present):
            given, gone = [names[m] for m in here], [names[m] for m in range(len(names)) if m not in here]
            if gone:
                known = np.repeat(np.isin(np.arange(len(names)), here), widths)
                whole[np.ix_(rows, ~known)] = whole[np.ix_(rows, known)] @ self._regression(given, gone)
        return dict(zip(names, np.split(whole, cuts, axis=1), strict=True)), present

    def _regression(self, given: Sequence[str], wanted: Sequence[str]) -> Float[np.ndarray, "p q"]:
        """Least-squares coefficients of some standardised modalities on others, from R alone: X'X = R'R."""
        names = sorted(self.modalities_)
        cuts = np.cumsum([len(self.means_[name]) for name in names])[:-1]
        blocks = dict(zip(names, np.split(self.factor_, cuts, axis=1), strict=True))
        design, target = (np.hstack([blocks[name] for name in chosen]) for chosen in (given, wanted))
        coefficients: np.ndarray = np.linalg.lstsq(design, target, rcond=_RCOND)[0]
        return coefficients


def _column(values: np.ndarray, present: np.ndarray) -> Modality:
    return Modality(values, np.where(present, np.arange(len(values)), -1))
