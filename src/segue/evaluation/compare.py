"""One target, several encoders, the same folds: the rows of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets
from segue.evaluation.folds import Folds, given_folds, group_codes, outer_folds
from segue.evaluation.heads import DEFAULT_HEADS, make_head
from segue.evaluation.layer_sets import nested_layer_sets
from segue.evaluation.metrics import METRICS, check_task, confusion_matrix, score
from segue.evaluation.protocols import NestedResult, Progress, check_features, nested_cv
from segue.evaluation.result_notes import (
    interval_notes,
    search_notes,
    undefined_notes,
    untested_notes,
)
from segue.evaluation.rows import EncoderResult, PairedTest, Row, TargetResult, Task
from segue.evaluation.statistics import (
    bootstrap_interval,
    corrected_t_test,
    holm,
    mean_and_error,
)
from segue.evaluation.targets import EncodedTarget, encode_target

AUTO = "auto"
"""Layers of a FeatureSet whose best set the inner folds choose."""

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
    def sets(self) -> list[LayerSet]:
        """The sets that are tried: all of the blocks' for AUTO, else X as it is."""
        if self.layers != AUTO:
            return [tuple(name for name, _ in self.blocks)]
        return all_layer_sets([name for name, _ in self.blocks])


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
    scale: bool = True,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 5,
    draws: int = 1000,
) -> TargetResult:
    """Nested cross-validation of every encoder and head on identical outer folds, and chance.

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
        Outer folds, on which the number is measured; inner folds, on which settings are chosen.
    scale : bool, default True
        Standardise features. Off means off.
    n_jobs : int, default 1
        Processes, one thread each; the result is the same for any.
    progress : callable, optional
        Called as ``progress(completed, total)`` over all outer folds of all encoders and heads.
    folds : (n,) integers, optional
        Predefined outer folds.
    min_positives : int, default 5
        Tags in fewer groups are dropped and noted.
    draws : int, default 1000
        Of the bootstrap.

    Returns
    -------
    TargetResult
        Rows of every encoder, head and metric; those of chance have encoder "chance", head "prior".

    Raises
    ------
    UsageError
        No features; features that are not finite or not one row per clip; two of one name; an
        unknown task or head; or what encode_target and outer_folds raise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(24, dtype=np.float32)[:, None]
    >>> y = ["low"] * 12 + ["high"] * 12
    >>> result = evaluate_target({"ramp": FeatureSet("ramp", "", X)}, y, None, target="height",
    ...                          task="classification", group_name="", heads=["linear"], n_folds=3)
    >>> [(row.encoder, row.metric, round(row.mean, 2)) for row in result.rows]  # doctest: +ELLIPSIS
    [('ramp', 'accuracy', 1.0), ('ramp', 'macro_f1', 1.0), ('chance', 'accuracy', 0.5), ...]
    """
    task = check_task(task)
    encoded = encode_target(y, groups, task, min_positives=min_positives)
    codes = group_codes(groups, len(encoded.y))
    heads = [DEFAULT_HEADS[task]] if heads is None else list(heads)
    _check_request(features, heads, task, len(encoded.y))
    outer = (
        outer_folds(encoded.y, codes, task, n_folds=n_folds, seed=seed)
        if folds is None
        else given_folds(folds, groups, len(encoded.y))
    )
    units = [len(one.sets) * len(outer.names) for one in features.values()]
    total, completed = len(heads) * sum(units), 0
    results: list[EncoderResult] = []
    said_of: dict[str, list[str]] = {}
    for head in heads:
        for one, own in zip(features.values(), units, strict=True):
            nested = _nested(
                one,
                encoded.y,
                codes,
                task,
                head,
                folds=outer,
                inner=inner,
                scale=scale,
                seed=seed,
                n_jobs=n_jobs,
                progress=_offset(progress, completed, total),
            )
            completed += own
            results.append(_encoder_result(one, head, nested, encoded))
            for note in nested.notes:
                said_of.setdefault(note, []).append(results[-1].label)
    results.append(chance_level(encoded, outer))
    rows = [
        row for one in results for row in _rows(one, encoded, codes, outer, target, seed, draws)
    ]
    tests = _paired_tests(results[:-1], outer, target, task)
    return TargetResult(
        target=target,
        task=task,
        group=group_name,
        n=len(encoded.y),
        n_groups=len(np.unique(codes)),
        labels=encoded.labels,
        truth=encoded.y,
        folds=outer.assignment,
        rows=tuple(rows),
        tests=tuple(tests),
        encoders=tuple(results),
        notes=(
            *encoded.notes,
            *outer.notes,
            *search_notes(said_of, len(features) * len(heads)),
            *undefined_notes(encoded, outer),
            *interval_notes(codes, outer, task),
            *untested_notes(tests),
        ),
    )


