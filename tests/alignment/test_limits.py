"""How large a matrix may be asked for."""

from __future__ import annotations

import pytest

from polymodal.alignment._limits import MAX_MATRIX_GIB, check_dense
from polymodal.core.errors import ModalityError


def test_the_limit_is_in_bytes():
    side = int((MAX_MATRIX_GIB * 2**30) ** 0.5)
    check_dense(side, side, "A mask", "Do without.", item_bytes=1)
    with pytest.raises(
        ModalityError, match="A matrix of .* would take 64 GiB, at most 8 are made. Do without."
    ):
        check_dense(side, side, "A matrix", "Do without.")
