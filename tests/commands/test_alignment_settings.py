"""How `polymodal align` is told to align."""

from __future__ import annotations

import pytest

from polymodal.commands.alignment_settings import AlignSettings
from polymodal.core.errors import ConfigError


def test_settings_that_cannot_be_are_refused() -> None:
    assert AlignSettings(normalise="both", tolerance=0.1).rule == "grow-diag-final-and"
    with pytest.raises(ConfigError, match="--normalise is one of"):
        AlignSettings(normalise="zscore")
    with pytest.raises(ConfigError, match="--tolerance"):
        AlignSettings(tolerance=-1.0)
