from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic import MAKERS, blobs, line, tags

from segue.errors import UsageError
from segue.evaluation.compare import FeatureSet, evaluate_target
from segue.evaluation.folds import given_folds, outer_folds
from segue.evaluation.metrics import METRICS
from segue.evaluation.rows import TargetResult
from segue.evaluation.runs import baseline_runs, result_of
from segue.evaluation.splits import Dealing
from segue.evaluation.targets import encode_target

ROW_KEYS = ["encoder", "layers", "head", "target", "metric", "mean", "se", "low", "high", "n"]


def as_given(task: str, y):
    """A target as a manifest gives it: tags as collections."""
    if task != "tagging":
        return list(y)
    return [tuple(f"tag {column}" for column in np.flatnonzero(row)) for row in y]


def run(task: str, **options) -> TargetResult:
    X, y, groups = MAKERS[task](120)
    blind = np.random.default_rng(9).normal(size=X.shape).astype(np.float32)
    features = {
        "good@12": FeatureSet("good", "12", X.astype(np.float32)),
        "blind": FeatureSet("blind", "", blind),
    }
    defaults = {"heads": ["ridge"], "n_folds": 4, "inner": 3, "draws": 100}
    return evaluate_target(
        features,
        as_given(task, y),
        groups,
        target="mood",
        task=task,
        group_name="artist",
        **(defaults | options),
    )


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_a_whole_result(task: str) -> None:
    result = run(task)
    assert [list(row.as_dict()) for row in result.rows] == [ROW_KEYS] * len(result.rows)
    json.dumps([row.as_dict() for row in result.rows])
    baselines = ("chance", "majority") if task == "classification" else ("chance",)
    expected = [(e, m) for e in ("good", "blind", "auto", *baselines) for m in METRICS[task]]
    assert [(row.encoder, row.metric) for row in result.rows] == expected
    for row in result.rows:
        assert row.low - 1e-9 <= row.high
        assert (row.n, row.target) == (120, "mood")
    best = {row.encoder: row.mean for row in result.rows if row.metric == METRICS[task][0]}
    assert best["good"] > best["blind"] + 0.2
    assert best["good"] > best["chance"] + 0.2
    assert best["blind"] == pytest.approx(best["chance"], abs=0.15)
    assert (result.n, result.n_groups) == (120, len(np.unique(MAKERS[task](120)[2])))
    first = result.encoders[0]
    assert (first.label, len(first.settings), first.inner_scores.shape) == ("good@12", 4, (4,))
    assert all(one.predictions.shape == result.truth.shape for one in result.encoders)
    pairs = [(test.first, test.second, test.metric, test.head) for test in result.tests]
    assert pairs == [("good@12", "blind", metric, "ridge") for metric in METRICS[task]]
    assert result.tests[0].p_value <= result.tests[0].p_holm < 0.05
    assert result.tests[0].difference > 0.2


def test_chance_rows_are_marked() -> None:
    result = run("tagging")
    chance = [row for row in result.rows if row.encoder == "chance"]
    assert {(row.head, row.layers) for row in chance} == {("prior", "")}
    auc = chance[0]
    assert (auc.mean, auc.se, auc.low, auc.high) == pytest.approx((0.5, 0, 0.5, 0.5))


def test_confusion_counts_every_clip_in_label_order() -> None:
    result = run("classification")
    assert result.labels == ("class 0", "class 1", "class 2")
    for one in result.encoders:
        assert one.confusion is not None
        assert one.confusion.sum() == 120
        right = np.mean(one.predictions == result.truth)
        assert np.trace(one.confusion) / 120 == pytest.approx(right)


def test_several_heads_and_progress_over_all() -> None:
    seen: list[tuple[int, int]] = []
    result = run("classification", heads=["ridge", "knn"], progress=lambda *at: seen.append(at))
    assert seen == [(at, 16) for at in range(2, 17, 2)]  # both heads of a fold at once
    heads = [one.head for one in result.encoders]
    assert heads == ["ridge"] * 2 + ["knn"] * 2 + ["auto"] * 3 + ["prior", "constant"]
    assert {test.head for test in result.tests} == {"ridge", "knn", "auto"}


