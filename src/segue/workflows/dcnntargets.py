"""What the networks of Kim et al. 2018 are taught: genres, and factors of groups of tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest, read_target
from segue.errors import UsageError
from segue.extraction.frames import SECONDS
from segue.store import Failure
from segue.targets.factors import (
    FactorModel,
    FactorSettings,
    GroupShares,
    group_shares,
    learn_factors,
)
from segue.training.split import held_out, track_groups
from segue.workflows.evaluating import Watch
from segue.workflows.groupsource import LABELS, GroupTracks, group_tracks, parse_kind

GENRE, SUBGENRES = "g", "s"
AUDIO: Final[Mapping[str, str]] = {"m": "mfcc", "d": "dmfcc", "e": "descriptors"}
KNOWN = (GENRE, *AUDIO, SUBGENRES)

Rows = NDArray[np.int64]
Shares = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a run is to teach, in the words of its user.

    Attributes
    ----------
    targets : tuple of str
        Some of g (genre), m, d, e, s (factors of groups, from MFCC, their differences, descriptors,
        labels).
    genre : str or None
        Column of g.
    group : str or None
        Column of the groups whose factors are taught, which no split tears; artist, as a rule.
    labels : tuple of str
        Columns of s.
    factors : FactorSettings

    Raises
    ------
    UsageError
        Another target, one twice, or one whose column is not named.

    Examples
    --------
    >>> Asked(targets=("g", "m"), genre="genre", group="artist").kind("m")
    'mfcc'
    """

    targets: tuple[str, ...]
    genre: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = ()
    factors: FactorSettings = field(default_factory=FactorSettings)

    def __post_init__(self) -> None:
        unknown = [one for one in self.targets if one not in KNOWN]
        if unknown or not self.targets or len(set(self.targets)) < len(self.targets):
            raise UsageError(
                wanted="targets among g (genre), m (MFCC), d (their differences), e (descriptors) "
                "and s (labels), each once",
                got=", ".join(self.targets) or "none",
                fix="For example --targets g,m,d,e,s",
            )
        lacking = {
            "--genre COLUMN for the target g": GENRE in self.targets and self.genre is None,
            "--group COLUMN (artist) for factors of groups": self.of_groups and self.group is None,
            "--labels COLUMN for the target s": SUBGENRES in self.targets and not self.labels,
        }
        unused = {
            "--genre without the target g": GENRE not in self.targets and self.genre is not None,
            "--labels without the target s": SUBGENRES not in self.targets and bool(self.labels),
        }
        for problems, fix in ((lacking, "Name it"), (unused, "Leave it out, or add the target")):
            if found := [words for words, wrong in problems.items() if wrong]:
                wanted = found if problems is lacking else ["options that go with the targets"]
                raise UsageError(
                    wanted=" and ".join(wanted),
                    got=f"--targets {','.join(self.targets)}"
                    + ("" if problems is lacking else f", {' and '.join(found)}"),
                    fix=fix,
                )

    @property
    def of_groups(self) -> tuple[str, ...]:
        """The targets that are factors of groups."""
        return tuple(one for one in self.targets if one != GENRE)

    def kind(self, target: str) -> str:
        """What a target's factors are made from, as ``segue targets`` takes it."""
        return LABELS + ",".join(self.labels) if target == SUBGENRES else AUDIO[target]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parts:
    """The tracks that can be taught anything, and which of them validate.

    Attributes
    ----------
    rows : (n,) int64 array
        Of the manifest.
    valid : (n,) boolean array
    left_out : int
        Tracks with neither a genre nor a group, as far as these are taught.
    """

    rows: Rows
    valid: NDArray[np.bool_]
    left_out: int


