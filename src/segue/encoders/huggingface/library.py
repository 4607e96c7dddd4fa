"""The library transformers: imported when it is needed, and kept quiet."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segue.errors import UsageError

EXTRA = "hf"


def library(name: str) -> Any:
    """A module that the extra brings.

    Raises
    ------
    UsageError
        The extra is not installed.

    Examples
    --------
    >>> library("json").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            wanted=f"the library {name.partition('.')[0]}, which reads Hugging Face models",
            got=str(error),
            fix=f"Install it: pip install 'segue[{EXTRA}]'",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and progress bars of transformers: what matters is checked here."""
    logs = library("transformers.utils.logging")
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()
