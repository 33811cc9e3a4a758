"""`Dataset`: modalities with what is known about their rows, where they come from, and an honest split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Rows


@dataclass(frozen=True, eq=False)
class Dataset:
    """Modalities to learn from, and metadata (labels, groups) that is not learned from.

    Args:
        data: The modalities.
        metadata: Name -> one value per row.
        name: What the data set is called.
        description: What a row is, where the values come from, what is known to be odd about them.
        licence: Under which terms the values may be used.

    Raises:
        ModalityError: a metadata column whose length is not the number of rows.

    Relations:
        * `dataset[rows][name] == dataset[name][rows]`: rows and columns may be chosen in either order.
        * the two parts of `split(group=g)` hold every row once, and no value of `g` in both.

    Examples:
        >>> d = Dataset(Modalities({"x": np.eye(4)}), {"who": np.array(["a", "a", "b", "c"])}, name="tiny")
        >>> len(d), d["who"].tolist(), len(d[:2])
        (4, ['a', 'a', 'b', 'c'], 2)
        >>> train, test = d.split(group="who", test_size=1, random_state=0)
        >>> len(train) + len(test), set(train["who"]) & set(test["who"])
        (4, set())
    """

    data: Modalities
    metadata: dict[str, np.ndarray] = field(default_factory=dict)
    name: str = "dataset"
    description: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.metadata.items()}
        wrong = {name: length for name, length in lengths.items() if length != len(self.data)}
        if wrong:
            raise ModalityError(
                f"Dataset {self.name!r} needs one metadata value per row ({len(self.data)}), got lengths {wrong}. "
                "Repeat or drop values so that they match the rows."
            )

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...
    @overload
    def __getitem__(self, key: Rows) -> Dataset: ...
    def __getitem__(self, key: Any) -> np.ndarray | Dataset:
        """A name gives that metadata column; a slice, integers or a Boolean mask give those rows."""
        if isinstance(key, str):
            return self._column(key)
        data = self.data[key]
        rows = key if isinstance(key, slice) else np.atleast_1d(np.asarray(key))
        if isinstance(rows, np.ndarray) and rows.size == 0 and rows.dtype != bool:
            rows = rows.astype(np.int64)
        return replace(
            self, data=data, metadata={name: column[rows] for name, column in self.metadata.items()}
        )

    def split(
        self,
        *,
        group: str | np.ndarray | None = None,
        test_size: float | int = 0.25,
        random_state: RandomState = None,
    ) -> tuple[Dataset, Dataset]:
        """Train and test rows, in their original order, with whole groups held out.

        Args:
            group: A metadata column, or one value per row; rows of one value stay together. `None`: every row
                is a group of its own.
            test_size: Share of the groups to hold out, in (0, 1), or how many groups (an integer >= 1).
            random_state: Which groups.

        Returns:
            Two data sets that share the stores of this one.

        Raises:
            ModalityError: an unknown column, fewer than two groups, or a size that leaves either part empty.

        Complexity:
            O(n log n).
        """
        values: np.ndarray = (
            np.arange(len(self))
            if group is None
            else self._column(group)
            if isinstance(group, str)
            else group
        )
        if values.shape != (len(self),):
            raise ModalityError(f"split needs one group per row ({len(self)}), got shape {values.shape}.")
        what = "rows" if group is None else f"groups of {group!r}" if isinstance(group, str) else "groups"
        names, codes = np.unique(values, return_inverse=True)
        chosen = generator(random_state).permutation(len(names))[
            : held_out_count(test_size, len(names), what)
        ]
        test = np.isin(codes, chosen)
        return self[~test], self[test]

    def _column(self, name: str) -> np.ndarray:
        if name in self.metadata:
            return self.metadata[name]
        if name in self.data:
            raise ModalityError(
                f"{name!r} is a modality of {self.name!r}, not metadata. Use dataset.data[{name!r}]."
            )
        raise ModalityError(
            f"Dataset {self.name!r} has no metadata {name!r}; it has {sorted(self.metadata)}.{suggest(name, self.metadata)}"
        )

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.data!r}; metadata: {', '.join(sorted(self.metadata)) or 'none'})"
        )


def held_out_count(test_size: float | int, groups: int, what: str) -> int:
    """How many of `groups` a `test_size` asks for: a share of them, or a whole number.

    Raises:
        ModalityError: a size that leaves either part empty.
    """
    whole = float(test_size).is_integer()
    count = int(test_size) if whole else round(test_size * groups) if 0 < test_size < 1 else 0
    count = max(count, 1) if 0 < test_size < 1 else count
    if not 0 < count < groups:
        raise ModalityError(
            f"split needs a test_size in (0, 1), or an integer from 1 to the number of {what} less one; "
            f"got {test_size} with {groups} {what}. Choose a size that leaves both parts filled."
        )
    return count
