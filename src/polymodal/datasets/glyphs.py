"""`load_glyphs`: characters as picture, outline and official name, from the fonts that ship with matplotlib."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from polymodal.core.errors import DataError, ModalityError, suggest
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.texts import Texts
from polymodal.core.typing import Int
from polymodal.datasets.cache import recall, remember
from polymodal.datasets.dataset import Dataset, held_out_count
from polymodal.datasets.glyph_outlines import read_contours, walk
from polymodal.datasets.glyph_pictures import draw
from polymodal.datasets.glyph_scripts import script_of

UPRIGHT_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "STIXGeneral", "STIXGeneralBol",
)  # fmt: skip
SLANTED_FONTS = (
    "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
    "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic", "STIXGeneralItalic", "STIXGeneralBolIta",
)  # fmt: skip
"""Left out on purpose: Computer Modern (its code points are not its characters'), the STIX fonts of private-use and
enlarged glyphs, DejaVu Display, and the font of last resort."""

INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")  # drawn, if at all, as dashed boxes
UNNAMED = "VARIATION SELECTOR"  # stands for no name, and is no glyph either
FORMAT = 2  # of the cache: raise it when what is drawn changes

DESCRIPTION = """\
One row is one character drawn by one font that ships with matplotlib. Modalities: picture (white on black, one scale
and one baseline for all), outline (steps along the contours: x, y in ems, and 1 where a contour starts) and name (the
official Unicode name in lower case). Some characters of different scripts look exactly alike."""
LICENCE = "Fonts: Bitstream Vera licence, DejaVu changes in the public domain; STIX fonts: SIL Open Font License 1.1."


@dataclass(frozen=True, eq=False)
class Drawings:
    """What was drawn: one row per character and font, characters rising, fonts in the order asked for."""

    codepoint: Int[np.ndarray, " n"]
    font: Int[np.ndarray, " n"]
    picture: UInt8[np.ndarray, "n size size"]
    outline: Ragged

    def __getitem__(self, rows: np.ndarray) -> Drawings:
        return Drawings(self.codepoint[rows], self.font[rows], self.picture[rows], self.outline[rows])


def load_glyphs(
    size: int = 32,
    *,
    fonts: Sequence[str] = UPRIGHT_FONTS,
    scripts: Sequence[str] | None = None,
    characters: Iterable[str] | None = None,
    min_pictures: int = 2,
    max_points: int = 64,
    cache: bool = True,
    progress: bool | None = None,
) -> Dataset:
    """Characters in three modalities that share no format: `picture`, `outline` and `name`.

    A picture that a character's other font repeats to the last pixel is left out, so no row stands twice. Every name
    is stored once, and pictures that several characters share (Latin A, Greek Alpha) too.

    Args:
        size: Height and width of the pictures in pixels, 8 to 256.
        fonts: Font files by name, without suffix; the eight upright ones by default, more in `SLANTED_FONTS`.
        scripts: Only characters of these scripts (`dataset["script"]` lists them).
        characters: Only these characters.
        min_pictures: Only characters drawn in at least so many different ways. 2 by default: of a character that one
            font alone has, nothing tells the character from the font.
        max_points: Points of an outline, about: many small contours may need some more.
        cache: Keep what was drawn in `$POLYMODAL_CACHE` (or the platform's cache folder) for the next call.
        progress: Show a bar once two seconds have passed; `None`: only on a terminal.

    Returns:
        Metadata: character, codepoint, script, category (Unicode's general category), font.

    Raises:
        DataError: a font that is not there.
        ModalityError: sizes out of range, or a choice that no character meets.

    Complexity:
        O(glyphs x size^2): seconds the first time, well under one from the cache. A choice of scripts or characters
        draws no others.
    """
    if not 8 <= size <= 256 or max_points < 8 or min_pictures < 1:
        raise ModalityError(
            "load_glyphs needs size in 8..256, max_points >= 8 and min_pictures >= 1; "
            f"got size={size}, max_points={max_points}, min_pictures={min_pictures}."
        )
    faces = {name: _font_file(name) for name in fonts}
    available = {name: _codepoints(path) for name, path in faces.items()}
    wanted = _wanted(available, scripts, characters)
    key = f"{FORMAT} {_versions()} {size} {max_points} {' '.join(faces)}"
    drawings = _recall(key, size) if cache else None
    if drawings is None:
        chosen = {name: np.intersect1d(codepoints, wanted) for name, codepoints in available.items()}
        drawings = _draw_all(faces, chosen, size, max_points, progress)
        if cache and scripts is None and characters is None:
            parts = {"codepoint": drawings.codepoint, "font": drawings.font, "picture": drawings.picture}
            remember(
                "glyphs",
                key,
                {**parts, "points": drawings.outline.values, "offsets": drawings.outline.offsets},
            )
    else:
        drawings = drawings[np.isin(drawings.codepoint, wanted)]
    _, where, times = np.unique(drawings.codepoint, return_inverse=True, return_counts=True)
    drawings = drawings[times[where] >= min_pictures]
    if not len(drawings.codepoint):
        raise ModalityError(
            f"load_glyphs found no character that {list(faces)} draw in min_pictures={min_pictures} different ways "
            "among those asked for. Lower min_pictures, or choose more fonts."
        )
    return _dataset(drawings, tuple(faces))


def held_out_characters(
    dataset: Dataset,
    *,
    test_size: float | int = 0.08,
    look_alikes: Literal["together", "apart"] = "together",
    random_state: RandomState = None,
) -> tuple[Dataset, Dataset]:
    """Train and test glyphs such that no test character was ever seen, in any font.

    Args:
        dataset: What `load_glyphs` gave, or rows of it.
        test_size: Share of the characters to hold out, in (0, 1), or how many (an integer >= 1).
        look_alikes: Characters that share a picture to the last pixel (Latin, Greek and Cyrillic capital A) either
            stay `together`, so that no test picture stands in training under another name, or fall as they may.
        random_state: Which characters.

    Returns:
        Two data sets that share the stores of `dataset`.

    Raises:
        ModalityError: a size that leaves either part empty.

    Relations:
        * with `look_alikes="apart"` it is `dataset.split(group="character", ...)` on the same seed.

    Complexity:
        O(n log n).
    """
    if look_alikes == "apart":
        return dataset.split(group="character", test_size=test_size, random_state=random_state)
    codepoints, character = np.unique(dataset["codepoint"], return_inverse=True)
    target = held_out_count(test_size, len(codepoints), "characters")
    of_row = linked_rows(
        [character.ravel(), dataset.data["picture"].index]
    )  # joined by a chain of shared pictures
    family = np.zeros(len(codepoints), dtype=np.int64)
    family[character] = of_row
    sizes = np.bincount(family)
    held, count = [], 0
    for candidate in generator(random_state).permutation(len(sizes)):
        if count + sizes[candidate] <= target:
            held.append(candidate)
            count += int(sizes[candidate])
        if count == target:
            break
    test = np.isin(family[character], held)
    return dataset[~test], dataset[test]


# --- which characters -----------------------------------------------------------------------------------------------


def _font_file(name: str) -> Path:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    path = folder / f"{name}.ttf"
    if not path.is_file():
        there = sorted(p.stem for p in folder.glob("*.ttf"))
        raise DataError(
            f"load_glyphs needs fonts of {folder}, got {name!r}; there are {there or 'none'}.{suggest(name, there)} "
            "Some system packages of matplotlib leave the fonts out: pip install matplotlib brings them."
        )
    return path


def _codepoints(font: Path) -> np.ndarray:
    """Code points of the font's characters that have an official name and are meant to be seen."""
    from matplotlib.ft2font import FT2Font

    named = (
        codepoint
        for codepoint, glyph in FT2Font(str(font)).get_charmap().items()
        if glyph
        and unicodedata.category(chr(codepoint)) not in INVISIBLE
        and not unicodedata.name(chr(codepoint), UNNAMED).startswith(UNNAMED)
    )
    return np.array(sorted(named), dtype=np.int64)


def _wanted(
    available: Mapping[str, np.ndarray], scripts: Sequence[str] | None, characters: Iterable[str] | None
) -> np.ndarray:
    if not available:
        raise ModalityError(
            "load_glyphs needs at least one font, got none. Leave fonts out for the upright ones."
        )
    wanted = np.unique(np.concatenate(list(available.values())))
    if characters is not None:
        wanted = np.intersect1d(wanted, np.array([ord(c) for c in characters], dtype=np.int64))
    if scripts is not None:
        of = np.array([script_of(chr(codepoint)) for codepoint in wanted])
        known = sorted(set(of.tolist()))
        unknown = sorted(set(scripts) - set(known)) if characters is None else []
        if unknown:
            raise ModalityError(
                f"load_glyphs knows no script {unknown}; the fonts have {known}.{suggest(unknown[0], known)}"
            )
        wanted = wanted[np.isin(of, list(scripts))]
    return wanted


# --- drawing --------------------------------------------------------------------------------------------------------


def _draw_all(
    faces: Mapping[str, Path],
    chosen: Mapping[str, np.ndarray],
    size: int,
    max_points: int,
    progress: bool | None,
) -> Drawings:
    parts = []
    with _bar(sum(map(len, chosen.values())), progress) as advance:
        for number, (name, path) in enumerate(faces.items()):
            for codepoints in np.array_split(chosen[name], max(1, len(chosen[name]) // 500)):
                contours = read_contours(path, codepoints.tolist())
                seen = contours.inked
                parts.append(
                    Drawings(
                        codepoints[seen],
                        np.full(int(seen.sum()), number),
                        draw(path, codepoints[seen].tolist(), contours.boxes[seen], size),
                        walk(contours, max_points)[seen],
                    )
                )
                advance(len(codepoints))
    codepoint, font = (np.concatenate([getattr(p, name) for p in parts]) for name in ("codepoint", "font"))
    picture = np.concatenate([p.picture for p in parts])
    lengths = np.concatenate([p.outline.lengths for p in parts])
    outline = Ragged(
        np.concatenate([p.outline.values for p in parts]), np.concatenate([[0], np.cumsum(lengths)])
    )
    order = np.lexsort([font, codepoint])
    same = _identity(picture)[order]
    _, first = np.unique(np.column_stack([codepoint[order], same]), axis=0, return_index=True)
    return Drawings(codepoint, font, picture, outline)[order[np.sort(first)]]


def _identity(picture: np.ndarray) -> np.ndarray:
    """Number of each picture, equal where all pixels are, in order of first appearance."""
    codes: dict[bytes, int] = {}
    return np.fromiter((codes.setdefault(p.tobytes(), len(codes)) for p in picture), np.int64, len(picture))


@contextmanager
def _bar(total: int, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on the error stream that appears once two seconds have passed."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    bar = Progress(
        console=console,
        transient=console.is_terminal,
        disable=not (console.is_terminal if progress is None else progress),
    )
    task = bar.add_task("Drawing glyphs", total=total)
    begin = monotonic()

    def advance(count: int) -> None:
        bar.advance(task, count)
        if monotonic() - begin > 2 and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


# --- keeping and building -------------------------------------------------------------------------------------------


def _versions() -> str:
    import matplotlib
    import PIL

    return f"matplotlib {matplotlib.__version__} pillow {PIL.__version__}"


def _recall(key: str, size: int) -> Drawings | None:
    """What an earlier call drew; `None` where the file is not what was once written."""
    stored = recall("glyphs", key)
    if stored is None or set(stored) != {"codepoint", "font", "picture", "points", "offsets"}:
        return None
    n = len(stored["codepoint"])
    shapes = (
        stored["font"].shape,
        stored["picture"].shape,
        stored["offsets"].shape,
        stored["points"].shape[1:],
    )
    if shapes != ((n,), (n, size, size), (n + 1,), (3,)) or stored["offsets"][-1] != len(stored["points"]):
        return None
    return Drawings(
        stored["codepoint"], stored["font"], stored["picture"], Ragged(stored["points"], stored["offsets"])
    )


def _dataset(drawings: Drawings, fonts: tuple[str, ...]) -> Dataset:
    codepoints, character = np.unique(drawings.codepoint, return_inverse=True)
    symbols = [chr(codepoint) for codepoint in codepoints]
    identity = _identity(drawings.picture)
    first = np.unique(identity, return_index=True)[1]
    names = np.array(fonts)[drawings.font]
    keys = [
        f"U+{codepoint:04X} {font}"
        for codepoint, font in zip(drawings.codepoint.tolist(), names, strict=True)
    ]
    data = Modalities(
        {
            "picture": Modality(drawings.picture[first], identity),
            "outline": drawings.outline,
            "name": Modality(Texts(unicodedata.name(symbol).lower() for symbol in symbols), character),
        },
        ids=keys,
    )
    metadata = {
        "character": np.array(symbols)[character],
        "codepoint": drawings.codepoint,
        "script": np.array([script_of(symbol) for symbol in symbols])[character],
        "category": np.array([unicodedata.category(symbol) for symbol in symbols])[character],
        "font": names,
    }
    return Dataset(data, metadata, name="glyphs", description=DESCRIPTION, licence=LICENCE)
