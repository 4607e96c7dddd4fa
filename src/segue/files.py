"""Files written whole or not at all, here or behind a URL; files of others read up to a limit."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, overload

from segue.errors import SegueError, StoreError, UsageError

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

Location: TypeAlias = "Path | UPath"

PARTIAL = ".partial"  # ends the name of a file that is being written

# Where one put shows the whole object or nothing, and a rename would be a copy; elsewhere a file
# is written beside its target and renamed.
_OBJECT_STORES = frozenset(
    ("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "r2")
)
_URL = re.compile(r"([A-Za-z][\w.+-]*(?:::[A-Za-z][\w.+-]*)*)://")
_BROKEN_URL = re.compile(r"([A-Za-z][\w.+-]+):")  # what Path leaves of "s3://"


def folder(place: str | Path | UPath) -> Location:
    """What a text means: a path of this machine, or an address behind a file system of fsspec.

    Parameters
    ----------
    place : str or Path
        ``"music/store"``, ``"s3://bucket/store"``, ``"gs://bucket/store"``,
        ``"memory://bucket/store"`` (of this process alone). ``file://`` is a path of this machine.

    Raises
    ------
    UsageError
        There is no such file system, or what reads and writes it is not installed.
    StoreError
        It cannot be reached.

    Examples
    --------
    >>> isinstance(folder("music/store"), Path), isinstance(folder("file:///tmp/store"), Path)
    (True, True)
    >>> str(folder("memory://bucket/store") / "a.txt")
    'memory://bucket/store/a.txt'
    """
    if isinstance(place, Path):
        return _local(place)
    url = str(place)
    scheme = _URL.match(url)
    if scheme is None:
        return Path(url)
    from upath import UPath

    name = scheme[1].split("::")[-1]
    try:
        there = UPath(place)
        _ = there.fs  # made now, so that what is missing is told now
    except ImportError as error:
        raise UsageError(
            wanted=f"what reads and writes {name}://",
            got=str(error),
            fix=f"pip install '{_driver(name)}'",
            source=url,
        ) from error
    except ValueError as error:
        raise UsageError(
            wanted="a folder, or an address such as s3://bucket/folder",
            got=f"{name}://, which is no file system: {error}",
            fix="Check the spelling of the address",
            source=url,
        ) from error
    except Exception as error:
        raise StoreError(
            wanted=f"to reach {name}://",
            got=f"{type(error).__name__}: {error}",
            fix="Check the address, the network and your credentials",
            source=url,
        ) from error
    return Path(there.path) if there.protocol in ("file", "local") else there


def _local(path: Path) -> Path:
    broken = _BROKEN_URL.fullmatch(path.parts[0]) if path.parts else None
    if broken is not None and not path.drive:
        from fsspec import available_protocols

        if broken[1] in available_protocols():
            raise UsageError(
                wanted="an address as text",
                got=f"the path {str(path)!r}, in which a slash is lost",
                fix="Give it as a str, not as a Path",
            )
    return path


def _driver(protocol: str) -> str:
    from fsspec.registry import known_implementations

    package = str(known_implementations.get(protocol, {}).get("class", "")).split(".")[0]
    return f"fsspec[{protocol}]" if package in ("", "fsspec") else package


@overload
def write_atomically(path: str | Path, content: bytes) -> Path: ...
@overload
def write_atomically(path: UPath, content: bytes) -> UPath: ...
def write_atomically(path: str | Path | UPath, content: bytes) -> Location:
    """Write beside the target, then move over it: nobody ever sees half a file.

    The folder is made when absent. What was there before stays until the new file is safely on
    the disk, even if the machine stops. In an object store (s3, gs, memory and the like) one put
    does the same; on another file system of fsspec the file is written beside and renamed.

    Parameters
    ----------
    path : str, Path or UPath
        A str is a path of this machine; :func:`folder` makes a location of an address.
    content : bytes

    Raises
    ------
    StoreError
        Full disk, no permission; what was there before is untouched.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_atomically(folder / "new" / "a.txt", b"words").read_bytes()
    b'words'
    """
    there = Path(path) if isinstance(path, str) else path
    try:
        if isinstance(there, Path):
            _write_here(there, content)
        else:
            with plain_errors():
                _write_there(there, content)
    except OSError as error:
        raise StoreError(
            wanted=f"to write {len(content)} bytes",
            got=error.strerror or str(error),
            fix="Free space, make the folder writable, or choose another; then run the same "
            "command again: what was finished is kept",
            source=str(there),
        ) from error
    return there


def _write_here(path: Path, content: bytes) -> None:
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)  # mkstemp makes files nobody else can read
        partial.replace(path)
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _write_there(path: UPath, content: bytes) -> None:
    if path.protocol in _OBJECT_STORES:
        path.fs.pipe_file(path.path, content)
        return
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    path.fs.makedirs(path.parent.path, exist_ok=True)
    try:
        path.fs.pipe_file(partial.path, content)
        path.fs.mv(partial.path, path.path)
    finally:
        if path.fs.exists(partial.path):
            path.fs.rm_file(partial.path)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Whatever the driver of a remote file system raises becomes an OSError that says it."""
    try:
        yield
    except (OSError, SegueError):
        raise
    except Exception as error:  # drivers have trees of their own: credentials, HTTP codes
        raise OSError(f"{type(error).__name__}: {error}") from error


