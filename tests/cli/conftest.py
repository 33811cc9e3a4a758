"""The command line in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from polymodal.cli.app import app


@pytest.fixture
def run() -> Callable:
    """`run("describe", folder)`: the result has exit_code, stdout and stderr."""

    def call(*args):
        return CliRunner().invoke(app, [str(a) for a in args], prog_name="polymodal", catch_exceptions=False)

    return call