def test_layers_to_choose_are_chosen_per_outer_fold() -> None:
    X, y, groups = blobs(60)
    noise = np.random.default_rng(0).normal(size=(60, 3))
    features = {
        "net": FeatureSet("net", "auto", np.hstack([noise, X]), (("1", 3), ("2", 6))),
        "good": FeatureSet("good", "", X),
    }
    seen: list[tuple[int, int]] = []
    result = evaluate_target(
        features,
        y,
        groups,
        target="genre",
        task="classification",
        group_name="artist",
        heads=["ridge"],
        n_folds=3,
        draws=50,
        progress=lambda *at: seen.append(at),
    )
    assert seen[-1] == (12, 12)  # three sets and one, three folds
    auto = result.encoders[0]
    assert auto.label == "net@auto"
    assert all(one["layers"] in ("2", "12") for one in auto.settings)
    assert any("layers chosen among 3 sets" in note for note in result.notes)
    assert (result.tests[0].first, result.tests[0].second) == ("net@auto", "good")


def test_default_head_of_the_task() -> None:
    assert run("tagging", heads=None).encoders[0].head == "logistic"


def test_given_folds_are_obeyed() -> None:
    _, _, groups = blobs(120)
    folds = groups // 10
    result = run("classification", folds=folds)
    np.testing.assert_array_equal(result.folds, folds)
    with pytest.raises(UsageError, match="every group within one fold"):
        run("classification", folds=np.arange(120) % 3)


def test_identical_encoders_do_not_differ() -> None:
    X, y, groups = blobs(60)
    features = {name: FeatureSet(name, "", X) for name in ("a", "b", "c")}
    result = evaluate_target(
        features,
        y,
        groups,
        target="genre",
        task="classification",
        group_name="",
        heads=["linear"],
        n_folds=3,
        draws=50,
    )
    assert [test.p_holm for test in result.tests] == [1.0] * 6


def test_what_cannot_be_estimated_is_nan_and_noted() -> None:
    """Five groups in five folds, and an encoder that is right once more in every one of them."""
    rng = np.random.default_rng(0)
    folds = np.arange(60) // 12
    y = np.array(["a", "b"] * 30)
    known = np.where(y == "a", -1.0, 1.0)
    wrong = np.where(np.arange(60) % 12 == 0, -known, known)
    features = {
        name: FeatureSet(name, "", np.column_stack([x, 1e-6 * rng.normal(size=60)]))
        for name, x in (("good", known), ("worse", wrong))
    }
    result = evaluate_target(
        features,
        y,
        folds,
        target="genre",
        task="classification",
        group_name="artist",
        heads=["ridge"],
        folds=folds,
        inner=2,
    )
    assert [row.mean for row in result.rows if row.metric == "accuracy"][:2] == [1, 11 / 12]
    assert np.isnan([(row.low, row.high) for row in result.rows]).all()
    assert np.isnan([(test.p_value, test.p_holm) for test in result.tests]).all()
    assert sum("5 groups are too few" in note for note in result.notes) == 1
    assert any("no test of good against worse (ridge, accuracy)" in note for note in result.notes)


def test_dropped_and_undefined_tags_are_noted() -> None:
    X, Y, groups = tags(120)
    given = as_given("tagging", Y)
    for clip in (0, 30, 60, 90, 110):
        given[clip] = (*given[clip], "rare")
    given[5] = (*given[5], "rarest")
    result = evaluate_target(
        {"x": FeatureSet("x", "", X)},
        given,
        groups,
        target="mood",
        task="tagging",
        group_name="artist",
        heads=["ridge"],
        n_folds=8,
        inner=2,
        draws=50,
    )
    assert "rare" in result.labels
    assert "rarest" not in result.labels
    assert any("'rarest'" in note for note in result.notes)
    assert any("left out of its mean" in note for note in result.notes)
    assert all(np.isfinite(row.mean) for row in result.rows)


