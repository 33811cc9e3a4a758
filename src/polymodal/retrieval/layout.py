"""`Layout`: what the entries of an index look like. Checks and converts what is added, for every kind of index alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from polymodal.core.errors import ModalityError, suggest
from polymodal.core.typing import Float
from polymodal.retrieval.exact import Metric, normalize

Type = Literal["text", "int", "float", "bool"]
RESERVED = ("id", "modality", "part", "vector", "_rowid")


@dataclass(frozen=True)
class Layout:
    """Width, metric, and the types of keys and metadata.

    Args:
        dim: Number of features of a vector.
        metric: What near means. Vectors of a `cosine` index are stored with length one.
        ids: Whether keys are texts or integers.
        metadata: Column -> type of its values; any value may be missing.

    Raises:
        ModalityError: a width below one, an unknown metric or type, a column name that the index itself uses.
    """

    dim: int
    metric: Metric = "cosine"
    ids: Literal["text", "int"] = "text"
    metadata: Mapping[str, Type] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dim < 1 or self.metric not in get_args(Metric) or self.ids not in ("text", "int"):
            raise ModalityError(
                f"An index needs dim >= 1, a metric of {list(get_args(Metric))} and ids 'text' or 'int', got dim {self.dim}, "
                f"metric {self.metric!r}, ids {self.ids!r}."
            )
        for name, kind in self.metadata.items():
            if name in RESERVED or kind not in get_args(Type):
                raise ModalityError(
                    f"Metadata {name!r} needs a type of {list(get_args(Type))} and a name other than {list(RESERVED)}, "
                    f"got type {kind!r}. Rename the column, or turn its values into one of these types."
                )

    @classmethod
    def infer(cls, dim: int, metric: Metric, ids: np.ndarray, metadata: Mapping[str, Any] | None) -> Layout:
        """Read the types off keys and metadata columns."""
        columns = {name: _type_of(name, values) for name, values in (metadata or {}).items()}
        return cls(dim, metric, "int" if np.asarray(ids).dtype.kind in "iu" else "text", columns)

    def to_json(self) -> str:
        """One line, as stored beside the entries."""
        return json.dumps({**asdict(self), "metadata": dict(self.metadata)})

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def schema(self) -> Any:
        """Arrow schema of id, part and metadata."""
        import pyarrow as pa

        types = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        columns = [pa.field("id", types[self.ids]), pa.field("part", pa.int32())]
        return pa.schema(columns + [pa.field(name, types[kind]) for name, kind in self.metadata.items()])

    def prepare_vectors(self, vectors: Any) -> Float[np.ndarray, "n dim"]:
        """float32, of the right width, finite; of length one for `cosine`."""
        array = np.asarray(vectors)
        if array.ndim != 2 or array.shape[1] != self.dim or array.dtype.kind not in "biuf":
            raise ModalityError(
                f"The index holds vectors of {self.dim} numbers; (n, {self.dim}) was required, got shape {array.shape} of "
                f"{array.dtype}. Is it the index of another model?"
            )
        if not np.isfinite(array).all():
            raise ModalityError("Vectors of an index must be finite, got NaN or infinity.")
        if array.dtype.kind != "f":
            array = array.astype(np.float32)
        return normalize(array) if self.metric == "cosine" else np.ascontiguousarray(array, np.float32)

    def prepare_ids(self, ids: Any) -> Any:
        """An Arrow array of keys."""
        import pyarrow as pa

        keys = np.asarray(ids)
        kind = "int" if keys.dtype.kind in "iu" else "text"
        texts = keys.dtype.kind == "U" or (
            keys.dtype == object and all(isinstance(k, str) for k in keys.ravel())
        )
        if keys.ndim != 1 or (keys.size and (kind != self.ids or (kind == "text" and not texts))):
            raise ModalityError(
                f"This index has {'integers' if self.ids == 'int' else 'texts'} for ids, got {str(ids)[:60]}. "
                "Convert them, all to the same type."
            )
        return (
            pa.array([str(k) for k in keys], pa.string())
            if self.ids == "text"
            else pa.array(keys, pa.int64())
        )

    def prepare_table(self, ids: Any, metadata: Mapping[str, Any] | None) -> Any:
        """An Arrow table of id, part (0, 1, ... for a key that stands several times) and metadata."""
        import pyarrow as pa

        keys = self.prepare_ids(ids)
        given = dict(metadata or {})
        unknown = [name for name in given if name not in self.metadata]
        if unknown:
            raise ModalityError(
                f"Unknown metadata {unknown}; the index was made with {list(self.metadata)}."
                f"{suggest(unknown[0], self.metadata)}"
            )
        schema = self.schema()
        columns = [keys, pa.array(_parts(keys.to_pylist()), pa.int32())]
        for name in self.metadata:
            values = [None] * len(keys) if name not in given else [_value(v) for v in given[name]]
            if len(values) != len(keys):
                raise ModalityError(
                    f"Metadata {name!r} needs one value per entry ({len(keys)}), got {len(values)}."
                )
            try:
                columns.append(pa.array(values, schema.field(name).type))
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ModalityError(
                    f"Metadata {name!r} of this index is {self.metadata[name]}, got other values ({error})."
                ) from None
        return pa.Table.from_arrays(columns, schema=schema)


def _type_of(name: str, values: Sequence[Any]) -> Type:
    found = {type(v) for v in map(_value, values) if v is not None}
    if found <= {bool} and found:
        return "bool"
    if found <= {int} and found:
        return "int"
    if found <= {int, float} and found:
        return "float"
    if found <= {str}:
        return "text"
    names = sorted(t.__name__ for t in found)
    raise ModalityError(
        f"Metadata {name!r} needs texts, numbers or booleans, one kind in a column; got {names}."
    )


def _value(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    missing = (
        plain is None or (isinstance(plain, float) and np.isnan(plain)) or type(plain).__name__ == "NAType"
    )
    return None if missing else plain


def _parts(keys: list[Any]) -> list[int]:
    seen: dict[Any, int] = {}
    parts = []
    for key in keys:
        seen[key] = part = seen.get(key, -1) + 1
        parts.append(part)
    return parts
