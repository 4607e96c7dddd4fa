"""Synthetic results of all three tasks, so that tests know what a page must say."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from segue.evaluation.rows import EncoderResult, PairedTest, Row, TargetResult

METRICS = {
    "classification": ("accuracy", "macro_f1"),
    "tagging": ("roc_auc", "average_precision"),
    "regression": ("r2",),
}
CHANCE = {"accuracy": 0.25, "macro_f1": 0.1, "roc_auc": 0.5, "average_precision": 0.2, "r2": -0.01}
ENCODERS = (("mfcc", ""), ("choi2017-msd", "12345"), ("random-convnet", "12345"))


def _predictions(rng, task, truth, labels, skill):
    if task == "classification":
        wrong = rng.random(len(truth)) > skill
        return np.where(wrong, rng.choice(labels, len(truth)), truth)
    noise = rng.standard_normal(np.shape(truth))
    return truth * skill + noise * (1 - skill)


def make_result(
    task="classification",
    *,
    target="genre",
    encoders=ENCODERS,
    means=(0.60, 0.69, 0.55),
    p_holm=0.003,
    labels=("blues", "jazz", "rock", "pop"),
    folds=10,
    n=240,
    head="svm",
    low_high=0.03,
    notes=(),
    seed=0,
):
    """A TargetResult whose rows carry exactly ``means``; the rest is drawn to look like them."""
    rng = np.random.default_rng(seed)
    fold = np.arange(n) % folds
    if task == "classification":
        truth = rng.choice(labels, n)
    elif task == "tagging":
        truth = (rng.random((n, len(labels))) < np.linspace(0.5, 0.05, len(labels))).astype(int)
    else:
        labels, truth = (), rng.normal(5, 1.5, n)
    rows, kept = [], []
    for (name, layers), mean in zip((*encoders, ("chance", "")), (*means, None), strict=True):
        chance = name == "chance"
        scores = {}
        for metric in METRICS[task]:
            level = CHANCE[metric] if chance else mean if metric == METRICS[task][0] else mean * 0.9
            draws = rng.standard_normal(folds) * 0.03
            scores[metric] = level + (draws - draws.mean())
            rows.append(
                Row(
                    encoder=name, layers=layers, head="" if chance else head, target=target,
                    metric=metric, mean=float(level), se=0.015, low=float(level - low_high),
                    high=float(level + low_high), n=n,
                )
            )  # fmt: skip
        predictions = _predictions(rng, task, truth, labels, 0 if chance else mean)
        confusion = None
        if task == "classification":
            code = {label: i for i, label in enumerate(labels)}
            confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
            np.add.at(confusion, ([code[t] for t in truth], [code[p] for p in predictions]), 1)
        settings = () if chance else tuple({"C": [1.0, 10.0][i % 3 == 0]} for i in range(folds))
        kept.append(
            EncoderResult(
                name=name, layers=layers, head="" if chance else head, predictions=predictions,
                fold_scores=scores, settings=settings, confusion=confusion,
                inner_scores=np.array([]) if chance else scores[METRICS[task][0]] + 0.02,
            )
        )  # fmt: skip
    tests = tuple(
        PairedTest(
            target=target, metric=METRICS[task][0], head=head, first=kept[i].label,
            second=kept[j].label, difference=means[i] - means[j], p_value=p_holm / 3, p_holm=p_holm,
        )
        for i, j in combinations(range(len(encoders)), 2)
    )  # fmt: skip
    return TargetResult(
        target=target, task=task, group="artist", n=n, n_groups=60, labels=tuple(labels),
        truth=truth, folds=fold, rows=tuple(rows), tests=tests, encoders=tuple(kept), notes=notes,
    )  # fmt: skip


def without_numbers(result):
    """The same result where nothing came out: every score NaN."""
    nan = float("nan")
    return replace(
        result,
        rows=tuple(replace(row, mean=nan, se=nan, low=nan, high=nan) for row in result.rows),
        tests=tuple(replace(t, difference=nan, p_value=nan, p_holm=nan) for t in result.tests),
        encoders=tuple(
            replace(
                encoder,
                fold_scores={m: s * nan for m, s in encoder.fold_scores.items()},
                inner_scores=encoder.inner_scores * nan,
            )
            for encoder in result.encoders
        ),
    )
