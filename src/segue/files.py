"""The one way segue writes a file: whole, or not at all."""

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
