from __future__ import annotations

import numpy as np
import pytest

from polymodal.core.errors import DataError, ModalityError
from polymodal.datasets import glyphs, held_out_characters, load_glyphs
from polymodal.datasets.cache import cache_folder, remember


@pytest.fixture(scope="module")
def letters():
    return load_glyphs(characters="AΑАBΒВxX×omωώσ⠿ζ", cache=False, min_pictures=1)


def test_three_modalities_of_one_character(letters):
    assert letters.data.names == ("picture", "outline", "name")
    assert [letters.data[m].kind for m in letters.data.names] == ["grid", "sequence", "text"]
    row = int(np.flatnonzero((letters["character"] == "ώ") & (letters["font"] == "DejaVuSans"))[0])
    assert letters.data["name"][row].values() == ["greek small letter omega with tonos"]
    assert letters.data.ids[row] == "U+03CE DejaVuSans"
    assert (letters["codepoint"][row], letters["script"][row], letters["category"][row]) == (
        0x3CE,
        "greek",
        "Ll",
    )
    assert letters.data["picture"][row].values().shape == (1, 32, 32)
    assert letters.data["outline"].shape == (3,)


def test_each_name_and_each_picture_is_stored_once(letters):
    names = list(letters.data["name"].store)
    assert len(names) == len(set(names)) == len(set(letters["character"]))
    picture = letters.data["picture"]
    assert len({p.tobytes() for p in picture.store}) == len(picture.store) < len(letters)
    np.testing.assert_array_equal(picture.identity, picture.index)
    sans = letters["font"] == "DejaVuSans"
    shared = [
        int(picture.index[sans & (letters["character"] == c)][0]) for c in "AΑА"
    ]  # Latin, Greek, Cyrillic
    assert len(set(shared)) == 1


def test_no_row_stands_twice(letters):
    keys = list(zip(letters["codepoint"].tolist(), letters.data["picture"].index.tolist(), strict=True))
    assert len(keys) == len(set(keys))
    assert keys == sorted(keys, key=lambda k: k[0])


def test_choices_agree_with_the_whole_and_with_the_cache():
    one_font = {"fonts": ("DejaVuSansMono-Oblique",), "min_pictures": 1, "size": 16}
    drawn = load_glyphs(scripts=["greek"], **one_font, cache=False)
    assert set(drawn["script"]) == {"greek"}
    load_glyphs(**one_font)
    assert len(list(cache_folder().iterdir())) == 1
    recalled = load_glyphs(scripts=["greek"], **one_font)
    assert recalled.data.ids.tolist() == drawn.data.ids.tolist()
    np.testing.assert_array_equal(recalled.data["picture"].values(), drawn.data["picture"].values())
    np.testing.assert_array_equal(recalled.data["outline"].store.values, drawn.data["outline"].store.values)


def test_what_was_drawn_before_is_not_drawn_again(monkeypatch):
    one_font = {"fonts": ("STIXGeneralBolIta",), "min_pictures": 1, "size": 8}
    first = load_glyphs(**one_font)
    monkeypatch.setattr(glyphs, "draw", None)
    again = load_glyphs(**one_font)
    np.testing.assert_array_equal(first.data["picture"].store, again.data["picture"].store)


@pytest.mark.parametrize("stored", [{"picture": np.zeros(3)}, "shapes", None])
def test_a_cache_that_is_not_what_was_written_is_rebuilt(stored):
    one_font = {"fonts": ("STIXGeneralBolIta",), "min_pictures": 1, "size": 8}
    first = load_glyphs(**one_font)
    (path,) = cache_folder().iterdir()
    key = f"{glyphs.FORMAT} {glyphs._versions()} 8 64 STIXGeneralBolIta"
    if stored is None:
        path.write_bytes(path.read_bytes()[:1000])
    elif stored == "shapes":
        names = ("codepoint", "font", "picture", "points", "offsets")
        remember("glyphs", key, dict.fromkeys(names, np.zeros(3)))
    else:
        remember("glyphs", key, stored)
    np.testing.assert_array_equal(load_glyphs(**one_font).data["picture"].store, first.data["picture"].store)


def test_characters_drawn_in_one_way_only_can_be_left_out(letters):
    two = load_glyphs(characters="AΑАBΒВxX×omωώσ⠿ζ", cache=False, min_pictures=2)
    times = np.unique(two["codepoint"], return_counts=True)[1]
    assert times.min() >= 2
    assert len(letters) >= len(two)


@pytest.mark.parametrize("look_alikes", ["together", "apart"])
def test_held_out_characters_are_never_seen(letters, look_alikes):
    train, test = held_out_characters(letters, test_size=5, look_alikes=look_alikes, random_state=0)
    assert not set(train["character"]) & set(test["character"])
    assert len(set(test["character"])) == 5
    assert len(train) + len(test) == len(letters)
    shared = set(train.data["picture"].index) & set(test.data["picture"].index)
    assert not shared or look_alikes == "apart"


def test_look_alikes_stay_on_one_side(letters):
    for seed in range(8):
        _, test = held_out_characters(letters, test_size=6, random_state=seed)
        for family in ("AΑА", "BΒВ"):
            assert len(set(test["character"]) & set(family)) in (0, 3)


def test_apart_is_a_split_by_character(letters):
    ours = held_out_characters(letters, test_size=0.3, look_alikes="apart", random_state=4)[1]
    assert (
        ours.data.ids.tolist()
        == letters.split(group="character", test_size=0.3, random_state=4)[1].data.ids.tolist()
    )


def test_bad_choices_are_sentences():
    with pytest.raises(DataError, match=r"'DejaVuSanz'.*Did you mean 'DejaVuSans'"):
        load_glyphs(fonts=["DejaVuSanz"])
    with pytest.raises(ModalityError, match=r"'greec'.*Did you mean 'greek'"):
        load_glyphs(scripts=["greec"], fonts=["DejaVuSans"])
    with pytest.raises(ModalityError, match="size=4"):
        load_glyphs(4)
    with pytest.raises(ModalityError, match="min_pictures=9"):
        load_glyphs(characters="a", min_pictures=9, cache=False)
    with pytest.raises(ModalityError, match="no character"):
        load_glyphs(characters="\ue000\u200b ", min_pictures=1, cache=False)
    with pytest.raises(ModalityError, match="at least one font"):
        load_glyphs(fonts=())


def test_a_bar_appears_after_two_seconds_only(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 3.0, 4.0])
    monkeypatch.setattr(glyphs, "monotonic", lambda: next(clock))
    with glyphs._bar(3, True) as advance:
        advance(1)
        assert "Drawing" not in capsys.readouterr().err
        advance(1)
        advance(1)
    assert "Drawing glyphs" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_set():
    whole = load_glyphs(cache=False)
    assert len(set(whole["codepoint"])) == pytest.approx(5900, abs=200)
    assert len(whole) == pytest.approx(26_000, abs=1000)
    assert whole.data["picture"].store.max(axis=(1, 2)).min() > 0  # none is blank
    train, test = held_out_characters(whole, test_size=455, random_state=0)
    assert len(set(test["character"])) == 455
    assert not set(train.data["picture"].index) & set(test.data["picture"].index)
