"""Embedding with a published CLIP model: our towers beside transformers' `CLIPModel`, with the same (random) weights.

The checkpoint is written once in Hugging Face's layout. Each contender reads it in a process of its own; seconds are processor
seconds of one thread, best of several; MiB are the peak above the loaded model. The work from pictures holds resizing, cropping
and standardising of 256 x 340 bytes; that from pixels starts with standardised numbers.

    python benchmarks/bench_vit.py             # ViT-B/32
    python benchmarks/bench_vit.py ViT-B/16    # another transformer
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Answer, Row, best_of, command_line, contend, present, row

WORKS = (("ViT-B/32",),)
PICTURES, TEXTS = 64, 256


def run(works: tuple[tuple[str], ...] = WORKS) -> list[Row]:
    """Three rows per transformer; the agreement is the largest difference of the vectors."""
    rows = []
    for (preset,) in works:
        with tempfile.TemporaryDirectory() as folder:
            _write(preset, Path(folder))
            ours, peer = (present(contend(__file__, who, folder)) for who in ("ours", "peer"))
            vectors = [np.load(f"{folder}/{who}.npz") for who in ("ours", "peer")]
            for work, (count, what) in _KINDS.items():
                a, b = (v[work] / np.linalg.norm(v[work], axis=1, keepdims=True) for v in vectors)
                found = row(
                    work=f"{preset}, {count} {what}",
                    ours=ours[work],
                    peer_name="transformers CLIPModel",
                    peer=peer[work],
                    agreement=float(np.abs(a - b).max()),
                )
                rows.append(found | {"per_second": count / ours[work]["seconds"]})
    return rows


_KINDS = {
    "pixels": (PICTURES, "pictures, from pixels"),
    "pictures": (PICTURES, "pictures, from bytes of 256 x 340"),
    "texts": (TEXTS, "texts of 3 to 20 words"),
}


def _write(preset: str, folder: Path) -> None:
    import torch
    from transformers import CLIPConfig, CLIPModel

    from polymodal.encoders import clip_preset
    from polymodal.encoders.clip_tokens import train_clip_tokenizer

    chosen = clip_preset(preset)
    image, text = chosen.image, chosen.text
    tokenizer = train_clip_tokenizer(_texts(), text.vocabulary)
    end = json.loads(tokenizer)["model"]["vocab"]["<|endoftext|>"]
    torch.manual_seed(0)
    config = CLIPConfig(
        projection_dim=chosen.n_components,
        text_config={
            "hidden_size": text.width, "intermediate_size": 4 * text.width, "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers, "projection_dim": chosen.n_components, "eos_token_id": end, "bos_token_id": end - 1,
            "pad_token_id": end,
        },
        vision_config={
            "hidden_size": image.width, "intermediate_size": 4 * image.width, "num_attention_heads": image.heads,
            "num_hidden_layers": image.layers, "patch_size": image.patch, "image_size": image.resolution,
            "projection_dim": chosen.n_components,
        },
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def _texts() -> list[str]:
    rng = np.random.default_rng(0)
    words = [
        "a",
        "photo",
        "of",
        "the",
        "red",
        "green",
        "square",
        "circle",
        "dog",
        "cat",
        "old",
        "small",
        "house",
        "tree",
    ]
    return [" ".join(rng.choice(words, rng.integers(3, 21))) for _ in range(TEXTS)]


def _pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (PICTURES, 256, 340, 3), dtype=np.uint8)


def contender(who: str, folder: str) -> Answer:
    works = _ours(folder) if who == "ours" else _peer(folder)
    figures, vectors = {}, {}
    for name, work in works.items():
        found = best_of(work, repeats=4, enough=120)
        figures[name], vectors[name] = found.figures(), found.answer
    np.savez(Path(folder) / f"{who}.npz", **vectors)
    return figures


def _ours(folder: str) -> dict[str, Callable[[], np.ndarray]]:
    import torch

    from polymodal.coordination import load_clip

    model, pictures, texts = load_clip(folder), _pictures(), _texts()
    tower = model.module_.towers["image"]
    with torch.inference_mode():
        pixels = tower.steps.pixels(tower.collate(pictures))

    def from_pixels() -> np.ndarray:
        with torch.inference_mode():
            parts = [tower._beside[1](tower.body(part)) for part in pixels.split(32)]
            return torch.cat(parts).numpy()

    def from_values(name: str, values: Any) -> np.ndarray:
        found: np.ndarray = model.transform({name: values})[name].values()
        return found

    return {
        "pixels": from_pixels,
        "pictures": partial(from_values, "image", pictures),
        "texts": partial(from_values, "text", texts),
    }


def _peer(folder: str) -> dict[str, Callable[[], np.ndarray]]:
    import torch
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    model, pictures, texts = CLIPModel.from_pretrained(folder).eval(), _pictures(), _texts()
    side = model.config.vision_config.image_size
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    pixels = processor(list(pictures), return_tensors="pt")["pixel_values"]

    def embed(part: Any) -> Any:
        found = model.get_image_features(pixel_values=part)
        return getattr(found, "pooler_output", found)

    def words(part: list[str]) -> Any:
        found = model.get_text_features(**tokenizer(part, padding=True, return_tensors="pt"))
        return getattr(found, "pooler_output", found)

    def of(pieces: Callable[[], Any]) -> Callable[[], np.ndarray]:
        def call() -> np.ndarray:
            with torch.inference_mode():
                return torch.cat(list(pieces())).numpy()

        return call

    parts = range(0, PICTURES, 32)
    return {
        "pixels": of(lambda: (embed(pixels[i : i + 32]) for i in parts)),
        "pictures": of(
            lambda: (
                embed(processor(list(pictures[i : i + 32]), return_tensors="pt")["pixel_values"])
                for i in parts
            )
        ),
        "texts": of(lambda: (words(texts[i : i + 32]) for i in range(0, TEXTS, 32))),
    }


if __name__ == "__main__":
    command_line(run, contender, WORKS)