def exists(path: Location) -> bool:
    """Whether there is a file.

    Raises
    ------
    StoreError
        The file system behind an address cannot be asked.
    """
    try:
        if isinstance(path, Path):
            return path.is_file()
        with plain_errors():  # is_file of most drivers takes a refusal for absence
            return bool(path.fs.info(path.path)["type"] == "file")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(
            wanted="to look for a file",
            got=error.strerror or str(error),
            fix="Check the address, the network and your credentials",
            source=str(path),
        ) from error


def entries(there: Location, pattern: str = "*") -> list[Location]:
    """What a folder holds under names of a pattern, sorted; nothing where there is no folder.

    Names that begin with a dot, such as of files that are being written, are asked for with a dot.

    Raises
    ------
    StoreError
        It cannot be listed.

    Examples
    --------
    >>> path = write_atomically(Path(tempfile.mkdtemp()) / "a.txt", b"words")
    >>> [one.name for one in entries(path.parent, "*.txt")], entries(path.parent / "absent")
    (['a.txt'], [])
    """
    try:
        if isinstance(there, Path):
            names = [path.name for path in there.iterdir()]
        else:
            with plain_errors():
                there.fs.invalidate_cache(there.path)  # others write here too
                listed = there.fs.ls(there.path, detail=False)
            names = [str(name).rstrip("/").rsplit("/", 1)[-1] for name in listed]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            wanted="to list a folder",
            got=error.strerror or str(error),
            fix="Check that it may be read",
            source=str(there),
        ) from error
    hidden = pattern.startswith(".")
    wanted = [n for n in names if fnmatch.fnmatchcase(n, pattern) and n.startswith(".") == hidden]
    return [there / name for name in sorted(wanted)]


def remove_partial(there: Location, *, older: float) -> None:
    """Remove what killed writers left half-written in a folder, when older than some seconds."""
    for path in entries(there, f".*{PARTIAL}"):
        remove_quietly(path, older=older)


def remove_quietly(path: Location, *, older: float = 0.0) -> None:
    """Remove a file that is in the way of nobody, when older than some seconds."""
    try:
        with plain_errors():
            if time.time() - path.stat().st_mtime >= older:
                path.unlink(missing_ok=True)
    except OSError as error:
        log.info("%s could not be removed: %s", path, error)


def settle(there: Location) -> None:
    """See to it that renames in a folder are on the disk before anything else is done there."""
    if os.name != "posix" or not isinstance(there, Path):
        return
    handle = os.open(there, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bounded(path: Location, limit: int) -> bytes:
    """The bytes of a file that is not trusted, never more than it may have.

    Raises
    ------
    OSError
        No such file, or one that cannot be read.
    ValueError
        A larger one, or a name that cannot be one.

    Examples
    --------
    >>> path = write_atomically(Path(tempfile.mkdtemp()) / "a.txt", b"words")
    >>> read_bounded(path, 5)
    b'words'
    """
    if isinstance(path, Path) and not path.is_file():  # opening a pipe would wait
        raise FileNotFoundError("no such file")
    with plain_errors(), path.open("rb") as file:
        content: bytes = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content