def read_parts(manifest: Manifest, asked: Asked, *, share: float, seed: int) -> Parts:
    """Tracks that have a target, some of them held out, no group (or file) on both sides.

    Raises
    ------
    ManifestError
        No such column, or nothing in it.
    UsageError
        A single group, no such share, or nothing that one of the targets can be learned from.

    Examples
    --------
    >>> some = [(f"{n}.wav", f"artist {n // 2}") for n in range(20)] + [("z.wav", "")]
    >>> manifest = Manifest.from_rows([{"path": path, "artist": who} for path, who in some])
    >>> parts = read_parts(manifest, Asked(targets=("m",), group="artist"), share=0.1, seed=0)
    >>> len(parts.rows), int(parts.valid.sum()), parts.left_out
    (20, 2, 1)
    """
    has = np.zeros(len(manifest), bool)
    if asked.genre is not None:
        has[read_target(manifest, asked.genre, task="tagging").rows] = True
    if asked.of_groups and asked.group is not None:
        has |= np.array([bool(cell) for cell in manifest.column(asked.group)])
    rows = np.flatnonzero(has)
    groups = track_groups(manifest, rows, asked.group)
    valid = held_out(groups, share, seed=seed)
    _check_teachable(manifest, asked, rows[~valid])
    return Parts(rows=rows, valid=valid, left_out=int((~has).sum()))


def _check_teachable(manifest: Manifest, asked: Asked, train: Rows) -> None:
    """Refuse now what would be found out when all audio has been decoded."""
    if asked.genre is not None:
        genre_target(manifest, asked.genre, train)
    for target in asked.of_groups:
        if not len(_with_words(manifest, asked, target, train)):
            raise UsageError(
                wanted=f"training tracks with a group{_and_labels(asked, target)} for the target "
                f"{target}",
                got=f"none of {len(train)}",
                fix="Fill these columns, or leave the target out",
                source=manifest.name,
            )


def _and_labels(asked: Asked, target: str) -> str:
    return f" and a label in {' or '.join(asked.labels)}" if target == SUBGENRES else ""


