"""Tracks to bags of words, as they stream by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from segue.targets.bags import Bags, BagWriter
from segue.targets.source import (
    Floats,
    Grouped,
    Labelled,
    Source,
    Watch,
    Whole,
    checked_vectors,
    checked_words,
)
from segue.targets.words import Dictionary

BLOCK_BYTES = 2**24  # of the vectors that are made words of at a time
BLOCK_VECTORS = 2**15
LABELS_AT_ONCE = 2**16
COUNTING = "words of tracks"


def count_vectors(
    dictionary: Dictionary, source: Source, folder: Path, *, watch: Watch | None = None
) -> Bags:
    """Bags of the words of a source's vectors.

    Tracks are read one after the other; memory holds a block of vectors, whatever their number.

    Parameters
    ----------
    dictionary : Dictionary
    source : Source
        Checked already, see :func:`segue.targets.source.check_grouped`.
    folder : Path
        Of the bags.
    watch : callable, optional

    Raises
    ------
    SegueError
        Vectors that are not finite, or of another width; names the track.
    StoreError
        The bags cannot be written.
    """
    rows = max(1, min(BLOCK_VECTORS, BLOCK_BYTES // (4 * dictionary.width)))
    writer = BagWriter(folder, groups=len(source.names), vocabulary=len(dictionary))
    for groups, vectors, done in _blocks(source, dictionary.width, rows):
        writer.add(groups, dictionary.words(vectors))
        if watch is not None:
            watch(COUNTING, done, len(source.tracks))
    return writer.close()


def count_labels(
    vocabulary: Mapping[str, int], source: Labelled, folder: Path, *, watch: Watch | None = None
) -> tuple[Bags, int]:
    """Bags of a source's labels, and how many labels are not in the vocabulary.

    Parameters
    ----------
    vocabulary : mapping of label to its word
    source : Labelled
        Checked already; its own vocabulary may be another.
    folder : Path
        Of the bags.
    watch : callable, optional

    Raises
    ------
    SegueError
        Numbers that are no labels; names the track.
    StoreError
        The bags cannot be written.
    """
    words = np.array([vocabulary.get(label, -1) for label in source.vocabulary], np.int64)
    writer = BagWriter(folder, groups=len(source.names), vocabulary=len(vocabulary))
    unknown, tracks = 0, len(source.tracks)
    for begin in range(0, tracks, LABELS_AT_ONCE):
        part = range(begin, min(begin + LABELS_AT_ONCE, tracks))
        carried = [checked_words(source, track) for track in part]
        groups = np.repeat(source.group_of[part.start : part.stop], [len(one) for one in carried])
        found = words[np.concatenate(carried)]
        unknown += int((found < 0).sum())
        writer.add(groups[found >= 0], found[found >= 0])
        if watch is not None:
            watch(COUNTING, part.stop, tracks)
    return writer.close(), unknown


def tracks_of(source: Grouped) -> Whole:
    """Tracks (groups,) of each group."""
    counts: Whole = np.bincount(source.group_of, minlength=len(source.names)).astype(np.int64)
    return counts


def _blocks(source: Source, width: int, rows: int) -> Iterator[tuple[Whole, Floats, int]]:
    """Groups (n,) and vectors (n, width) of consecutive tracks, and the tracks read so far."""
    block = np.empty((rows, width), np.float32)
    groups = np.empty(rows, np.int64)
    filled = 0
    for track in range(len(source.tracks)):
        vectors = checked_vectors(source, track, width)
        group = source.group_of[track]
        while len(vectors):
            some = vectors[: rows - filled]
            block[filled : filled + len(some)] = some
            groups[filled : filled + len(some)] = group
            filled += len(some)
            vectors = vectors[len(some) :]
            if filled == rows:
                yield groups, block, track + 1
                filled = 0
    yield groups[:filled], block[:filled], len(source.tracks)
