"""When a matrix of all pairs is too large to be asked for."""

from __future__ import annotations

from polymodal.core.errors import ModalityError

MAX_MATRIX_GIB = 8.0
"""Largest matrix of all pairs of elements that is made on request."""


def check_dense(length_a: int, length_b: int, what: str, instead: str, *, item_bytes: int = 8) -> None:
    """Refuse a full matrix that no usual machine holds, before it is tried.

    Args:
        length_a: Its rows.
        length_b: Its columns.
        what: What would be made, to begin the sentence.
        instead: What to do instead, a sentence.
        item_bytes: Bytes per entry.

    Raises:
        ModalityError: it is larger than `MAX_MATRIX_GIB`.
    """
    gib = length_a * length_b * item_bytes / 2**30
    if gib > MAX_MATRIX_GIB:
        raise ModalityError(
            f"{what} of {length_a} x {length_b} elements would take {gib:,.0f} GiB, at most {MAX_MATRIX_GIB:g} are made. {instead}"
        )
