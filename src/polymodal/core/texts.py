"""`Texts`: a store of strings, in a list or in an Arrow column that may lie on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from polymodal.core.errors import ModalityError


class Texts:
    """m strings. `texts[rows]` is a list; an Arrow column stays where it is until rows are asked for.

    Examples:
        >>> Texts(["a cat", "a dog"])[[1]]
        ['a dog']
    """

    def __init__(self, values: Iterable[str] | Any) -> None:
        self._column: Any = values if hasattr(values, "to_pylist") and hasattr(values, "take") else None
        self._list: list[str] = [] if self._column is not None else list(values)
        wrong = next((v for v in self._list if not isinstance(v, str)), None)
        if wrong is not None:
            raise ModalityError(
                f"Texts needs strings, got {wrong!r} ({type(wrong).__name__}). Convert it with str()."
            )

    def __len__(self) -> int:
        return len(self._list) if self._column is None else len(self._column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._list) if self._column is None else (v.as_py() for v in self._column)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            return self._list[rows] if self._column is None else self._column[int(rows)].as_py()
        chosen = np.arange(len(self))[rows]
        if self._column is None:
            return [self._list[i] for i in chosen]
        return list(self._column.take(chosen).to_pylist())
