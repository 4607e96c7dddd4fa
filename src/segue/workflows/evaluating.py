"""Encoders compared on a data set's targets: embed, nested cross-validation, report."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from segue import __version__
from segue.card import EncoderCard
from segue.datasets import Manifest, Target, Task, read_target
from segue.encoders import Encoder
from segue.encoders import encoder as build_encoder
from segue.errors import UsageError
from segue.evaluation.compare import AUTO, evaluate_target
from segue.evaluation.folds import outer_folds
from segue.evaluation.heads import make_head
from segue.evaluation.rows import TargetResult
from segue.evaluation.targets import encode_target
from segue.extraction import EmbedReport, available_cpus
from segue.extraction import Progress as EmbedProgress
from segue.report import Section, quarantine_section, write_report
from segue.store import Failure
from segue.workflows.embedding import (
    Features,
    Inputs,
    aligned_features,
    embed,
    open_manifest,
    usable_target,
)

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Results of an evaluation and where its report lies.

    Attributes
    ----------
    results : tuple of TargetResult
    embedding : tuple of EmbedReport
        One per encoder.
    provenance : mapping
        Encoders, settings, versions, time.
    page : Path or None
        The HTML report, where a folder was given.
    """

    results: tuple[TargetResult, ...]
    embedding: tuple[EmbedReport, ...]
    provenance: Mapping[str, object]
    page: Path | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Quarantined tracks, each once."""
        found = {failure.facts.id: failure for done in self.embedding for failure in done.failures}
        return tuple(found.values())

    def rows(self) -> list[dict[str, Any]]:
        """The stable rows of ``results.csv`` and ``--json``."""
        return [row.as_dict() for result in self.results for row in result.rows]


def evaluate(
    inputs: Inputs,
    targets: Sequence[str],
    *,
    encoders: Sequence[str],
    layers: str | None = None,
    group: str | None = None,
    out: str | Path | None = None,
    store: str | Path | None = None,
    task: Task | None = None,
    heads: Sequence[str] | None = None,
    folds: int = 10,
    inner: int = 5,
    scale: bool = True,
    min_examples: int | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
    seed: int = 0,
    workers: int | None = None,
    title: str = "segue evaluation",
    watch: Watch | None = None,
) -> Evaluation:
    """Compare encoders on targets of a manifest by nested, group-disjoint cross-validation.

    Parameters
    ----------
    inputs : Manifest, path or paths
    targets : sequence of str
        Label columns.
    encoders : sequence of str
        Names, with layers if wanted (``"choi2017-msd@135"``), or with ``@auto``: then the inner
        folds choose among all sets of layers, and the report says how often each was chosen.
    layers : str, optional
        For every encoder that has layers and names none itself: ``"135"``, ``"auto"``.
    group : str, optional
        Column whose values never stand on both sides of a split (artist). Without it every track
        stands alone, which overstates results when artists repeat.
    out : path, optional
        Folder for results.csv, results.md, plots and report.html.
    store : path, optional
        Feature store; by default ``out/features``.
    task : {"classification", "tagging", "regression"}, optional
        For all targets; by default inferred per column.
    heads : sequence of str, optional
        By default one suited to each task.
    folds, inner : int
        Outer folds, which give the number, and inner ones, which choose settings.
    scale : bool
        Standardise features inside each training part.
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
    groups = None if group is None else manifest.groups(group)
    labelled = _checked_targets(
        manifest, targets, encoders, groups, task, heads, folds, inner, min_examples
    )
    asked = [_ask(name, layers, device) for name in encoders]
    if len({one.label for one in asked}) < len(asked):
        raise UsageError(
            wanted="different encoders",
            got=", ".join(one.label for one in asked),
            fix="Name each once",
        )
    folder = Path(store) if store is not None else Path(out or ".") / "features"
    embedded = tuple(
        embed(
            manifest,
            folder,
            encoder=one.encoder,
            chunks=chunks,
            device=device,
            workers=workers,
            progress=embedding_watch(watch, one.encoder),
        )
        for one in asked
    )
    features = _with_blocks(aligned_features(manifest, [done.table for done in embedded]), asked)
    results = tuple(
        _evaluate_one(
            features,
            target,
            groups,
            min_examples=min_examples,
            group_name=group or "",
            heads=heads,
            n_folds=folds,
            inner=inner,
            scale=scale,
            seed=seed,
            n_jobs=workers or available_cpus(),
            watch=watch,
        )
        for target in labelled
    )
    settings = {"folds": folds, "inner": inner, "scale": scale, "seed": seed, "group": group or ""}
    done = Evaluation(
        results=results,
        embedding=embedded,
        provenance=provenance(features, settings, time.time() - began),
    )
    return done if out is None else write_evaluation(done, out, title=title)


