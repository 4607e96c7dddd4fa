"""Material from audio: any manifest, and the six data sets as they are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest, read_target
from segue.datasets import Target as Labelled
from segue.datasets.known import dataset
from segue.encoders import encoder as build_encoder
from segue.errors import UsageError
from segue.evaluation.blocks import Blocks
from segue.experiments.choi2017.material import (
    Material,
    Splits,
    fold_splits,
    one_split,
    paper_splits,
    paper_splits_if_any,
)
from segue.experiments.choi2017.tasks import LAYERS, MFCC, PaperTask
from segue.workflows import aligned_features, embed
from segue.workflows.embedding import Features, usable_target
from segue.workflows.evaluating import Watch, embedding_watch

TRAINED, UNTRAINED = "choi2017-msd", "random-convnet"


def read_manifest(
    manifest: Manifest,
    columns: Sequence[str],
    *,
    group: str | None,
    store: Path,
    trained: str = TRAINED,
    device: str = "cpu",
    workers: int | None = None,
    min_examples: int | None = None,
    watch: Watch | None = None,
) -> list[Material]:
    """Material of label columns of any manifest, features computed once from the audio.

    Parameters
    ----------
    columns : sequence of str
        Classes or numbers.
    group : str or None
        Column of what must not stand on both sides of a corrected split.
    store : path
        Feature store; embedding goes on where it stopped.
    trained : str
        The trained convnet, a registered name or an encoder folder with five layers.

    Raises
    ------
    UsageError
        A tagging column.
    """
    labelled = [check_column(manifest, name, min_examples, paper=False) for name in columns]
    features = _embedded(manifest, store, trained, device, workers, watch)
    groups = None if group is None else np.array(manifest.groups(group))
    found = []
    for target in (usable_target(one, features.there, min_examples) for one in labelled):
        y, classes = _encoded(target.values, target.task)
        convnet, random = _blocks(features, target.rows)
        material = Material(
            name=target.name,
            title=target.name,
            kind=target.task,
            y=y,
            classes=classes,
            convnet=convnet,
            random=random,
            splits=paper_splits_if_any(target.task, y),
            groups=None if groups is None else groups[target.rows],
            group_name=group or "",
            origin=f"computed from the audio of {manifest.name}",
            notes=(*target.notes, *features.notes),
        )
        found.append(material)
    return found


def check_column(
    manifest: Manifest, column: str, min_examples: int | None, *, paper: bool
) -> Labelled:
    """A label column that the experiment can use; with ``paper``, also under its ten folds.

    Raises
    ------
    UsageError, ManifestError
        Several labels a track, or a class with fewer clips than the paper's protocol has folds.
    """
    labelled = read_target(manifest, column, min_examples=min_examples)
    if labelled.task == "tagging":
        raise UsageError(
            wanted="a column with one class or one number a track",
            got=f"{column!r}, which holds several labels a track",
            fix="Use `segue evaluate` for tags; the paper's tasks have one class or number",
            source=manifest.name,
        )
    if paper:
        paper_splits(labelled.task, _encoded(labelled.values, labelled.task)[0], manifest.name)
    return labelled


def check_trained(name: str, device: str) -> None:
    """Raise unless an encoder has the five layers of the experiment, all of one width.

    Raises
    ------
    UsageError
    """
    built = build_encoder(name, device=device)
    widths = {str(layer): width for layer, width in built.widths.items()}
    if tuple(widths) != LAYERS or len(set(widths.values())) != 1:
        raise UsageError(
            wanted="a trained network with layers 1 to 5 of one width",
            got=f"{name!r} with {f'layers {built.card.layer_code}' if widths else 'no layers'}",
            fix="Name a convnet such as choi2017-msd or choi2017-4q, without @",
        )


def read_distributed(
    root: Path,
    task: PaperTask,
    *,
    store: Path,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> list[Material]:
    """Material of one of the six tasks from its data set's folders as distributed.

    The files are taken in the order of the authors' lists where the data set has their ids, so
    that "file order" means the same.

    Raises
    ------
    ManifestError
        The folder does not have the data set's layout.
    """
    known = dataset(task.dataset)
    manifest = known.read(root)
    features = _embedded(manifest, store, TRAINED, device, workers, watch)
    found = []
    for target, column in zip(task.targets, known.targets, strict=True):
        usable = usable_target(read_target(manifest, column), features.there, None)
        y, classes = _encoded(usable.values, usable.task, known.classes)
        if column in known.scales:
            y = y / known.scales[column]  # as the authors do: SVR's epsilon is absolute
        convnet, random = _blocks(features, usable.rows)
        material = Material(
            name=target.name,
            title=target.title,
            kind=task.kind,
            y=y,
            classes=classes,
            convnet=convnet,
            random=random,
            splits=[],
            origin=f"computed from the audio of {task.title} in {root}",
            notes=(*usable.notes, *features.notes),
            state_of_the_art=target.state_of_the_art,
            theirs=dict(target.printed),
            determined=False,
        )
        found.append(_with_splits(material, manifest, usable.rows, task, known.group))
    return found


def _with_splits(
    material: Material,
    manifest: Manifest,
    rows: NDArray[np.int64],
    task: PaperTask,
    group: str | None,
) -> Material:
    def cells(column: str) -> list[str]:
        values = manifest.column(column)
        return [values[row] for row in rows]

    official: NDArray[np.int64] | None = None
    splits: Splits
    if task.split == "category":
        splits = one_split(cells("split"), "test")
    elif task.split == "fold":
        official = np.array(cells("fold")).astype(np.int64)
        splits = fold_splits(official)
    else:
        splits = paper_splits_if_any(task.kind, material.y)
    groups, notes = None, material.notes
    if group is not None and group in manifest.columns:
        groups = np.array(manifest.groups(group))[rows]
    elif group is not None:
        notes = (*notes, f"No column {group} here: no folds that keep it together.")
    return replace(
        material,
        notes=notes,
        splits=splits,
        official=official,
        groups=groups,
        group_name=group if groups is not None and group else "",
    )


def _embedded(
    manifest: Manifest,
    store: Path,
    trained: str,
    device: str,
    workers: int | None,
    watch: Watch | None,
) -> Features:
    tables = [
        embed(
            manifest,
            store,
            encoder=name,
            device=device,
            workers=workers,
            progress=embedding_watch(watch, name),
        ).table
        for name in (trained, MFCC, UNTRAINED)
    ]
    return aligned_features(manifest, tables)


def _blocks(features: Features, rows: NDArray[np.int64]) -> tuple[Blocks, Blocks]:
    """Layers of the trained network with MFCC, and layers of the untrained one."""
    places = np.searchsorted(features.rows, rows)
    trained, mfcc, untrained = (one.X[places].astype(np.float64) for one in features.sets)
    layers = [(layer, trained.shape[1] // len(LAYERS)) for layer in LAYERS]
    convnet = Blocks.of_columns(np.hstack([trained, mfcc]), [*layers, (MFCC, mfcc.shape[1])])
    own = [(layer, untrained.shape[1] // len(LAYERS)) for layer in LAYERS]
    return convnet, Blocks.of_columns(untrained, own)


def _encoded(
    values: Sequence[Any], task: str, published: Sequence[str] = ()
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Class numbers with the names, in published order or else by name; or values."""
    if task == "regression":
        return np.array(values, dtype=np.float64), ()
    there = sorted(set(values))
    names = tuple(name for name in published if name in there) or tuple(there)
    number = {name: place for place, name in enumerate(names)}
    return np.array([number[value] for value in values], dtype=np.int64), names
