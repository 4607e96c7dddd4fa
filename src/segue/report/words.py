"""Sentences computed from the numbers, worded so that they claim no more than was shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segue.evaluation.rows import AUTO, PairedTest, Row, TargetResult
from segue.report.plots import SIGNIFICANT, entry_names, p_text, paired_cells
from segue.report.tables import (
    Entry,
    baseline,
    compared,
    find_encoder,
    interval,
    leaderboard,
    main_metric,
    metric_name,
    number,
    smaller_is_better,
)

_TASKS = {
    "classification": "one class per clip",
    "tagging": "any number of tags per clip",
    "regression": "one number per clip",
}

_BASELINES = {
    ("classification", "chance"): "classes drawn as often as they occur",
    ("classification", "majority"): "always the most frequent class",
    ("tagging", "chance"): "a model that sees no features",
    ("regression", "chance"): "predicting the mean without seeing features",
}

LAYERS_CHOSEN = (
    "The set of layers was chosen inside the nested loop: in every outer fold the inner folds, "
    "which hold none of its clips, compared all sets, and the best of them was tested on that "
    "fold. The score therefore carries no bias from the choice."
)


def verdict(result: TargetResult) -> list[str]:
    """What the numbers of one target say: best encoder, against chance, against the others.

    A difference is called one only where Holm's corrected p is below 0.05; an encoder is called
    better than chance only where its 95 % interval excludes the chance level.
    """
    board = leaderboard(result)
    metric = main_metric(result)
    encoders = compared(board)
    scored = [e for e in encoders if math.isfinite(e.mean(metric))]
    if not scored:
        return [f"No encoder could be scored on {result.target}."]
    names = dict(zip(map(id, scored), entry_names(scored), strict=True))
    chance = baseline(board, metric)
    sentences = [_best(result, scored, names[id(scored[0])])]
    if chance is not None:
        sentences += _against_chance(result, scored, chance.rows[metric], entry_names(scored))
    if len(scored) > 1:
        sentences += _against_others(result, scored)
    sentences += _chosen_inside(result, board)
    unscored = [e for e in encoders if not math.isfinite(e.mean(metric))]
    if unscored:
        sentences.append(f"Without a score: {listed(entry_names(unscored))}.")
    return [_unbroken(sentence) for sentence in sentences]


def protocol(result: TargetResult) -> str:
    """How one target was scored, in plain words."""
    folds = len(np.unique(result.folds))
    start = (
        f"{_TASKS[result.task].capitalize()}; {result.n} clips, every one predicted by a model "
        f"that was trained without it ({folds} outer fold{'s' * (folds != 1)})."
    )
    if result.group:
        return (
            f"{start} All clips of one {result.group} ({result.n_groups} in all) stay on the same "
            "side of every split."
        )
    return (
        f"{start} Clips were not grouped: clips of one artist may be on both sides of a split, and "
        "scores may then be too high."
    )


def introduction(results: Sequence[TargetResult]) -> list[str]:
    """What the page is, for a reader who has never heard of the project."""
    encoders = dict.fromkeys(
        e.label for result in results for e in leaderboard(result) if e.is_encoder
    )
    targets = listed([result.target for result in results])
    return [
        f"This page compares {listed(list(encoders)) or 'no encoder'} on "
        f"{targets or 'no target'}. "
        "An encoder turns a recording into a fixed list of numbers, its features. On these numbers "
        "a simple model, the head, learns from labelled clips; how well it then does on clips it "
        "has never heard says how much of the target the features carry.",
        "The head's settings are chosen in inner folds, the scores come from outer folds that took "
        "no part in the choice. A score stands with its standard error over outer folds and a 95 % "
        "interval; two encoders are called different only after a paired test corrected for the "
        "number of pairs.",
    ]


def _best(result: TargetResult, scored: Sequence[Entry], name: str) -> str:
    metric = main_metric(result)
    row = scored[0].rows[metric]
    spread = f" ± {number(row.se)}" if math.isfinite(row.se) else ""
    between = f" (95 % interval {interval(row, to=' to ')})" if interval(row) else ""
    value = f"{metric_name(metric)} {number(row.mean)}{spread}{between}"
    tied = [e for e in scored[1:] if e.mean(metric) == row.mean]
    if len(scored) == 1:
        return f"{name} reaches {value}."
    if tied:
        count = len(tied) + 1
        return f"{listed(entry_names(scored)[:count])} share the best score: {value}."
    return f"{name} scores best: {value}."


def _against_chance(
    result: TargetResult, scored: Sequence[Entry], chance: Row, names: Sequence[str]
) -> list[str]:
    metric = main_metric(result)
    level = f"{number(chance.mean)} ({_BASELINES[result.task, chance.encoder]})"
    row = scored[0].rows[metric]
    if not interval(row):
        first = f"Chance is {level}; without an interval nothing can be said about the difference."
    elif _beats(row, chance.mean):
        first = f"Chance is {level}, outside that interval."
    elif row.low <= chance.mean <= row.high:
        first = f"That interval includes chance, {level}: better than chance could not be shown."
    else:
        first = f"That is worse than chance, {level}."
    rest = [
        name
        for entry, name in zip(scored[1:], names[1:], strict=True)
        if not _beats(entry.rows[metric], chance.mean)
    ]
    return [first, *([f"Not shown to be better than chance: {listed(rest)}."] if rest else [])]


def _against_others(result: TargetResult, scored: Sequence[Entry]) -> list[str]:
    tests = paired_cells(result, scored)
    names = entry_names(scored)
    test = tests.get((0, 1))
    pairs = sum(i < j and math.isfinite(one.p_holm) for (i, j), one in tests.items())
    if test is None:
        sentences = [f"No paired test compares {names[0]} with {names[1]}."]
    else:
        sentences = [_pair(test, names[0], names[1], pairs)]
    others = {names[j]: tests[0, j].p_holm for j in range(2, len(scored)) if (0, j) in tests}
    alike = [name for name, p in others.items() if p >= SIGNIFICANT]
    untested = [name for name, p in others.items() if math.isnan(p)]
    if alike:
        told = test is not None and test.p_holm < SIGNIFICANT
        start = "No difference could be shown" if told else "Nor could one be shown"
        sentences.append(f"{start} between {names[0]} and {listed(alike)}.")
    if untested:
        sentences.append(
            f"The difference between {names[0]} and {listed(untested)} could not be tested."
        )
    return sentences


def _chosen_inside(result: TargetResult, board: Sequence[Entry]) -> list[str]:
    """What choosing among all encoders on inner folds gives, and what it seemed to give there."""
    metric = main_metric(result)
    entry = next((e for e in board if not e.is_baseline and not e.is_encoder), None)
    found = None if entry is None else find_encoder(result, entry)
    if entry is None or found is None or not math.isfinite(entry.mean(metric)):
        return []
    what = "encoder and head" if entry.head == AUTO else "encoder"
    inner = float(np.nanmean(found.inner_scores))
    return [
        f"Choosing {what} on inner folds alone gives {number(entry.mean(metric))}; the inner "
        f"scores that chose promised {number(inner)}."
    ]


def _pair(test: PairedTest, first: str, second: str, pairs: int) -> str:
    correction = f"after Holm's correction for {pairs} pairs" if pairs > 1 else "one pair"
    difference = number(abs(test.difference))
    if not (math.isfinite(test.p_holm) and math.isfinite(test.difference)):
        return f"The difference between {first} and {second} could not be tested."
    if test.p_holm < SIGNIFICANT:
        ahead, behind = (first, second)
        if (test.difference < 0) != smaller_is_better(test.metric):
            ahead, behind = second, first
        return (
            f"{ahead} is ahead of {behind} by {difference} ({p_text(test.p_holm)}, {correction})."
        )
    return (
        f"No difference between {first} and {second} could be shown "
        f"({difference}, {p_text(test.p_holm)}, {correction})."
    )


def _beats(row: Row, chance: float) -> bool:
    """Whether the whole interval lies on the better side of chance; False without an interval."""
    return row.high < chance if smaller_is_better(row.metric) else row.low > chance


def _unbroken(sentence: str) -> str:
    """No line break inside "p = .003", "0.690 ± 0.015" or "95 %"."""
    for sign in (" = ", " ± ", " < ", " %"):
        sentence = sentence.replace(sign, sign.replace(" ", "\N{NO-BREAK SPACE}"))
    return sentence


def listed(names: Sequence[str]) -> str:
    """Names as English lists them.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
