from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as golden

from segue.errors import UsageError
from segue.evaluation.folds import given_folds
from segue.evaluation.per_label import ClassScores, TagScores, label_scores
from segue.evaluation.result_notes import undefined_notes
from segue.evaluation.targets import EncodedTarget

CLASSES = ("blues", "jazz", "polka", "rock")


def test_classes_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = np.array(["blues", "jazz", "rock"])[rng.integers(0, 3, 90)]
    said = np.where(rng.random(90) < 0.6, truth, "jazz")
    rows = label_scores(truth, said, np.arange(90) % 5, CLASSES, "classification")
    expected = golden.precision_recall_fscore_support(
        truth, said, labels=CLASSES, zero_division=np.nan
    )
    ours = [(row.precision, row.recall, row.f1, row.support) for row in rows]
    np.testing.assert_allclose(np.transpose(expected)[[0, 1, 3]], np.array(ours)[[0, 1, 3]])
    assert [row.label for row in rows] == list(CLASSES)


def test_a_class_without_clips_stays_a_row_and_counts_the_folds_it_is_in() -> None:
    truth, said = np.array(["jazz", "jazz", "rock", "rock"]), np.array(["jazz"] * 4)
    rows = label_scores(truth, said, [0, 0, 0, 1], CLASSES, "classification")
    polka, rock = rows[2], rows[3]
    assert isinstance(polka, ClassScores)
    assert (polka.support, polka.predicted, polka.folds) == (0, 0, 0)
    assert np.isnan([polka.precision, polka.recall, polka.f1]).all()
    assert isinstance(rock, ClassScores)
    assert (rock.support, rock.folds, rock.recall, rock.f1) == (2, 2, 0, 0)
    assert np.isnan(rock.precision)


def test_tags_are_means_over_the_folds_that_define_them() -> None:
    rng = np.random.default_rng(1)
    folds = np.arange(60) % 3
    truth = (rng.random((60, 3)) < 0.4).astype(int)
    truth[folds == 0, 1] = 0  # undefined in one fold
    truth[:, 2] = 1  # and in all
    scores = truth + rng.normal(size=truth.shape)
    scores[folds == 1] *= 100  # only the order within a fold counts
    rows = label_scores(truth, scores, folds, ("a", "b", "c"), "tagging")
    assert all(isinstance(row, TagScores) for row in rows)
    for tag, defined in ((0, [0, 1, 2]), (1, [1, 2])):
        parts = [(truth[folds == f, tag], scores[folds == f, tag]) for f in defined]
        assert rows[tag].folds == len(defined)
        assert rows[tag].roc_auc == pytest.approx(
            np.mean([golden.roc_auc_score(t, s) for t, s in parts])
        )
        assert rows[tag].average_precision == pytest.approx(
            np.mean([golden.average_precision_score(t, s) for t, s in parts])
        )
    assert (rows[2].folds, rows[2].positives, rows[2].share) == (0, 60, 1)
    assert np.isnan([rows[2].roc_auc, rows[2].average_precision]).all()
    assert [row.positives for row in rows] == truth.sum(axis=0).tolist()
    json.dumps([row.as_dict() for row in rows])


def test_undefined_tags_are_listed_all_by_name() -> None:
    names = tuple(f"tag {number}" for number in range(30))
    y = np.zeros((12, 30), dtype=int)
    y[::2, 0] = 1  # defined everywhere
    y[0, 1] = 1  # defined in one fold
    folds = given_folds(np.arange(12) // 4, None, 12)
    first, second = undefined_notes(EncodedTarget("tagging", y, names), folds)
    assert "28.7 of 30 per fold" in first
    assert second.startswith("28 of 30 tags undefined in every fold")
    assert [name for name in names if repr(name) in second] == list(names[2:])


def test_constant_folds_undefine_r2_and_ccc_but_not_rmse() -> None:
    y = np.array([1.0, 1.0, 2.0, 3.0])
    notes = undefined_notes(EncodedTarget("regression", y, ()), given_folds([0, 0, 1, 1], None, 4))
    assert notes == ["R2 and CCC undefined in 1 folds (constant truth); left out, RMSE is not"]


def test_what_has_no_labels_or_lengths_that_differ_raise() -> None:
    with pytest.raises(UsageError, match="classes or tags"):
        label_scores([1.0], [1.0], [0], (), "regression")
    with pytest.raises(UsageError, match="2 clips and 1 folds"):
        label_scores(["a", "b"], ["a", "b"], [0], ("a", "b"), "classification")
    with pytest.raises(UsageError, match="polka"):
        label_scores(["a", "polka"], ["a", "a"], [0, 0], ("a", "b"), "classification")
