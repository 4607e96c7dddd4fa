"""Group factors as a page: what each factor is made of, who is in it, whether it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segue.report.content import Block, Cell, Figure, Folded, Section, Table
from segue.targets.listing import Holder, Word

_LISTED = 200  # groups without a distribution that are named one by one
_OPEN = 100  # a longer table is folded


@dataclass(frozen=True, slots=True)
class Heard:
    """A track with much of a factor, itself taken for a group."""

    name: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One line of the table of factors.

    Attributes
    ----------
    number : int
        From 1.
    size : float
        Mean of its shares over the groups.
    mainly : int
        Groups whose largest share it is.
    half : int
        Words that make up half of it: few where it is sharp.
    words : sequence of Word
        The most frequent labels in it; empty where words have no name.
    groups : sequence of Holder
    tracks : sequence of Heard
        Those with most of it.
    similarity : float or None
        To the factors matched to it in runs with other seeds; None where there were none.
    idle : bool
        No group has as much of it as of an equal share: it was learned from nothing.
    """

    number: int
    size: float
    mainly: int
    half: int
    words: Sequence[Word]
    groups: Sequence[Holder]
    tracks: Sequence[Heard]
    similarity: float | None = None
    idle: bool = False


def factors_section(
    factors: Sequence[Factor],
    figures: Sequence[Figure] = (),
    notes: Sequence[str] = (),
    *,
    group: str = "",
) -> Section:
    """What factors are made of and who is in them, the largest factor first; idle ones by number.

    Parameters
    ----------
    factors : sequence of Factor
    figures : sequence of Figure
        Between the words and the table.
    notes : sequence of str
        What was taken and what was left out.
    group : str
        What groups are by: "artist".

    Examples
    --------
    >>> one = Factor(number=1, size=0.4, mainly=7, half=3, groups=[], tracks=[],
    ...              words=[Word("jazz", 0.5, 4.0)])
    >>> factors_section([one], group="artist").blocks[-1].rows[0][1].text
    'jazz'
    """
    table = factors_table(factors, group=group)
    count = len(table.rows)
    block: Block = table if count <= _OPEN else Folded(f"All {count} factors", [table])
    return Section("The factors", [*notes, *figures, block, *_idle_words(factors)])


def _idle_words(factors: Sequence[Factor]) -> list[str]:
    idle = [str(factor.number) for factor in factors if factor.idle]
    if not idle:
        return []
    return [
        f"{len(idle)} factors are idle: no group has even an equal share of them "
        f"({', '.join(idle)}). Fewer factors would do."
    ]


def factors_table(factors: Sequence[Factor], *, group: str = "") -> Table:
    """One line per factor that is not idle, the largest first."""
    factors = [factor for factor in factors if not factor.idle]
    named = any(factor.words for factor in factors)
    returning = any(factor.similarity is not None for factor in factors)
    members = f"groups ({group})" if group else "groups"
    header = [
        "factor",
        *(["words in it most"] if named else []),
        f"{members} with most of it",
        "tracks with most of it",
        *(["returns"] if returning else []),
    ]
    rows = []
    for factor in sorted(factors, key=lambda one: -one.size):
        words = [f"{100 * one.probability:.0f} % (x {one.ratio:.1f})" for one in factor.words]
        row = [
            Cell(
                str(factor.number),
                detail=f"size {100 * factor.size:.1f} %, main of {factor.mainly}, half in "
                f"{factor.half} words",
                strong=True,
            ),
            *(
                [Cell(", ".join(one.name for one in factor.words), detail=", ".join(words))]
                if named
                else []
            ),
            _holders(factor.groups),
            _heard(factor.tracks),
            *([_similarity(factor.similarity)] if returning else []),
        ]
        rows.append(row)
    note = (
        "Size: mean of the factor's shares. Main of: groups with no larger share of another. "
        + ("Below a word: its share of the factor and how many times its usual share that is. ")
        * named
        + "Below groups and tracks: the factor's share in them."
        + " Returns: similarity to the factors matched to it in runs with other seeds and the same "
        "words; 1 is the same." * returning
    )
    return Table(header, rows, note, (len(header) - 1,) if returning else ())


def _holders(holders: Sequence[Holder]) -> Cell:
    several = [f"{one.share:.2f} in {one.tracks} tracks" for one in holders]
    shares = [
        text if one.tracks > 1 else f"{one.share:.2f}"
        for one, text in zip(holders, several, strict=True)
    ]
    return Cell(" · ".join(one.name for one in holders), detail=" · ".join(shares))


def _heard(tracks: Sequence[Heard]) -> Cell:
    return Cell(
        " · ".join(one.name for one in tracks), detail=" · ".join(f"{t.share:.2f}" for t in tracks)
    )


def _similarity(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.2f}")


def profile_section(figure: Figure) -> Section:
    """What the words of factors sound like, where their numbers have names."""
    return Section("What the factors sound like", [figure])


def stability_section(figures: Sequence[Figure], words: Sequence[str]) -> Section:
    """Whether factors come back with other seeds, and how many of them there should be."""
    return Section("Do the factors return?", [*words, *figures])


def empty_section(names: Sequence[str]) -> Section:
    """Groups that have no distribution, by name."""
    count = f"{len(names)} group{'s' * (len(names) != 1)} without any word: no distribution."
    more = (
        [f"And {len(names) - _LISTED} more; groups.parquet has all."]
        if len(names) > _LISTED
        else []
    )
    listed = Table(["group"], [[name] for name in names[:_LISTED]], count)
    block: Block = listed if len(names) <= 20 else Folded(count, [listed])
    return Section("Groups left out", [block, *more])
