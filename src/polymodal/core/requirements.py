"""`Requirements`: what an estimator needs of data, written once.

Read by five: the validator here, the capability table, the command line, the web app, and the contract tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Kind

if TYPE_CHECKING:
    from polymodal.core.modalities import Modalities

ALL_KINDS: frozenset[Kind] = frozenset(get_args(Kind))


@dataclass(frozen=True)
class Requirements:
    """What `fit` needs.

    Args:
        min_modalities: Fewest modalities.
        max_modalities: Most modalities, or None.
        kinds: The kinds of value that work.
        missing: Whether a row may lack a modality while fitting.
        unpaired: Whether fitting works when no row has all modalities.
        target: Whether `y` is refused, optional or required.
        min_rows: Fewest rows.
    """

    min_modalities: int = 2
    max_modalities: int | None = None
    kinds: frozenset[Kind] = ALL_KINDS
    missing: bool = True
    unpaired: bool = False
    target: Literal["none", "optional", "required"] = "none"
    min_rows: int = 2

    def problems(self, data: Modalities, y: Any = None) -> list[str]:
        """Every reason why these data do not do, as sentences; empty when they do. O(rows)."""
        found = [*self._about_columns(data), *self._about_rows(data)]
        if y is None and self.target == "required":
            found.append("needs a target y, got none. Pass fit(data, y).")
        if y is not None and self.target == "none":
            found.append("learns without a target, but y was given. Leave y out.")
        if y is not None and len(y) != len(data):
            found.append(f"needs one target per row: {len(data)} rows, {len(y)} targets.")
        return found

    def check(self, method: str, data: Modalities, y: Any = None) -> None:
        """Raise one `ModalityError` that lists every problem."""
        found = self.problems(data, y)
        if found:
            raise ModalityError(f"{method} " + f"\n{method} ".join(found))

    def _about_columns(self, data: Modalities) -> list[str]:
        found = []
        count, most = len(data.names), self.max_modalities
        if count < self.min_modalities or (most is not None and count > most):
            few = self.min_modalities
            wanted = (
                f"at least {few}" if most is None else f"exactly {few}" if few == most else f"{few} to {most}"
            )
            found.append(
                f"needs {wanted} modalities, got {count}: {list(data.names)}. Use data.select(...) or add a column."
            )
        wrong = {name: column.kind for name, column in data.items() if column.kind not in self.kinds}
        if wrong:
            found.append(
                f"works on kinds {sorted(self.kinds)}, got {wrong}. Turn them into vectors first (polymodal.encoders.Vectorize), "
                "or take a method that encodes them itself (polymodal methods --kind)."
                + (
                    " Sequences that happen to be of one length are told from grids by polymodal.Ragged.of(list_of_arrays)."
                    if "grid" in wrong.values() and "sequence" in self.kinds
                    else ""
                )
            )
        return found

    def _about_rows(self, data: Modalities) -> list[str]:
        found = []
        if len(data) < self.min_rows:
            found.append(f"needs at least {self.min_rows} rows, got {len(data)}.")
            return found
        present = data.present
        empty = [name for name, has in present.items() if not has.any()]
        if empty:
            found.append(
                f"needs every modality on some row, but all rows lack {empty}. Drop it with data.drop(...)."
            )
            return found
        counts = {name: int((~has).sum()) for name, has in present.items()}
        complete = np.logical_and.reduce(list(present.values()))
        if any(counts.values()) and not self.missing:
            found.append(f"cannot fit on missing modalities (missing rows: {counts}). Use data.complete().")
        elif not complete.any() and not self.unpaired and len(present) > 1:
            found.append(
                "needs some rows that have every modality, got none. Pair rows with Modalities.join(..., on=ids)."
            )
        return found
