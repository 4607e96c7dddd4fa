"""85 % to learn from, 15 % to judge: of tracks, of albums, or of artists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit

from segue.errors import UsageError
from segue.experiments.kim2018.music import Music
from segue.seeds import derive, generator
from segue.training.split import track_groups

Kind = Literal["random", "album", "artist"]
KINDS: Final[tuple[Kind, ...]] = ("random", "album", "artist")
SHARE: Final = 0.15
DRAWS: Final = 50
"""Group-disjoint splits that are drawn; the one whose classes are nearest to the share is taken."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """One division of a data set.

    Attributes
    ----------
    kind : {"random", "album", "artist"}
        What never stands on both sides: nothing but the track, albums, artists.
    seed : int
    train : (n,) int64 array
        Rows to learn from: classified ones, and those that only teach.
    test : (m,) int64 array
        Classified rows.
    barred : int
        Tracks that could only teach, left out since their album or artist is tested.
    """

    kind: Kind
    seed: int
    train: Rows
    test: Rows
    barred: int

    def shares(self, music: Music) -> NDArray[np.float64]:
        """Share (classes,) of each class that is tested."""
        every = np.bincount(music.genre[music.classified], minlength=len(music.classes))
        return np.bincount(music.genre[self.test], minlength=len(music.classes)) / every


def kinds_of(music: Music) -> tuple[Kind, ...]:
    """The splits that can be made: no albums, no album-disjoint one."""
    return tuple(one for one in KINDS if one != "album" or music.albums is not None)


def make_split(music: Music, kind: Kind, seed: int) -> Split:
    """A stratified split of the classified tracks; the others teach where that gives nothing away.

    Raises
    ------
    UsageError
        A class cannot stand in both parts.
    """
    rows, groups = music.classified, groups_of(music, kind)
    if groups is None:
        # a random split keeps together only what is one file
        files = np.array(track_groups(music.manifest, np.arange(len(music.genre)), None))
        groups = files if len(set(files.tolist())) < len(files) else None
    y = music.genre[rows]
    if groups is None:
        tested = _random(y, seed, music)
    else:
        tested = _grouped(y, groups[rows], seed, kind, music.classes)
    test = rows[tested]
    teaching = np.setdiff1d(np.arange(len(music.genre)), rows)
    kept = teaching
    if groups is not None:
        kept = teaching[~np.isin(groups[teaching], groups[test])]
    return Split(
        kind=kind,
        seed=seed,
        train=np.sort(np.concatenate([rows[~tested], kept])),
        test=np.sort(test),
        barred=len(teaching) - len(kept),
    )


def groups_of(music: Music, kind: Kind) -> NDArray[np.str_] | None:
    """What a split keeps together (tracks,); None for single tracks."""
    return {"random": None, "album": music.albums, "artist": music.artists}[kind]


def _random(y: Rows, seed: int, music: Music) -> NDArray[np.bool_]:
    counts = np.bincount(y, minlength=len(music.classes))
    if counts.min() < 2 or round(SHARE * len(y)) < len(counts):
        raise UsageError(
            wanted=f"a test track of each of {len(counts)} classes in {SHARE:.0%} of the tracks",
            got=f"{len(y)} tracks, {counts.min()} of the smallest class",
            fix="Add tracks, or ask for classes of more artists",
            source=music.name,
        )
    maker = StratifiedShuffleSplit(
        1, test_size=SHARE, random_state=derive(seed, "kim2018", "random split")
    )
    _, test = next(maker.split(np.zeros((len(y), 1)), y))
    tested = np.zeros(len(y), dtype=bool)
    tested[test] = True
    return tested


def _grouped(
    y: Rows, groups: NDArray[np.str_], seed: int, kind: str, classes: Sequence[str]
) -> NDArray[np.bool_]:
    """Groups in random order, each tested if that brings the classes nearer to their share."""
    names, codes = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (codes, y), 1)
    every = counts.sum(axis=0)
    best: tuple[float, NDArray[np.bool_]] | None = None
    for draw in range(DRAWS):
        order = generator(seed, "kim2018", kind, "split", draw).permutation(len(names))
        chosen = _greedy(counts[order] / every)
        off = _off(counts[order], chosen, every)
        if best is None or off < best[0]:
            tested = np.zeros(len(names), dtype=bool)
            tested[order[chosen]] = True
            best = off, tested
    if best is None or not np.isfinite(best[0]):
        lacking = classes[int(np.argmin((counts > 0).sum(axis=0)))]
        raise UsageError(
            wanted=f"every class in both parts of a split that keeps each {kind} together",
            got=f"none in {DRAWS} draws; {lacking} lies in the fewest",
            fix="Ask for classes of more artists with --min-artists",
        )
    return best[1][codes]


def _greedy(shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which groups to test, taken in order; (groups, classes) are shares of their classes."""
    chosen = np.zeros(len(shares), dtype=bool)
    off = np.full(shares.shape[1], SHARE)
    for group, one in enumerate(shares):
        if np.square(off - one).sum() < np.square(off).sum():
            chosen[group] = True
            off = off - one
    return chosen


def _off(counts: Rows, chosen: NDArray[np.bool_], every: Rows) -> float:
    """Largest distance of a class from its share; infinite where one is missing in a part.

    A class of which a single artist is tested says little of others: as bad as can be without
    being refused.
    """
    test = counts[chosen].sum(axis=0)
    if (test == 0).any() or (test == every).any():
        return float("inf")
    lonely = ((counts[chosen] > 0).sum(axis=0) < 2).mean()
    return float(np.abs(test / every - SHARE).max() + lonely)
