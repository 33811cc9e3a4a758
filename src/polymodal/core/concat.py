"""Rows of several frames one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.files import Files
from polymodal.core.ragged import Ragged
from polymodal.core.texts import Texts

if TYPE_CHECKING:
    from polymodal.core.modalities import Modalities, Modality


def concat_columns(parts: Sequence[Modalities]) -> dict[str, Modality]:
    """One column per modality that any part has; missing on the rows of a part that lacks it."""
    from polymodal.core.modalities import Modality

    if not parts:
        raise ModalityError("concat needs at least one Modalities, got none.")
    names = dict.fromkeys(name for part in parts for name in part.names)
    columns = {}
    for name in names:
        stores: list[Any] = []
        for part in parts:
            if name in part and not any(part[name].store is s for s in stores):
                stores.append(part[name].store)
        starts = np.concatenate([[0], np.cumsum([len(s) for s in stores])])
        pieces = []
        for part in parts:
            if name not in part:
                pieces.append(np.full(len(part), -1, dtype=np.int64))
                continue
            index = part[name].index
            start = starts[next(i for i, s in enumerate(stores) if s is part[name].store)]
            pieces.append(np.where(index < 0, -1, index + start))
        columns[name] = Modality(
            stores[0] if len(stores) == 1 else _concat_stores(name, stores), np.concatenate(pieces)
        )
    return columns


def _concat_stores(name: str, stores: list[Any]) -> Any:
    kinds = {type(s) for s in stores}
    if kinds == {Texts}:
        return Texts([t for s in stores for t in s])
    if kinds == {Files} and len({repr(s.reader) for s in stores}) == 1:
        return Files([p for s in stores for p in s.paths], stores[0].reader)
    if kinds == {Ragged} and len({(s.step_shape, s.rate) for s in stores}) == 1:
        return Ragged.of([x for s in stores for x in s], rate=stores[0].rate)
    if all(issubclass(k, np.ndarray) for k in kinds) and len({s.shape[1:] for s in stores}) == 1:
        return np.concatenate(stores)
    described = [f"{type(s).__name__}{getattr(s, 'shape', '')}" for s in stores]
    raise ModalityError(f"Modality {name!r} must be of one kind and shape in every part, got {described}.")
