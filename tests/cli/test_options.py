"""Text of options as values."""

from __future__ import annotations

import pytest

from polymodal.cli.options import names_of, pairs, settings, source, weights
from polymodal.core.errors import ConfigError


def test_settings_are_read_as_toml_and_else_as_text() -> None:
    given = ["a=3", "b=0.5", "c=true", "d=[1, 2]", "e=word", 'f="3"', "g=None", "h.i=1e-3"]
    assert settings(given) == {
        "a": 3,
        "b": 0.5,
        "c": True,
        "d": [1, 2],
        "e": "word",
        "f": "3",
        "g": None,
        "h.i": 1e-3,
    }


def test_sources() -> None:
    made = source("x", ["text=caption, tags", "gene=g_*"], only="text,gene", target="y")
    assert made.modalities == {"text": ["caption", "tags"], "gene": ["g_*"]}
    assert made.only == ("text", "gene")
    assert source("x").modalities is None
    assert names_of(" a , ,b") == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: pairs(["text"], "--modality", "text=caption"),
            "--modality needs NAME=VALUE, such as --modality text=caption",
        ),
        (lambda: pairs(["a=1", "a=2"], "--set", "a=1"), "--set a is given twice"),
        (lambda: source("x", nan="drop"), "--nan"),
        (lambda: source("x", image_size=1), "--image-size"),
        (lambda: weights(["text=much"]), "--weight text needs a number"),
    ],
)
def test_refused(call, message) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
