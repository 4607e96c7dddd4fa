"""One target, several encoders, the same folds: the rows of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets
from segue.evaluation.folds import group_codes
from segue.evaluation.heads import DEFAULT_HEADS, make_head
from segue.evaluation.metrics import METRICS, check_task
from segue.evaluation.nested import Candidate, FoldOutcome, Kept, nested_comparison
from segue.evaluation.protocols import Progress, check_features
from segue.evaluation.result_notes import (
    interval_notes,
    search_notes,
    undefined_notes,
    untested_notes,
)
from segue.evaluation.retrieval import retrieve
from segue.evaluation.rows import (
    AUTO,
    BASELINES,
    EncoderResult,
    PairedTest,
    Row,
    SearchCost,
    TargetResult,
    Task,
)
from segue.evaluation.runs import baseline_runs, chosen_runs, scored_run
from segue.evaluation.splits import Dealing, deal
from segue.evaluation.statistics import corrected_t_test, holm
from segue.evaluation.targets import MIN_POSITIVES, EncodedTarget, encode_target

MOST_BLOCKS = 8
"""Eight layers have 255 sets; one more doubles the work."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The features of one encoder, rows in manifest order.

    Attributes
    ----------
    name : str
        "choi2017-msd".
    layers : str
        "12345", or "" where the encoder has none; AUTO lets the inner folds choose among all sets
        of the blocks.
    X : (n, d) array, float32
    blocks : tuple of (name, columns)
        The layers that stand side by side in X; needed for AUTO only.
    """

    name: str
    layers: str
    X: NDArray[Any]
    blocks: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """Name with layers, as in EncoderResult."""
        return f"{self.name}@{self.layers}" if self.layers else self.name

    @property
    def candidate(self) -> Candidate:
        """What is compared: all sets of the blocks for AUTO, else X as it is."""
        if self.layers != AUTO:
            whole: LayerSet = (self.name,)
            return Candidate(Blocks(whole, (self.X,)), (whole,))
        blocks = Blocks.of_columns(self.X, self.blocks)
        return Candidate(blocks, tuple(all_layer_sets(blocks.names)))


def evaluate_target(
    features: Mapping[str, FeatureSet],
    y: Sequence[Any] | NDArray[Any],
    groups: ArrayLike | None,
    *,
    target: str,
    task: str,
    group_name: str,
    heads: Sequence[str] | None = None,
    n_folds: int = 10,
    inner: int = 5,
    repeats: int = 1,
    scale: bool = True,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
    folds: ArrayLike | None = None,
    folds_name: str = "given folds",
    shared_groups: bool = False,
    ids: Sequence[str] | None = None,
    min_positives: int = MIN_POSITIVES,
    draws: int = 1000,
    neighbours: int | None = None,
    kept: Mapping[str, Kept] | None = None,
) -> TargetResult:
    """Nested cross-validation of every encoder and head on identical outer folds, and baselines.

    Besides each encoder with each head there is, where there is something to choose, each encoder
    with the head that the inner folds chose, and the choice of encoder and head together.

    Parameters
    ----------
    features : mapping of label -> FeatureSet
    y : sequence
        Labels, collections of tags, or numbers; see targets.encode_target.
    groups : (n,) or None
        Clips of one group (an artist) are tested together; None lets every clip stand alone.
    target, group_name : str
        Names for the report.
    heads : sequence of str, optional
        Default svm; for tagging logistic, for regression ridge.
    n_folds, inner : int
        Outer folds, on which the number is measured; inner folds, on which all is chosen.
    repeats : int, default 1
        How often all clips are dealt to outer folds.
    scale : bool, default True
        Standardise features. Off means off.
    n_jobs : int, default 1
        Processes, one thread each; the result is the same for any.
    progress : callable, optional
        Called as ``progress(completed, total)`` over all outer folds of all encoders and heads.
    folds : (n,) or (repeats, n) integers, optional
        Predefined outer folds, obeyed as they are; see folds.given_folds.
    folds_name : str
        What they are called.
    shared_groups : bool, default False
        Let groups stand on both sides of predefined folds.
    ids : sequence of n str, optional
        What the digests of the splits know clips by; by default row numbers.
    min_positives : int, default 5
        Tags in fewer groups are dropped and noted.
    draws : int, default 1000
        Of the bootstrap.
    neighbours : int, optional
        Also ask, for classes and tags, how many of each clip's k nearest are like it; see
        retrieval.retrieve.
    kept : mapping of label -> Kept, optional
        Where outcomes of outer folds are found and kept, see nested.nested_comparison.

    Returns
    -------
    TargetResult
        Rows of every encoder, head and metric; those of BASELINES last.

    Raises
    ------
    UsageError
        No features; features that are not finite or not one row per clip; two of one name; an
        unknown task or head; or what encode_target and splits.deal raise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(24, dtype=np.float32)[:, None]
    >>> y = ["low"] * 12 + ["high"] * 12
    >>> result = evaluate_target({"ramp": FeatureSet("ramp", "", X)}, y, None, target="height",
    ...                          task="classification", group_name="", heads=["linear"], n_folds=3)
    >>> rows = {row.encoder: row.mean for row in result.rows if row.metric == "accuracy"}
    >>> rows["ramp"], rows["majority"], 0.4 < rows["chance"] < 0.6
    (1.0, 0.5, True)
    """
    task = check_task(task)
    encoded = encode_target(y, groups, task, min_positives=min_positives)
    codes = group_codes(groups, len(encoded.y))
    heads = [DEFAULT_HEADS[task]] if heads is None else list(heads)
    _check_request(features, heads, task, len(encoded.y))
    named = tuple(map(str, range(len(codes)) if ids is None else ids))
    dealing = deal(
        encoded.y,
        groups,
        task,
        group_name=group_name,
        ids=named,
        n_folds=n_folds,
        repeats=repeats,
        seed=seed,
        given=folds,
        given_name=folds_name,
        shared_groups=shared_groups,
    )
    candidates = {one.label: one.candidate for one in features.values()}
    outcomes = nested_comparison(
        candidates,
        heads,
        encoded.y,
        codes,
        task,
        dealing.repeats,
        inner=inner,
        scale=scale,
        seed=seed,
        n_jobs=n_jobs,
        progress=progress,
        kept=kept,
    )
    names = {one.label: (one.name, one.layers) for one in features.values()}
    runs = chosen_runs(names, candidates, heads, outcomes, encoded.y, dealing)
    runs += baseline_runs(encoded, dealing, seed=seed)
    scoring = (
        delayed(scored_run)(run, encoded, codes, dealing, target=target, seed=seed, draws=draws)
        for run in runs
    )
    scored = list(Parallel(n_jobs=n_jobs)(scoring))
    results = [result for result, _ in scored]
    rows = [row for _, own in scored for row in own]
    tests = _paired_tests(results, dealing, target, METRICS[task])
    near: list[Row] = []
    near_notes: list[str] = []
    if neighbours is not None and task != "regression":
        others = len(codes) - int(np.bincount(codes).min())
        if others >= neighbours:
            near = _retrieval(features.values(), encoded, groups, target, neighbours, n_jobs)
        else:
            near_notes = [f"nearest clips not asked for: none has {neighbours} of other groups"]
    tested = dealing.tested
    return TargetResult(
        target=target,
        task=task,
        group=group_name,
        n=int(tested.sum()),
        n_groups=len(np.unique(codes[tested])),
        labels=encoded.labels,
        truth=encoded.y[tested],
        folds=dealing.repeats[0].assignment[tested],
        rows=tuple(rows),
        tests=tuple(tests),
        encoders=tuple(results),
        notes=(
            *encoded.notes,
            *dealing.notes,
            *search_notes(candidates, heads, outcomes),
            *undefined_notes(encoded, dealing.repeats[0]),
            *interval_notes(codes[tested], dealing.repeats[0].assignment[tested], task),
            *untested_notes(tests),
            *near_notes,
        ),
        splits=dealing.splits,
        costs={label: _cost(found) for label, found in outcomes.items()},
        ids=named,
        retrieval=tuple(near),
    )


def _retrieval(
    features: Iterable[FeatureSet],
    encoded: EncodedTarget,
    groups: ArrayLike | None,
    target: str,
    k: int,
    n_jobs: int,
) -> list[Row]:
    """Rows of every encoder, and of random order once: it depends on labels and groups alone."""
    sets = list(features)
    jobs = [delayed(retrieve)(one.X, encoded.y, groups, encoded.task, k=k) for one in sets]
    rows: list[Row] = []
    for one, found in zip(sets, Parallel(n_jobs=n_jobs)(jobs), strict=True):
        own = found.rows(encoder=one.name, layers=one.layers, target=target)
        rows += [row for row in own if row.encoder not in BASELINES]
        chance = [row for row in own if row.encoder in BASELINES]
    return [*rows, *chance]


def _cost(outcomes: Sequence[FoldOutcome]) -> SearchCost:
    return SearchCost(
        fits=sum(one.fits for one in outcomes), seconds=sum(one.seconds for one in outcomes)
    )


def _check_request(
    features: Mapping[str, FeatureSet], heads: Sequence[str], task: Task, n: int
) -> None:
    if not features or not heads:
        raise UsageError(
            wanted="one encoder and one head or more",
            got=f"{len(features)} encoders and {len(heads)} heads",
            fix="Name some",
            source="evaluate",
        )
    labels = [(one.name, one.layers) for one in features.values()]
    reserved = (AUTO, *BASELINES)
    if len(set(labels)) < len(labels) or any(one.name in reserved for one in features.values()):
        raise UsageError(
            wanted=f"encoders of different names, none called {', '.join(reserved)}",
            got=", ".join("@".join(filter(None, label)) for label in labels),
            fix="Rename one",
            source="evaluate",
        )
    for label, one in features.items():
        X = check_features(one.X, f"features of {label}")
        if len(X) != n:
            raise UsageError(
                wanted=f"{n} rows, one per labelled clip",
                got=f"{len(X)}",
                fix="Give features and labels in the same order",
                source=f"features of {label}",
            )
        if one.layers == AUTO:
            Blocks.of_columns(X, one.blocks)
            if len(one.blocks) > MOST_BLOCKS:
                raise UsageError(
                    wanted=f"at most {MOST_BLOCKS} layers to choose among",
                    got=f"{len(one.blocks)}, which make {2 ** len(one.blocks) - 1} sets",
                    fix="Name the layers to use instead of auto",
                    source=f"features of {label}",
                )
        for head in heads:  # an unknown head must fail before the first hour of work, not after it
            make_head(head, task, n_features=X.shape[1])


def _paired_tests(
    results: Sequence[EncoderResult], dealing: Dealing, target: str, metrics: Sequence[str]
) -> list[PairedTest]:
    """Every pair of encoders with the same head, each repeat's folds as paired scores."""
    splits = [split for folds in dealing.repeats for split in folds.splits()]
    test_share = float(np.mean([len(test) / len(train) for train, test in splits]))
    compared = [one for one in results if one.name not in (AUTO, *BASELINES)]
    tests = []
    for head in dict.fromkeys(one.head for one in compared):
        pairs = list(combinations([one for one in compared if one.head == head], 2))
        for metric in metrics:
            scores = [(a.fold_scores[metric], b.fold_scores[metric]) for a, b in pairs]
            p_values = [corrected_t_test(a, b, test_share=test_share) for a, b in scores]
            tests += [
                PairedTest(
                    target=target,
                    metric=metric,
                    head=head,
                    first=a.label,
                    second=b.label,
                    difference=float(np.nanmean(x) - np.nanmean(y)),
                    p_value=p,
                    p_holm=p_holm,
                )
                for (a, b), (x, y), p, p_holm in zip(
                    pairs, scores, p_values, holm(p_values), strict=True
                )
            ]
    return tests