def _nested(
    one: FeatureSet,
    y: NDArray[Any],
    codes: NDArray[np.int64],
    task: Task,
    head: str,
    *,
    folds: Folds,
    inner: int,
    scale: bool,
    seed: int,
    n_jobs: int,
    progress: Progress | None,
) -> NestedResult:
    """Nested cross-validation of one feature set with one head, its layers chosen for AUTO."""
    if one.layers != AUTO:
        return nested_cv(
            one.X, y, codes, task, head, folds=folds, inner=inner, scale=scale, seed=seed,
            n_jobs=n_jobs, progress=progress,
        )  # fmt: skip
    found = nested_layer_sets(
        Blocks.of_columns(one.X, one.blocks), one.sets, y, codes, task, folds=folds, head=head,
        inner=inner, scale=scale, seed=seed, n_jobs=n_jobs, progress=progress,
    )  # fmt: skip
    won = ", ".join(f"{layers} in {count}" for layers, count in found.wins.items())
    among = f"{head}: layers chosen among {len(one.sets)} sets inside the nested loop"
    chosen = f"{among}: {won} outer folds"
    return replace(found.auto, notes=(*found.auto.notes, chosen))


def chance_level(encoded: EncodedTarget, folds: Folds) -> EncoderResult:
    """What a predictor that sees no features reaches on the same folds.

    Classification: always the class that is most frequent over all clips (the first of equals).
    That of the training part would do worse than a constant guess, since what is frequent there
    is rare in the test part. Tagging: each tag's share in the training part, the same for every
    clip, so ROC-AUC is one half. Regression: the training part's mean.

    Examples
    --------
    >>> encoded = encode_target(["a", "a", "b", "a"], None, "classification")
    >>> chance_level(encoded, given_folds([0, 0, 1, 1], None, 4)).fold_scores["accuracy"]
    array([1. , 0.5])
    """
    y = encoded.y
    out = np.empty(y.shape, dtype=y.dtype if encoded.task == "classification" else np.float64)
    if encoded.task == "classification":
        classes, counts = np.unique(y, return_counts=True)
        out[:] = classes[counts.argmax()]
    else:
        for train, test in folds.splits():
            out[test] = y[train].mean(axis=0)
    nested = NestedResult(out, folds, (), np.empty(0), ())
    return _encoder_result(FeatureSet("chance", "", np.empty((0, 0))), "prior", nested, encoded)


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
    if len(set(labels)) < len(labels) or any(one.name == "chance" for one in features.values()):
        raise UsageError(
            wanted="encoders of different names, none called 'chance'",
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


def _offset(progress: Progress | None, done: int, total: int) -> Progress | None:
    """The callback of one run, counting on from the runs before it."""
    if progress is None:
        return None
    return lambda completed, _: progress(done + completed, total)


def _encoder_result(
    one: FeatureSet, head: str, nested: NestedResult, encoded: EncodedTarget
) -> EncoderResult:
    scores = {
        metric: np.array(
            [
                score(metric, encoded.y[test], nested.predictions[test])
                for _, test in nested.folds.splits()
            ]
        )
        for metric in METRICS[encoded.task]
    }
    confusion = None
    if encoded.task == "classification":
        confusion = confusion_matrix(encoded.y, nested.predictions, encoded.labels)
    return EncoderResult(
        name=one.name,
        layers=one.layers,
        head=head,
        predictions=nested.predictions,
        fold_scores=scores,
        settings=nested.settings,
        inner_scores=nested.inner_scores,
        confusion=confusion,
    )


def _rows(
    one: EncoderResult,
    encoded: EncodedTarget,
    codes: NDArray[np.int64],
    folds: Folds,
    target: str,
    seed: int,
    draws: int,
) -> list[Row]:
    rows = []
    for metric, fold_scores in one.fold_scores.items():
        mean, error = mean_and_error(fold_scores)
        low, high = bootstrap_interval(
            metric, encoded.y, one.predictions, codes, folds.assignment, draws=draws, seed=seed
        )
        rows.append(
            Row(
                encoder=one.name,
                layers=one.layers,
                head=one.head,
                target=target,
                metric=metric,
                mean=mean,
                se=error,
                low=low,
                high=high,
                n=len(encoded.y),
            )
        )
    return rows


def _paired_tests(
    results: Sequence[EncoderResult], folds: Folds, target: str, task: Task
) -> list[PairedTest]:
    test_share = float(np.mean([len(test) / len(train) for train, test in folds.splits()]))
    tests = []
    for head in dict.fromkeys(one.head for one in results):
        pairs = list(combinations([one for one in results if one.head == head], 2))
        for metric in METRICS[task]:
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