def test_constant_folds_of_a_regression_are_noted() -> None:
    X, y, _ = line(60)
    folds = np.arange(60) % 3
    y = y.copy()
    y[folds == 0] = 0.5
    result = evaluate_target(
        {"x": FeatureSet("x", "", X)},
        y,
        None,
        target="arousal",
        task="regression",
        group_name="",
        folds=folds,
        draws=50,
    )
    assert any("R2 and CCC undefined in 1 folds" in note for note in result.notes)
    assert np.isnan(result.encoders[0].fold_scores["r2"][0])


def test_majority_of_balanced_classes_is_their_share() -> None:
    """Not less: the training part's majority is the test part's minority in balanced data."""
    encoded = encode_target(["a", "b", "c"] * 8, None, "classification")
    dealing = Dealing((outer_folds(encoded.y, None, "classification", n_folds=4),), ())
    majority = result_of(baseline_runs(encoded, dealing)[1], encoded, dealing)
    assert majority.fold_scores["accuracy"].mean() == pytest.approx(1 / 3)


def test_chance_draws_classes_as_often_as_training_has_them() -> None:
    labels = ["a"] * 90 + ["b"] * 10
    encoded = encode_target(labels, None, "classification")
    dealing = Dealing((outer_folds(encoded.y, None, "classification", n_folds=5),), ())
    chance, majority = (result_of(run, encoded, dealing) for run in baseline_runs(encoded, dealing))
    assert chance.fold_scores["accuracy"].mean() == pytest.approx(0.9**2 + 0.1**2, abs=0.02)
    assert majority.fold_scores["accuracy"].mean() == pytest.approx(0.9)


def test_chance_of_a_regression_is_the_training_mean() -> None:
    encoded = encode_target([1.0, 3.0, 5.0, 9.0], None, "regression")
    dealing = Dealing((given_folds([0, 0, 1, 1], None, 4),), ())
    (chance,) = (result_of(run, encoded, dealing) for run in baseline_runs(encoded, dealing))
    assert chance.predictions.tolist() == [7.0, 7.0, 2.0, 2.0]


def test_the_head_and_the_encoder_are_chosen_by_inner_scores() -> None:
    result = run("classification", heads=["ridge", "knn"])
    by = {(one.label, one.head): one for one in result.encoders}
    own = [by["good@12", "ridge"], by["good@12", "knn"]]
    chosen = by["good@12", "auto"]
    for fold, settings in enumerate(chosen.settings):
        better = own[int(own[1].inner_scores[fold] > own[0].inner_scores[fold])]
        assert settings == {"head": better.head, **better.settings[fold]}
        held = result.folds == fold
        assert (chosen.predictions[held] == better.predictions[held]).all()
    overall = by["auto", "auto"]
    assert {one["encoder"] for one in overall.settings} == {"good@12"}
    np.testing.assert_array_equal(overall.predictions, chosen.predictions)
    compared = {(test.first, test.second, test.head) for test in result.tests}
    assert compared == {("good@12", "blind", head) for head in ("ridge", "knn", "auto")}


def test_a_choice_among_noise_is_no_better_than_noise() -> None:
    """What the inner folds promise is biased; what the outer folds give is not."""
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[rng.integers(0, 2, 80)]
    noise = {f"n{k}": FeatureSet(f"n{k}", "", rng.normal(size=(80, 4))) for k in range(12)}
    result = evaluate_target(noise, y, None, target="t", task="classification", group_name="",
                             heads=["ridge"], n_folds=5, inner=3, repeats=2, draws=50)  # fmt: skip
    overall = next(one for one in result.encoders if one.name == "auto")
    best = max(one.fold_scores["accuracy"].mean() for one in result.encoders if one.name[0] == "n")
    assert overall.fold_scores["accuracy"].mean() < 0.62
    assert overall.inner_scores.mean() > overall.fold_scores["accuracy"].mean() + 0.03
    assert best >= overall.fold_scores["accuracy"].mean()


