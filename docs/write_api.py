"""Write docs/api/*.md: one page a package, one entry a public name. Run it after a public name came or went."""

from __future__ import annotations

import importlib
from pathlib import Path

from polymodal.testing import public_packages

PACKAGES = public_packages()
MODULES = {"persistence": ("save", "load"), "core.errors": None}  # single files: these names, or all


def main() -> None:
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
