"""An index as a folder: ``index.json`` and one safetensors file. No pickle, no faiss binary.

``index.json`` names the vectors' file together with its SHA-256 and is put in place last, in one
step; until then a reader sees the former index whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import StoreError
from segue.files import write_atomically

_HEAD = "index.json"
_ARRAYS = "vectors-{}.safetensors"
_REBUILD = "Build the index again with `segue index`"


def write(
    folder: Path, arrays: Mapping[str, NDArray[Any]], head: Mapping[str, Any], *, kind: str
) -> None:
    """Write arrays and a JSON head into ``folder``, which may hold a former index.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    from safetensors.numpy import save

    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    digest = hashlib.sha256(data).hexdigest()
    name = _ARRAYS.format(digest[:12])
    full = {"kind": kind, **head, "vectors": {"file": name, "sha256": digest}}
    text = json.dumps(full, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(folder / name, data)
    write_atomically(folder / _HEAD, text.encode())
    for old in folder.glob(_ARRAYS.format("*")):
        if old.name != name:
            old.unlink(missing_ok=True)


def read(
    folder: Path, *, kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the head that `write` put there.

    Raises
    ------
    StoreError
        No index there, one of another kind or version, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    head = _head(folder, kind, version)
    try:
        name, digest = str(head["vectors"]["file"]), str(head["vectors"]["sha256"])
        # the head is untrusted text: only a plain file name inside this folder is followed
        if name != _ARRAYS.format(digest[:12]) or Path(name).name != name:
            raise damaged(folder, f"the vectors' file name {name!r}")
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise damaged(folder, f"{name} with another SHA-256 than {_HEAD} says")
        return load(data), head
    except (KeyError, TypeError) as error:
        raise damaged(folder, f"{_HEAD} without the vectors' file name and SHA-256") from error
    except OSError as error:
        raise damaged(folder, f"{error.strerror} for the vectors' file") from error
    except SafetensorError as error:
        raise damaged(folder, f"vectors that are not safetensors ({error})") from error


def _head(folder: Path, kind: str, version: int) -> dict[str, Any]:
    try:
        head = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(
            wanted=f"an index folder with {_HEAD}",
            got=error.strerror or str(error),
            fix="Give the folder that `segue index` wrote",
            source=folder,
        ) from error
    except ValueError as error:
        raise damaged(folder, f"{_HEAD} that is not JSON") from error
    if not isinstance(head, dict) or head.get("kind") != kind:
        raise StoreError(
            wanted=f"an index of kind {kind!r}",
            got=f"kind {head.get('kind')!r}" if isinstance(head, dict) else "other JSON",
            fix="Give the folder that `segue index` wrote",
            source=folder / _HEAD,
        )
    if head.get("version") != version:
        raise StoreError(
            wanted=f"index format version {version}",
            got=f"version {head.get('version')!r}",
            fix=_REBUILD + ", or install the segue version that wrote it",
            source=folder / _HEAD,
        )
    return head


def damaged(folder: Path, got: str) -> StoreError:
    """The error for a folder whose parts do not fit together."""
    return StoreError(wanted="a whole index", got=got, fix=_REBUILD, source=folder)
