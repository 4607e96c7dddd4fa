"""Which tracks form a group: artists, albums, playlists, or folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest
from segue.datasets.cells import SEPARATOR
from segue.errors import ManifestError, UsageError
from segue.targets.texts import check_text

FOLDER = "folder"
SHOWN = 3

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Groups:
    """Tracks that have a group, group after group.

    Attributes
    ----------
    names : tuple of str
        Sorted.
    rows : (n,) int64 array
        Rows of the manifest, those of a group together and in its order.
    group_of : (n,) int64 array
        Place of each row's group among ``names``, ascending.
    taken : str
        What groups are by: "column 'artist'".
    nameless : tuple of int
        Lines of the tracks without a group: left out.
    joined : tuple of str
        Names with a ``;`` in them, which were read as one group each.
    """

    names: tuple[str, ...]
    rows: Rows
    group_of: Rows
    taken: str
    nameless: tuple[int, ...] = ()
    joined: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def notes(self) -> list[str]:
        """What was taken for a group and what was left out, in words."""
        words = [f"Groups by {self.taken}: {len(self.names)} of {len(self.rows)} tracks."]
        if self.nameless:
            lines = ", ".join(map(str, self.nameless[:SHOWN]))
            more = ", ..." if len(self.nameless) > SHOWN else ""
            words.append(
                f"{_tracks(len(self.nameless))} without a group left out (line {lines}{more})."
            )
        if self.joined:
            some = ", ".join(map(repr, self.joined[:SHOWN]))
            words.append(f"A cell is one group, also with a {SEPARATOR!r} in it: {some}.")
        return words


def read_groups(manifest: Manifest, group: str, rows: Sequence[int] | None = None) -> Groups:
    """Groups of a manifest's tracks.

    A cell is the name of one group, as everywhere with ``--group``: names such as "Earth; Wind &
    Fire" are in real data. Where all parts of such a cell occur in other cells, too, it is taken
    for a list of groups, which a track cannot have.

    Parameters
    ----------
    manifest : Manifest
    group : str
        A column; or "folder" where there is no such column: the folder that a file lies in.
    rows : sequence of int, optional
        Rows that take part (a training part); all by default.

    Raises
    ------
    ManifestError
        No such column, nothing in it, or several groups in a cell.
    UsageError
        Rows that the manifest does not have; a name that cannot be shown.

    Examples
    --------
    >>> some = [("a", "Nina"), ("b", "Bach"), ("c", ""), ("d", "Nina")]
    >>> manifest = Manifest.from_rows([{"path": path, "artist": name} for path, name in some])
    >>> found = read_groups(manifest, "artist")
    >>> found.names, found.rows.tolist(), found.group_of.tolist(), found.nameless
    (('Bach', 'Nina'), [1, 0, 3], [0, 1, 1], (3,))
    """
    cells, taken = _cells(manifest, group)
    chosen = _checked(rows, len(manifest))
    named = [row for row in chosen.tolist() if cells[row]]
    if not named:
        some = "any of these rows" if rows is not None else "any row"
        raise ManifestError(
            wanted=f"a group in {some} of {taken}",
            got="only empty cells",
            fix="Fill the column or choose another: there are " + ", ".join(manifest.columns),
            source=manifest.name,
        )
    names, codes = np.unique([cells[row] for row in named], return_inverse=True)
    for name in names.tolist():
        check_text(name, f"a group in {taken}")
    joined = _joined(manifest, names.tolist(), taken)
    order = np.argsort(codes, kind="stable")
    lines = manifest.lines
    return Groups(
        names=tuple(names.tolist()),
        rows=np.array(named, np.int64)[order],
        group_of=codes[order].astype(np.int64),
        taken=taken,
        nameless=tuple(lines[row] for row in chosen.tolist() if not cells[row]),
        joined=joined,
    )


def with_groups(manifest: Manifest, group: str | None) -> Manifest:
    """A manifest in which a group is a column: "folder" becomes one, where there is none.

    Raises
    ------
    ManifestError
        No such column.

    Examples
    --------
    >>> manifest = Manifest.from_rows([{"path": "nina/a.wav"}, {"path": "bach/b.wav"}])
    >>> with_groups(manifest, "folder").column("folder")
    ['nina', 'bach']
    """
    if group is None or group in manifest.columns:
        return manifest
    return manifest.with_column(group, _cells(manifest, group)[0])


def _cells(manifest: Manifest, group: str) -> tuple[list[str], str]:
    """The group of every track, empty where there is none, and what it was taken from."""
    if group in manifest.columns or group != FOLDER:
        return manifest.column(group), f"column {group!r}"
    folders = [track.path.parent for track in manifest.tracks()]
    # below the manifest's own folder, so that names do not depend on where the data set lies
    root = manifest.root.absolute()
    names = {
        one: one.relative_to(root).as_posix() if one.is_relative_to(root) else one.as_posix()
        for one in set(folders)
    }
    return [names[one] for one in folders], "the folder that a file lies in"


def _checked(rows: Sequence[int] | None, count: int) -> Rows:
    if rows is None:
        return np.arange(count)
    chosen = np.asarray(rows, np.int64)
    if chosen.ndim != 1 or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < count):
        raise UsageError(
            wanted=f"rows of the manifest, from 0 to {count - 1}",
            got=f"shape {chosen.shape}, {chosen.min()} to {chosen.max()}",
            fix="Choose rows that are there",
        )
    return np.unique(chosen)


def _joined(manifest: Manifest, names: Sequence[str], taken: str) -> tuple[str, ...]:
    """Names with a separator in them, each of which is one group.

    Raises
    ------
    ManifestError
        One is made of names that occur elsewhere.
    """
    joined = tuple(name for name in names if SEPARATOR in name)
    parts = {
        name: frozenset(part.strip() for part in name.split(SEPARATOR)) - {""} for name in joined
    }
    # "A;B" and "A; B" are one list: neither is where the other's parts occur
    seen = Counter(part for some in {*parts.values()} for part in some)
    seen.update(name for name in names if SEPARATOR not in name)
    several = [name for name in joined if parts[name] and all(seen[p] > 1 for p in parts[name])]
    if several:
        more = f" and {len(several) - 1} more" if len(several) > 1 else ""
        raise ManifestError(
            wanted=f"one group a track in {taken}",
            got=f"{several[0]!r}{more}, whose parts are groups of other tracks, too",
            fix="Keep one of them in each cell, or list a track once for each of its groups, "
            "with an id of its own each time",
            source=manifest.name,
        )
    return joined


def _tracks(count: int) -> str:
    return f"{count} track{'s' * (count != 1)}"
