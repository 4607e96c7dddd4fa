"""The known data sets: one explicit list."""

from __future__ import annotations

from segue.datasets.known import (
    artists1517,
    emomusic,
    extended_ballroom,
    fma,
    gtzan_genre,
    gtzan_speechmusic,
    homburg,
    jamendo_vocal,
    magnatagatune,
    msd_lastfm,
    mtg_jamendo,
    unique,
    urbansound8k,
)
from segue.datasets.known.protocol import KnownDataset
from segue.errors import UsageError

DATASETS: tuple[KnownDataset, ...] = (
    extended_ballroom.DATASET,
    gtzan_genre.DATASET,
    gtzan_speechmusic.DATASET,
    emomusic.DATASET,
    jamendo_vocal.DATASET,
    urbansound8k.DATASET,
    magnatagatune.DATASET,
    msd_lastfm.DATASET,
    mtg_jamendo.DATASET,
    artists1517.DATASET,
    homburg.DATASET,
    unique.DATASET,
    *fma.DATASETS,
)


def dataset(name: str) -> KnownDataset:
    """The known data set of a name.

    Raises
    ------
    UsageError
        No such name; the message has all of them.

    Examples
    --------
    >>> dataset("urbansound8k").folds
    'fold'
    """
    for known in DATASETS:
        if known.name == name:
            return known
    raise UsageError(
        wanted=f"a data set among {', '.join(known.name for known in DATASETS)}",
        got=repr(name),
        fix="See 'segue data list'; any other set needs a manifest of your own",
    )