def test_repeats_deal_again_and_share_the_first() -> None:
    once, twice = run("classification"), run("classification", repeats=2)
    assert [one.name for one in twice.splits] == [
        "4 folds, artist-disjoint, seed 0", "4 folds, artist-disjoint, seed 0, repeat 2"
    ]  # fmt: skip
    assert twice.splits[0] == once.splits[0]
    assert twice.splits[0].digest != twice.splits[1].digest
    for first, both in zip(once.encoders, twice.encoders, strict=True):
        if first.name != "chance":  # random guesses are drawn for all repeats together
            scores = both.fold_scores["accuracy"]
            assert scores.shape == (8,)
            np.testing.assert_array_equal(scores[:4], first.fold_scores["accuracy"])
            np.testing.assert_array_equal(both.predictions, first.predictions)
    row = twice.rows[0]
    spread = twice.encoders[0].fold_scores["accuracy"].std(ddof=1)
    assert row.se == pytest.approx(spread / np.sqrt(4))  # not of 8: the clips are the same
    assert twice.costs["good@12"].fits == 2 * once.costs["good@12"].fits


def test_one_split_trains_on_what_is_never_tested() -> None:
    _, _, groups = blobs(120)
    folds = np.where(groups // 3 % 3 == 0, 0, -1)
    result = run("classification", folds=folds, folds_name="the authors' split")
    assert result.n == int((folds == 0).sum())
    assert result.splits[0].name == "the authors' split"
    assert len(result.encoders[0].predictions) == result.n
    row = result.rows[0]
    assert np.isnan(row.se)
    assert row.low < row.mean <= row.high
    assert any("no test of good@12" in note for note in result.notes)


def test_shared_groups_are_an_error_unless_asked_for() -> None:
    torn = np.arange(120) % 3
    with pytest.raises(UsageError, match="--shared-groups"):
        run("classification", folds=torn)
    result = run("classification", folds=torn, shared_groups=True)
    assert any("30 groups with 120 clips stand on both sides" in note for note in result.notes)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ({}, {}, "0 encoders"),
        ({"a": FeatureSet("chance", "", np.ones((60, 2)))}, {}, "none called auto, chance"),
        (dict.fromkeys("ab", FeatureSet("a", "", np.ones((60, 2)))), {}, "different names"),
        ({"a": FeatureSet("a", "", np.ones((59, 2)))}, {}, "features of a: wanted 60 rows"),
        ({"a": FeatureSet("a", "", np.full((60, 2), np.nan))}, {}, "features of a: .*60 of 60"),
        ({"a": FeatureSet("a", "", np.ones((60, 2)))}, {"heads": ["forest"]}, "head among svm"),
        ({"a": FeatureSet("a", "", np.ones((60, 2)))}, {"heads": []}, "0 heads"),
        ({"a": FeatureSet("a", "auto", np.ones((60, 2)))}, {}, "make up all columns"),
        (
            {"a": FeatureSet("a", "auto", np.ones((60, 9)), tuple((c, 1) for c in "123456789"))},
            {},
            "at most 8 layers to choose among, got 9, which make 511 sets",
        ),
        ({"a": FeatureSet("a", "", np.ones((60, 2)))}, {"task": "other"}, "task among"),
    ],
)
def test_requests_that_cannot_be_met(features, options, message) -> None:
    _, y, groups = blobs(60)
    defaults = {"target": "genre", "task": "classification", "group_name": "artist"}
    with pytest.raises(UsageError, match=message):
        evaluate_target(features, y, groups, **(defaults | options))


def test_nearest_clips_are_asked_for() -> None:
    result = run("classification", neighbours=5)
    found = {(row.encoder, row.metric): row for row in result.retrieval}
    assert set(found) == {
        (name, metric)
        for name in ("good", "blind", "chance")
        for metric in ("precision_at_5", "map")
    }
    assert found["good", "map"].mean > found["blind", "map"].mean + 0.1
    assert found["blind", "map"].low < found["chance", "map"].mean < found["blind", "map"].high
    assert not run("regression", neighbours=5).retrieval
    many = run("classification", neighbours=118)
    assert not many.retrieval
    assert any("none has 118" in note for note in many.notes)
