"""The authors' released files: labels (data_csv), features (data_feats), result_transfer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import ManifestError, StoreError
from segue.evaluation.blocks import Blocks, all_layer_sets
from segue.experiments.choi2017.material import (
    ALL,
    Material,
    Splits,
    fold_splits,
    one_split,
    paper_splits,
)
from segue.experiments.choi2017.tasks import LAYERS, MFCC, PaperTask, Target

MAX_FEATURE_BYTES = 256 * 2**20
MAX_CSV_BYTES = 64 * 2**20
WIDTHS = {**dict.fromkeys(LAYERS, 32), MFCC: 120}


def read_released(root: Path, task: PaperTask) -> list[Material]:
    """Material of one task, a target each, from the authors' released layout.

    Parameters
    ----------
    root : path
        Folder with ``data_csv``, ``data_feats`` and, if at hand, ``result_transfer``.
    task : PaperTask

    Raises
    ------
    ManifestError
        The CSV is absent or malformed, or has another number of rows than the task.
    StoreError
        A layer is missing, has other shapes than the CSV, or rows that are not finite.
    """
    table = _Table.read(root / "data_csv" / f"{task.name}.csv", task)
    feats = root / "data_feats"
    arrays, notes = {}, []
    for layer in LAYERS:
        arrays[layer] = read_block(_layer_file(feats, task.name, layer), len(table), WIDTHS[layer])
    if (feats / f"{task.name}.npy").is_file():
        notes.append(f"Layer 5 read from {task.name}.npy, as the authors' script does.")
    mfcc = feats / f"{task.name}_{MFCC}.npy"
    if mfcc.is_file():
        arrays[MFCC] = read_block(mfcc, len(table), WIDTHS[MFCC])
    else:
        notes.append(f"No {mfcc.name}: the rows {MFCC} and {MFCC}+{ALL} are not computed.")
    notes.append("The untrained network needs the audio: its features were not released.")
    blocks = Blocks(tuple(arrays), tuple(arrays.values()))
    return [_material(root, task, target, table, blocks, tuple(notes)) for target in task.targets]


def check_there(root: Path, tasks: Sequence[PaperTask]) -> None:
    """Raise, before any work, where a release lacks some of the tasks that were asked for.

    Raises
    ------
    ManifestError
        Naming the tasks that are there.
    """
    folder = root / "data_csv"
    if not folder.is_dir():
        return
    missing = [task.name for task in tasks if not has_released(root, task)]
    if missing:
        there = sorted(path.stem for path in folder.glob("*.csv"))
        raise ManifestError(
            wanted=f"{', '.join(f'{name}.csv' for name in missing)} in the authors' files",
            got=f"the labels of {', '.join(there) or 'no task'}",
            fix=f"Ask for --task {','.join(there) or 'NAME'}, or give --data the folder of the "
            "data set as distributed",
            source=folder,
        )


def has_released(root: Path, task: PaperTask) -> bool:
    """Whether a folder has the authors' label file of a task."""
    return (root / "data_csv" / f"{task.name}.csv").is_file()


def _layer_file(feats: Path, task: str, layer: str) -> Path:
    """Where a layer's features lie: the files count layers from 0.

    The authors' script takes layer 5 from a file of another name, which was not released for any
    task; where somebody has it, it is what the published numbers were computed from.
    """
    own = feats / f"{task}.npy"
    if layer == LAYERS[-1] and own.is_file():
        return own
    return feats / f"{task}_layer_{int(layer) - 1}.npy"


def read_block(path: Path, rows: int, width: int) -> NDArray[np.float64]:
    """One feature file (rows, width), float64 as scikit-learn would make it.

    Raises
    ------
    StoreError
        Absent, no NumPy array of numbers, another shape, or rows with NaN or infinity.
    """
    wanted = f"features of {rows} clips, {width} numbers each"
    values = _load(path, wanted)
    problem = ""
    fix = "Fetch the file again, or give --data the folder of the data set as distributed"
    if values.dtype.kind not in "fiu":
        problem = f"an array of {values.dtype}"
    elif values.shape != (rows, width):
        problem = f"an array of shape {values.shape}"
        fix = "Feature files and the CSV must come from the same release: fetch both again"
    elif bad := int((~np.isfinite(values)).any(axis=1).sum()):
        first = int(np.flatnonzero((~np.isfinite(values)).any(axis=1))[0])
        problem = f"NaN or infinity in {bad} of them, first in row {first}"
    if problem:
        raise StoreError(wanted=wanted, got=problem, fix=fix, source=path)
    return values.astype(np.float64)


def _load(path: Path, wanted: str) -> NDArray[Any]:
    fix = "Fetch the authors' files again; every layer 0 to 4 of a task is needed"
    if not path.is_file():
        raise StoreError(wanted=wanted, got="no such file", fix=fix, source=path)
    if path.stat().st_size > MAX_FEATURE_BYTES:
        got = f"{path.stat().st_size} bytes, more than {MAX_FEATURE_BYTES}"
        raise StoreError(wanted=wanted, got=got, fix=fix, source=path)
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got = f"a file that cannot be read as a NumPy array ({error})"
        raise StoreError(wanted=wanted, got=got, fix=fix, source=path) from error
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise StoreError(wanted=wanted, got="an archive of arrays", fix=fix, source=path)
    return loaded


