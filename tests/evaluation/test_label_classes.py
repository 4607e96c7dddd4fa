"""Recall and F1 by class, and the class that would profit most from more labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from segue.evaluation.folds import Folds
from segue.evaluation.label_classes import ClassScores, Profit, class_profit, class_scores
from segue.evaluation.label_curves import label_curves
from segue.evaluation.label_replicates import Resampling


def test_scores_are_those_of_scikit_learn_where_there_is_one_draw() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    drawn = Resampling.of(np.arange(60), 3, 1, replicates=50, seed=0)
    args = truth, said[None, None], Folds(np.arange(60) % 3), drawn, 3
    found = class_scores(*args, intervals=True)
    assert found.recall[0] == pytest.approx(recall_score(truth, said, average=None))
    assert found.f1[0] == pytest.approx(f1_score(truth, said, average=None))
    assert (found.recall_low <= found.recall).all()
    assert (found.recall_high >= found.recall).all()
    assert np.isnan(class_scores(*args, intervals=False).f1_low).all()


def test_counts_are_averaged_over_draws() -> None:
    """One draw right and one wrong: half the recall, in every fold."""
    truth = np.tile([0, 1], 30)
    drawn = Resampling.of(np.arange(60), 2, 2, replicates=200, seed=0)
    said = np.stack([[truth, 1 - truth]])
    found = class_scores(truth, said, Folds(np.arange(60) // 30), drawn, 2, intervals=True)
    assert found.recall.tolist() == [[0.5, 0.5]]
    assert (found.recall_high - found.recall_low > 0.5).all()  # two draws tell next to nothing


def gains(after: list[float], spread: float = 0.01, *, intervals: bool = True) -> Profit:
    """Profit of classes whose F1 rose from .5 at size 5 to ``after`` at all."""
    rng = np.random.default_rng(0)
    f1 = np.array([[0.5] * len(after), [0.5] * len(after), after])
    moved = spread * rng.standard_normal((500, *f1.shape))
    scores = ClassScores(f1, f1, f1, f1, f1, f1, moved)
    clips = np.array([[5], [20], [40]]) * np.ones(len(after))
    labels = [f"c{one}" for one in range(len(after))]
    found = class_profit("x", labels, (5, 20, None), clips, scores, 60, intervals=intervals)
    assert found is not None
    return found


def test_the_class_that_gains_most_is_named_only_if_it_can_be_told_from_the_others() -> None:
    clear = gains([0.6, 0.9, 0.5])
    assert [one.label for one in clear.gains] == ["c1", "c0", "c2"]
    assert (clear.before, clear.after) == (20, None)  # half of 40 labels
    assert (clear.grew, clear.apart) == (True, ("c1",))
    assert clear.gains[0].gain == pytest.approx(0.4)
    assert clear.gains[0].low < 0.4 < clear.gains[0].high
    close = gains([0.6, 0.61, 0.4])
    assert (close.grew, close.apart) == (True, ("c1", "c0"))
    flat = gains([0.5, 0.501, 0.5])
    assert not flat.grew
    assert set(flat.apart) == {"c0", "c1", "c2"}


def test_nothing_is_told_without_intervals_and_nothing_gained_with_one_size() -> None:
    unsure = gains([0.6, 0.9, 0.5], intervals=False)
    assert not unsure.grew
    assert len(unsure.apart) == 3
    assert np.isnan(unsure.gains[0].low)
    scores = ClassScores(*[np.ones((1, 2))] * 6, np.zeros((5, 1, 2)))
    assert class_profit("x", "ab", (5,), np.ones((1, 2)), scores, 60, intervals=True) is None


def test_a_class_of_two_kinds_profits_more_than_the_easy_one() -> None:
    """Two classes that one clip shows at once; a third lies between two places, and needs more."""
    rng = np.random.default_rng(0)
    y = np.arange(360) % 3
    place = np.array([[-6.0, 0, 0, 0], [6, 0, 0, 0], [0, 0, 0, 0]])[y]
    hard = y == 2
    place[hard] = np.eye(4)[rng.integers(1, 4, hard.sum())] * 6
    X = place + 1.2 * rng.standard_normal(place.shape)
    names = np.array(["left", "right", "scattered"])[y]
    found = label_curves({"x": X}, names, None, sizes=[1, 3], repeats=10)
    profit = class_profit(
        "x", found.labels, found.sizes, found.class_clips, found.classes["x"], found.n_groups,
        intervals=True,
    )  # fmt: skip
    assert profit is not None
    assert profit.gains[0].label == "scattered"
    assert profit.grew
