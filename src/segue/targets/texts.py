"""Names that are shown on terminals and written to files: text of one line."""

from __future__ import annotations

import unicodedata

from segue.errors import UsageError

MOST_CHARACTERS = 4096
LONG = 300  # characters of a title
# halves of characters, control characters, line breaks; and marks that reorder what follows them
UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_text(value: object, what: str, *, most: int = MOST_CHARACTERS) -> str:
    """A text of one line that can be shown as it is.

    Raises
    ------
    UsageError
        It is no text, too long, or has control characters.

    Examples
    --------
    >>> check_text("Sigur Rós", "a group")
    'Sigur Rós'
    """
    if not isinstance(value, str):
        got = type(value).__name__
    elif len(value) > most:
        got = f"{len(value)} characters"
    # most texts are printable throughout, which is quickly seen
    elif not value.isprintable() and any(map(_unseen, value)):
        got = f"control characters: {value[:80]!a}"
    else:
        return value
    raise UsageError(
        wanted=f"{what}: a text of one line, {most} characters at most",
        got=got,
        fix="Write it as plain text",
    )


def shown(text: str) -> str:
    """A text as it is, but for what :func:`check_text` refuses: that is escaped, or cut short.

    Examples
    --------
    >>> shown("Sigur Rós"), shown("a\\nb")
    ('Sigur Rós', 'a\\\\nb')
    """
    text = text if len(text) <= LONG else f"{text[:LONG]}..."
    return "".join(ascii(one)[1:-1] if _unseen(one) else one for one in text)


def _unseen(one: str) -> bool:
    return unicodedata.category(one) in UNSEEN or one in REORDERING
