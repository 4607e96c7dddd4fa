"""Which networks are trained, and which features each system of the paper is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segue.errors import UsageError
from segue.experiments.kim2018.published import MTN, ORDER, STN, TASKS, WSTN, Sharing


@dataclass(frozen=True, slots=True)
class System:
    """Networks whose concatenated features a classifier learns from.

    Attributes
    ----------
    sharing : {"STN", "MTN", "wSTN"}
        One network a task; one network for all whose first block is shared; one wide network for
        the genre alone, with as many parameters as ``copies`` networks.
    tasks : str
        Letters as in Table 4; "g" for a wide one.
    copies : int
        Of a wide one: 2 to 5. Else the number of tasks.
    """

    sharing: Sharing
    tasks: str
    copies: int

    @property
    def name(self) -> str:
        """ "STN gs", "MTN gsedm", "wSTN 3"."""
        return f"{self.sharing} {self.copies if self.sharing == WSTN else self.tasks}"


def combinations_of(tasks: Iterable[str]) -> tuple[str, ...]:
    """All combinations of these tasks, in the order of Table 4.

    Raises
    ------
    UsageError
        A letter that is no task, or no genre: the wide networks and every comparison need it.

    Examples
    --------
    >>> combinations_of("gsd")
    ('g', 'd', 's', 'gs', 'gd', 'sd', 'gsd')
    """
    asked = set(tasks)
    if unknown := asked - TASKS.keys() or {"g"} - asked:
        raise UsageError(
            wanted=f"tasks among {', '.join(TASKS)}, g one of them",
            got=f"{''.join(sorted(asked)) or 'none'} (see {', '.join(sorted(unknown))})",
            fix="Name some of these",
        )
    return tuple(one for one in ORDER if set(one) <= asked)


def singles_of(tasks: Iterable[str]) -> list[System]:
    """The networks of one task each, which all STN are made of."""
    return [System(STN, one, 1) for one in combinations_of(tasks) if len(one) == 1]


def systems_of(tasks: Iterable[str]) -> list[System]:
    """Every system of Tables 4 and 5 for these tasks: STN, MTN of two tasks or more, wSTN.

    Examples
    --------
    >>> len(systems_of("gmdes")), [one.name for one in systems_of("gs")]
    (61, ['STN g', 'STN s', 'STN gs', 'MTN gs', 'wSTN 2'])
    """
    every = combinations_of(tasks)
    apart = [System(STN, one, len(one)) for one in every]
    shared = [System(MTN, one, len(one)) for one in every if len(one) > 1]
    wide = [System(WSTN, "g", copies) for copies in range(2, len(every[-1]) + 1)]
    return [*apart, *shared, *wide]
