"""How encoders are called: what can stand in a path, a table, on the command line and in a card."""

from __future__ import annotations

import os
import re
from pathlib import Path

from segue.card import FOREIGN
from segue.errors import WeightsError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_LAYERS = re.compile(r"[0-9][0-9, ]*")
LABEL = re.compile(rf"{NAME.pattern}(?:@[0-9,]+)?")
"""A name, and layers behind it in the paper's notation: ``"choi2017-msd@135"``."""


def is_path(name: str) -> bool:
    """Whether an encoder is asked for by its folder: a name never looks like a path.

    Examples
    --------
    >>> is_path("mine"), is_path("mine@135"), is_path("./mine"), is_path("out/mine@135")
    (False, False, True, True)
    """
    if name.startswith(FOREIGN):
        return False
    separators = {os.sep, os.altsep, "/"} - {None}
    return name.startswith((".", "~")) or any(mark in name for mark in separators if mark)


def split_layers(name: str) -> tuple[str, str]:
    """A name or path and the layers written behind it.

    Examples
    --------
    >>> split_layers("mine@135"), split_layers("a@b/mine"), split_layers("./mine@1")
    (('mine', '135'), ('a@b/mine', ''), ('./mine', '1'))
    >>> split_layers("onnx:net@13.onnx"), split_layers("hf:a/model@9,12")
    (('onnx:net@13.onnx', ''), ('hf:a/model', '9,12'))
    """
    base, mark, code = name.rpartition("@")
    # a file may be called net@13.onnx
    if not mark or is_path(code) or (name.startswith(FOREIGN) and not _LAYERS.fullmatch(code)):
        return name, ""
    return base, code


def placed(name: str) -> str:
    """A name such as ``hf:FOLDER`` or ``onnx:FILE`` with its place made absolute.

    What neither looks like a path nor is there is a name on a hub, and stays as it is.

    Examples
    --------
    >>> placed("hf:~/none") == f"hf:{Path.home()}/none", placed("hf:organisation/model")
    (True, 'hf:organisation/model')
    """
    prefix, _, place = name.partition(":")
    if place.startswith((".", "~", "/")) or Path(place).exists():
        return f"{prefix}:{expanded(place).absolute()}"
    return name


def anywhere(encoder: str) -> str:
    """An encoder as another process must ask for it, which may stand in another folder.

    Examples
    --------
    >>> anywhere("mfcc"), anywhere("/out/mine@135"), anywhere("/out/mine")
    ('mfcc', '/out/mine@135', '/out/mine/')
    """
    base, code = split_layers(encoder)
    if base.startswith(FOREIGN):
        return f"{placed(base)}@{code}" if code else placed(base)
    if not is_path(base):
        return encoder
    path = expanded(base).absolute()
    # the separator keeps an "@" in the folder's own name from being read as layers
    return f"{path}@{code}" if code else f"{path}{os.sep}"


def expanded(path: str | Path) -> Path:
    """A path with ``~`` replaced.

    Raises
    ------
    WeightsError
        It is the home of somebody who has none here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise WeightsError(
            wanted="an encoder folder or file",
            got=str(error),
            fix="Write the path out",
            source=path,
        ) from error
