"""Label efficiency of encoders on a manifest's target: embed, teach with few labels, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from segue import __version__
from segue.datasets import Manifest, Target, Task, read_target
from segue.encoders import encoder as build_encoder
from segue.errors import UsageError
from segue.evaluation.folds import outer_folds
from segue.evaluation.heads import DEFAULT_HEADS, make_head
from segue.evaluation.label_classes import ClassGain, Profit, class_profit
from segue.evaluation.label_curves import LabelCurves, label_curves
from segue.evaluation.label_draws import Size, fixed_settings
from segue.evaluation.label_equivalence import (
    Equivalence,
    LabelDifference,
    label_differences,
    label_equivalences,
)
from segue.evaluation.label_sizes import usable_sizes
from segue.evaluation.targets import encode_target
from segue.extraction import EmbedReport, available_cpus
from segue.report import Section, quarantine_section, write_page, write_plots
from segue.report.curve_page import curve_sections, curve_verdict
from segue.report.extras import provenance_section
from segue.store import Failure
from segue.workflows.cells import arrays_digest
from segue.workflows.curvefiles import CURVE_COLUMNS, FoldParts, curve_rows, write_table
from segue.workflows.embedding import (
    Features,
    Inputs,
    aligned_features,
    embed,
    failures_once,
    open_manifest,
    usable_target,
)
from segue.workflows.evaluating import Watch, embedding_watch, provenance
from segue.workflows.splitting import COLUMNS

PARTS = "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRun:
    """Label curves, what follows from them, and where the page lies.

    Attributes
    ----------
    curves : LabelCurves
    differences : tuple of LabelDifference
    equivalences : tuple of Equivalence
    profits : tuple of Profit
        One an encoder; none where there are no classes or a single size.
    verdict : mapping of str to str
        The findings in sentences.
    names : mapping of encoder to (name, layers)
    embedding : tuple of EmbedReport
        One an encoder.
    provenance : mapping
        Encoders, settings, versions, time.
    page : Path or None
        The HTML page, where a folder was given.
    """

    curves: LabelCurves
    differences: tuple[LabelDifference, ...]
    equivalences: tuple[Equivalence, ...]
    profits: tuple[Profit, ...]
    verdict: Mapping[str, str]
    names: Mapping[str, tuple[str, str]]
    embedding: tuple[EmbedReport, ...]
    provenance: Mapping[str, object]
    page: Path | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Quarantined tracks, each once."""
        return failures_once(self.embedding)

    def rows(self) -> list[dict[str, Any]]:
        """The stable rows of ``curve.csv`` and ``--json``; see curvefiles.curve_rows."""
        return curve_rows(self.curves, self.names)


def curve(
    inputs: Inputs,
    target: str,
    *,
    encoders: Sequence[str],
    group: str | None = None,
    out: str | Path | None = None,
    store: str | Path | None = None,
    task: Task | None = None,
    head: str | None = None,
    sizes: Sequence[Size] | None = None,
    repeats: int = 10,
    folds: int = 5,
    tune: bool = False,
    scale: bool = True,
    min_examples: int | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
    seed: int = 0,
    workers: int | None = None,
    title: str = "segue curve",
    watch: Watch | None = None,
) -> CurveRun:
    """Scores of encoders against the number of labelled clips, on the same draws.

    See :func:`segue.evaluation.label_curves.label_curves` for the protocol.

    Parameters
    ----------
    inputs : Manifest, path or paths
    target : str
        Label column.
    encoders : sequence of str
        Names, with layers if wanted (``"choi2017-msd@135"``).
    group : str, optional
        Column whose values never stand on both sides of a split (artist).
    out : path, optional
        Folder for curve.csv, equivalence.csv, differences.csv, classes.csv, plots and report.html.
        Finished folds are kept in ``parts``: run again, it goes on where it stopped.
    store : path, optional
        Feature store; by default ``out/features``.
    task : {"classification", "tagging", "regression"}, optional
        By default inferred.
    head : str, optional
        By default svm for classes, logistic for tags, ridge for numbers.
    sizes : sequence of int or None, optional
        Clips a class, or clips in all for tags and numbers; None is all there are.
    repeats, folds : int
        Draws of each size in each fold, and test folds.
    tune : bool
        Choose the head's settings on inner folds of the drawn clips, where that can be done.
    scale : bool
        Standardise features by the drawn clips.
    min_examples : int, optional
        Leave out rarer classes, and tags in fewer groups.
    chunks, device
        As in :func:`segue.encoders.encoder`.
    seed : int
    workers : int, optional
        Processes for embedding and for folds; results do not depend on it.
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError, ManifestError, WeightsError, StoreError
    """
    began = time.time()
    manifest = open_manifest(inputs)
    if out is None and store is None:
        raise UsageError(
            wanted="a folder for the features", got="neither out nor store", fix="Give one of them"
        )
    _check_encoders(encoders, device)
    labelled = _checked_target(
        manifest, target, group, task, head, sizes, repeats, folds, min_examples
    )
    folder = Path(store) if store is not None else Path(out or ".") / "features"
    embedded = tuple(
        embed(
            manifest,
            folder,
            encoder=name,
            chunks=chunks,
            device=device,
            workers=workers,
            progress=embedding_watch(watch, name),
        )
        for name in encoders
    )
    features = aligned_features(manifest, [done.table for done in embedded])
    usable = usable_target(labelled, features.there, min_examples)
    settings: dict[str, Any] = {
        "target": target,
        "group": group or "",
        "task": usable.task,
        "head": head or DEFAULT_HEADS[usable.task],
        "sizes": sizes,
        "repeats": repeats,
        "n_folds": folds,
        "tune": tune,
        "scale": scale,
        "seed": seed,
        **({} if min_examples is None else {"min_positives": min_examples}),
    }
    curves = _curves(manifest, usable, features, settings, out, workers, watch)
    made = provenance(features, settings, time.time() - began)
    found = _findings(curves, features, embedded, made)
    return found if out is None else write_curve(found, out, title=title)


