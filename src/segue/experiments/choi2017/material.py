"""What one column of the paper is computed from: labels, features by layer, splits, and theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets
from segue.evaluation.rows import Task as Kind
from segue.experiments.choi2017.tasks import LAYERS, MFCC
from segue.workflows.cells import arrays_digest

Splits = list[tuple[NDArray[np.int64], NDArray[np.int64]]]

ALL = "".join(LAYERS)
RANDOM = "random "
PAPER_FOLDS = 10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Material:
    """One target with the features of all its clips.

    Attributes
    ----------
    name, title : str
        "emoMusic_a"; "Emotion, arousal".
    kind : {"classification", "regression"}
    y : (n,) array
        Class numbers (places in ``classes``) or values, as the authors' CSV has them.
    classes : tuple of str
    convnet : Blocks
        Layers "1" to "5" of the trained network, and "mfcc" where there is one.
    random : Blocks or None
        Layers of the untrained network.
    splits : list of (training rows, test rows)
        The authors' own; empty where a class is too small for them, so that a corrected protocol
        with fewer inner folds can still be run.
    groups : (n,) array or None
        What must not stand on both sides of a corrected split, where it is known.
    group_name : str
    official : (n,) integer array or None
        Folds that come with the data set.
    theirs : mapping of feature set -> published score
    determined : bool
        False where the released files do not determine the published scores.
    origin : str
        Where the features come from, in words.
    warning : str
        Why even a corrected number does not say how good these features are.
    notes : tuple of str
        What a reader must know, sentences.
    """

    name: str
    title: str
    kind: Kind
    y: NDArray[Any]
    classes: tuple[str, ...]
    convnet: Blocks
    random: Blocks | None = None
    splits: Splits
    groups: NDArray[Any] | None = None
    group_name: str = ""
    official: NDArray[np.int64] | None = None
    theirs: Mapping[str, float] = field(default_factory=dict)
    state_of_the_art: float | None = None
    determined: bool = True
    origin: str = ""
    warning: str = ""
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """ "accuracy" or "r2"."""
        return "accuracy" if self.kind == "classification" else "r2"

    @property
    def has_mfcc(self) -> bool:
        """Whether the MFCC rows can be computed."""
        return MFCC in self.convnet.names


def feature_sets(material: Material) -> dict[str, tuple[Blocks, LayerSet]]:
    """Every row of the paper's table that this material allows: label -> blocks and their set.

    All 31 layer sets, MFCC, MFCC with all layers, and the untrained network at every layer set.
    """
    sets = all_layer_sets(LAYERS)
    rows: dict[str, tuple[Blocks, LayerSet]] = {
        "".join(one): (material.convnet, one) for one in sets
    }
    if material.has_mfcc:
        rows[MFCC] = material.convnet, (MFCC,)
        rows[f"{MFCC}+{ALL}"] = material.convnet, (MFCC, *LAYERS)
    if material.random is not None:
        rows |= {RANDOM + "".join(one): (material.random, one) for one in sets}
    return rows


def paper_splits(kind: Kind, y: NDArray[Any], source: str) -> Splits:
    """Ten folds in file order, not shuffled: stratified for classes, consecutive for numbers.

    Raises
    ------
    UsageError
        Fewer clips than folds, or a class with fewer clips than folds.

    Examples
    --------
    >>> [test.tolist() for _, test in paper_splits("regression", np.arange(20.0), "x")][:2]
    [[0, 1], [2, 3]]
    """
    if kind == "regression":  # R2 wants two clips to test
        smallest, what = len(y) // 2, "pairs of clips"
    else:
        _, counts = np.unique(y, return_counts=True)
        smallest, what = int(counts.min()), "clips in the smallest class"
    if smallest < PAPER_FOLDS:
        raise UsageError(
            wanted=f"{PAPER_FOLDS} {what} or more, one for each fold of the paper's protocol",
            got=str(smallest),
            fix="Add clips, leave out rare classes (--min-examples 10), or --protocol corrected",
            source=source,
        )
    maker = KFold(PAPER_FOLDS) if kind == "regression" else StratifiedKFold(PAPER_FOLDS)
    return [(train, test) for train, test in maker.split(np.zeros((len(y), 1)), y)]


def paper_splits_if_any(kind: Kind, y: NDArray[Any]) -> Splits:
    """The paper's folds, or none where a class is too small for them.

    Examples
    --------
    >>> paper_splits_if_any("regression", np.arange(5.0))
    []
    """
    try:
        return paper_splits(kind, y, "")
    except UsageError:
        return []


def one_split(categories: Sequence[str], tested: str) -> Splits:
    """Everything but one category against that category (the paper's Jamendo: train and valid).

    Examples
    --------
    >>> one_split(["train", "test", "valid"], "test")
    [(array([0, 2]), array([1]))]
    """
    is_tested = np.array([category == tested for category in categories])
    return [(np.flatnonzero(~is_tested), np.flatnonzero(is_tested))]


def fold_splits(folds: NDArray[np.int64]) -> Splits:
    """Each of the given folds against all others.

    Examples
    --------
    >>> fold_splits(np.array([1, 2, 1]))
    [(array([1]), array([0, 2])), (array([0, 2]), array([1]))]
    """
    return [
        (np.flatnonzero(folds != one), np.flatnonzero(folds == one)) for one in np.unique(folds)
    ]


def inputs_digest(
    material: Material, blocks: Blocks, splits: object, settings: Mapping[str, object]
) -> str:
    """SHA-256 over features, labels, splits and settings: what a cell is kept under."""
    arrays: list[Any] = [*blocks.arrays, material.y]
    for part in splits if isinstance(splits, list | tuple) else [splits]:
        arrays += part if isinstance(part, tuple) else (part,)
    return arrays_digest({**settings, "blocks": list(blocks.names)}, arrays)
