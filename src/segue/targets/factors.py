"""Factors of groups of tracks: dictionary, bags of words, topics, one distribution a group.

The targets that Kim et al. 2018 (section 3.1) teach a network beside genres: what an artist's
tracks have in common, as numbers that other artists share. Vectors of all tracks (MFCC frames, say)
become words of a dictionary, an artist a bag of words, and topics of the bags a distribution.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.targets.bags import Bags, remove_bags
from segue.targets.counting import count_labels, count_vectors, tracks_of
from segue.targets.settings import MOST_TEXT, MOST_WORDS, FactorSettings, check_size
from segue.targets.source import Labelled, Source, Watch, Whole, check_grouped
from segue.targets.texts import check_text
from segue.targets.topics import Components, learn_topics, shares_of, topic_words
from segue.targets.words import Dictionary, learn_dictionary

Shares = NDArray[np.float32]
BAGS = "bags"
AT_ONCE = 256  # bags whose shares are inferred at a time

logger = logging.getLogger(__name__)

__all__ = [
    "FactorModel",
    "FactorSettings",
    "GroupShares",
    "count_bags",
    "group_shares",
    "learn_counted",
    "learn_factors",
    "shares_of_bags",
]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FactorModel:
    """A dictionary or a vocabulary, and topics over its words.

    Attributes
    ----------
    settings : FactorSettings
        As asked for; ``words`` below is what there is.
    dictionary : Dictionary or None
        Words of vectors; None where labels are the words.
    vocabulary : tuple of str
        The labels, in the order of their words; empty where a dictionary makes words.
    components : (topics, words) float64 array
        Parameters of the Dirichlet distributions of the topics.
    facts : mapping of str to int
        ``groups``, ``empty_groups``, ``tracks``, ``words_counted``: what the topics were learned
        from; ``vectors_drawn``, ``empty_words`` of the dictionary (absent with a vocabulary).
    notes : tuple of str
        What must be said loudly: fewer words than asked for, more topics than groups, ...; one
        sentence each.
    """

    settings: FactorSettings
    components: Components
    dictionary: Dictionary | None = None
    vocabulary: tuple[str, ...] = ()
    facts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def topics(self) -> int:
        """Numbers of a distribution."""
        return int(self.components.shape[0])

    @property
    def words(self) -> int:
        """Words there are."""
        return int(self.components.shape[1])

    def topic_words(self) -> NDArray[np.float64]:
        """Distribution (topics, words) of the words in each topic."""
        return topic_words(self.components)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GroupShares:
    """One distribution over topics for each group of a source.

    Attributes
    ----------
    names : sequence of str
        Of the groups, those of the source in its order: ``shares[source.group_of]`` are the
        distributions of its tracks.
    tracks : (groups,) int64 array
        Tracks of each group.
    words : (groups,) int64 array
        Words of each group's tracks together.
    shares : (groups, topics) float32 array
        Each row sums to 1, but for groups of no words: NaN, so that no use of it goes unseen.
    empty : tuple of str
        Names of the groups of no words: they have no distribution.
    unknown : int
        Labels of the source's tracks that the model does not know: not counted.
    """

    names: Sequence[str]
    tracks: Whole
    words: Whole
    shares: Shares
    empty: tuple[str, ...]
    unknown: int = 0

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which groups (groups,) have a distribution."""
        return self.words > 0


def learn_factors(
    source: Source | Labelled,
    settings: FactorSettings,
    *,
    work: Path,
    watch: Watch | None = None,
) -> FactorModel:
    """Learn words and topics from groups of tracks.

    Parameters
    ----------
    source : Source or Labelled
    settings : FactorSettings
    work : Path
        Folder for bags of words, which are larger than memory for large collections. What a
        former run left there is removed, and so is what this one leaves.
    watch : callable, optional

    Raises
    ------
    UsageError
        Tracks that are not sorted by group; fewer than two groups with words; fewer than two
        different vectors or labels; topics and words that no folder could hold.
    SegueError
        Vectors that are not finite or of different width; names the track.
    StoreError
        ``work`` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from segue.targets.source import LabelSource
    >>> source = LabelSource(["abba", "bach"], [0, 0, 1], "abc", [["pop"], ["pop"], ["fugue"]])
    >>> work = Path(tempfile.mkdtemp())
    >>> model = learn_factors(source, FactorSettings(topics=2), work=work)
    >>> group_shares(model, source, work=work).shares.shape
    (2, 2)
    """
    try:
        return learn_counted(source, settings, folder=work / BAGS, watch=watch)[0]
    finally:
        remove_bags(work / BAGS)


def learn_counted(
    source: Source | Labelled,
    settings: FactorSettings,
    *,
    folder: Path,
    watch: Watch | None = None,
) -> tuple[FactorModel, Bags]:
    """As :func:`learn_factors`, with the bags it counted, for what else is made of them.

    Parameters
    ----------
    source : Source or Labelled
    settings : FactorSettings
    folder : Path
        Of the bags, which are the caller's to remove, also after an error.
    watch : callable, optional

    Raises
    ------
    UsageError, SegueError, StoreError
        As :func:`learn_factors`.
    """
    check_grouped(source)
    words: Dictionary | tuple[str, ...]
    facts: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    if isinstance(source, Labelled):
        words = checked_vocabulary(source)
        check_size(settings.topics, len(words))
    else:
        learned = learn_dictionary(source, settings, watch=watch)
        words, notes = learned.dictionary, learned.notes
        facts = {"vectors_drawn": learned.drawn, "empty_words": learned.unused}
    bags, _ = _count(words, source, folder, watch)
    filled = len(bags.filled)
    if filled < 2:
        raise UsageError(
            wanted="at least two groups with words",
            got=f"{filled} of {len(bags)}",
            fix="Give more groups, or tracks that have vectors or labels",
        )
    components = learn_topics(bags, settings, watch=watch)
    facts |= {
        "groups": len(bags),
        "empty_groups": len(bags) - filled,
        "tracks": len(source.tracks),
        "words_counted": int(bags.totals.sum()),
    }
    more = _topic_notes(settings, filled, len(bags), components.shape[1])
    for note in more:
        logger.warning(note)
    model = FactorModel(
        settings=settings,
        components=components,
        dictionary=words if isinstance(words, Dictionary) else None,
        vocabulary=() if isinstance(words, Dictionary) else words,
        facts=facts,
        notes=notes + more,
    )
    return model, bags


