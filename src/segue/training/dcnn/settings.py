"""What can be chosen of the convnets of Kim et al. 2018 and their training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from segue.encoders.dcnn import WIDTHS, Sharing
from segue.errors import UsageError

Draw = Literal["batch", "epoch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DcnnSettings:
    """How the networks are made and taught, beyond rate and epochs.

    Attributes
    ----------
    sharing : {"none", "first", "all"}
        See :class:`~segue.encoders.dcnn.DcnnSpec`.
    width : float
        Times the paper's number of maps and units.
    batch : int
        Tracks whose mean gradient makes one step (the paper's 64).
    draw : {"batch", "epoch"}
        When a task is drawn: for every batch, or for a whole epoch, as the released code does.
    l2 : float
        Weight of the squared norm of all weights (the released code's 1e-5).
    valid_segments : int
        Segments of each validation track that are scored.

    Raises
    ------
    UsageError
        Numbers that make no sense, or an unknown kind of sharing or drawing.

    Examples
    --------
    >>> DcnnSettings(sharing="first").batch
    64
    """

    sharing: Sharing = "none"
    width: float = 1.0
    batch: int = 64
    draw: Draw = "batch"
    l2: float = 1e-5
    valid_segments: int = 5

    def __post_init__(self) -> None:
        for name, known in (("sharing", Sharing), ("draw", Draw)):
            if getattr(self, name) not in get_args(known):
                raise _odd(name, f"one of {', '.join(get_args(known))}", getattr(self, name))
        # batch normalisation of a single segment would leave nothing of it
        for name, least in (("batch", 2), ("valid_segments", 1)):
            if getattr(self, name) < least:
                raise _odd(name, f"{least} at least", getattr(self, name))
        if not WIDTHS[0] <= self.width <= WIDTHS[1]:
            raise _odd("width", f"from {WIDTHS[0]} to {WIDTHS[1]:g}", self.width)
        if not 0.0 <= self.l2 < math.inf:
            raise _odd("l2", "0 or more", self.l2)


def _odd(name: str, wanted: str, got: object) -> UsageError:
    option = f"--{name.replace('_', '-')}"
    return UsageError(wanted=wanted, got=str(got), fix="Choose another", source=option)
