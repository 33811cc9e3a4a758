"""An extension of griffe: the names that a package gives lazily, by `attach(__name__, {name: module})`, read off its source."""

from __future__ import annotations

import ast
from typing import Any

import griffe


class LazyNames(griffe.Extension):
    """Make an alias of each lazy name, so that pages can say `polymodal.fusion.LateFusion`."""

    def on_module_members(self, *, node: ast.AST | griffe.ObjectNode, mod: griffe.Module, **_: Any) -> None:
        """Find the call of `attach` and add what it names."""
        for call in ast.walk(node) if isinstance(node, ast.AST) else ():
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "attach":
                names: dict[str, str] = ast.literal_eval(call.args[1])
                for name, place in names.items():
                    mod.set_member(name, griffe.Alias(name, f"{mod.path}.{place}.{name}"))
