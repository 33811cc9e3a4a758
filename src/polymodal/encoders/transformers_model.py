"""Any model of the transformers library as the frozen or trained body of an encoder, from a local folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.core.errors import MissingDependencyError, ModelFormatError
from polymodal.encoders.clip_encoders import TowerModule
from polymodal.encoders.clip_tokens import TruncatedTextWarning, read_tokenizer
from polymodal.encoders.fitted_pictures import picture_config, steps_of_hugging_face
from polymodal.encoders.weight_files import INSTALL, WeightFiles, read_json
from polymodal.nn.pooling import masked_mean

Pooling = Literal["auto", "first", "mean"]
LONGEST = 100_000  # tokenizers say 1e30 where they mean "no limit"


class PooledModel(nn.Module):
    """A model of transformers, and one vector from the steps (or the map) it gives.

    Args:
        model: What `AutoModel` gave.
        pooling: "first" takes the first step; "mean" the mean of the steps that are there; "auto" is "first" for
            pictures and "mean" for texts. Maps (convolutional networks) are always averaged.
    """

    def __init__(self, model: nn.Module, pooling: Literal["first", "mean"]) -> None:
        super().__init__()
        pooler = getattr(model, "pooler", None)
        if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
            model.register_module(
                "pooler", None
            )  # its weights would enter no vector, and often were never trained
        self.model, self.pooling = model, pooling

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """(u, 3, h, w) pixels, or (u, t) token numbers and their mask -> (u, features)."""
        given = (
            {"pixel_values": inputs} if mask is None else {"input_ids": inputs, "attention_mask": mask.long()}
        )
        steps: Tensor = self.model(**given).last_hidden_state
        if steps.ndim == 4:
            return steps.mean((2, 3))
        if self.pooling == "first":
            return steps[:, 0]
        return masked_mean(
            steps,
            torch.ones(steps.shape[:2], dtype=torch.bool, device=steps.device) if mask is None else mask,
        )


class TransformersTextModule(TowerModule):
    """Texts through a model of transformers."""

    def __init__(self, tokenizer: str, context: int, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._text, self._context = tokenizer, context
        self._tokenizer = _tokenizer(tokenizer, context)

    def __deepcopy__(self, memo: dict[int, Any]) -> TransformersTextModule:
        from copy import deepcopy

        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__ = {k: v if k == "_tokenizer" else deepcopy(v, memo) for k, v in self.__dict__.items()}
        made._tokenizer = _tokenizer(self._text, self._context)
        return made

    def collate(self, values: Any) -> dict[str, Tensor]:
        """Texts -> token numbers (u, t) and a mask; what is longer than the model reads is cut, and said."""
        found = self._tokenizer.encode_batch(list(values))
        cut = sum(bool(e.overflowing) for e in found)
        if cut:
            warnings.warn(
                f"{cut} of {len(found)} texts are longer than the {self._context} tokens that this model reads; their ends are not read.",
                TruncatedTextWarning,
                stacklevel=2,
            )
        rows = [e.ids for e in found]
        ids = np.zeros((len(rows), max([1, *map(len, rows)])), dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, True
        return {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """One vector per text."""
        return self.encode(batch["ids"], batch["mask"])


def transformers_settings(folder: Path, part: Literal["image", "text"], pooling: Pooling) -> dict[str, Any]:
    """What has to be known of the folder to build the module: configuration, steps or tokenizer, width.

    Raises:
        ModelFormatError: a model of two towers, of no known width, or without tokenizer.
    """
    config = read_json(folder / "config.json")
    if "vision_config" in config and "text_config" in config:
        raise ModelFormatError(
            f"{folder} is a {config.get('model_type')!r} model of pictures and texts; of these CLIP's layout is read. Pass the folder "
            "of one of its parts."
        )
    width = config.get("hidden_size") or config.get("dim") or (config.get("hidden_sizes") or [None])[-1]
    if not isinstance(width, int):
        raise ModelFormatError(
            f"config.json in {folder} says no hidden_size, so the width of the model's vectors is unknown. It may be no encoder."
        )
    chosen = {"image": "first", "text": "mean"}[part] if pooling == "auto" else pooling
    settings: dict[str, Any] = {"config": json.dumps(config), "features": width, "pooling": chosen}
    if part == "image":
        steps = picture_config(folder)
        size = config.get("image_size") or _crop(steps)
        return {**settings, "steps": steps_of_hugging_face(steps, int(size)).to_json()}
    told = folder / "tokenizer_config.json"
    limits = [
        config.get("max_position_embeddings"),
        read_json(told).get("model_max_length") if told.is_file() else None,
    ]
    known = [int(v) for v in limits if isinstance(v, int | float) and v < LONGEST]
    return {**settings, "tokenizer": read_tokenizer(folder), "context": min(known, default=512)}


def load_transformers(folder: Path, settings: Mapping[str, Any]) -> nn.Module:
    """The body with its published weights. Code that a folder may bring is never run.

    Raises:
        MissingDependencyError: transformers is not installed.
        ModelFormatError: pickled weights, an unknown kind of model, or weights of another one.
    """
    WeightFiles(folder, ("model.safetensors",))  # refuses pickles by name, before the library looks for them
    library = _library()
    shown = library.utils.logging.is_progress_bar_enabled()
    library.utils.logging.disable_progress_bar()
    try:
        model, told = library.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (ValueError, KeyError, RuntimeError, OSError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFormatError(
            f"transformers cannot read {folder}: {first} A model that brings code of its own is never run."
        ) from None
    finally:
        if shown:
            library.utils.logging.enable_progress_bar()
    missing = sorted(key for key in told["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelFormatError(
            f"{folder} does not hold the weights of the {type(model).__name__} that its config.json describes: {len(missing)} tensors "
            f"are missing, first {missing[:3]}."
        )
    return PooledModel(model.eval(), settings["pooling"])


def empty_transformers(settings: Mapping[str, Any]) -> nn.Module:
    """The body without weights: NaN until a saved state is put in."""
    library = _library()
    config = json.loads(settings["config"])
    kind = library.AutoConfig.for_model(config.pop("model_type"), **config)
    model = library.AutoModel.from_config(kind, trust_remote_code=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    return PooledModel(model.eval(), settings["pooling"])


def _crop(steps: Mapping[str, Any] | None) -> int:
    for key in ("crop_size", "size"):
        size = (steps or {}).get(key)
        side = size.get("height") or size.get("shortest_edge") if isinstance(size, Mapping) else size
        if isinstance(side, int):
            return side
    return 224


def _tokenizer(text: str, context: int) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.enable_truncation(context)
    return tokenizer


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingDependencyError(
            f"A checkpoint that is not CLIP's is read by transformers, which is not installed. {INSTALL}"
        ) from None
    return transformers
