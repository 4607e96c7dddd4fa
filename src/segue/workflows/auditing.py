"""Leak tests of stored features or of a matrix, with a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segue.datasets import Manifest, Task
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.run import AuditResult, audit_features
from segue.files import write_atomically
from segue.report import write_page, write_plots
from segue.report.audit import audit_sections, audit_summary
from segue.workflows.auditaudio import Ears, file_words, is_audible
from segue.workflows.auditrows import groups_of, labels_of, read_rows, split_of
from segue.workflows.evaluating import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Verdicts, what was audited, and where the page lies.

    Attributes
    ----------
    result : AuditResult
    features, target : str
    notes : tuple of str
        What was left out and why.
    page : Path or None
    """

    result: AuditResult
    features: str
    target: str
    notes: tuple[str, ...] = ()
    page: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The stable object of ``segue audit --json``."""
        said = {"features": self.features, "target": self.target, "notes": list(self.notes)}
        return {**self.result.as_dict(), **said}


def audit(
    features: str | Path | Sequence[str | Path],
    manifest: str | Path | Manifest,
    target: str,
    *,
    encoder: str | None = None,
    groups: Sequence[str] = (),
    split: str | None = None,
    task: Task | None = None,
    batch_sizes: Sequence[int] = (),
    listen: bool = True,
    workers: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Watch | None = None,
) -> Audit:
    """Test features and labels for leaks: what a score may rest on beside the music.

    Parameters
    ----------
    features : path or paths
        A store that `segue embed` wrote, or ``.npy`` matrices in manifest order, side by side.
    manifest : path or Manifest
        For matrices, a CSV of labels in row order will do: without audio, the tests that need it
        are listed as not run.
    target : str
        Label column.
    encoder : str, optional
        Which table, where the store has several.
    groups : sequence of str
        Columns of which one value should not stand on both sides of a split; by default those
        named artist, album, recording, source, song, work.
    split : str, optional
        Column of the given folds or parts; by default ``fold`` or ``split``, where there is one.
    task : {"classification", "tagging", "regression"}, optional
        By default inferred.
    batch_sizes : sequence of int
        To look for; by default powers of two and round numbers.
    listen : bool
        Whether to open the audio, where it is there: for the level of files, and to confirm near
        duplicates.
    workers : int, optional
        Threads that read files; by default one a processor. Never changes a result.
    out : path, optional
        Folder for ``audit.json``, ``audit.csv``, plots and ``report.html``.
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError, ManifestError, StoreError, WeightsError

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = Path(tempfile.mkdtemp())
    >>> rng = np.random.default_rng(0)
    >>> shift = np.repeat(rng.normal(0, 2, size=(5, 8)), 64, axis=0)
    >>> np.save(folder / "X.npy", rng.normal(size=(300, 8)) + shift[:300])
    >>> _ = (folder / "labels.csv").write_text("label\\n" + "a\\n" * 150 + "b\\n" * 150)
    >>> audit(folder / "X.npy", folder / "labels.csv", "label").result.verdict
    'leak'
    """
    paths = [features] if isinstance(features, str | Path) else list(features)
    rows = read_rows(paths, manifest, encoder)
    chosen, labels, notes = labels_of(rows.manifest, target, task)
    tracks = list(rows.manifest.tracks())
    files = file_words(tracks, rows.stored, listen=listen, workers=workers, watch=watch)
    data = AuditSet(
        X=rows.X,
        y=labels,
        task=chosen,
        ids=rows.manifest.ids,
        groups=groups_of(rows.manifest, groups, target),
        split=split_of(rows.manifest, split),
        content=[row.key for row in rows.stored] or None,
        facts=files.facts,
        loudness=files.loudness,
    )
    result = audit_features(
        data,
        batch_sizes=batch_sizes,
        hear=Ears(tracks, watch) if listen and is_audible(tracks) else None,
        seed=seed,
        watch=watch,
    )
    done = Audit(
        result=result,
        features=rows.name,
        target=target,
        notes=(*rows.notes, *notes, *files.notes),
    )
    return done if out is None else write_audit(done, Path(out))


def write_audit(done: Audit, out: Path) -> Audit:
    """Write an audit's numbers, pictures and page; the same with its ``page``."""
    write_atomically(out / "audit.json", (_json(done.as_dict()) + "\n").encode())
    write_atomically(out / "audit.csv", _csv(done).encode())
    sections = audit_sections(done.result, done.notes)
    write_plots(out / "plots", sections)
    page = write_page(
        out / "report.html",
        title=f"Leak tests of {done.features} for {done.target}",
        summary=audit_summary(done.result),
        sections=sections,
    )
    return replace(done, page=page)


def _json(value: Any) -> str:
    return json.dumps(_known(value), ensure_ascii=False, indent=1)


def _known(value: Any) -> Any:
    """NaN and infinity, which JSON has not, become null."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _csv(done: Audit) -> str:
    text = io.StringIO()
    columns = ("name", "verdict", "statistic", "low", "high", "control", "p_value", "p_holm")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*columns, "meaning", "words"))
    for test in done.result.as_dict()["tests"]:
        cells = [f"{test[c]:.6g}" if isinstance(test[c], float) else test[c] for c in columns]
        writer.writerow((*cells, test["meaning"], test["words"]))
    for one in done.result.not_run:
        writer.writerow((one.name, "not run", *[""] * 7, one.why))
    return text.getvalue()
