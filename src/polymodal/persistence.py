"""`save` and `load`: a folder with `model.json` and `weights.safetensors`. No pickle, no code, written whole or not at all.

`model.json` holds the class, its parameters and the structure of what it learned; arrays stand in
`weights.safetensors` under numbered keys. Only public classes of this package can be named in a file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.core.atomic import atomic_folder, recover
from polymodal.core.errors import ModelFormatError, NotFittedError, StoreError
from polymodal.core.estimator import Estimator
from polymodal.core.scikit_learn import from_plain, is_scikit_learn, to_plain

FORMAT = "polymodal-model"
FORMAT_VERSION = 1
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
OWN_FILES = frozenset({MODEL_FILE, WEIGHTS_FILE, "reading.json"})
"""What a model folder holds; one that holds anything else is never replaced."""
PACKAGES = (
    "core",
    "encoders",
    "objectives",
    "training",
    "alignment",
    "similarity",
    "fusion",
    "coordination",
    "fission",
)
"""The packages whose public classes a file may name."""


def save(model: Any, folder: str | Path) -> Path:
    """Write a fitted estimator (or a scikit-learn `Pipeline` of our estimators) to `folder`.

    A model that stood there is replaced in one step; a folder that holds anything else is refused.

    Args:
        model: A fitted estimator of this package.
        folder: Where to write; its parents are made.

    Returns:
        The folder.

    Raises:
        NotFittedError: the model has learned nothing yet.
        StoreError: `folder` holds something else, cannot be written, or the disk is full.
        ModelFormatError: the model holds something that cannot be written without pickle.

    Relations:
        * `load(save(model, folder)).transform(data)` equals `model.transform(data)`, bit for bit.
    """
    folder = Path(folder)
    if not _is_fitted(model):
        raise NotFittedError(
            f"save needs a fitted model, this {type(model).__name__} is not. Call fit(data) first."
        )
    held = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    if folder.is_file() or (held and (MODEL_FILE not in held or not OWN_FILES.issuperset(held))):
        raise StoreError(
            f"{folder} exists and is not a model folder, or holds more than a model; it is left as it is. Choose another folder."
        )
    writer = _Writer()
    tree = writer.encode(model, "model")
    from safetensors.numpy import save as to_bytes

    weights = to_bytes(writer.arrays)
    import polymodal

    text = json.dumps(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "polymodal": polymodal.__version__,
            "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
            "model": tree,
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    with atomic_folder(folder) as temporary:
        (temporary / WEIGHTS_FILE).write_bytes(weights)
        (temporary / MODEL_FILE).write_text(text, encoding="utf-8")
    return folder


def load(folder: str | Path, *, given: Mapping[str, Any] | None = None) -> Any:
    """Read a model that `save` wrote.

    Args:
        folder: The model folder.
        given: Objects that a file cannot hold (a user's own `nn.Module`), by the place that the error names.

    Raises:
        ModelFormatError: the folder is no model, is truncated or damaged, or comes from a newer version.
    """
    folder = Path(folder)
    recover(folder)
    header = _read_header(folder)
    weights = _read_weights(folder, header)
    model = _Reader(weights, dict(given or {}), folder).decode(header["model"], "model")
    if not hasattr(model, "fit"):
        raise ModelFormatError(
            f"{folder / MODEL_FILE} needs a model and holds {type(model).__name__}: it is damaged. Fit and save the model again."
        )
    return model


def _is_fitted(model: Any) -> bool:
    steps = getattr(model, "steps", None)
    if isinstance(steps, list):
        return all(_is_fitted(step) for _, step in steps)
    return hasattr(model, "modalities_")


def _read_header(folder: Path) -> dict[str, Any]:
    file = folder / MODEL_FILE
    if not file.is_file():
        what = "does not exist" if not folder.exists() else f"holds no {MODEL_FILE}"
        raise ModelFormatError(
            f"A model folder was required, but {folder} {what}. Pass the folder that polymodal.save (or polymodal fit -o) wrote."
        )
    try:
        header: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFormatError(
            f"{file} is truncated or damaged ({error}). Fit and save the model again."
        ) from None
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT or "model" not in header:
        raise ModelFormatError(
            f"{file} is not a model of this package: format {FORMAT!r} was required, {found!r} arrived."
        )
    if not isinstance(header.get("format_version"), int) or header["format_version"] > FORMAT_VERSION:
        raise ModelFormatError(
            f"{folder} has format version {header.get('format_version')}, this polymodal reads up to {FORMAT_VERSION}. Upgrade polymodal."
        )
    return header


def _read_weights(folder: Path, header: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    file, wanted = folder / WEIGHTS_FILE, header.get("weights", {})
    if not file.is_file():
        raise ModelFormatError(
            f"{folder} lacks {WEIGHTS_FILE}: the model is truncated. Copy the folder again, or fit again."
        )
    raw = file.read_bytes()
    if len(raw) != wanted.get("bytes") or hashlib.sha256(raw).hexdigest() != wanted.get("sha256"):
        raise ModelFormatError(
            f"{file} is truncated or damaged: {wanted.get('bytes')} bytes with the recorded checksum were required, {len(raw)} bytes "
            "arrived. Copy the folder again, or fit again."
        )
    try:
        return dict(from_bytes(raw))
    except SafetensorError as error:
        raise ModelFormatError(
            f"{file} is not a safetensors file ({error}). Copy the folder again, or fit again."
        ) from None


def public_name(cls: type) -> str | None:
    """`polymodal.coordination.CCA` for a public class of this package, None for anything else."""
    parts = cls.__module__.split(".")
    if parts[0] != "polymodal" or len(parts) < 2 or parts[1] not in PACKAGES:
        return None
    package = importlib.import_module(f"polymodal.{parts[1]}")
    return f"polymodal.{parts[1]}.{cls.__name__}" if cls.__name__ in package.__all__ else None


def public_class(name: str) -> type:
    """The public class that `public_name` named.

    Raises:
        ModelFormatError: anything that is not a public class of this package.
    """
    parts = name.split(".")
    if len(parts) == 3 and parts[0] == "polymodal" and parts[1] in PACKAGES:
        package = importlib.import_module(f"polymodal.{parts[1]}")
        if parts[2] in package.__all__:
            found = getattr(package, parts[2])
            if isinstance(found, type):
                return found
    raise ModelFormatError(
        f"The model names {name!r}, which is not a public class of this polymodal. It comes from another version, or was altered."
    )


class _Writer:
    """Turns a model into JSON; arrays go to `arrays`, and only their keys into the JSON."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.given: dict[int, str] = {}  # the user's own objects: each is asked for once, by its first place

    def encode(self, value: Any, place: str) -> Any:
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | float | np.generic):
            return _encode_number(value)
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if isinstance(value, list):
            return [self.encode(v, f"{place}[{i}]") for i, v in enumerate(value)]
        if isinstance(value, tuple | set | frozenset):
            kind = "tuple" if isinstance(value, tuple) else "frozenset"
            items = value if kind == "tuple" else sorted(value)
            return {"@": kind, "items": [self.encode(v, f"{place}[{i}]") for i, v in enumerate(items)]}
        if isinstance(value, Mapping):
            return self._mapping(value, place)
        if isinstance(value, Path):
            return {"@": "path", "value": str(value)}
        return self._object(value, place)

    def _mapping(self, value: Mapping[Any, Any], place: str) -> Any:
        items = [[self.encode(k, place), self.encode(v, f"{place}.{k}")] for k, v in value.items()]
        return {"@": "dict", "items": items}

    def _array(self, value: np.ndarray, place: str) -> Any:
        if value.dtype.kind in "UOT":
            flat = value.ravel().tolist()
            return {
                "@": "objects" if value.dtype == object else "strings",
                "shape": list(value.shape),
                "items": self.encode(flat, place),
            }
        if value.dtype.kind not in "biuf":
            raise ModelFormatError(
                f"{place} holds an array of {value.dtype}, which a model file cannot keep. Keep numbers or strings."
            )
        key = f"{len(self.arrays):04d}"
        self.arrays[key] = np.array(value, order="C", copy=True)
        return {"@": "array", "key": key}

    def _object(self, value: Any, place: str) -> Any:
        cls = type(value)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            tensor = value.detach().cpu()
            half = tensor.dtype == torch.bfloat16
            encoded = self._array((tensor.view(torch.int16) if half else tensor).numpy(), place)
            return {**encoded, "@": "bfloat16" if half else "tensor"}
        if torch is not None and isinstance(value, torch.nn.Module):
            place = self.given.setdefault(id(value), place)
            return {"@": "given", "place": place, "what": f"{cls.__module__}.{cls.__qualname__}"}
        if cls.__module__ == "sklearn.pipeline" and cls.__name__ == "Pipeline":
            return {
                "@": "pipeline",
                "steps": [[name, self.encode(step, f"{place}.{name}")] for name, step in value.steps],
            }
        if is_scikit_learn(value):
            kind, params, learned = to_plain(value, place)
            return {
                "@": "scikit-learn",
                "class": kind,
                "params": self._named(params, place),
                "learned": self._named(learned, place),
            }
        name = public_name(cls)
        if name is None:
            raise ModelFormatError(
                f"{place} is a {cls.__module__}.{cls.__qualname__}, which cannot be saved without pickle. Models hold numbers, "
                "strings, arrays, and public classes of polymodal."
            )
        if hasattr(value, "_get_state"):
            params = value.get_params(deep=False)
            state = {} if isinstance(value, Estimator) and not _is_fitted(value) else value._get_state()
            return {
                "@": "estimator",
                "class": name,
                "params": self._named(params, place),
                "state": self._named(state, place),
            }
        if dataclasses.is_dataclass(value):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
            return {"@": "dataclass", "class": name, "fields": self._named(fields, place)}
        raise ModelFormatError(f"{place} is a {name}, which has no state that can be saved.")

    def _named(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        return {k: self.encode(v, f"{place}.{k}") for k, v in values.items()}


def _encode_number(value: Any) -> Any:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and not math.isfinite(number):
        return {"@": "float", "value": repr(number)}
    return number


class _Reader:
    """Turns the JSON and its arrays back into a model."""

    def __init__(self, arrays: Mapping[str, np.ndarray], given: Mapping[str, Any], folder: Path) -> None:
        self.arrays, self.given, self.folder = arrays, given, folder
        self.kinds: dict[str, Callable[[dict[str, Any], str], Any]] = {
            "float": lambda node, _: float(node["value"]),
            "tuple": lambda node, place: tuple(self.decode(node["items"], place)),
            "frozenset": lambda node, place: frozenset(self.decode(node["items"], place)),
            "dict": lambda node, place: {
                self.decode(k, place): self.decode(v, place) for k, v in node["items"]
            },
            "path": lambda node, _: Path(node["value"]),
            "array": lambda node, _: self.arrays[node["key"]],
            "strings": lambda node, place: np.array(self.decode(node["items"], place), dtype=str).reshape(
                node["shape"]
            ),
            "objects": self._objects,
            "tensor": lambda node, _: self._tensor(node),
            "bfloat16": lambda node, _: self._tensor(node).view(_torch().bfloat16),
            "given": self._given,
            "pipeline": self._pipeline,
            "estimator": self._estimator,
            "scikit-learn": lambda node, place: from_plain(
                node["class"], self._named(node["params"], place), self._named(node["learned"], place)
            ),
            "dataclass": lambda node, place: public_class(node["class"])(
                **self._named(node["fields"], place)
            ),
        }

    def decode(self, node: Any, place: str) -> Any:
        if isinstance(node, list):
            return [self.decode(v, place) for v in node]
        if not isinstance(node, dict):
            return node
        try:
            return self.kinds[node["@"]](node, place)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ModelFormatError):
                raise
            raise ModelFormatError(
                f"{self.folder} is damaged or from another version: {place} cannot be read ({error!r}). Fit and save again."
            ) from error

    def _named(self, nodes: Mapping[str, Any], place: str) -> dict[str, Any]:
        return {k: self.decode(v, f"{place}.{k}") for k, v in nodes.items()}

    def _objects(self, node: dict[str, Any], place: str) -> np.ndarray:
        out = np.empty(len(node["items"]), dtype=object)
        out[:] = self.decode(node["items"], place)
        return out.reshape(node["shape"])

    def _tensor(self, node: dict[str, Any]) -> Any:
        return _torch().from_numpy(np.array(self.arrays[node["key"]]))

    def _given(self, node: dict[str, Any], _: str) -> Any:
        wanted = node["place"]
        if wanted not in self.given:
            raise ModelFormatError(
                f"{self.folder} was saved with an object of your own ({node['what']}) that a file cannot hold. "
                f"Load it with load(folder, given={{{wanted!r}: your_object}})."
            )
        return self.given[wanted]

    def _pipeline(self, node: dict[str, Any], place: str) -> Any:
        from sklearn.pipeline import Pipeline

        return Pipeline([(name, self.decode(step, f"{place}.{name}")) for name, step in node["steps"]])

    def _estimator(self, node: dict[str, Any], place: str) -> Any:
        model: Any = public_class(node["class"])(**self._named(node["params"], place))
        if node["state"]:
            model._set_state(self._named(node["state"], place))
        return model


def _torch() -> Any:
    return importlib.import_module("torch")
