"""From features to scores: the classifier on segments, heads on tracks, and baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.protocols import fit_head
from segue.experiments.kim2018.combinations import System
from segue.experiments.kim2018.networks import (
    LEARNING_RATE,
    Segments,
    features_of,
    kept_features,
    trained,
    untrained,
)
from segue.experiments.kim2018.part import Part
from segue.experiments.kim2018.published import STN
from segue.experiments.kim2018.results import (
    PRIOR,
    UNTRAINED,
    UNTRAINED_WIDE,
    label_scores,
    scores_of,
)
from segue.experiments.kim2018.splits import groups_of
from segue.seeds import derive
from segue.training.dcnn.transfer import SegmentMLP
from segue.training.loop import Watch
from segue.workflows.cells import arrays_digest

Table = NDArray[np.floating]

ENCODER_HEAD = "svm"

WIDE = 5
"""Untrained networks side by side: as many as the paper has tasks."""


def with_head(features: str, head: str) -> str:
    """The row of another classifier on the same features.

    Examples
    --------
    >>> with_head("STN g", "svm")
    'STN g, SVM'
    """
    return f"{features}, {head.upper()}"


def score_system(
    part: Part, system: System, heads: Sequence[str] = (), watch: Watch | None = None
) -> None:
    """Train what a system still lacks, and keep its scores."""
    if lacking(part, system.name, heads):
        if system.sharing == STN:
            taught, tested = kept_features(part, system.tasks)
        else:
            taught, tested = features_of(*trained(part, system, watch), part)
        _score(part, system.name, taught, tested, heads)


def score_controls(part: Part, heads: Sequence[str] = (), watch: Watch | None = None) -> None:
    """How far class frequencies and untrained networks come, through the same classifier."""
    del watch  # nothing is trained
    cells = part.cells()
    truth = part.music.genre[part.split.test]
    counts = np.bincount(part.music.genre[part.taught], minlength=len(part.music.classes))
    cells.put(PRIOR, {"scores": scores_of(truth, np.tile(counts / counts.sum(), (len(truth), 1)))})
    if not lacking(part, UNTRAINED, heads) and not lacking(part, UNTRAINED_WIDE, heads):
        return
    clips = part.clips()
    # the first of them is the genre's network as it begins
    found = [features_of(untrained(part, clips, draw), clips, part) for draw in range(WIDE)]
    for name, some in ((UNTRAINED, found[:1]), (UNTRAINED_WIDE, found)):
        taught, tested = (
            (np.concatenate([one[side][0] for one in some], axis=1), some[0][side][1])
            for side in (0, 1)
        )
        _score(part, name, taught, tested, heads)


def score_encoder(part: Part, name: str, X: Table, watch: Watch | None = None) -> None:
    """An SVM on an encoder's features of all tracks, settings from inner folds."""
    del watch  # seconds
    if encoder_lacking(part, name, X):
        row = with_head(name, ENCODER_HEAD)
        _score_head(part, row, X[part.taught], X[part.split.test], ENCODER_HEAD, of=_digest(X))


def encoder_lacking(part: Part, name: str, X: Table) -> bool:
    """Whether there is no score of these very features: a name may have come to mean others."""
    found = part.cells().get(with_head(name, ENCODER_HEAD))
    return found is None or found.get("features") != _digest(X)


def _digest(X: Table) -> str:
    return arrays_digest({}, [X])


def lacking(part: Part, name: str, heads: Sequence[str] = (), *, mlp: bool = True) -> bool:
    """Whether a score of these features is not there yet."""
    cells = part.cells()
    names = [name] * mlp + [with_head(name, head) for head in heads]
    return any(cells.get(one) is None for one in names)


def _score(part: Part, name: str, taught: Segments, tested: Segments, heads: Sequence[str]) -> None:
    if lacking(part, name):
        scale, music = part.scale, part.music
        model = SegmentMLP(
            epochs=scale.mlp_epochs,
            batch=scale.mlp_batch,
            learning_rate=LEARNING_RATE,
            seed=derive(part.split.seed, "kim2018", "transfer"),
            device=part.device,
        ).fit(*taught, music.genre[part.taught].tolist())
        likely = np.zeros((len(part.split.test), len(music.classes)))
        likely[:, model.classes_] = model.predict_proba(*tested)
        part.cells().put(name, {"scores": scores_of(music.genre[part.split.test], likely)})
    for head in heads:
        if lacking(part, name, [head], mlp=False):
            _score_head(part, with_head(name, head), _means(taught), _means(tested), head)


def _means(segments: Segments) -> Table:
    """Features (tracks, dim) averaged over each track's segments."""
    features, whose = segments
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    sums = np.add.reduceat(features.astype(np.float64), starts, axis=0)
    means: Table = sums / np.bincount(whose)[:, None]
    return means


def _score_head(
    part: Part, name: str, X: Table, Z: Table, head: str, *, of: str | None = None
) -> None:
    music, groups = part.music, groups_of(part.music, part.split.kind)
    fitted = fit_head(
        X,
        music.genre[part.taught],
        None if groups is None else groups[part.taught],
        "classification",
        head,
        seed=derive(part.split.seed, "kim2018", "head"),
    )
    truth = music.genre[part.split.test]
    if head == "logistic":
        likely = np.zeros((len(truth), len(music.classes)))
        likely[:, fitted.estimator.classes_] = fitted.estimator.predict_proba(Z)
        scores = scores_of(truth, likely)
    else:
        scores = label_scores(truth, fitted.estimator.predict(Z))
    part.cells().put(name, {"scores": scores, "features": of})
