"""What an evaluation returns: plain values that the report draws and machines read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["classification", "tagging", "regression"]
TASKS: tuple[Task, ...] = ("classification", "tagging", "regression")


AUTO = "auto"
"""Layers, head or encoder of a row whose own were chosen on inner folds."""

BASELINES = ("chance", "majority")
"""Encoders of rows that see no features."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number with its uncertainty: the stable row of ``results.csv`` and ``--json``.

    ``mean`` is the mean over outer folds, ``se`` its standard error over folds, ``low``/``high``
    the 95 % interval (groups resampled; NaN where they are too few, which the notes say), ``n`` the
    clips scored. What sees no features has rows like any other, see BASELINES; ``auto`` stands for
    layers, head or encoder that were chosen inside the nested loop.
    """

    encoder: str
    layers: str
    head: str
    target: str
    metric: str
    mean: float
    se: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """Difference of two encoders on the same outer folds of one target.

    ``difference`` is mean(first) - mean(second); ``p_value`` comes from the corrected resampled
    t-test (Nadeau & Bengio 2003) and ``p_holm`` is the same after Holm's correction over all pairs
    of encoders for the same target, metric and head; both are NaN where the test is not estimable
    (the same difference in every fold). ``first`` and ``second`` are labels as in
    ``EncoderResult.label``.
    """

    target: str
    metric: str
    head: str
    first: str
    second: str
    difference: float
    p_value: float
    p_holm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One dealing of the clips to outer folds.

    Attributes
    ----------
    name : str
    digest : str
        Over ids and folds, see splits.split_digest.
    folds : int
        How many.
    assignment : (n,) integer array
        Fold of every clip of the target; -1 where it is only trained on.
    """

    name: str
    digest: str
    folds: int
    assignment: NDArray[np.int64] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFacts:
    """What an encoder costs besides its score.

    Attributes
    ----------
    numbers : int
        Features a clip.
    ms : float
        Milliseconds to decode and encode a track on one processor; NaN where it was not measured.
    licence : str
        Of its weights.
    commercial : bool
    """

    numbers: int
    ms: float
    licence: str
    commercial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCost:
    """What the nested search of one encoder took: estimators fitted, processor seconds."""

    fits: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderResult:
    """Everything measured for one encoder on one target.

    Attributes
    ----------
    name : str
        As in the rows: "mfcc", "choi2017-msd"; one of BASELINES for what sees no features; "auto"
        for the encoder that the inner folds chose.
    layers, head : str
        "12345", "" where the encoder has none, "auto" where the inner folds chose.
    predictions : ndarray
        Out-of-fold predictions of the clips tested, in manifest order, in the first repeat: labels
        (n,) for classification, real values (n,) for regression, scores (n, tags) for tagging.
    fold_scores : mapping metric -> (repeats * folds,) array
    settings : tuple of dict
        What the inner folds chose, one per outer fold: encoder, head and layers where they had the
        choice, and the head's settings; empty for baselines.
    inner_scores : (repeats * folds,) array
        Best inner score per outer fold; shown only to expose selection bias, never as the result.
        Empty for baselines.
    confusion : (classes, classes) integer array or None
        Rows true, columns predicted, out-of-fold; classification only.
    """

    name: str
    layers: str
    head: str
    predictions: NDArray[Any]
    fold_scores: Mapping[str, NDArray[np.float64]]
    settings: tuple[Mapping[str, Any], ...]
    inner_scores: NDArray[np.float64]
    confusion: NDArray[np.int64] | None = None

    @property
    def label(self) -> str:
        """Name with layers, as typed on the command line: ``choi2017-msd@12345``."""
        return f"{self.name}@{self.layers}" if self.layers else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetResult:
    """One target evaluated with several encoders on identical folds.

    Attributes
    ----------
    task : {"classification", "tagging", "regression"}
    labels : tuple of str
        Class names or tags in column order; empty for regression.
    truth : ndarray
        As ``EncoderResult.predictions``, with 0/1 indicators for tagging.
    folds : (n,) integer array
        Outer fold of each clip in the first repeat.
    splits : tuple of Split
        One a repeat.
    costs : mapping of encoder label -> SearchCost
    facts : mapping of encoder label -> EncoderFacts
    ids : tuple of str
        Of all clips of the target, those that are only trained on included.
    retrieval : tuple of Row
        How well clips find their like by distance alone, of each encoder and of random order.
    notes : tuple of str
        What a reader must know: tags undefined in some folds, classes dropped, missing labels,
        intervals and tests that cannot be estimated.
    """

    target: str
    task: Task
    group: str
    n: int
    n_groups: int
    labels: tuple[str, ...]
    truth: NDArray[Any]
    folds: NDArray[np.int64]
    rows: tuple[Row, ...]
    tests: tuple[PairedTest, ...]
    encoders: tuple[EncoderResult, ...]
    notes: tuple[str, ...] = field(default=())
    splits: tuple[Split, ...] = field(default=())
    costs: Mapping[str, SearchCost] = field(default_factory=dict)
    facts: Mapping[str, EncoderFacts] = field(default_factory=dict)
    ids: tuple[str, ...] = field(default=())
    retrieval: tuple[Row, ...] = field(default=())
