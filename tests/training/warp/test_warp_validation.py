"""Label rankings of held-out clips: scikit-learn's numbers, and what cannot be scored."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sets import MemoryClips, music, network
from sklearn.metrics import label_ranking_average_precision_score

from segue.errors import UsageError
from segue.training.warp import validation
from segue.training.warp.sampling import LabelSet
from segue.training.warp.validation import Holdout, average_precision, validate


@pytest.mark.parametrize("hidden", [0, 3])
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_scores_are_scikit_learn_s(
    hidden: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "AT_ONCE", at_once)
    net = network(6, [3, 9], hidden=hidden)
    net.shift += 0.3
    clips, labels = music(9, most=4)
    found = Holdout("x", clips, labels).ranking(net, 1)
    frames = [net(torch.from_numpy(one)) @ net.labels[1].T for one in clips.all]
    scores = np.stack([one.mean(dim=0).numpy() for one in frames])
    table = np.zeros((len(labels), 9))
    for clip in range(len(labels)):
        table[clip, labels.carried(clip)] = 1
    theirs = label_ranking_average_precision_score(table, scores)
    assert found.average_precision == pytest.approx(theirs, abs=1e-6)
    best = table[np.arange(len(table)), scores.argmax(axis=1)]
    assert found.first == best.mean()
    assert found.clips == len(labels)


def test_average_precision_with_ties_perfect_and_worst() -> None:
    draws = np.random.default_rng(0)
    for _ in range(50):
        scores = draws.integers(4, size=10).astype(float)
        carried = draws.choice(10, draws.integers(1, 10), replace=False)
        table = np.isin(np.arange(10), carried)[None].astype(int)
        theirs = label_ranking_average_precision_score(table, scores[None])
        assert average_precision(scores, carried) == pytest.approx(theirs)
    assert average_precision(np.arange(5.0), np.array([3, 4])) == 1.0
    assert average_precision(np.arange(5.0), np.array([0])) == 0.2
    assert average_precision(np.zeros(5), np.array([2])) == 0.2


def test_the_mean_is_that_of_the_sets_judged() -> None:
    net = network(6, [4, 7, 5])
    first, last = Holdout("a", *music(4)), Holdout("c", *music(5))
    scores = validate(net, [first, None, last])
    assert list(scores) == [
        *("valid_map", "valid_p1"),
        *("valid_map_a", "valid_p1_a", "valid_map_c", "valid_p1_c"),
    ]
    assert scores["valid_map"] == (scores["valid_map_a"] + scores["valid_map_c"]) / 2
    assert scores["valid_map_c"] == last.ranking(net, 2).average_precision
    assert list(validate(net, [first, None, None])) == ["valid_map", "valid_p1"]


def test_frames_are_read_once_where_the_map_is_linear() -> None:
    class Counting(MemoryClips):
        reads = 0

        def frames(self, clip: int) -> np.ndarray:
            self.reads += 1
            return super().frames(clip)

    frames, labels = music(4)
    for hidden, reads in ((0, 1), (3, 2)):
        clips = Counting(frames.all)
        holdout = Holdout("a", clips, labels)
        for _ in range(2):
            validate(network(6, [4], hidden=hidden), [holdout])
        assert clips.reads == reads * len(labels)


def test_clips_that_carry_everything_are_not_scored() -> None:
    clips, _ = music(3, clips=3)
    labels = LabelSet.of([[0, 1, 2], [1], [2, 1, 0]], size=3)
    assert Holdout("a", clips, labels).ranking(network(6, [3]), 0).clips == 1
    with pytest.raises(UsageError, match=r"2 clips that carry all 3"):
        Holdout("a", clips, labels, np.array([0, 2]))
    with pytest.raises(UsageError, match=r"a: .*lack a label.*3 clips that carry all 3"):
        Holdout("a", clips, LabelSet.of([[0, 1, 2]] * 3, size=3))


def test_only_held_out_clips_are_scored() -> None:
    net, (clips, labels) = network(6, [4]), music(4)
    rows = np.array([3, 8, 21])
    part = MemoryClips([clips.all[row] for row in rows])
    carried = LabelSet.of([labels.carried(row).tolist() for row in rows], size=4)
    found = Holdout("a", clips, labels, rows).ranking(net, 0)
    assert found == Holdout("a", part, carried).ranking(net, 0)


def test_scores_that_are_no_numbers_are_none() -> None:
    net = network(6, [4])
    net.labels[0][1] = torch.nan
    assert math.isnan(validate(net, [Holdout("a", *music(4))])["valid_map"])


def test_clips_without_frames_or_labels_are_refused() -> None:
    clips, labels = music(4, clips=5)
    with pytest.raises(UsageError, match="5 clips, 1 without frames"):
        Holdout("a", MemoryClips([*clips.all[:4], clips.all[0][:0]]), labels)
    with pytest.raises(UsageError, match="frames of each of 5 clips, got 4"):
        Holdout("a", MemoryClips(clips.all[:4]), labels)