class _Table:
    """Rows of one of the authors' CSV files."""

    def __init__(self, path: Path, rows: list[dict[str, str]]) -> None:
        self.path = path
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def read(cls, path: Path, task: PaperTask) -> _Table:
        wanted = f"the authors' labels of {task.name}, {task.clips} clips"
        fix = "Give the folder that holds data_csv and data_feats"
        if not path.is_file():
            raise ManifestError(wanted=wanted, got="no such file", fix=fix, source=path)
        if path.stat().st_size > MAX_CSV_BYTES:
            raise ManifestError(wanted=wanted, got="a file too large", fix=fix, source=path)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ManifestError(wanted=wanted, got=str(error), fix=fix, source=path) from error
        if len(rows) != task.clips:
            raise ManifestError(
                wanted=wanted, got=f"{len(rows)} rows", fix="Fetch the file again", source=path
            )
        return cls(path, rows)

    def column(self, name: str) -> list[str]:
        """Cells of a column, none empty."""
        if name not in self.rows[0]:
            raise ManifestError(
                wanted=f"a column {name!r}",
                got=", ".join(filter(None, self.rows[0])),
                fix="Fetch the authors' CSV again",
                source=self.path,
            )
        cells = [row[name] for row in self.rows]
        for number, cell in enumerate(cells):
            if not cell:
                raise ManifestError(
                    wanted=f"a value in column {name!r} of every row",
                    got=f"an empty cell in line {number + 2}",
                    fix="Fetch the authors' CSV again",
                    source=self.path,
                )
        return cells

    def numbers(self, name: str, *, below: int | None = None) -> NDArray[np.float64]:
        """A column of finite numbers; whole and from 0 to ``below`` - 1 where that is given."""
        values = []
        for number, cell in enumerate(self.column(name)):
            try:
                value = float(cell)
            except ValueError:
                value = np.nan
            whole = below is None or (value.is_integer() and 0 <= value < below)
            if not np.isfinite(value) or not whole:
                wanted = "a number" if below is None else f"a class number from 0 to {below - 1}"
                raise ManifestError(
                    wanted=f"{wanted} in column {name!r}",
                    got=f"{cell!r} in line {number + 2}",
                    fix="Fetch the authors' CSV again",
                    source=self.path,
                )
            values.append(value)
        return np.array(values)


def _material(
    root: Path,
    task: PaperTask,
    target: Target,
    table: _Table,
    blocks: Blocks,
    notes: tuple[str, ...],
) -> Material:
    if task.kind == "classification":
        y: NDArray[Any] = table.numbers(target.column, below=len(task.classes)).astype(np.int64)
    else:
        y = table.numbers(target.column)
    official, groups, group_name = None, None, ""
    splits: Splits
    if task.split == "category":
        categories = table.column("category")
        splits = one_split(categories, "test")
        # "train/sing/01 - Aur_5.wav": excerpts of one track share everything before the number
        groups = np.array([name.rsplit("_", 1)[0] for name in table.column("id")])
        group_name = "track"
    elif task.split == "fold":
        official = table.numbers("fold").astype(np.int64)
        splits = fold_splits(official)
        groups = np.array([name.split("-", 1)[0] for name in table.column("id")])
        group_name = "recording"
    else:
        splits = paper_splits(task.kind, y, str(table.path))
    _check_splits(splits, y, task, table.path)
    return Material(
        name=target.name,
        title=target.title,
        kind=task.kind,
        y=y,
        classes=task.classes,
        convnet=blocks,
        splits=splits,
        groups=groups,
        group_name=group_name,
        official=official,
        theirs=published(root / "result_transfer", task, target),
        state_of_the_art=target.state_of_the_art,
        determined=target.determined,
        origin="the authors' released features",
        warning=task.warning,
        notes=notes,
    )


def _check_splits(splits: Splits, y: NDArray[Any], task: PaperTask, path: Path) -> None:
    for number, (train, test) in enumerate(splits, start=1):
        trained = len(np.unique(y[train]))
        if not len(test) or trained < 2:
            raise ManifestError(
                wanted="two classes to learn and a clip to test in every fold",
                got=f"{len(test)} clips to test and {trained} classes to learn in fold {number}",
                fix="Correct the column that holds the split",
                source=path,
            )


def published(folder: Path, task: PaperTask, target: Target) -> dict[str, float]:
    """The authors' own scores: their result files, else the numbers printed in the paper.

    Raises
    ------
    StoreError
        A result file that is not one number.
    """
    classifier = "SVC" if task.kind == "classification" else "SVR"
    names = {
        "".join(one): "mine_" + "".join(str(int(layer) - 1) for layer in one)
        for one in all_layer_sets(LAYERS)
    }
    names |= {MFCC: "mfcc_4", f"{MFCC}+{ALL}": "mfcc+12345_4"}
    found = {}
    for features, code in names.items():
        path = folder / f"T_{target.name}_F_{code}_CL_{classifier}.npy"
        if path.is_file():
            found[features] = _score(path)
    return found or dict(target.printed)


def _score(path: Path) -> float:
    value = _load(path, "one published score")
    if value.shape != () or value.dtype.kind != "f" or not np.isfinite(value):
        raise StoreError(
            wanted="one published score",
            got=f"an array of shape {value.shape}, {value.dtype}",
            fix="Fetch the authors' result files again",
            source=path,
        )
    return float(value)
