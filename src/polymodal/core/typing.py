"""Array types with shapes. They cost nothing in use; under test every call is checked (tests/conftest.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool as Bool
from jaxtyping import Float as Float
from jaxtyping import Int as Int
from jaxtyping import Num as Num
from jaxtyping import Shaped as Shaped

if TYPE_CHECKING:
    pass

Array = np.ndarray
Rows = Any
"""What selects rows: a slice, integers, or a Boolean mask; checked where it is used."""

Kind = Literal["vector", "grid", "sequence", "sound", "text"]
"""What one value of a modality is: (d,), (height, width[, channels]), (T, d...), a waveform, or a string."""

Data = "Modalities | Mapping[str, Any]"
Target = Sequence[Any] | np.ndarray | None
