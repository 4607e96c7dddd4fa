"""How an experiment is run: as its paper did, as we hold it to be right, or both side by side."""

from __future__ import annotations

from typing import Literal, get_args

from segue.errors import UsageError

Asked = Literal["paper", "corrected", "both"]


def check_protocol(protocol: str) -> None:
    """Refuse an unknown protocol.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_protocol("both")
    """
    if protocol not in get_args(Asked):
        raise UsageError(
            wanted=f"a protocol among {', '.join(get_args(Asked))}",
            got=repr(protocol),
            fix="Choose one of these",
        )
