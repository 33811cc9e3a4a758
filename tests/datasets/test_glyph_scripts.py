from __future__ import annotations

import pytest

from polymodal.datasets.glyph_scripts import script_of


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "latin"), ("Ǻ", "latin"), ("ﬁ", "latin"), ("ώ", "greek"), ("ж", "cyrillic"), ("ᵸ", "cyrillic"),
        ("א", "hebrew"), ("٣", "arabic"), ("ﻊ", "arabic"), ("۵", "arabic"), ("𝔸", "mathematical"), ("∑", "mathematical"),
        ("→", "arrow"), ("⬀", "arrow"), ("€", "currency"), ("⠿", "braille"), ("─", "box drawing"), ("ᐁ", "canadian syllabics"),
        ("5", "number"), ("½", "number"), ("!", "punctuation"), ("\u0301", "combining"), ("☃", "symbol"), ("Ⓐ", "circled"),
        ("ʰ", "modifier"), ("ℵ", "letterlike"), ("ⴰ", "tifinagh"), ("𐌀", "old italic"), ("🂡", "playing card"), ("⍟", "apl"),
    ],
)  # fmt: skip
def test_scripts(character, script):
    assert script_of(character) == script
