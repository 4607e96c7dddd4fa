from __future__ import annotations

import numpy as np
import pytest

from segue.evaluation.calibration import reliability_bins
from segue.evaluation.selective import acceptance_curve, accepted
from segue.report.reliability_plot import reliability_plot


@pytest.fixture(name="answers")
def sure_and_right():
    rng = np.random.default_rng(0)
    sure = rng.beta(4, 2, 400)
    return sure, rng.random(400) < sure


def test_the_words_tell_what_the_picture_shows(answers) -> None:
    sure, right = answers
    after = reliability_bins(sure, right)
    chosen = accepted(sure, right, 0.8)
    figure = reliability_plot(
        reliability_bins(np.sqrt(sure), right),
        after,
        target="genre",
        curve=acceptance_curve(sure, right),
        chosen=chosen,
        name="reliability",
    )
    distance = sum(one.n * abs(one.said - one.found) for one in after) / 400
    assert f"{distance:.3f} after calibration" in figure.alt
    assert f"{chosen.coverage:.3f} of the clips get a label" in figure.alt
    assert "Right: share of right labels" in figure.caption
    assert figure.size[0] == 1200


def test_one_panel_without_a_curve_and_odd_names(answers) -> None:
    bins = reliability_bins(*answers)
    figure = reliability_plot(bins, bins, target="a$b$\n\u0378", said_of="a tag")
    assert figure.caption.startswith("Share found against probability said, of a tag")
    assert figure.size[0] < 1000


def test_the_same_numbers_give_the_same_picture_and_others_another(answers) -> None:
    sure, right = answers
    one, other = reliability_bins(sure, right), reliability_bins(sure, ~right)
    assert reliability_plot(one, one, target="x").png == reliability_plot(one, one, target="x").png
    assert (
        reliability_plot(one, one, target="x").png != reliability_plot(one, other, target="x").png
    )


def test_a_threshold_that_nothing_passes_and_a_handful_of_clips_can_be_drawn() -> None:
    sure, right = np.array([0.3, 0.4, 0.9]), np.array([True, False, True])
    bins = reliability_bins(sure, right, bins=1)
    figure = reliability_plot(
        bins,
        bins,
        target="x",
        curve=acceptance_curve(sure, right),
        chosen=accepted(sure, right, 1.0),
    )
    assert "With the threshold in use no clip gets a label" in figure.alt
