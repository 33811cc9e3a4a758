"""A layer imports only from layers below it; siblings of one line never import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import polymodal

ROOT = Path(polymodal.__file__).parent
LAYERS = [
    {"_lazy"},
    {"core"},
    {"similarity", "information", "persistence"},
    {"objectives", "evaluation", "datasets", "nn", "training"},
    # built of nn's blocks and trained on objectives: docs/decisions/0002-encoders-stand-on-nn.md
    {"encoders", "alignment", "interactions"},
    {"fusion", "coordination", "fission"},
    {"retrieval", "testing", "config"},
    {"commands"},
    {"cli", "web"},
    {"__main__"},
]
LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}
# `polymodal.Modalities` and friends: the lazy names of the package itself, for use by users and not inside.


def imports(file: Path):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            if (node.module or "").split(".")[0] == "polymodal":
                parts = node.module.split(".")
                yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("polymodal."))


def test_every_part_has_a_place() -> None:
    parts = {
        p.stem
        for p in ROOT.iterdir()
        if (p.suffix == ".py" or (p / "__init__.py").exists()) and p.stem != "__init__"
    }
    assert parts <= set(LEVEL), f"no layer is named for {sorted(parts - set(LEVEL))}"


def test_layers() -> None:
    wrong = []
    for file in ROOT.rglob("*.py"):
        part = file.relative_to(ROOT).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for other in imports(file):
            if other in ("__version__",) or other == part:
                continue
            if LEVEL[other] >= LEVEL[part]:
                wrong.append(f"{file.relative_to(ROOT)} imports {other}")
    assert not wrong, "\n".join(wrong)
