"""Bags of words on disk: how often each word occurs in each group, written as tracks stream by.

The files belong to the run that writes them, and no other run reads them: one that was stopped
leaves nothing that could be taken for whole bags. Memory holds 16 bytes a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from segue.errors import StoreError
from segue.targets.source import Whole

WORDS, COUNTS = "words.u16", "counts.u32"
AT_ONCE = 256  # bags of tracks that are read together

Words = NDArray[np.uint16]
Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bags:
    """One bag of words a group, read from disk as it is needed.

    Attributes
    ----------
    folder : Path
    vocabulary : int
        Words there are.
    ends : (groups,) int64 array
        Entries of all groups up to and with each: an entry is a word and how often it occurs.
    totals : (groups,) int64 array
        Words of each group, repeated ones counted again.
    """

    folder: Path
    vocabulary: int
    ends: Whole
    totals: Whole

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def filled(self) -> Whole:
        """Numbers of the groups that have words."""
        return np.flatnonzero(self.totals)

    def rows(self, groups: Sequence[int] | Whole) -> csr_array:
        """Counts (n, vocabulary) of some groups, float64.

        Raises
        ------
        StoreError
            The files are gone.
        """
        numbers = np.asarray(groups, np.int64)
        begins = np.where(numbers > 0, self.ends[numbers - 1], 0)
        lengths = self.ends[numbers] - begins
        words: list[Words] = []
        counts: list[Counts] = []
        try:
            with (
                (self.folder / WORDS).open("rb") as first,
                (self.folder / COUNTS).open("rb") as second,
            ):
                for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
                    first.seek(2 * begin)
                    second.seek(4 * begin)
                    words.append(np.fromfile(first, np.uint16, length))
                    counts.append(np.fromfile(second, np.uint32, length))
        except OSError as error:
            raise _lost(self.folder, error.strerror or str(error)) from error
        places = np.concatenate([[0], np.cumsum(lengths)])
        values = np.concatenate([*counts, np.empty(0, np.uint32)]).astype(np.float64)
        columns = np.concatenate([*words, np.empty(0, np.uint16)]).astype(np.int32)
        if len(values) != places[-1] or len(columns) != places[-1]:
            raise _lost(self.folder, "shorter files than were written")
        return csr_array((values, columns, places), shape=(len(numbers), self.vocabulary))


class BagWriter:
    """Counts words group after group, into files that :meth:`close` makes bags of.

    Parameters
    ----------
    folder : Path
        Made when absent; the bags of a former run in it are removed.
    groups, vocabulary : int
        How many there are.

    Examples
    --------
    >>> import tempfile
    >>> writer = BagWriter(Path(tempfile.mkdtemp()), groups=3, vocabulary=5)
    >>> writer.add(np.array([0, 0, 0, 2]), np.array([4, 1, 4, 3]))
    >>> writer.close().rows([0, 1, 2]).toarray().astype(int)
    array([[0, 1, 0, 0, 2],
           [0, 0, 0, 0, 0],
           [0, 0, 0, 1, 0]])
    """

    def __init__(self, folder: Path, *, groups: int, vocabulary: int) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.totals = np.zeros(groups, np.int64)
        self.entries = np.zeros(groups, np.int64)
        self._open = -1  # the group that more words may come of
        self._counts = np.zeros(vocabulary, np.int64)
        remove_bags(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in (WORDS, COUNTS):
                (folder / name).write_bytes(b"")
        except OSError as error:
            raise _full(folder, error) from error

    def add(self, groups: Whole, words: Whole) -> None:
        """Words (n,) and the groups (n,) they occur in, which never decrease.

        Raises
        ------
        StoreError
            They cannot be written.
        """
        if not len(groups):
            return
        keys, counts = np.unique(groups * self.vocabulary + words, return_counts=True)
        group, word = np.divmod(keys, self.vocabulary)
        # words of the first group may have come before, and of the last may come after
        first = group == group[0]
        if group[0] != self._open:
            self._flush()
        self._open = int(group[0])
        self._counts[word[first]] += counts[first]
        if group[-1] == group[0]:
            return
        self._flush()
        last = group == group[-1]
        middle = ~first & ~last
        self._write(group[middle], word[middle], counts[middle])
        self._open = int(group[-1])
        self._counts[word[last]] += counts[last]

    def add_counts(self, group: int, counts: Whole) -> None:
        """How often each word (vocabulary,) occurs in a group, no earlier one than the last.

        Raises
        ------
        StoreError
            They cannot be written.
        """
        if group != self._open:
            self._flush()
        self._open = group
        self._counts += counts

    def close(self) -> Bags:
        """Finish the last group; the bags.

        Raises
        ------
        StoreError
            They cannot be written.
        """
        self._flush()
        ends = np.cumsum(self.entries)
        return Bags(folder=self.folder, vocabulary=self.vocabulary, ends=ends, totals=self.totals)

    def _flush(self) -> None:
        if self._open < 0:
            return
        words = np.flatnonzero(self._counts)
        self._write(np.full(len(words), self._open), words, self._counts[words])
        self._counts[words] = 0
        self._open = -1

    def _write(self, group: Whole, word: Whole, count: Whole) -> None:
        if not len(group):
            return
        np.add.at(self.entries, group, 1)
        np.add.at(self.totals, group, count)
        try:
            with (self.folder / WORDS).open("ab") as file:
                file.write(word.astype(np.uint16).tobytes())
            with (self.folder / COUNTS).open("ab") as file:
                file.write(count.astype(np.uint32).tobytes())
        except OSError as error:
            raise _full(self.folder, error) from error


def regrouped(tracks: Bags, group_of: Whole, order: Whole, folder: Path) -> Bags:
    """Bags of groups from those of tracks: no vector is made a word again.

    Parameters
    ----------
    tracks : Bags
        One a track.
    group_of : (tracks,) int64 array
        Never decreasing.
    order : (tracks,) int64 array
        ``order[n]`` is the track that stands in the group ``group_of[n]``.
    folder : Path
        Of the bags.

    Raises
    ------
    StoreError
        The bags of the tracks are gone, or these cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> work = Path(tempfile.mkdtemp())
    >>> writer = BagWriter(work / "tracks", groups=3, vocabulary=2)
    >>> writer.add(np.array([0, 1, 2]), np.array([0, 1, 1]))
    >>> bags = regrouped(writer.close(), np.array([0, 0, 1]), np.array([2, 1, 0]), work / "groups")
    >>> bags.rows([0, 1]).toarray().astype(int)
    array([[0, 2],
           [1, 0]])
    """
    groups = int(group_of[-1]) + 1
    writer = BagWriter(folder, groups=groups, vocabulary=tracks.vocabulary)
    ends = np.searchsorted(group_of, np.arange(groups), side="right")
    for group, members in enumerate(np.split(order, ends[:-1])):
        for begin in range(0, len(members), AT_ONCE):
            counts = tracks.rows(members[begin : begin + AT_ONCE]).sum(axis=0)
            writer.add_counts(group, counts.astype(np.int64))
    return writer.close()


def remove_bags(folder: Path) -> None:
    """Delete the bags in a folder, and the folder when nothing else is in it.

    Raises
    ------
    StoreError
        They cannot be removed.
    """
    try:
        for name in (WORDS, COUNTS):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise _full(folder, error) from error


def _full(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        wanted="to write bags of words",
        got=error.strerror or str(error),
        fix="Free space, make the folder writable, or choose another",
        source=folder,
    )


def _lost(folder: Path, got: str) -> StoreError:
    return StoreError(
        wanted="the bags of words that this run wrote",
        got=got,
        fix="Run it again, and leave its folder alone until it is done",
        source=folder,
    )
