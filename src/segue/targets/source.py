"""What factors are learned from: tracks in groups, and the vectors or labels of each track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import SegueError, UsageError
from segue.targets.texts import check_text

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


class Grouped(Protocol):
    """Tracks in groups: tracks of one group stand beside each other.

    Attributes
    ----------
    names : sequence of str
        Of the groups, no two the same.
    group_of : (tracks,) int64 array
        Group of each track, as a number of ``names``; never decreasing.
    tracks : sequence of str
        What each track is called, for messages.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def group_of(self) -> Whole: ...

    @property
    def tracks(self) -> Sequence[str]: ...


class Source(Grouped, Protocol):
    """Tracks in groups, and vectors of each track: frames, or one vector for the whole."""

    def vectors(self, track: int) -> Floats:
        """Vectors (t, width) of a track; with t = 0 it contributes nothing.

        Read several times and in any order: they must be the same each time.
        """


@runtime_checkable
class Labelled(Grouped, Protocol):
    """Tracks in groups, and labels of each track, which are words already.

    Attributes
    ----------
    vocabulary : sequence of str
        All labels, no two the same.
    """

    @property
    def vocabulary(self) -> Sequence[str]: ...

    def words(self, track: int) -> Whole:
        """Numbers (n,) of a track's labels in ``vocabulary``; n = 0: it contributes nothing."""


class ArraySource:
    """Vectors of tracks that are in memory.

    Parameters
    ----------
    names : sequence of str
        Of the groups.
    group_of : (tracks,) integer array
        Never decreasing.
    vectors : sequence of (t, width) arrays
        One a track.
    tracks : sequence of str, optional
        Called by their number by default.

    Examples
    --------
    >>> source = ArraySource(["abba", "queen"], [0, 0, 1], [[[1.0, 2.0]], [[3.0, 4.0]], [[5, 6]]])
    >>> source.vectors(1)
    array([[3., 4.]], dtype=float32)
    """

    def __init__(
        self,
        names: Sequence[str],
        group_of: ArrayLike,
        vectors: Sequence[ArrayLike],
        tracks: Sequence[str] | None = None,
    ) -> None:
        self.names = names
        self.group_of = np.asarray(group_of, np.int64)
        self.arrays = vectors
        self.tracks = [str(number) for number in range(len(vectors))] if tracks is None else tracks

    def vectors(self, track: int) -> Floats:
        """Vectors (t, width) of a track."""
        return np.asarray(self.arrays[track], np.float32)


class LabelSource:
    """Labels of tracks as words: no dictionary is learned.

    Parameters
    ----------
    names : sequence of str
        Of the groups.
    group_of : (tracks,) integer array
        Never decreasing.
    tracks : sequence of str
    labels : sequence of sequences of str
        Of each track; one that stands there twice counts twice.

    Attributes
    ----------
    vocabulary : tuple of str
        Sorted.

    Examples
    --------
    >>> source = LabelSource(["abba"], [0, 0], ["a", "b"], [("pop",), ("disco", "pop")])
    >>> source.vocabulary, source.words(1)
    (('disco', 'pop'), array([0, 1]))
    """

    def __init__(
        self,
        names: Sequence[str],
        group_of: ArrayLike,
        tracks: Sequence[str],
        labels: Sequence[Sequence[str]],
    ) -> None:
        self.names = names
        self.group_of = np.asarray(group_of, np.int64)
        self.tracks = tracks
        self.labels = labels
        self.vocabulary = tuple(sorted({label for one in labels for label in one}))
        self._number = {label: number for number, label in enumerate(self.vocabulary)}

    def words(self, track: int) -> Whole:
        """Numbers (n,) of a track's labels."""
        return np.array([self._number[label] for label in self.labels[track]], np.int64)


def check_grouped(source: Grouped) -> None:
    """Refuse a source whose tracks do not stand group by group.

    Raises
    ------
    UsageError
        Groups whose names are equal or cannot be shown; none at all; numbers that decrease, name
        no group, or are not one a track.
    """
    groups = np.asarray(source.group_of)
    names = len(source.names)
    got = None
    if groups.ndim != 1 or groups.dtype.kind not in "iu":
        got = f"groups of shape {groups.shape} and type {groups.dtype}"
    elif len(groups) != len(source.tracks) or not len(groups):
        got = f"{len(groups)} groups of {len(source.tracks)} tracks"
    elif groups.min() < 0 or groups.max() >= names:
        got = f"group {int(groups.min())} to {int(groups.max())} of {names}"
    elif (groups[1:] < groups[:-1]).any():
        at = int(np.flatnonzero(groups[1:] < groups[:-1])[0])
        got = f"group {groups[at + 1]} after group {groups[at]}, at track {source.tracks[at + 1]!r}"
    elif len(set(source.names)) < names:
        again = next(name for name, times in Counter(source.names).items() if times > 1)
        got = f"two groups named {again!r}"
    if got is not None:
        raise UsageError(
            wanted="tracks, each with the number of a group, sorted by group",
            got=got,
            fix="Sort the tracks by group, so that those of a group stand beside each other",
        )
    for name in source.names:
        check_text(name, "a group's name")


def checked_vectors(source: Source, track: int, width: int | None) -> Floats:
    """Vectors (t, width) of a track, refused where they cannot be used.

    Parameters
    ----------
    source : Source
    track : int
    width : int or None
        That they must have; None: any.

    Raises
    ------
    SegueError
        Not finite, of another width or no table of numbers; names the track.
    """
    vectors = np.asarray(source.vectors(track), np.float32)
    if vectors.ndim != 2 or (width is not None and vectors.shape[1] != width):
        raise SegueError(
            wanted=f"vectors (t, {'width' if width is None else width})",
            got=f"shape {vectors.shape}",
            fix="Make the vectors of all tracks the same way",
            source=source.tracks[track],
        )
    if not np.isfinite(vectors).all():
        raise SegueError(
            wanted="finite vectors",
            got=f"{int((~np.isfinite(vectors)).sum())} numbers that are not",
            fix="Leave the track out, or make its vectors again",
            source=source.tracks[track],
        )
    return vectors


def checked_words(source: Labelled, track: int) -> Whole:
    """Numbers (n,) of a track's labels, refused where they name none.

    Raises
    ------
    SegueError
        Names the track.
    """
    words = np.asarray(source.words(track), np.int64)
    size = len(source.vocabulary)
    if words.ndim != 1 or (len(words) and (words.min() < 0 or words.max() >= size)):
        raise SegueError(
            wanted=f"numbers of labels, from 0 to {size - 1}",
            got=f"shape {words.shape}" if words.ndim != 1 else f"{words.min()} to {words.max()}",
            fix="Number the labels as they stand in the vocabulary",
            source=source.tracks[track],
        )
    return words
