"""Write docs/api/*.md, one page a package, one entry a public name; and beside each package an `__init__.pyi` that says the same names to
type checkers and editors, which cannot see names that load when they are used. Run it after a public name came or went."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import polymodal
from polymodal.testing import public_packages

PACKAGES = public_packages()
MODULES = {"persistence": ("save", "load"), "core.errors": None}  # single files: these names, or all


SOURCE = Path(polymodal.__file__).parent


def stub(package: Path) -> str:
    """The text of a package's `__init__.pyi`, read off the call of `attach` in its source; empty where there is none."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "attach"]
    if not calls:
        return ""
    names: dict[str, str] = ast.literal_eval(calls[0].args[1])
    base = ".".join(["polymodal", *package.relative_to(SOURCE).parts])
    lines = [f"from {base}.{place} import {name} as {name}" for name, place in names.items()]
    version = ["", "__version__: str"] if package == SOURCE else []
    return "\n".join(["# Written by docs/write_api.py from __init__.py.", *sorted(lines), *version]) + "\n"


def write_stubs() -> None:
    for package in (SOURCE, *(SOURCE / name for name in PACKAGES)):
        (package / "__init__.pyi").write_text(stub(package), encoding="utf-8")


def main() -> None:
    write_stubs()
    folder = Path(__file__).parent / "api"
    folder.mkdir(exist_ok=True)
    for package in PACKAGES:
        module = importlib.import_module(f"polymodal.{package}")
        entries = "".join(f"\n::: polymodal.{package}.{name}\n" for name in sorted(module.__all__))
        (folder / f"{package}.md").write_text(
            f"# polymodal.{package}\n\n{module.__doc__.strip()}\n{entries}", encoding="utf-8"
        )
    for path, wanted in MODULES.items():
        module = importlib.import_module(f"polymodal.{path}")
        here = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        entries = "".join(f"\n::: polymodal.{path}.{name}\n" for name in wanted or here)
        (folder / f"{path.rpartition('.')[2]}.md").write_text(
            f"# polymodal.{path}\n\n{module.__doc__.strip()}\n{entries}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