def write_evaluation(
    done: Evaluation, out: str | Path, *, title: str, extra_sections: Sequence[Section] = ()
) -> Evaluation:
    """Write an evaluation's report; quarantined files have a section of their own.

    Returns
    -------
    Evaluation
        The same, with its ``page``.
    """
    sections = [*extra_sections]
    if done.failures:
        sections.append(quarantine_section([_quarantine_row(one) for one in done.failures]))
    page = write_report(
        out, done.results, title=title, extra_sections=sections, provenance=done.provenance
    )
    return replace(done, page=page)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One encoder as asked for.

    ``blocks`` are the widths of its layers where the inner folds shall choose among them.
    """

    encoder: str
    label: str
    blocks: tuple[tuple[str, int], ...] = ()


def _ask(name: str, layers: str | None, device: str) -> _Asked:
    """What is meant by an encoder's name and the layers asked for all encoders."""
    base, auto = name.removesuffix(f"@{AUTO}"), name.endswith(f"@{AUTO}")
    built = build_encoder(base, device=device)
    if auto and not built.card.layers:
        raise UsageError(
            wanted="an encoder with layers to choose among",
            got=f"{base!r}, which has none",
            fix=f"Ask for {base}",
        )
    if layers is not None and not auto and built.card.layers and "@" not in Path(base).name:
        auto = layers == AUTO
        if not auto:
            base = f"{base}@{layers}"
            built = build_encoder(base, device=device)
    if not auto:
        return _Asked(encoder=base, label=built.card.label)
    return _Asked(encoder=base, label=f"{built.card.name}@{AUTO}", blocks=_blocks(built))


def _blocks(built: Encoder) -> tuple[tuple[str, int], ...]:
    """Names and widths of an encoder's layers, as they stand side by side in its features."""
    blocks = tuple((str(layer), width) for layer, width in built.widths.items())
    if sum(width for _, width in blocks) != built.card.dim:
        raise UsageError(
            wanted=f"widths of the layers of {built.card.name} that add up to {built.card.dim}",
            got=str(dict(blocks)),
            fix="Define `widths` in the encoder, or name the layers to use",
        )
    return blocks


def _with_blocks(features: Features, asked: Sequence[_Asked]) -> Features:
    """The same features; sets whose layers are to be chosen know where each layer stands."""
    sets = tuple(
        replace(one, layers=AUTO, blocks=what.blocks) if what.blocks else one
        for one, what in zip(features.sets, asked, strict=True)
    )
    return replace(features, sets=sets, notes=tuple(dict.fromkeys(features.notes)))


def _checked_targets(
    manifest: Manifest,
    targets: Sequence[str],
    encoders: Sequence[str],
    groups: Sequence[str] | None,
    task: Task | None,
    heads: Sequence[str] | None,
    folds: int,
    inner: int,
    min_examples: int | None,
) -> list[Target]:
    """The targets; all that can be known to be wrong is said before hours of embedding."""
    if not targets or not encoders:
        raise UsageError(
            wanted="at least one target and one encoder",
            got=f"targets {list(targets)}, encoders {list(encoders)}",
            fix="Name both",
        )
    if min(folds, inner) < 2:
        raise UsageError(
            wanted="two folds or more", got=f"{folds} outer, {inner} inner", fix="Use more folds"
        )
    labelled = [
        read_target(manifest, name, task=task, min_examples=min_examples) for name in targets
    ]
    for target in labelled:
        for head in heads or ():
            make_head(head, target.task, n_features=1)
        own = None if groups is None else [groups[row] for row in target.rows]
        rare = {} if min_examples is None else {"min_positives": min_examples}
        encoded = encode_target(target.values, own, target.task, **rare)
        outer_folds(encoded.y, own, target.task, n_folds=folds)
    return labelled


def embedding_watch(watch: Watch | None, name: str) -> EmbedProgress | None:
    """Progress of embedding with an encoder, told to a watch."""
    return counted(watch, f"embedding with {name}")


def counted(watch: Watch | None, what: str) -> EmbedProgress | None:
    """Progress over tracks, the failed among them, told to a watch."""
    if watch is None:
        return None
    return lambda done, failed, total: watch(what, done + failed, total)


def _evaluate_one(
    features: Features,
    labelled: Target,
    groups: Sequence[str] | None,
    *,
    min_examples: int | None,
    group_name: str,
    watch: Watch | None,
    **settings: Any,
) -> TargetResult:
    target = usable_target(labelled, features.there, min_examples)
    in_features = np.searchsorted(features.rows, target.rows)
    sets = {
        f"{one.name}@{one.layers}" if one.layers else one.name: replace(one, X=one.X[in_features])
        for one in features.sets
    }
    if min_examples is not None and target.task == "tagging":
        settings["min_positives"] = min_examples
    result = evaluate_target(
        sets,
        target.values,
        None if groups is None else [groups[row] for row in target.rows],
        target=target.name,
        task=target.task,
        group_name=group_name,
        progress=None if watch is None else (lambda d, t: watch(f"evaluating {target.name}", d, t)),
        **settings,
    )
    return replace(result, notes=(*target.notes, *features.notes, *result.notes))


def provenance(
    features: Features, settings: Mapping[str, object], seconds: float
) -> dict[str, object]:
    """How results were made: cards, versions, settings, time; for the report's last section."""
    packages = ("torch", "numpy", "scikit-learn", "soundfile", "soxr")
    return {
        "encoders": [card_facts(card) for card in dict.fromkeys(features.cards)],
        "settings": dict(settings),
        "versions": {
            "segue": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "seconds": round(seconds, 1),
    }


def card_facts(card: EncoderCard) -> dict[str, object]:
    """One row of the table of encoders."""
    return {
        "encoder": card.label,
        "numbers": card.dim,
        "rate (Hz)": card.rate,
        "hears": "whole clip"
        if card.excerpt.chunks is None
        else f"first {card.excerpt.seconds * card.excerpt.chunks:g} s",
        "training data": card.training_data,
        "licence": card.licence,
        "weights": (card.weights_sha256 or "none")[:12],
        "card": card.digest[:12],
    }


def _quarantine_row(failure: Failure) -> dict[str, object]:
    return {"path": failure.facts.path, "stage": failure.stage, "reason": failure.reason}
