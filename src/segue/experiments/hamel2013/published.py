"""What the paper says: its data sets, and Tables 3, 4 and 5 as printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BASE, GENRE, TAG = "base", "genre embedding", "tag embedding"
PUBLISHED: Final = (BASE, GENRE, TAG)
RANDOM = "random embedding"
"""A control the paper lacks: the embedding's map before any training."""
SPACES: Final = (*PUBLISHED, RANDOM)
FOLDS, NEIGHBOURS = 10, 10

TITLE = (
    "Hamel et al. 2013: transfer learning in MIR, sharing learned latent representations for music "
    "audio classification and similarity"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperSet:
    """A data set of the paper's Table 1.

    Attributes
    ----------
    name : str
        As the paper's tables call it.
    registered : str
        As `segue data list` does, and its folder below the root that `--data` names.
    column : str
        Its labels.
    excerpts, classes : int
        Of Table 1.
    accuracy : mapping of feature set to (mean, standard error)
        Table 4.
    precision : mapping of feature set to mean
        Table 5: precision at 10 by L1.
    """

    name: str
    registered: str
    column: str
    excerpts: int
    classes: int
    accuracy: Mapping[str, tuple[float, float]]
    precision: Mapping[str, float]


def _scores(*values: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return dict(zip(PUBLISHED, values, strict=True))


def _means(*values: float) -> dict[str, float]:
    return dict(zip(PUBLISHED, values, strict=True))


GENRE_SETS: Final = (
    PaperSet(
        name="1517-Artists",
        registered="1517-artists",
        column="genre",
        excerpts=3180,
        classes=19,
        accuracy=_scores((0.323, 0.010), (0.310, 0.005), (0.338, 0.007)),
        precision=_means(0.15, 0.19, 0.19),
    ),
    PaperSet(
        name="GTZAN",
        registered="gtzan-genre",
        column="genre",
        excerpts=1000,
        classes=10,
        accuracy=_scores((0.748, 0.010), (0.671, 0.014), (0.754, 0.015)),
        precision=_means(0.48, 0.52, 0.53),
    ),
    PaperSet(
        name="Homburg",
        registered="homburg",
        column="genre",
        excerpts=1886,
        classes=9,
        accuracy=_scores((0.580, 0.012), (0.561, 0.009), (0.584, 0.008)),
        precision=_means(0.36, 0.41, 0.40),
    ),
    PaperSet(
        name="Unique",
        registered="unique",
        column="genre",
        excerpts=3115,
        classes=14,
        accuracy=_scores((0.651, 0.006), (0.634, 0.005), (0.666, 0.006)),
        precision=_means(0.53, 0.52, 0.54),
    ),
)

TAG_SET: Final = PaperSet(
    name="Magnatagatune",
    registered="magnatagatune",
    column="all_tags",  # 188: which 160 of them the paper took cannot be found out
    excerpts=22787,
    classes=160,
    accuracy={},
    precision={},
)

NEAREST: Final[Mapping[str, tuple[str, ...]]] = {
    "Hip-Hop (1517-Artists)": (
        *("hip-hop (Unique)", "raphiphop (Homburg)", "schlager (Unique)", "hiphop (GTZAN)"),
        "Electronic & Dance (1517-Artists)",
    ),
    "Rock & Pop (1517-Artists)": (
        *("rock (Unique)", "rock (Homburg)", "Alternative & Punk (1517-Artists)"),
        *("metal (GTZAN)", "alternative (Homburg)"),
    ),
    "Electronic & Dance (1517-Artists)": (
        *("raphiphop (Homburg)", "reggae (Unique)", "electronica (Unique)", "pop (GTZAN)"),
        "dance (Unique)",
    ),
    "country (GTZAN)": (
        *("country (Unique)", "folkcountry (Homburg)", "rock (Unique)", "Country (1517-Artists)"),
        "Religious (1517-Artists)",
    ),
    "jazz (Homburg)": (
        *("jazz (Unique)", "jazz (GTZAN)", "Jazz (1517-Artists)", "world (Unique)"),
        "dance (Unique)",
    ),
    "blues (Unique)": (
        *("alternative (Homburg)", "Alternative & Punk (1517-Artists)", "blues (GTZAN)"),
        *("funksoulrnb (Homburg)", "rock (Homburg)"),
    ),
}
"""Table 3: the five classes nearest to six of the 52, by L1 in the embedding of all four sets."""
