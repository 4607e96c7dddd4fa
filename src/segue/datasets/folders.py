"""Folders as manifests: every audio file below, and its folder's name as the label."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from segue.datasets.manifest import Manifest
from segue.errors import ManifestError

LABEL = "label"

Kind = Literal["file", "folder", "nothing"]


def from_folder(folder: str | Path, *, suffixes: Collection[str]) -> Manifest:
    """All audio files below a folder, sorted; ``label`` is the name of the file's own folder.

    Links to folders are followed; a link that leads back to a folder above it is counted as
    ignored, not followed for ever. Other files are counted in ``ignored`` by suffix.

    Parameters
    ----------
    folder : str or Path
    suffixes : collection of str
        Lower-case suffixes taken as audio, with the dot.

    Raises
    ------
    ManifestError
        When it is no folder, or nothing in it has an audio suffix.
    """
    folder = Path(folder)
    if _kind(folder) != "folder":
        raise ManifestError(
            wanted="a folder of audio files",
            got="no such folder",
            fix="Check the path",
            source=folder,
        )
    ignored: Counter[str] = Counter()
    rows = []
    for path in sorted(_walk(folder, frozenset(), ignored)):
        if not is_unicode(path):
            ignored["file name that is not Unicode: rename it"] += 1
        elif path.suffix.lower() in suffixes:
            relative = path.relative_to(folder)
            label = relative.parent.name if len(relative.parts) > 1 else ""
            rows.append({"path": str(relative), "id": relative.as_posix(), LABEL: label})
        else:
            ignored[f"suffix {path.suffix.lower() or '(none)'}"] += 1
    if not rows:
        seen = ", ".join(f"{count} x {why}" for why, count in ignored.items()) or "nothing"
        raise ManifestError(
            wanted="audio files in a folder",
            got=seen,
            fix=f"Known suffixes are {', '.join(sorted(suffixes))}",
            source=folder,
        )
    if not any(row[LABEL] for row in rows):
        rows = [{"path": row["path"], "id": row["id"]} for row in rows]
    manifest = Manifest.from_rows(rows, root=folder)
    return replace(manifest, name=str(folder), ignored=dict(ignored))


def is_unicode(path: Path) -> bool:
    """Whether a name can be written down; POSIX allows any bytes, tables only Unicode.

    Examples
    --------
    >>> is_unicode(Path("é.wav")), is_unicode(Path(os.fsdecode(b"\\xe9.wav")))
    (True, False)
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(folder: Path, above: frozenset[tuple[int, int]], ignored: Counter[str]) -> Iterator[Path]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        ignored["link to a folder above it"] += 1
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        ignored["folder that may not be read"] += 1
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False  # a link onto itself: listed as a file, and refused with its reason
        if is_folder:
            yield from _walk(folder / entry.name, above | {here}, ignored)
        else:
            yield folder / entry.name


def from_paths(paths: Sequence[str | Path], *, suffixes: Collection[str]) -> Manifest:
    """Manifest of what a user names on a command line.

    One ``.csv``, ``.parquet`` or ``.txt`` file is read as a manifest, one folder is walked; several
    files and folders are put together, ids being the absolute paths. A named file is taken whatever
    its suffix: its content decides. A file missing among several stays a row.

    Raises
    ------
    ManifestError
        When nothing is named, or nothing audible found; when the only path named is not there;
        when a name cannot be that of a file; when a manifest is named beside something else.

    Examples
    --------
    >>> from_paths(["a.csv", "b.wav"], suffixes=[".wav"])
    Traceback (most recent call last):
    segue.errors.ManifestError: wanted one manifest at a time; ...
    """
    if not paths:
        raise ManifestError(
            wanted="files, a folder or a manifest", got="nothing", fix="Name at least one"
        )
    named = [(path, _kind(path)) for path in map(Path, paths)]
    if len(named) == 1:
        return _from_path(*named[0], suffixes)
    if manifests := [path for path, kind in named if _is_manifest(path, kind)]:
        raise ManifestError(
            wanted="one manifest at a time; only audio files and folders may be several",
            got=f"{manifests[0]} among {len(named)} paths",
            fix="Name a manifest alone, or put what it lists into one table",
        )
    rows, ignored = [], Counter[str]()
    for path, kind in named:
        if kind == "folder":
            below = from_folder(path, suffixes=suffixes)
            ignored.update(below.ignored)
            rows += [{"path": str(track.path.absolute())} for track in below.tracks()]
        else:
            rows.append({"path": str(path.absolute())})
    unique = {row["path"]: row for row in rows}
    return replace(Manifest.from_rows(list(unique.values())), ignored=dict(ignored))


def _from_path(path: Path, kind: Kind, suffixes: Collection[str]) -> Manifest:
    if kind == "nothing":
        raise ManifestError(
            wanted="files, a folder or a manifest",
            got="nothing there (no such file or folder)",
            fix="Check the path",
            source=path,
        )
    if kind == "folder":
        return from_folder(path, suffixes=suffixes)
    if _is_manifest(path, kind):
        return Manifest.read(path)
    return Manifest.from_rows([{"path": str(path.absolute())}])


def _is_manifest(path: Path, kind: Kind) -> bool:
    return kind != "folder" and path.suffix.lower() in (".csv", ".parquet", ".txt")


def _kind(path: Path) -> Kind:
    """What a name stands for; a link that leads nowhere is a file, refused when it is read.

    Raises
    ------
    ManifestError
        When no file can have such a name.
    """
    if not is_unicode(path):
        raise ManifestError(
            wanted="a file name that is Unicode", got=ascii(str(path)), fix="Rename the file"
        )
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return "folder"
    except ValueError:
        raise _no_name(f"{str(path)!r}, with a zero byte in it") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            name = str(path)
            raise _no_name(f"{len(name)} characters, {name[:40]!r} and so on") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and not path.is_symlink():
            return "nothing"
    return "file"


def _no_name(got: str) -> ManifestError:
    return ManifestError(wanted="the name of a file or folder", got=got, fix="Check the path")