def write_curve(found: CurveRun, out: str | Path, *, title: str) -> CurveRun:
    """Write tables, plots and page of label curves.

    Returns
    -------
    CurveRun
        The same, with its ``page``.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    folder = Path(out)
    sections: list[Section] = [
        *curve_sections(found.curves, found.differences, found.equivalences, found.profits),
        *([quarantine_section([_quarantine_row(one) for one in found.failures])]
          if found.failures else []),
        provenance_section(found.provenance),
    ]  # fmt: skip
    write_table(folder / "curve.csv", found.rows(), CURVE_COLUMNS)
    gains = [gain.as_dict() for profit in found.profits for gain in profit.gains]
    for name, kind, records in (
        ("differences.csv", LabelDifference, [one.as_dict() for one in found.differences]),
        ("equivalence.csv", Equivalence, [one.as_dict() for one in found.equivalences]),
        ("classes.csv", ClassGain, gains),
    ):
        if records:
            write_table(folder / name, records, [field.name for field in fields(kind)])
    write_plots(folder / "plots", sections)
    page = write_page(folder / "report.html", title=title, summary=found.verdict, sections=sections)
    return replace(found, page=page)


def _check_encoders(encoders: Sequence[str], device: str) -> None:
    """All that can be known to be wrong with them is said before hours of embedding."""
    labels = [build_encoder(name, device=device).card.label for name in encoders]
    if not labels or len(set(labels)) < len(labels):
        raise UsageError(
            wanted="one encoder or more, each once",
            got=", ".join(labels) or "none",
            fix="Name each once",
        )


def _checked_target(
    manifest: Manifest,
    name: str,
    group: str | None,
    task: Task | None,
    head: str | None,
    sizes: Sequence[Size] | None,
    repeats: int,
    folds: int,
    min_examples: int | None,
) -> Target:
    """The target, with folds, sizes and head tried before hours of embedding."""
    if repeats < 1:
        raise UsageError(wanted="one repeat or more", got=str(repeats), fix="Draw once at least")
    target = read_target(manifest, name, task=task, min_examples=min_examples)
    groups = None if group is None else manifest.groups(group)
    own = None if groups is None else [groups[row] for row in target.rows]
    rare = {} if min_examples is None else {"min_positives": min_examples}
    encoded = encode_target(target.values, own, target.task, **rare)
    usable_sizes(encoded, outer_folds(encoded.y, own, target.task, n_folds=folds), sizes)
    make_head(head or DEFAULT_HEADS[target.task], target.task, n_features=1)
    return target


def _curves(
    manifest: Manifest,
    target: Target,
    features: Features,
    settings: Mapping[str, Any],
    out: str | Path | None,
    workers: int | None,
    watch: Watch | None,
) -> LabelCurves:
    """Curves of all encoders; finished folds come from ``out`` and go there."""
    in_features = np.searchsorted(features.rows, target.rows)
    tables = {
        card.label: one.X[in_features]
        for card, one in zip(features.cards, features.sets, strict=True)
    }
    groups = None
    if settings["group"]:
        of_row = manifest.groups(settings["group"])
        groups = [of_row[row] for row in target.rows]
    parts = None
    if out is not None:
        facts = {
            **settings,
            "values": [str(value) for value in target.values],
            "groups": groups,
            "version": __version__,
        }
        # their settings, too: a version that has others must not take these for its own
        fixed = {
            name: fixed_settings(settings["head"], target.task, X.shape[1], len(X))
            for name, X in tables.items()
        }
        digests = {
            name: arrays_digest({**facts, "encoder": name, "fixed": fixed[name]}, [X])
            for name, X in tables.items()
        }
        parts = FoldParts(Path(out) / PARTS, digests)
    found = label_curves(
        tables,
        target.values,
        groups,
        **settings,
        n_jobs=workers or available_cpus(),
        parts=parts,
        progress=None if watch is None else (lambda d, t: watch(f"teaching {target.name}", d, t)),
    )
    ignored = tuple(
        f"the predefined split in column {name!r} is not obeyed: curves make folds of their own"
        for name in COLUMNS
        if name in manifest.columns and any(manifest.column(name))
    )
    return replace(found, notes=(*target.notes, *features.notes, *ignored, *found.notes))


def _findings(
    curves: LabelCurves,
    features: Features,
    embedded: tuple[EmbedReport, ...],
    made: Mapping[str, object],
) -> CurveRun:
    """What follows from the curves."""
    differences, equivalences = label_differences(curves), label_equivalences(curves)
    profits = [
        class_profit(
            name,
            curves.labels,
            curves.sizes,
            curves.class_clips,
            scores,
            curves.n_groups,
            intervals=not curves.why_no_interval,
        )
        for name, scores in curves.classes.items()
    ]
    gained = [one for one in profits if one is not None]
    return CurveRun(
        curves=curves,
        differences=tuple(differences),
        equivalences=tuple(equivalences),
        profits=tuple(gained),
        verdict=curve_verdict(curves, differences, equivalences, gained),
        names={
            card.label: (one.name, one.layers)
            for card, one in zip(features.cards, features.sets, strict=True)
        },
        embedding=embedded,
        provenance=made,
    )


def _quarantine_row(failure: Failure) -> dict[str, object]:
    return {"path": failure.facts.path, "stage": failure.stage, "reason": failure.reason}