def _with_words(manifest: Manifest, asked: Asked, target: str, rows: Rows) -> Rows:
    """Those of some rows that have a group, and a label where words are labels."""
    there = np.array([bool(cell) for cell in manifest.column(asked.group or "")])
    if target == SUBGENRES:
        columns = [manifest.column(one) for one in asked.labels]
        there &= np.array([any(cells) for cells in zip(*columns, strict=True)])
    chosen: Rows = rows[there[rows]]
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Target:
    """One target of every track of a manifest.

    Attributes
    ----------
    name : str
        Letter of the target.
    outputs : tuple of str
        Classes, or factors by their number from 1.
    shares : (tracks, outputs) float32 array
        What each track is taught, adding up to 1; NaN where nothing is known of it.
    model : FactorModel or None
        None for genres.
    learned : GroupShares or None
        Distributions of the groups that the model was learned from.
    notes : tuple of str
    failures : tuple of Failure
        Files that could not be heard for it.
    terms : mapping
        Licence of what it was made from, where that binds what is taught.
    """

    name: str
    outputs: tuple[str, ...]
    shares: Shares
    model: FactorModel | None = None
    learned: GroupShares | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    terms: Mapping[str, Any] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which tracks have this target."""
        there: NDArray[np.bool_] = ~np.isnan(self.shares[:, 0])
        return there


def genre_target(manifest: Manifest, column: str, train: Rows) -> Target:
    """Genres of a column; a track with several is taught each of them in equal shares.

    A class that no training track has is not taught, and its tracks have no target.

    Raises
    ------
    ManifestError
        No such column, or nothing in it.
    UsageError
        Fewer than two classes to learn.

    Examples
    --------
    >>> some = [("a", "jazz"), ("b", "rock;jazz"), ("c", "folk"), ("d", "")]
    >>> manifest = Manifest.from_rows([{"path": path, "genre": label} for path, label in some])
    >>> target = genre_target(manifest, "genre", np.array([0, 1]))
    >>> target.outputs, target.shares[:2].tolist(), target.known.tolist()
    (('jazz', 'rock'), [[1.0, 0.0], [0.5, 0.5]], [True, True, False, False])
    """
    found = read_target(manifest, column, task="tagging")
    labels: list[tuple[str, ...]] = [()] * len(manifest)
    for row, names in zip(found.rows.tolist(), found.values, strict=True):
        labels[row] = tuple(names)
    counts = Counter(name for row in train.tolist() for name in labels[row])
    classes = tuple(sorted(counts))
    if len(classes) < 2:
        raise UsageError(
            wanted=f"two classes or more of column {column!r} to learn from",
            got=f"{', '.join(classes) or 'none'} among {len(train)} training tracks",
            fix="Add tracks, or leave the target g out",
            source=manifest.name,
        )
    place = {name: number for number, name in enumerate(classes)}
    shares = np.full((len(manifest), len(classes)), np.nan, np.float32)
    for row, names in enumerate(labels):
        taught = [place[name] for name in names if name in place]
        if taught and len(taught) == len(names):
            shares[row] = 0.0
            shares[row, taught] = 1.0 / len(taught)
    several = sum(len(names) > 1 for names in labels)
    notes = [f"g: {len(classes)} classes of column {column!r}."]
    if several:
        notes.append(f"g: {several} tracks with several are taught each in equal shares.")
    unheard = sorted({name for names in labels for name in names} - set(classes))
    if unheard:
        notes.append(f"g: no training track has {', '.join(unheard)}: not taught.")
    return Target(name=GENRE, outputs=classes, shares=shares, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hearing:
    """Where and how the audio of factors is heard.

    Attributes
    ----------
    frames : Path
        Store that all targets share.
    seconds : float or None
        Heard of a track.
    """

    frames: Path
    seconds: float | None = SECONDS
    device: str = "cpu"
    workers: int | None = None


def factor_target(
    manifest: Manifest,
    asked: Asked,
    target: str,
    parts: tuple[Rows, Rows],
    *,
    hearing: Hearing,
    work: Path,
    known: FactorModel | None = None,
    watch: Watch | None = None,
) -> Target:
    """Factors of the groups of some tracks, learned from the first part alone.

    Groups of the second part get their distribution from the words and topics of the first.

    Parameters
    ----------
    target : {"m", "d", "e", "s"}
    parts : pair of integer arrays
        Manifest rows to learn from, and to validate or test with (there may be none).
    work : Path
        Folder for bags of words.
    known : FactorModel, optional
        Learned from these rows before: only the distributions are computed.

    Raises
    ------
    UsageError, ManifestError, WeightsError, StoreError, SegueError
    """
    kind = parse_kind(asked.kind(target))
    tracks = [_tracks(manifest, asked, target, rows, hearing, watch) for rows in parts]
    train = tracks[0]
    if train is None:
        raise UsageError(
            wanted=f"training tracks with a group{_and_labels(asked, target)}",
            got="none that can be heard",
            fix="Leave the target out, or see why files could not be used",
            source=manifest.name,
        )
    settings = replace(asked.factors, normalise=kind.normalise)
    model = known or learn_factors(train.source, settings, work=work, watch=watch)
    shares = np.full((len(manifest), len(model.components)), np.nan, np.float32)
    inferred = [
        group_shares(model, one.source, work=work, watch=watch) if one else None for one in tracks
    ]
    empty: list[str] = []
    for one, found in zip(tracks, inferred, strict=True):
        if one and found:
            shares[one.rows] = found.shares[one.source.group_of]
            empty += found.empty
    notes = [f"{target}: {words}" for words in (*train.notes(), *model.notes)]
    if empty:
        some = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        notes.append(
            f"{target}: {len(empty)} groups without a word have no factors: not taught ({some})."
        )
    failures = {one.facts.place: one for part in filter(None, tracks) for one in part.failures}
    return Target(
        name=target,
        outputs=tuple(str(number + 1) for number in range(shares.shape[1])),
        shares=shares,
        model=model,
        learned=inferred[0],
        notes=tuple(notes),
        failures=tuple(failures.values()),
        terms=train.facts,
    )


def _tracks(
    manifest: Manifest, asked: Asked, target: str, rows: Rows, hearing: Hearing, watch: Watch | None
) -> GroupTracks | None:
    """Tracks by group; None where none of these rows has a group, or a label to be a word."""
    if not len(_with_words(manifest, asked, target, rows)):
        return None
    return group_tracks(
        manifest,
        asked.group or "",
        asked.kind(target),
        frames=hearing.frames,
        rows=rows.tolist(),
        seconds=hearing.seconds,
        device=hearing.device,
        workers=hearing.workers,
        watch=watch,
    )
