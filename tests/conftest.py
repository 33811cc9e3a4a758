"""Shared fixtures, and the run-time check of every shape annotation in the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Workers run side by side, one thread each; and no progress bars, pictures on screens, or user caches.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sys  # noqa: E402
import types  # noqa: E402

import beartype  # noqa: E402
import hypothesis  # noqa: E402
import jaxtyping  # noqa: E402

_checker = types.ModuleType(
    "polymodal_checker"
)  # beartype, with int accepted where float is annotated (PEP 484)
_checker.check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # type: ignore[attr-defined]
sys.modules[_checker.__name__] = _checker
jaxtyping.install_import_hook("polymodal", "polymodal_checker.check")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,  # no test measures time
    database=None,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator: the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("POLYMODAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data are not at {folder} (set POLYMODAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures of coloured shapes, their descriptions, labels and a split: small, and learnable."""
    from PIL import Image, ImageDraw

    folder = tmp_path_factory.mktemp("data") / "shapes"
    (folder / "pictures").mkdir(parents=True)
    draws = np.random.default_rng(0)
    lines = ["file_name,text,shape,size,split"]
    for i in range(60):
        colour, shape = (
            ("red", "green", "blue", "orange", "purple")[i % 5],
            ("circle", "square", "bar")[i % 3],
        )
        half, x, y = int(draws.integers(5, 9)), int(draws.integers(10, 22)), int(draws.integers(10, 22))
        picture = Image.new("RGB", (32, 32), "white")
        draw = ImageDraw.Draw(picture)
        box = (x - half, y - (2 if shape == "bar" else half), x + half, y + (2 if shape == "bar" else half))
        (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=colour)
        picture.save(folder / "pictures" / f"{i:02d}.png")
        part = "test" if i % 6 == 5 else "train"
        lines.append(f"pictures/{i:02d}.png,a {colour} {shape} number {i},{shape},{half / 2},{part}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def clip_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny CLIP model with random weights in both published layouts: "hugging face" and "open_clip"."""
    import json

    import torch
    from safetensors.torch import save_file

    from polymodal.encoders.clip_tokens import train_clip_tokenizer

    words = ["a photo of a cat", "a red circle", "a drawing of a dog", "blue square", "green bar and a bird"]
    tokenizer = train_clip_tokenizer(words, 600)
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    image = {"width": 32, "layers": 2, "heads": 2, "side": 32, "patch": 8}
    text = {"width": 16, "layers": 2, "heads": 2, "context": 16, "vocabulary": len(vocabulary)}
    draw = torch.Generator().manual_seed(0)
    published: dict[str, torch.Tensor] = {"logit_scale": torch.tensor(3.0)}

    def normal(*shape: int, spread: float = 0.3) -> torch.Tensor:
        return spread * torch.randn(*shape, generator=draw)

    def layer(key: str, out: int, into: int) -> None:
        published[f"{key}.weight"], published[f"{key}.bias"] = normal(out, into), normal(out)

    def norm(key: str, width: int) -> None:
        published[f"{key}.weight"], published[f"{key}.bias"] = 1 + normal(width), normal(width)

    for tower, size in (("vision_model", image), ("text_model", text)):
        d = size["width"]
        for i in range(size["layers"]):
            block = f"{tower}.encoder.layers.{i}"
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                layer(f"{block}.self_attn.{name}", d, d)
            layer(f"{block}.mlp.fc1", 4 * d, d)
            layer(f"{block}.mlp.fc2", d, 4 * d)
            norm(f"{block}.layer_norm1", d)
            norm(f"{block}.layer_norm2", d)
    d = image["width"]
    published["vision_model.embeddings.class_embedding"] = normal(d)
    published["vision_model.embeddings.patch_embedding.weight"] = normal(d, 3, 8, 8, spread=0.1)
    published["vision_model.embeddings.position_embedding.weight"] = normal(17, d)
    norm("vision_model.pre_layrnorm", d)
    norm("vision_model.post_layernorm", d)
    published["visual_projection.weight"] = normal(8, d)
    d = text["width"]
    published["text_model.embeddings.token_embedding.weight"] = normal(len(vocabulary), d)
    published["text_model.embeddings.position_embedding.weight"] = normal(text["context"], d)
    norm("text_model.final_layer_norm", d)
    published["text_projection.weight"] = normal(8, d)

    root = tmp_path_factory.mktemp("checkpoints")
    folders = {name: root / name.replace(" ", "_") for name in ("hugging face", "open_clip")}
    for folder in folders.values():
        folder.mkdir()
    (folders["hugging face"] / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folders["open_clip"] / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in json.loads(tokenizer)["model"]["merges"])
    (folders["open_clip"] / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    end = vocabulary["<|endoftext|>"]
    configs = {
        "text_config": {
            "hidden_size": 16,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        }
        | {"vocab_size": len(vocabulary), "max_position_embeddings": 16, "projection_dim": 8}
        | {
            "eos_token_id": end,
            "bos_token_id": end - 1,
            "pad_token_id": end,
            "model_type": "clip_text_model",
        },
        "vision_config": {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2}
        | {"num_attention_heads": 2, "image_size": 32, "patch_size": 8, "projection_dim": 8}
        | {"model_type": "clip_vision_model"},
    }
    (folders["hugging face"] / "config.json").write_text(
        json.dumps({"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 8, **configs})
    )
    save_file(published, folders["hugging face"] / "model.safetensors", {"format": "pt"})
    vision = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
    words_config = {"context_length": 16, "vocab_size": len(vocabulary), "width": 16, "heads": 2, "layers": 2}
    (folders["open_clip"] / "open_clip_config.json").write_text(
        json.dumps(
            {
                "model_cfg": {
                    "embed_dim": 8,
                    "quick_gelu": True,
                    "vision_cfg": vision,
                    "text_cfg": words_config,
                }
            }
        )
    )
    save_file(_open_clip_names(published), folders["open_clip"] / "open_clip_model.safetensors")
    return folders


def _open_clip_names(published: dict[str, Any]) -> dict[str, Any]:
    """The same tensors as open_clip's `CLIP.state_dict()` names them."""
    import re

    import torch

    renamed = {
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "logit_scale": "logit_scale",
    }
    found = {}
    for key, tensor in published.items():
        if key in renamed:
            found[renamed[key]] = tensor
        elif key == "visual_projection.weight":
            found["visual.proj"] = tensor.T.contiguous()
        elif key == "text_projection.weight":
            found["text_projection"] = tensor.T.contiguous()
        elif ".q_proj." in key:
            joint = torch.cat([published[key.replace("q_proj", f"{c}_proj")] for c in "qkv"])
            name = re.sub(r"self_attn\.q_proj\.", "attn.in_proj_", key)
            found[_block_name(name)] = joint
        elif ".k_proj." not in key and ".v_proj." not in key:
            found[_block_name(key)] = tensor
    return found


def _block_name(key: str) -> str:
    for theirs, name in (
        ("vision_model.", "visual."),
        ("text_model.", ""),
        ("encoder.layers", "transformer.resblocks"),
        ("final_layer_norm", "ln_final"),
        ("layer_norm", "ln_"),
        ("self_attn", "attn"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("pre_layrnorm", "ln_pre"),
        ("post_layernorm", "ln_post"),
    ):
        key = key.replace(theirs, name)
    return key
