"""How large everything is: as in the paper, or as much as two processors do in half an hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from segue.errors import UsageError
from segue.training.dcnn.settings import Draw
from segue.training.loop import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Sizes of targets, networks and training.

    Attributes
    ----------
    name : str
    width : float
        Channels of every layer, as a share of the paper's.
    batch : int
        Segments a step of the networks.
    epochs : int
        Of a network of one task, each with one random second of every training track. A network
        of N tasks has N times as many, so that every task gets about as many updates.
    draw : {"batch", "epoch"}
        When the task of a network of several is drawn.
    precision : {"float32", "bfloat16", "float16"}
        Of the networks' arithmetic in training.
    segments : int or None
        Evenly spaced seconds of a track that the classifier learns from and judges; None: all.
    mlp_epochs, mlp_batch : int
        Of the classifier.
    words, topics, passes : int
        Of the artist group factors.

    Examples
    --------
    >>> FULL.epochs_of(5), FULL.reductions()
    (1000, [])
    """

    name: str
    width: float = 1.0
    batch: int = 64
    epochs: int = 200
    draw: Draw = "epoch"
    precision: Precision = "float32"
    segments: int | None = None
    mlp_epochs: int = 50
    mlp_batch: int = 64
    words: int = 2048
    topics: int = 40
    passes: int = 10

    def __post_init__(self) -> None:
        counts = (self.batch, self.epochs, self.mlp_epochs, self.mlp_batch, self.passes)
        segments = 1 if self.segments is None else self.segments
        if min(*counts, self.topics - 1, self.words - 1, segments) < 1:
            raise UsageError(
                wanted="sizes of 1 or more, two topics and words at least",
                got=str(self.facts()),
                fix="Raise them",
            )

    def epochs_of(self, tasks: int) -> int:
        """Epochs of a network of so many tasks."""
        return self.epochs * tasks

    def facts(self) -> dict[str, Any]:
        """All that decides a number."""
        facts = asdict(self)
        del facts["name"]
        return facts

    def reductions(self) -> list[str]:
        """What is smaller here than in the paper, in words."""
        words: Mapping[str, str] = {
            "width": "channels as a share of the paper's",
            "batch": "segments a batch",
            "epochs": "epochs of a single-task network",
            "draw": "a task is drawn for every",
            "precision": "arithmetic in training",
            "segments": "seconds of a track in transfer",
            "mlp_epochs": "epochs of the classifier",
            "mlp_batch": "segments a batch of the classifier",
            "words": "words of a dictionary, at most",
            "topics": "topics",
            "passes": "passes of the topics",
        }
        theirs, mine = FULL.facts(), self.facts()
        return [
            f"{meaning} {_plain(mine[key])} (paper {_plain(theirs[key])})"
            for key, meaning in words.items()
            if mine[key] != theirs[key]
        ]


def _plain(value: Any) -> str:
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


FULL: Final = Scale(name="full")

SMALL: Final = Scale(
    name="small",
    width=0.5,
    batch=16,
    epochs=10,
    draw="batch",
    precision="bfloat16",
    segments=5,
    mlp_epochs=150,
    words=512,
    topics=20,
)

SCALES: Final[Mapping[str, Scale]] = {one.name: one for one in (FULL, SMALL)}


def scale_of(name: str) -> Scale:
    """The scale of a name.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> scale_of("small").width
    0.5
    """
    if name not in SCALES:
        raise UsageError(
            wanted=f"a scale among {', '.join(SCALES)}", got=repr(name), fix="Choose one of these"
        )
    return SCALES[name]
