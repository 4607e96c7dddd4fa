"""Libraries that an extra of segue brings: imported when they are needed, not before."""

from __future__ import annotations

import importlib
from typing import Any

from segue.errors import UsageError


def library(name: str, *, extra: str, purpose: str) -> Any:
    """A module that an extra brings.

    Parameters
    ----------
    name : str
    extra : str
        As in ``segue[extra]``.
    purpose : str
        What it is for, to end "the library NAME, which ...".

    Raises
    ------
    UsageError
        The extra is not installed.

    Examples
    --------
    >>> library("json", extra="hf", purpose="reads JSON").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            wanted=f"the library {name.partition('.')[0]}, which {purpose}",
            got=str(error),
            fix=f"Install it: pip install 'segue[{extra}]'",
        ) from error
