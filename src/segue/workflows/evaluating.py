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
from numpy.typing import NDArray

from segue import __version__
from segue.card import EncoderCard
from segue.datasets import Manifest, Target, Task
from segue.errors import UsageError
from segue.evaluation.compare import FeatureSet, evaluate_target
from segue.evaluation.folds import group_codes, torn_groups
from segue.evaluation.rows import EncoderFacts, TargetResult
from segue.evaluation.targets import MIN_POSITIVES
from segue.extraction import EmbedReport, available_cpus
from segue.extraction import Progress as EmbedProgress
from segue.files import write_atomically
from segue.report import Section, quarantine_section, write_report
from segue.store import Failure
from segue.workflows.cells import Cells, arrays_digest, folder_name
from segue.workflows.costs import encoder_facts
from segue.workflows.embedding import (
    Features,
    Inputs,
    aligned_features,
    embed,
    failures_once,
    open_manifest,
    usable_target,
)
from segue.workflows.requested import Dealt, ask, checked_targets, with_blocks
from segue.workflows.splitting import read_split, split_csv

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
        return failures_once(self.embedding)

    def rows(self) -> list[dict[str, Any]]:
        """The stable rows of ``results.csv`` and ``--json``."""
        return [
            row.as_dict() for result in self.results for row in (*result.rows, *result.retrieval)
        ]


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
    folds: int | None = None,
    inner: int = 5,
    repeats: int | None = None,
    split: str | None = None,
    shared_groups: bool = False,
    scale: bool = True,
    min_examples: int | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
    seed: int = 0,
    workers: int | None = None,
    costs: bool = True,
    neighbours: int | None = 10,
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
        By default one suited to each task. Of several, each has rows of its own, and so has the
        choice between them on the inner folds.
    folds, inner : int
        Outer folds (by default 10), which give the number, and inner ones, on which heads, layers
        and settings are chosen.
    repeats : int, optional
        How often the tracks are dealt to outer folds; by default once.
    split : str, optional
        Predefined folds: a column, or a file that an evaluation wrote to ``splits/``. By default a
        column ``fold`` or ``split`` is obeyed where there is one; "none" makes new folds.
    shared_groups : bool
        Let a group stand on both sides of a predefined split, which is an error otherwise.
    scale : bool
        Standardise features inside each training part.
    min_examples : int, optional
        Leave out rarer classes, and tags in fewer groups.
    chunks, device
        As in :func:`segue.encoders.encoder`.
    seed : int
    workers : int, optional
        Processes for embedding and for folds; results do not depend on it.
    costs : bool
        Time each encoder on a few tracks, for the report.
    neighbours : int or None
        Also report, for classes and tags, how many of each track's nearest are like it: precision
        at that number, and MAP, over tracks of other groups. None: not asked.
    watch : callable, optional
        Called with (what, done, total).

    Finished outer folds are kept below ``out/search``: stopped, the same call goes on.

    Raises
    ------
    UsageError, ManifestError, WeightsError, StoreError
    """
    began = time.time()
    manifest = open_manifest(inputs)
    new_folds = folds is not None or repeats is not None
    given = read_split(manifest, split, new_folds=new_folds)
    dealt = Dealt(
        folds=10 if folds is None else folds,
        repeats=1 if repeats is None else repeats,
        inner=inner,
        seed=seed,
        given=given,
        shared_groups=shared_groups,
    )
    if out is None and store is None:
        raise UsageError(
            wanted="a folder for the features", got="neither out nor store", fix="Give one of them"
        )
    groups = None if group is None else manifest.groups(group)
    labelled = checked_targets(
        manifest, targets, encoders, groups, task, heads, dealt, min_examples
    )
    asked = [ask(name, layers, device) for name in encoders]
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
    features = with_blocks(aligned_features(manifest, [done.table for done in embedded]), asked)
    facts = {
        one.label: encoder_facts(manifest, one.recipe(chunks, device), seed=seed)
        for one in (asked if costs else ())
    }
    results = tuple(
        _evaluate_one(
            features,
            target,
            groups,
            dealt,
            manifest=manifest,
            min_examples=min_examples,
            group_name=group or "",
            heads=heads,
            scale=scale,
            neighbours=neighbours,
            facts=facts,
            n_jobs=workers or available_cpus(),
            kept=None if out is None else Path(out) / "search",
            watch=watch,
        )
        for target in labelled
    )
    settings = {
        "folds": "predefined" if given else dealt.folds,
        "repeats": len(results[0].splits),
        "inner": inner,
        "scale": scale,
        "seed": seed,
        "group": group or "",
    }
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
    for result in done.results:
        if result.splits:
            write_atomically(
                Path(out) / "splits" / f"{folder_name(result.target)}.csv",
                split_csv(result.ids, result.splits),
            )
    page = write_report(
        out, done.results, title=title, extra_sections=sections, provenance=done.provenance
    )
    return replace(done, page=page)


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
    dealt: Dealt,
    *,
    manifest: Manifest,
    min_examples: int | None,
    group_name: str,
    heads: Sequence[str] | None,
    scale: bool,
    neighbours: int | None,
    facts: Mapping[str, EncoderFacts],
    n_jobs: int,
    kept: Path | None,
    watch: Watch | None,
) -> TargetResult:
    target = usable_target(labelled, features.there, min_examples)
    in_features = np.searchsorted(features.rows, target.rows)
    sets = [replace(one, X=one.X[in_features]) for one in features.sets]
    rare = min_examples if min_examples is not None and target.task == "tagging" else MIN_POSITIVES
    own_groups = None if groups is None else [groups[row] for row in target.rows]
    given = dealt.given
    own_folds = None if given is None else given.folds[:, target.rows]
    inputs = {
        "target": target.name,
        "task": target.task,
        "values": [plain_value(value) for value in target.values],
        "groups": own_groups,
        "heads": heads,
        "folds": [dealt.folds, dealt.repeats] if own_folds is None else own_folds.tolist(),
        "inner": dealt.inner,
        "seed": dealt.seed,
        "scale": scale,
        "rare": rare,
    }
    result = evaluate_target(
        {one.label: one for one in sets},
        target.values,
        own_groups,
        target=target.name,
        task=target.task,
        group_name=group_name,
        heads=heads,
        n_folds=dealt.folds,
        inner=dealt.inner,
        repeats=dealt.repeats,
        scale=scale,
        seed=dealt.seed,
        n_jobs=n_jobs,
        progress=None if watch is None else (lambda d, t: watch(f"evaluating {target.name}", d, t)),
        folds=own_folds,
        folds_name=given.name if given else "",
        shared_groups=dealt.shared_groups,
        ids=[manifest.ids[row] for row in target.rows],
        min_positives=rare,
        neighbours=neighbours,
        kept=None if kept is None else kept_folds(kept / folder_name(target.name), sets, inputs),
    )
    notes = (
        *target.notes,
        *features.notes,
        *(given.notes if given else ()),
        *ungrouped_notes(manifest, target.rows, result, group_name),
    )
    return replace(result, notes=(*notes, *result.notes), facts=facts)


def kept_folds(
    folder: Path, sets: Sequence[FeatureSet], inputs: Mapping[str, object]
) -> dict[str, Cells]:
    """Where finished outer folds of each encoder lie: under a digest of all that decides them."""
    return {
        one.label: Cells(
            folder / folder_name(one.label),
            arrays_digest({**inputs, "blocks": [list(pair) for pair in one.blocks]}, [one.X]),
            keys=("choices", "notes", "fits", "seconds"),
        )
        for one in sets
    }


def plain_value(value: object) -> object:
    """A label as JSON holds it."""
    return list(value) if isinstance(value, tuple) else value


def ungrouped_notes(
    manifest: Manifest, rows: NDArray[np.int64], result: TargetResult, group: str
) -> list[str]:
    """Artists that stand on both sides although the manifest knows them."""
    if group or "artist" not in manifest.columns or not result.splits:
        return []
    artists = manifest.groups("artist")
    codes = group_codes([artists[row] for row in rows], len(rows))
    torn = torn_groups(codes, result.splits[0].assignment)
    if not len(torn):
        return []
    clips = int(np.isin(codes, torn).sum())
    return [
        f"{len(torn)} artists with {clips} of {len(rows)} tracks stand on both sides of the "
        "splits, so scores may be too high for unheard artists: --group artist keeps them apart"
    ]


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
