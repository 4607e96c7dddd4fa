"""Names that are shown on terminals and written to files: text of one line."""

from __future__ import annotations

import unicodedata

from segue.errors import UsageError

MOST_CHARACTERS = 4096
# halves of characters, control characters, line breaks; and marks that reorder what follows them
UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_text(value: object, what: str) -> str:
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
    elif len(value) > MOST_CHARACTERS:
        got = f"{len(value)} characters"
    # most texts are printable throughout, which is quickly seen
    elif not value.isprintable() and any(
        unicodedata.category(one) in UNSEEN or one in REORDERING for one in value
    ):
        got = f"control characters: {value[:80]!a}"
    else:
        return value
    raise UsageError(
        wanted=f"{what}: a text of one line, {MOST_CHARACTERS} characters at most",
        got=got,
        fix="Write it as plain text",
    )
