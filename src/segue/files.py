"""Files written whole or not at all, and files of others read up to a limit."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from segue.errors import StoreError


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write beside the target, then move over it: nobody ever sees half a file.

    The folder is made when absent. What was there before stays until the new file is safely on
    the disk, even if the machine stops.

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
    path = Path(path)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)  # mkstemp makes files nobody else can read
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            wanted=f"to write {len(content)} bytes",
            got=error.strerror or str(error),
            fix="Free space, make the folder writable, or choose another; then run the same "
            "command again: what was finished is kept",
            source=path,
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return path


def read_bounded(path: Path, limit: int) -> bytes:
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
    if not path.is_file():
        raise FileNotFoundError("no such file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content
