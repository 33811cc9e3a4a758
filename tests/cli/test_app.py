"""The commands as a whole: help, version, methods, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from polymodal import __version__

COMMANDS = ("describe", "fit", "evaluate", "embed", "index", "search", "methods", "demo")


def test_help_names_every_command(run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(run, command) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "For example" in result.stdout
    assert f"polymodal {command}" in result.stdout
    assert "--json" in result.stdout


def test_version(run) -> None:
    assert run("--version").stdout == f"polymodal {__version__}\n"


def test_wrong_usage_is_2(run) -> None:
    assert run("descibe", "x").exit_code == 2
    assert run("describe").exit_code == 2
    assert run("search", "i", "-k", "0").exit_code == 2


def test_methods(run) -> None:
    table = run("methods").stdout
    assert "CCA" in table
    assert "CLIP" in table
    found = json.loads(run("methods", "--family", "fusion", "--missing", "--json").stdout)
    assert {c["family"] for c in found} == {"fusion"}
    one = run("methods", "cca").stdout
    assert "reg" in one
    assert "0.0" in one
    wrong = run("methods", "--kind", "vektor")
    assert wrong.exit_code == 2
    assert "Did you mean 'vector'" in wrong.stderr


HELP = """
import sys
import typer.main
from polymodal.cli.app import app
typer.main.get_command(app)
heavy = {"torch", "sklearn", "numpy", "scipy", "pyarrow", "pandas", "matplotlib"} & set(sys.modules)
sys.exit(str(heavy) if heavy else 0)
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
