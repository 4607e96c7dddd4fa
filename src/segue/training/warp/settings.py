"""What can be chosen of the joint embedding and its training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from segue.errors import UsageError

Rank = Literal["sampled", "exact"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpSettings:
    """How the embedding is made and taught, beyond rate and epochs.

    Attributes
    ----------
    dimensions : int
        Of the shared space (the paper's D = 100).
    hidden : int
        Units of a layer between the frames and V; 0 is the paper's linear map.
    batch : int
        Examples whose mean gradient makes one step (the paper's 100).
    rank : {"sampled", "exact"}
        Whether the rank of a positive label is estimated from the number of draws, as in the
        paper, or counted by scoring every label; see :mod:`segue.training.warp.sampling`.
    norm_ball : float, optional
        The C of WSABIE (Weston et al. 2011): no column of V and no row of W is longer.
    l2 : float
        Weight of half the squared norm of V (and of the hidden layer's matrix), and of W.
    l2_labels : float, optional
        That of W where it is to be another: the paper's conclusion proposes a larger one.

    Raises
    ------
    UsageError
        Numbers that make no sense, or an unknown kind of rank.

    Examples
    --------
    >>> WarpSettings(l2=1e-4).label_decay, WarpSettings(l2=1e-4, l2_labels=1e-2).label_decay
    (0.0001, 0.01)
    """

    dimensions: int = 100
    hidden: int = 0
    batch: int = 100
    rank: Rank = "sampled"
    norm_ball: float | None = None
    l2: float = 0.0
    l2_labels: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("dimensions", 1), ("hidden", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise _odd(name, f"{least} at least", getattr(self, name))
        if self.rank not in get_args(Rank):
            raise _odd("rank", f"one of {', '.join(get_args(Rank))}", self.rank)
        if self.norm_ball is not None and not 0.0 < self.norm_ball < math.inf:
            raise _odd("norm_ball", "a number above 0", self.norm_ball)
        for name, weight in (("l2", self.l2), ("l2_labels", self.l2_labels)):
            if weight is not None and not 0.0 <= weight < math.inf:
                raise _odd(name, "0 or more", weight)

    @property
    def label_decay(self) -> float:
        """Weight of half the squared norm of W."""
        return self.l2 if self.l2_labels is None else self.l2_labels


def _odd(name: str, wanted: str, got: object) -> UsageError:
    option = f"--{name.replace('_', '-')}"
    return UsageError(wanted=wanted, got=str(got), fix="Choose another", source=option)
