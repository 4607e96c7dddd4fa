"""Finished numbers on disk, one small file each, so that a long table resumes exactly."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from segue.card import canonical_json
from segue.files import write_atomically

logger = logging.getLogger(__name__)

FORMAT = 1


def arrays_digest(facts: Mapping[str, object], arrays: Iterable[ArrayLike]) -> str:
    """SHA-256 over facts and arrays: all that decides a number.

    A cell kept under another digest is never used again.

    Examples
    --------
    >>> first, other = (arrays_digest({"seed": 0}, [[1.0, x]]) for x in (2.0, 3.0))
    >>> first == other
    False
    """
    state = hashlib.sha256(canonical_json([FORMAT, dict(facts)]).encode())
    for one in arrays:
        array = np.ascontiguousarray(one)
        state.update(f"|{array.shape}{array.dtype}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def folder_name(target: str) -> str:
    """A folder of its own for any label column, within the folder it is made in.

    Examples
    --------
    >>> folder_name("emoMusic_a"), folder_name("../x")
    ('emoMusic_a', 'x-d6b96a97')
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", target):
        return target
    digest = hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '', target)[:40]}-{digest[:8]}".lstrip("-")


class Cells:
    """Finished cells of one table.

    Parameters
    ----------
    folder : path
    digest : str
        Of the inputs; part of every file's name.
    keys : iterable of str
        What a cell must have; one that lacks any is as good as none.

    Examples
    --------
    >>> import tempfile
    >>> cells = Cells(Path(tempfile.mkdtemp()), "0" * 64)
    >>> cells.put("135", {"score": 0.9})
    >>> cells.get("135"), cells.get("1")
    ({'score': 0.9}, None)
    """

    def __init__(self, folder: Path, digest: str, keys: Iterable[str] = ()) -> None:
        self.folder = folder
        self.digest = digest
        self.keys = frozenset(keys)

    def get(self, features: str) -> dict[str, Any] | None:
        """Facts of a finished cell; None where it is not there or was damaged."""
        path = self._path(features)
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read (%s): computed again", path, error)
            return None
        if not isinstance(facts, dict) or facts.get("digest") != self.digest:
            logger.warning("%s is not a cell of this table: computed again", path)
            return None
        found = facts.get("cell")
        if not isinstance(found, dict) or not self.keys <= found.keys():
            logger.warning("%s is damaged: computed again", path)
            return None
        return found

    def put(self, features: str, cell: Mapping[str, Any]) -> None:
        """Keep a finished cell.

        Raises
        ------
        StoreError
            The folder cannot be written.
        """
        facts = {"digest": self.digest, "features": features, "cell": dict(cell)}
        write_atomically(self._path(features), json.dumps(facts).encode())

    def _path(self, features: str) -> Path:
        name = features.replace(" ", "-").replace("+", "-and-")
        if not re.fullmatch(r"[\w@,.=()-]{1,120}", name):  # a path, say: never leave the folder
            name = folder_name(name)
        return self.folder / f"{name}.{self.digest[:16]}.json"