def group_shares(
    model: FactorModel, source: Source | Labelled, *, work: Path, watch: Watch | None = None
) -> GroupShares:
    """The distributions of a source's groups, those that the model learned from or others.

    The model is not changed, and a group's distribution depends on its own tracks alone.

    Raises
    ------
    UsageError
        Vectors for a model of labels, or labels for one of vectors.
    SegueError
        Vectors that are not finite or of another width; names the track.
    StoreError
        ``work`` cannot be written.
    """
    check_grouped(source)
    folder = work / BAGS
    try:
        bags, unknown = count_bags(model, source, folder, watch=watch)
        return shares_of_bags(model, source, bags, unknown=unknown, watch=watch)
    finally:
        remove_bags(folder)


def shares_of_bags(
    model: FactorModel,
    source: Source | Labelled,
    bags: Bags,
    *,
    unknown: int = 0,
    watch: Watch | None = None,
) -> GroupShares:
    """As :func:`group_shares`, of bags that were counted in the words of the model already.

    Parameters
    ----------
    model : FactorModel
    source : Source or Labelled
        That the bags are of.
    bags : Bags
    unknown : int
        Labels of it that the model does not know.
    watch : callable, optional

    Raises
    ------
    StoreError
        The bags are gone.
    """
    shares = np.full((len(bags), model.topics), np.nan, np.float32)
    filled = bags.filled
    for begin in range(0, len(filled), AT_ONCE):
        part = filled[begin : begin + AT_ONCE]
        shares[part] = shares_of(model.components, bags.rows(part))
        if watch is not None:
            watch("shares of groups", min(begin + AT_ONCE, len(filled)), len(filled))
    empty = tuple(source.names[number] for number in np.flatnonzero(bags.totals == 0).tolist())
    if empty:
        logger.warning("%d of %d groups have no words: no distribution.", len(empty), len(bags))
    if unknown:
        logger.warning("%d labels are not in the model's vocabulary: not counted.", unknown)
    return GroupShares(
        names=source.names,
        tracks=tracks_of(source),
        words=bags.totals,
        shares=shares,
        empty=empty,
        unknown=unknown,
    )


def count_bags(
    model: FactorModel, source: Source | Labelled, folder: Path, *, watch: Watch | None = None
) -> tuple[Bags, int]:
    """Bags of a source's groups in the words of a model, and how many labels it does not know.

    Parameters
    ----------
    model : FactorModel
    source : Source or Labelled
    folder : Path
        Of the bags, which are the caller's to remove.
    watch : callable, optional

    Raises
    ------
    UsageError, SegueError, StoreError
        As :func:`group_shares`.
    """
    words = model.vocabulary if model.dictionary is None else model.dictionary
    return _count(words, source, folder, watch)


def checked_vocabulary(source: Labelled) -> tuple[str, ...]:
    """The labels of a source, which become the words of a model.

    Raises
    ------
    UsageError
        Fewer than two, too many, too long, one of them twice, or one that cannot be shown.
    """
    labels = tuple(check_text(label, "a label") for label in source.vocabulary)
    if not 2 <= len(labels) <= MOST_WORDS or len(set(labels)) < len(labels):
        twice = ", some of them equal" if len(set(labels)) < len(labels) else ""
        raise UsageError(
            wanted=f"2 to {MOST_WORDS} different labels",
            got=f"{len(labels)}{twice}",
            fix="Name a column with several labels",
        )
    size = sum(len(label.encode()) for label in labels)
    if size > MOST_TEXT:
        raise UsageError(
            wanted=f"labels of {MOST_TEXT} bytes together at most",
            got=f"{size} bytes in {len(labels)} labels",
            fix="Name a column with fewer or shorter labels",
        )
    return labels


def _count(
    words: Dictionary | tuple[str, ...],
    source: Source | Labelled,
    folder: Path,
    watch: Watch | None,
) -> tuple[Bags, int]:
    if isinstance(words, Dictionary) and not isinstance(source, Labelled):
        return count_vectors(words, source, folder, watch=watch), 0
    if not isinstance(words, Dictionary) and isinstance(source, Labelled):
        numbers = {label: number for number, label in enumerate(words)}
        return count_labels(numbers, source, folder, watch=watch)
    kinds = ("vectors", "labels") if isinstance(words, Dictionary) else ("labels", "vectors")
    raise UsageError(
        wanted=f"tracks with {kinds[0]}, which this model was learned from",
        got=kinds[1],
        fix="Give the kind of tracks that the model was learned from",
    )


def _topic_notes(settings: FactorSettings, filled: int, groups: int, words: int) -> tuple[str, ...]:
    notes = []
    if settings.topics > filled:
        notes.append(
            f"{settings.topics} topics for {filled} groups: some topics stand for no group, and "
            "others for a single one."
        )
    if settings.topics > words:
        notes.append(f"{settings.topics} topics over {words} words: some topics say the same.")
    if filled < groups:
        notes.append(f"{groups - filled} of {groups} groups have no words: no distribution.")
    return tuple(notes)
