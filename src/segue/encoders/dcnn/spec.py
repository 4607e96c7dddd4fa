"""The shape of the networks, and what they hear: Table 2 of Kim et al. 2018."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

from segue.audio.frontends import preset
from segue.card import EncoderCard, ExcerptSpec
from segue.errors import UsageError

CITATION = (
    "Kim et al., Transfer learning of artist group factors to musical genre classification, "
    "companion of The Web Conference 2018"
)
FRONT_END = preset("kim2018")
EXCERPT = ExcerptSpec(seconds=30.0)
SEGMENT = 43
"""Frames that a network hears at once: a second."""

MARK = ": "
"""Between the name of a task and that of one of its outputs."""

MAX_TASKS = 64
MAX_OUTPUTS = 2**16
WIDTHS = (1 / 16, 16.0)
"""One map in the first layer; more weights than a folder may hold."""

TASK = re.compile(r"[A-Za-z0-9](?:[\w.+-]{0,30}[A-Za-z0-9+])?", re.ASCII)
OUTPUTS = re.compile(r"[1-9][0-9]{0,5}")

Sharing = Literal["none", "first", "all"]
Settings = tuple[tuple[str, str | int | float], ...]


class Layer(NamedTuple):
    """One convolution of Table 2, and what follows it.

    Attributes
    ----------
    kernel, maps : int
    pool : pair of int
        (frequency, time).
    norm : bool
    dropout : float
    """

    kernel: int
    maps: int
    pool: tuple[int, int] = (1, 1)
    norm: bool = False
    dropout: float = 0.0


LAYERS = (
    Layer(5, 16, (2, 1)),
    Layer(3, 32, (2, 2), norm=True, dropout=0.1),
    Layer(3, 64, (2, 2)),
    Layer(3, 64, (2, 2), norm=True, dropout=0.1),
    Layer(3, 128, (2, 2)),
    Layer(3, 256),
    Layer(1, 256, norm=True),
)
UNITS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class DcnnSpec:
    """Shape of the networks; in a card, its ``settings``.

    Attributes
    ----------
    tasks : tuple of (str, int)
        Name of each task, and outputs of its last layer.
    sharing : {"none", "first", "all"}
        A network per task (the paper's STN); the first convolution and its pooling shared (MTN);
        all shared but the output layers.
    width : float
        Every layer but the last has this times the paper's number of maps or units.

    Raises
    ------
    UsageError
        No tasks, one of them twice or without a usable name, another number that makes no sense.

    Examples
    --------
    >>> spec = DcnnSpec(tasks=(("g", 16), ("m", 40)), sharing="first")
    >>> spec.dim, spec.outputs
    (512, 56)
    """

    tasks: tuple[tuple[str, int], ...]
    sharing: Sharing = "none"
    width: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.tasks) <= MAX_TASKS or len(set(self.names)) < len(self.tasks):
            raise UsageError(
                wanted=f"1 to {MAX_TASKS} different tasks",
                got=f"{len(self.tasks)} tasks: {', '.join(self.names)!r:.80}",
                fix="Name each task once",
            )
        for name, outputs in self.tasks:
            if not TASK.fullmatch(name) or not 2 <= outputs <= MAX_OUTPUTS:
                raise UsageError(
                    wanted="tasks with a name of at most 32 letters, digits and _ . + -, and 2 to "
                    f"{MAX_OUTPUTS} outputs",
                    got=f"{name!r:.80} with {outputs}",
                    fix="Give it another name, or two classes at least",
                )
        if self.sharing not in get_args(Sharing):
            raise UsageError(
                wanted=f"one of {', '.join(get_args(Sharing))}",
                got=f"{self.sharing!r:.80}",
                fix="Choose another --sharing",
            )
        if not WIDTHS[0] <= self.width <= WIDTHS[1]:
            raise UsageError(
                wanted=f"a width from {WIDTHS[0]} to {WIDTHS[1]:g}",
                got=f"{self.width!r:.80}",
                fix="Choose another --width",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tasks, in order."""
        return tuple(name for name, _ in self.tasks)

    @property
    def outputs(self) -> int:
        """Of all tasks together."""
        return sum(count for _, count in self.tasks)

    @property
    def bodies(self) -> int:
        """Networks up to the last hidden layer: one, or one per task."""
        return 1 if self.sharing == "all" else len(self.tasks)

    @property
    def dim(self) -> int:
        """Features of a segment, and of a clip."""
        return self.bodies * self.scaled(UNITS)

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        first, *others = (self._learned(one, inputs) for one, inputs in self._sizes())
        units, pooled = self.scaled(UNITS), self.scaled(LAYERS[-1].maps)
        body = sum(others) + 2 * pooled + pooled * units + 2 * units
        stems = len(self.tasks) if self.sharing == "none" else 1
        return stems * first + self.bodies * body + (units + 1) * self.outputs

    def _sizes(self) -> list[tuple[Layer, int]]:
        """Layers with their inputs."""
        return list(zip(LAYERS, [1, *(self.scaled(one.maps) for one in LAYERS)], strict=False))

    def _learned(self, layer: Layer, inputs: int) -> int:
        """Parameters of a layer; where it is normalised, a shift takes the place of its bias."""
        maps = self.scaled(layer.maps)
        return maps * (layer.kernel**2 * inputs + (2 if layer.norm else 1))

    def scaled(self, units: int) -> int:
        """Maps or units of a layer at this width.

        Examples
        --------
        >>> DcnnSpec(tasks=(("g", 16),), width=0.3).scaled(16)
        5
        """
        return max(1, math.floor(units * self.width + 0.5))

    def settings(self) -> Settings:
        """As a card has them.

        Examples
        --------
        >>> DcnnSpec(tasks=(("g", 16), ("m", 40))).settings()
        (('sharing', 'none'), ('tasks', 'g=16,m=40'), ('width', 1.0), ('segment_frames', 43))
        """
        tasks = ",".join(f"{name}={outputs}" for name, outputs in self.tasks)
        return (
            ("sharing", self.sharing),
            ("tasks", tasks),
            ("width", float(self.width)),
            ("segment_frames", SEGMENT),
        )

    @classmethod
    def of(cls, card: EncoderCard) -> DcnnSpec:
        """The inverse of :meth:`settings`, of a card that is not trusted.

        Raises
        ------
        ValueError, UsageError
            Settings that are not these networks'.
        """
        facts = dict(card.settings)
        text, sharing, width = (facts.get(name) for name in ("tasks", "sharing", "width"))
        if not isinstance(text, str) or type(width) is not float or not isinstance(sharing, str):
            raise ValueError(f"settings {facts!r:.200}")
        tasks = []
        for one in text.split(",", MAX_TASKS + 1):
            name, mark, outputs = one.partition("=")
            if not mark or not OUTPUTS.fullmatch(outputs):
                raise ValueError(f"a task {one!r:.80}")
            tasks.append((name, int(outputs)))
        spec = cls(tasks=tuple(tasks), sharing=cast(Sharing, sharing), width=width)
        if card.settings != spec.settings():
            raise ValueError(f"settings {facts!r:.200}")
        return spec
