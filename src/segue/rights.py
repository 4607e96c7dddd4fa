"""Commercial use: a wish that is asked about wherever weights or features are opened.

The wish holds for a ``with`` block, or for a whole process where ``SEGUE_COMMERCIAL`` is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from segue.card import EncoderCard
from segue.errors import UsageError

VARIABLE = "SEGUE_COMMERCIAL"
_NO = ("", "0", "n", "no", "f", "false", "off")  # as the command line reads it

_wanted: ContextVar[bool] = ContextVar("commercial_only", default=False)


@contextmanager
def commercial_only(wanted: bool = True) -> Iterator[None]:
    """Within it, whatever may not be used commercially is refused; ``False`` changes nothing.

    Examples
    --------
    >>> with commercial_only():
    ...     is_commercial_only()
    True
    """
    token = _wanted.set(wanted or _wanted.get())
    try:
        yield
    finally:
        _wanted.reset(token)


def is_commercial_only() -> bool:
    """Whether commercial use was asked for, here or by the environment."""
    return _wanted.get() or os.environ.get(VARIABLE, "").strip().lower() not in _NO


def check_rights(card: EncoderCard, source: object = None) -> None:
    """Refuse an encoder, or what was made with it, where commercial use was asked for.

    Parameters
    ----------
    card : EncoderCard
        ``commercial`` is False where the licence of the weights or of the music they were taught
        with forbids it, or where nobody knows.
    source : path or URL, optional
        What holds it: a store, a model, an index.

    Raises
    ------
    UsageError
        It must not be used commercially.
    """
    if is_commercial_only() and not card.commercial:
        raise UsageError(
            wanted="an encoder that may be used commercially",
            got=f"{card.label} (licence: {card.licence}; training data: {card.training_data})",
            fix="Choose another (`segue models list` says which), or drop --commercial",
            source=source,
        )
