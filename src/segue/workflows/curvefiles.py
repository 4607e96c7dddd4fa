"""What ``curve`` keeps and writes: finished folds, tables for machines, the page."""

from __future__ import annotations

import csv
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.label_curves import LabelCurves
from segue.files import write_atomically
from segue.report.curve_plots import size_name
from segue.workflows.cells import folder_name

logger = logging.getLogger(__name__)

CURVE_COLUMNS = (
    "encoder", "layers", "head", "target", "size", "clips", "metric", "mean", "low", "high"
)  # fmt: skip


class FoldParts:
    """Predictions of finished folds, one file each, so that a long run goes on where it stopped.

    Parameters
    ----------
    folder : path
    digests : mapping of encoder to str
        Of all that decides the predictions; part of every file's name.

    Examples
    --------
    >>> import tempfile
    >>> parts = FoldParts(Path(tempfile.mkdtemp()), {"mfcc": "0" * 64})
    >>> parts.put("mfcc", 0, (np.array([[[1, 0]]]), 0))
    >>> parts.get("mfcc", 0), parts.get("mfcc", 1)
    ((array([[[1, 0]]]), 0), None)
    """

    def __init__(self, folder: Path, digests: Mapping[str, str]) -> None:
        self.folder = folder
        self.digests = digests

    def get(self, encoder: str, fold: int) -> tuple[NDArray[Any], int] | None:
        """Predictions and solver runs at their cap; None where there are none, or damaged ones."""
        path = self._path(encoder, fold)
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["digest"]) == self.digests[encoder]:
                    return kept["predictions"], int(kept["unconverged"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s cannot be read (%s): computed again", path, error)
            return None
        logger.warning("%s is of another run: computed again", path)
        return None

    def put(self, encoder: str, fold: int, found: tuple[NDArray[Any], int]) -> None:
        """Keep a finished fold.

        Raises
        ------
        StoreError
            The folder cannot be written.
        """
        predictions, unconverged = found
        content = io.BytesIO()
        np.savez_compressed(
            content,
            predictions=predictions,
            unconverged=np.array(unconverged),
            digest=np.array(self.digests[encoder]),
        )
        write_atomically(self._path(encoder, fold), content.getvalue())

    def _path(self, encoder: str, fold: int) -> Path:
        name = f"{folder_name(encoder)}.{fold}.{self.digests[encoder][:16]}.npz"
        return self.folder / name


def curve_rows(curves: LabelCurves, names: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """The stable rows of ``curve.csv`` and ``--json``.

    Parameters
    ----------
    curves : LabelCurves
    names : mapping of encoder to (name, layers)

    Notes
    -----
    ``size`` is what was asked of each class ("all" for all there is), ``clips`` the clips drawn in
    all, mean over folds. ``metric`` is a metric of the task, or ``recall:CLASS`` and ``f1:CLASS``.
    Rows of baselines, which see no features, have the head ``prior`` and no size.
    """
    rows = []
    for at, encoder in enumerate(curves.encoders):
        for metric, curve in curves.curves.items():
            ends = curve.low[at], curve.high[at]
            rows += _rows(curves, names[encoder], metric, curve.mean[at], *ends)
        if encoder in curves.classes:
            scores = curves.classes[encoder]
            for kind, table, low, high in (
                ("recall", scores.recall, scores.recall_low, scores.recall_high),
                ("f1", scores.f1, scores.f1_low, scores.f1_high),
            ):
                for column, label in enumerate(curves.labels):
                    ends = low[:, column], high[:, column]
                    metric = f"{kind}:{label}"
                    rows += _rows(curves, names[encoder], metric, table[:, column], *ends)
    for what, reached in curves.baselines.items():
        facts = {"encoder": what, "layers": "", "head": "prior", "target": curves.target}
        for metric, value in reached.items():
            scored = {"metric": metric, "mean": value, "low": float("nan"), "high": float("nan")}
            rows.append({**facts, "size": "", "clips": float("nan"), **scored})
    return rows


def _rows(
    curves: LabelCurves,
    name: tuple[str, str],
    metric: str,
    mean: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> list[dict[str, Any]]:
    return [
        {
            "encoder": name[0],
            "layers": name[1],
            "head": curves.head,
            "target": curves.target,
            "size": size_name(size),
            "clips": float(curves.clips[at]),
            "metric": metric,
            "mean": float(mean[at]),
            "low": float(low[at]),
            "high": float(high[at]),
        }
        for at, size in enumerate(curves.sizes)
    ]


def write_table(path: Path, records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Path:
    """Records as CSV: NaN is an empty cell, "inf" more than there is, None the size of all.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow([_csv(record[column]) for column in columns])
    return write_atomically(path, text.getvalue().encode())


def _csv(value: object) -> object:
    if value is None:
        return size_name(None)
    return "" if isinstance(value, float) and np.isnan(value) else value
