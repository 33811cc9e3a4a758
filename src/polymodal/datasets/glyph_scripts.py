"""Which script a character belongs to, read off its official name: the standard library has no such table."""

from __future__ import annotations

import unicodedata

SCRIPTS = (
    "latin", "greek", "coptic", "cyrillic", "armenian", "hebrew", "arabic", "nko", "lao", "thai", "georgian", "ogham",
    "runic", "tifinagh", "lisu", "deseret",
)  # fmt: skip
FIRST_WORDS = {
    "arabic-indic": "arabic", "extended arabic-indic": "arabic", "canadian syllabics": "canadian syllabics",
    "old italic": "old italic", "mathematical": "mathematical", "braille pattern": "braille", "box drawings": "box drawing",
    "apl functional": "apl", "domino tile": "domino", "playing card": "playing card", "tetragram": "divination",
    "hexagram": "divination", "trigram": "divination", "digram": "divination", "monogram": "divination",
    "musical symbol": "musical", "combining": "combining", "circled": "circled", "parenthesized": "circled",
}  # fmt: skip
BY_CATEGORY = {
    "Sm": "mathematical", "Sc": "currency", "Sk": "modifier", "Lm": "modifier", "So": "symbol",
    "P": "punctuation", "N": "number", "M": "combining", "L": "letterlike",
}  # fmt: skip


def script_of(character: str) -> str:
    """The script of a character, or what kind of sign it is where it belongs to none.

    The name's first words decide ("greek small letter alpha" is greek, "mathematical bold capital a" mathematical);
    then a script named anywhere ("modifier letter cyrillic en"), arrows, and last the general category.

    Examples:
        >>> [script_of(c) for c in "aωж٣∑→€⠿"]
        ['latin', 'greek', 'cyrillic', 'arabic', 'mathematical', 'arrow', 'currency', 'braille']
    """
    name = unicodedata.name(character, "").lower()
    words = name.split()
    for start, script in FIRST_WORDS.items():
        if name.startswith(start + " ") or name == start:
            return script
    found = next((script for script in SCRIPTS if script in words), None)
    if found is not None and ("letter" in words or words[0] == found or "ligature" in words):
        return found
    if "arrow" in words or "arrows" in words or any(w.endswith("arrow") for w in words):
        return "arrow"
    category = unicodedata.category(character)
    return BY_CATEGORY.get(category) or BY_CATEGORY.get(category[0], "other")
