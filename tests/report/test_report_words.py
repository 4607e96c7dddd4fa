"""The sentences must follow the numbers and claim no more than was shown."""

from dataclasses import replace

import pytest
from synthetic_results import CHANCE, make_result, without_numbers

from segue.report.words import introduction, protocol, verdict


def said(result):
    return " ".join(verdict(result)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_winner_its_numbers_and_its_lead(classification):
    text = said(classification)
    assert text.startswith(
        "choi2017-msd@12345 scores best: accuracy 0.690 ± 0.015 (95 % interval 0.660 to 0.720)."
    )
    assert "Chance is 0.250" in text
    assert (
        "choi2017-msd@12345 is ahead of mfcc by 0.090 "
        "(p = .003, after Holm's correction for 3 pairs)." in text
    )
    assert "could not" not in text


def test_another_winner_changes_the_sentence():
    text = said(make_result(means=(0.75, 0.69, 0.55)))
    assert text.startswith("mfcc scores best: accuracy 0.750")
    assert "mfcc is ahead of choi2017-msd@12345 by 0.060" in text


def test_no_difference_is_said_as_not_shown():
    text = said(make_result(p_holm=0.4))
    assert (
        "No difference between choi2017-msd@12345 and mfcc could be shown (0.090, p = .400" in text
    )
    assert "Nor could one be shown between choi2017-msd@12345 and random-convnet@12345." in text
    assert "ahead" not in text


@pytest.mark.parametrize(("p", "ahead"), [(0.0499, True), (0.05, False), (float("nan"), False)])
def test_the_threshold_is_below_five_percent(p, ahead):
    assert ("is ahead of" in said(make_result(p_holm=p))) is ahead


def test_an_untestable_difference_is_said_so():
    text = said(make_result(p_holm=float("nan")))
    assert "between choi2017-msd@12345 and mfcc could not be tested" in text
    assert "between choi2017-msd@12345 and random-convnet@12345 could not be tested" in text
    assert "could be shown" not in text


def test_only_pairs_that_were_tested_count_in_the_correction():
    result = make_result(p_holm=0.4)
    first, *others = result.tests
    mixed = replace(result, tests=(first, *(replace(one, p_holm=float("nan")) for one in others)))
    assert "Holm's correction for" not in said(mixed)


def test_an_interval_that_includes_chance():
    text = said(make_result(means=(0.24, 0.26, 0.1)))
    assert "That interval includes chance, 0.250" in text
    assert "better than chance could not be shown" in text
    assert "Not shown to be better than chance: mfcc and random-convnet@12345." in text


def test_worse_than_chance():
    assert "That is worse than chance, 0.250" in said(make_result(means=(0.05, 0.1, 0.0)))


def test_a_missing_interval_claims_nothing(classification):
    nan = float("nan")
    rows = tuple(replace(row, low=nan, high=nan) for row in classification.rows)
    text = said(replace(classification, rows=rows))
    assert "without an interval nothing can be said" in text
    assert "95 %" not in text


def test_an_error_metric_turns_better_round(regression):
    rows = tuple(replace(row, metric="rmse") for row in regression.rows)
    tests = tuple(replace(test, metric="rmse") for test in regression.tests)
    text = said(replace(regression, rows=rows, tests=tests))
    assert text.startswith("random-convnet@12345 scores best: RMSE 0.100")
    assert "random-convnet@12345 is ahead of mfcc by 0.100" in text
    assert CHANCE["r2"] < 0.1 - 0.03  # so the best error is worse than chance
    assert "That is worse than chance" in text


def test_a_tie_names_both():
    text = said(make_result(means=(0.6, 0.6, 0.5), p_holm=1.0))
    assert text.startswith("mfcc and choi2017-msd@12345 share the best score")


def test_one_encoder_and_none(classification):
    only = make_result(encoders=(("mfcc", ""),), means=(0.6,))
    assert said(only).startswith("mfcc reaches accuracy 0.600")
    assert said(without_numbers(classification)) == "No encoder could be scored on genre."
    assert said(replace(classification, rows=(), encoders=(), tests=())).startswith("No encoder")


def test_protocol_warns_when_clips_were_not_grouped(classification):
    assert "All clips of one artist (60 in all)" in protocol(classification)
    assert "scores may then be too high" in protocol(replace(classification, group=""))


def test_introduction_names_encoders_and_targets(results):
    text = introduction(results)[0]
    assert "choi2017-msd@12345, mfcc and random-convnet@12345 on genre, mood and valence" in text
    assert "chance" not in text
