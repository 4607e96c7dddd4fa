"""The library transformers: imported when it is needed, and kept quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from segue.encoders import extras

library = partial(extras.library, extra="hf", purpose="reads Hugging Face models")


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
