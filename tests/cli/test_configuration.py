"""A configuration and options together."""

from __future__ import annotations

import pytest

from polymodal.cli.configuration import FitRequest, request_from
from polymodal.commands.sources import Source
from polymodal.core.errors import ConfigError


def test_options_win_over_the_file(tmp_path) -> None:
    (tmp_path / "c.toml").write_text(
        'output = "m"\n[data]\npath = "photos"\nonly = ["image", "text"]\n[model]\nuse = "CCA"\nreg = 0.1\nn_components = 4\n'
        '[hold_out]\nsplit = "split"\n'
    )
    request = request_from(str(tmp_path / "c.toml"), FitRequest(settings={"reg": 0.5}, output="other"))
    assert request.source == Source("photos", only=("image", "text"))
    assert request.method == "CCA"
    assert request.settings == {"reg": 0.5, "n_components": 4}
    assert request.output == "other"
    assert request.split == "split"


def test_all_problems_at_once(tmp_path) -> None:
    (tmp_path / "c.toml").write_text('[dta]\nx = 1\n[model]\nuse = "CCA"\nregg = 1\n[hold_out]\nshar = 1\n')
    with pytest.raises(ConfigError) as caught:
        request_from(str(tmp_path / "c.toml"), FitRequest())
    for hint in ("Did you mean 'data'", "Did you mean 'reg'", "Did you mean 'share'"):
        assert hint in str(caught.value)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ConfigError, match=r"fit needs DATA, --method, -o MODEL.*CLIP"):
        FitRequest().run()
