"""One visual language for every picture: colours, type, names that can be drawn, PNG bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import matplotlib.style
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ft2font import FT2Font

# Okabe & Ito (2008) without yellow and black: told apart with any common colour blindness
PALETTE: tuple[str, ...] = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A4B9E",
    "#8C6D31",
)
MARKERS: tuple[str, ...] = ("o", "s", "D", "^", "v", "P", "X", "h")
INK, QUIET, FAINT = "#1b1f24", "#59636e", "#d8dde3"

WIDTH = 7.5  # inches: the page's column at 96 CSS pixels per inch
DPI = 160

# what a system may have beside the font that matplotlib ships, for names in other scripts
_FALLBACKS = (
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans CJK KR",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Micro Hei",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """How one encoder (or class) looks in every picture."""

    colour: str
    marker: str


def marks(labels: Iterable[str]) -> dict[str, Mark]:
    """A mark per label in order of first appearance; shapes change when colours run out.

    Examples
    --------
    >>> marks(["a", "b", "a"])["b"].colour
    '#D55E00'
    """
    return {
        label: Mark(PALETTE[i % len(PALETTE)], MARKERS[(i // len(PALETTE)) % len(MARKERS)])
        for i, label in enumerate(dict.fromkeys(labels))
    }


def draw(size: tuple[float, float], paint: Callable[[Canvas], None]) -> bytes:
    """PNG bytes of a picture of that size in inches.

    The same drawing gives the same bytes: no time stamp, no version, and none of the user's own
    matplotlib settings. Nothing here touches pyplot.
    """
    settings = {
        "font.family": _families(),
        "font.size": 9.5,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": QUIET,
        "ytick.color": INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 9,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.7,
    }
    with matplotlib.style.context(settings, after_reset=True):
        canvas = Canvas(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(canvas)
        paint(canvas)
        picture = io.BytesIO()
        canvas.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    return picture.getvalue()


def drawable(names: Sequence[str], *, width: int = 28, lines: int = 3) -> list[str]:
    """Names as a picture can show them: wrapped, shortened, no missing glyphs, no mathematics.

    A character that no installed font has becomes a box; such a name, and one that would look
    like another after shortening, gets its number in the list ("□□ [3]").

    Parameters
    ----------
    width, lines : int
        Characters per line and lines per name; "…" marks what was cut.

    Examples
    --------
    >>> drawable(["rock", "a$b$c"])
    ['rock', 'a\\\\$b\\\\$c']
    """
    flat = [" ".join(_printable(name).split()) for name in names]
    boxed = ["".join(c if has_glyph(c) else "□" for c in name) for name in flat]
    short = [_wrap(name, width, lines) for name in boxed]
    result = []
    for i, text in enumerate(short):
        unclear = boxed[i] != flat[i] or not text or short.count(text) > 1
        # matplotlib reads $...$ as mathematics unless the dollar is escaped
        result.append((f"{text} [{i + 1}]".strip() if unclear else text).replace("$", "\\$"))
    return result


def undrawable(names: Sequence[str]) -> str:
    """What the numbers in brackets stand for, as words for a caption; "" if all can be drawn."""
    clear = [all(map(has_glyph, name)) for name in names]
    missing = [f"[{i + 1}] = {n}" for i, n in enumerate(names) if not clear[i]]
    return " Names in the picture: " + ", ".join(missing) + "." if missing else ""


@lru_cache(maxsize=4096)
def has_glyph(character: str) -> bool:
    """Whether an installed font that pictures use has this character."""
    return any(ord(character) in charmap for charmap in _charmaps())


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _wrap(text: str, width: int, lines: int) -> str:
    # names are often words joined by _ - / .: let lines break after those, too
    joined = text
    for mark in "_/.@":
        joined = joined.replace(mark, mark + "\u200b")
    parts = textwrap.wrap(joined.replace("\u200b", " \u200b"), width) or [""]
    parts = [part.replace(" \u200b", "").replace("\u200b", "").strip() for part in parts]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(parts)


@lru_cache(maxsize=1)
def _families() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]


@lru_cache(maxsize=1)
def _charmaps() -> list[set[int]]:
    paths = [font_manager.findfont(name) for name in _families()]
    return [set(FT2Font(path).get_charmap()) for path in paths]
