"""From outcomes of outer folds to what is reported of each encoder, head and choice of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from segue.evaluation.folds import Folds
from segue.evaluation.metrics import METRICS, confusion_matrix, score
from segue.evaluation.nested import Candidate, Choice, FoldOutcome
from segue.evaluation.rows import AUTO, EncoderResult, Row
from segue.evaluation.splits import Dealing
from segue.evaluation.statistics import mean_and_error, repeated_interval
from segue.evaluation.targets import EncodedTarget
from segue.seeds import generator

CHANCE_DRAWS = 50
"""Random guesses whose scores are averaged: a single one would be a matter of luck."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one way of predicting said of every clip.

    Attributes
    ----------
    name, layers, head : str
        As in EncoderResult.
    deals : tuple of (predictions, repeat)
        Predictions of all n clips, and the number of the repeat whose folds they were made on; for
        random guesses several of one repeat.
    settings, inner_scores
        As in EncoderResult.
    """

    name: str
    layers: str
    head: str
    deals: tuple[tuple[NDArray[Any], int], ...]
    settings: tuple[Mapping[str, Any], ...] = ()
    inner_scores: tuple[float, ...] = ()


def chosen_runs(
    names: Mapping[str, tuple[str, str]],
    candidates: Mapping[str, Candidate],
    heads: Sequence[str],
    outcomes: Mapping[str, Sequence[FoldOutcome]],
    y: NDArray[Any],
    dealing: Dealing,
) -> list[Run]:
    """Every encoder with every head; with the head chosen; and with encoder and head chosen.

    The choice falls in every outer fold on the best inner score; among equals on fewer features,
    then on what was named first.

    Parameters
    ----------
    names : mapping of label -> (encoder, layers)
    candidates : mapping of label -> Candidate
    heads : sequence of str
    outcomes : mapping of label -> sequence of FoldOutcome
        From nested.nested_comparison.
    """
    places = [
        (repeat, test) for repeat, folds in enumerate(dealing.repeats) for _, test in folds.splits()
    ]

    def run(name: str, layers: str, head: str, chosen: Sequence[Choice], more: Any) -> Run:
        deals = [np.empty(y.shape, chosen[0].predicted.dtype) for _ in dealing.repeats]
        if y.dtype.kind == "U":  # a fold may not hold the longest name
            deals = [np.empty(y.shape, y.dtype) for _ in dealing.repeats]
        for (repeat, test), choice in zip(places, chosen, strict=True):
            deals[repeat][test] = choice.predicted
        settings = tuple(
            {**facts, **choice.settings} for facts, choice in zip(more, chosen, strict=True)
        )
        return Run(
            name, layers, head, tuple((one, r) for r, one in enumerate(deals)), settings,
            tuple(choice.inner_score for choice in chosen),
        )  # fmt: skip

    nothing: list[dict[str, str]] = [{} for _ in places]
    runs = [
        run(*names[label], head, [one.choices[at] for one in outcomes[label]], nothing)
        for at, head in enumerate(heads)
        for label in candidates
    ]
    if len(heads) > 1:
        for label in candidates:
            best = [_best(one.choices) for one in outcomes[label]]
            told = [{"head": choice.head} for choice in best]
            runs.append(run(*names[label], AUTO, best, told))
    if len(candidates) > 1:
        ordered = sorted(candidates, key=lambda label: candidates[label].blocks.total_width)
        picked = [
            max(
                ((label, _best(outcomes[label][place].choices)) for label in ordered),
                key=lambda pair: pair[1].inner_score,
            )
            for place in range(len(places))
        ]
        facts = [
            {"encoder": label, **({"head": one.head} if len(heads) > 1 else {})}
            for label, one in picked
        ]
        head = AUTO if len(heads) > 1 else heads[0]
        runs.append(run(AUTO, "", head, [one for _, one in picked], facts))
    return runs


def _best(choices: Sequence[Choice]) -> Choice:
    return max(choices, key=lambda choice: choice.inner_score)


def baseline_runs(encoded: EncodedTarget, dealing: Dealing, *, seed: int = 0) -> list[Run]:
    """What predictors that see no features say on the same folds.

    Classification: "chance" draws classes as often as the training part has them; "majority" says
    the class that is most frequent over all clips (the first of equals; that of the training part
    would do worse, since what is frequent there is rare in the test part). Tagging: each tag's
    share in the training part, the same for every clip, so ROC-AUC is one half. Regression: the
    training part's mean.
    """
    y = encoded.y
    if encoded.task != "classification":
        constant = tuple((_means(y, folds), r) for r, folds in enumerate(dealing.repeats))
        return [Run("chance", "", "prior", constant)]
    classes, counts = np.unique(y, return_counts=True)
    most = np.full(y.shape, classes[counts.argmax()])
    rng = generator(seed, "chance")
    drawn = tuple(
        (_guesses(y, folds, rng), r)
        for r, folds in enumerate(dealing.repeats)
        for _ in range(CHANCE_DRAWS)
    )
    majority = tuple((most, r) for r in range(len(dealing.repeats)))
    return [Run("chance", "", "prior", drawn), Run("majority", "", "constant", majority)]


def _means(y: NDArray[Any], folds: Folds) -> NDArray[np.float64]:
    out = np.zeros(y.shape)
    for train, test in folds.splits():
        out[test] = y[train].mean(axis=0)
    return out


def _guesses(y: NDArray[Any], folds: Folds, rng: np.random.Generator) -> NDArray[Any]:
    out = y.copy()
    for train, test in folds.splits():
        out[test] = rng.choice(y[train], len(test))
    return out


def scored_run(
    run: Run,
    encoded: EncodedTarget,
    codes: NDArray[np.int64],
    dealing: Dealing,
    *,
    target: str,
    seed: int,
    draws: int,
) -> tuple[EncoderResult, list[Row]]:
    """``result_of`` and ``rows_of`` a run, on one thread, so that sums have one order."""
    with threadpool_limits(1):
        result = result_of(run, encoded, dealing)
        rows = rows_of(run, result, encoded, codes, dealing, target=target, seed=seed, draws=draws)
    return result, rows


def result_of(run: Run, encoded: EncodedTarget, dealing: Dealing) -> EncoderResult:
    """Fold scores, confusions and settings of a run; several guesses of one fold are averaged."""
    scores = {
        metric: _fold_scores(run, metric, encoded, dealing) for metric in METRICS[encoded.task]
    }
    tested = dealing.tested
    first = run.deals[0][0][tested]
    confusion = None
    if encoded.task == "classification":
        confusion = confusion_matrix(encoded.y[tested], first, encoded.labels)
    return EncoderResult(
        name=run.name,
        layers=run.layers,
        head=run.head,
        predictions=first,
        fold_scores=scores,
        settings=run.settings,
        inner_scores=np.array(run.inner_scores),
        confusion=confusion,
    )


def _fold_scores(
    run: Run, metric: str, encoded: EncodedTarget, dealing: Dealing
) -> NDArray[np.float64]:
    by_repeat: list[list[list[float]]] = [[] for _ in dealing.repeats]
    for predicted, repeat in run.deals:
        tests = [test for _, test in dealing.repeats[repeat].splits()]
        by_repeat[repeat].append([score(metric, encoded.y[t], predicted[t]) for t in tests])
    return np.concatenate([np.mean(scores, axis=0) for scores in by_repeat])


def rows_of(
    run: Run,
    result: EncoderResult,
    encoded: EncodedTarget,
    codes: NDArray[np.int64],
    dealing: Dealing,
    *,
    target: str,
    seed: int,
    draws: int,
) -> list[Row]:
    """One row a metric, with standard error and bootstrap interval."""
    tested = dealing.tested
    deals = [
        (predicted[tested], dealing.repeats[repeat].assignment[tested])
        for predicted, repeat in run.deals
    ]
    rows = []
    for metric, fold_scores in result.fold_scores.items():
        mean, error = mean_and_error(fold_scores, repeats=len(dealing.repeats))
        low, high = repeated_interval(
            metric, encoded.y[tested], deals, codes[tested], draws=draws, seed=seed
        )
        rows.append(
            Row(
                encoder=run.name,
                layers=run.layers,
                head=run.head,
                target=target,
                metric=metric,
                mean=mean,
                se=error,
                low=low,
                high=high,
                n=int(tested.sum()),
            )
        )
    return rows
