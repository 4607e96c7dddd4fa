"""Labels that one encoder needs to match another: read off curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import blobs

from segue.evaluation.label_curves import LabelCurves, label_curves
from segue.evaluation.label_equivalence import (
    ahead,
    label_differences,
    label_equivalences,
    labels_needed,
    monotone,
)


@pytest.fixture(scope="module")
def curves() -> LabelCurves:
    """One encoder as it is, one with noise upon it, one that knows nothing."""
    X, y, groups = blobs(180, d=4, gap=1.0)
    rng = np.random.default_rng(0)
    features = {
        "noisy": X + 1.0 * rng.standard_normal(X.shape),
        "clean": X,
        "noise": rng.standard_normal(X.shape),
    }
    return label_curves(features, y, groups, sizes=[1, 2, 5, 10, 20, None], repeats=6)


def test_labels_are_interpolated_in_their_logarithm() -> None:
    labels = np.array([1.0, 10.0, 100.0])
    curve = np.array([[0.2, 0.4, 0.5], [0.4, 0.4, 0.4]])
    wanted = np.array([[0.1, 0.2, 0.3, 0.45, 0.5, 0.51], [0.4, 0.5, 0.1, 0.4, 0.4, 0.4]])
    found = labels_needed(curve, labels, wanted)
    assert found[0] == pytest.approx([1, 1, 10**0.5, 10**1.5, 100, np.inf])
    assert found[1] == pytest.approx([1, np.inf, 1, 1, 1, 1])


def test_a_curve_shifted_in_labels_needs_as_many_times_more() -> None:
    """The curve of the second is that of the first with four times the labels."""
    labels = 2.0 ** np.arange(9)
    first = np.log(labels) / 10
    second = (np.log(labels) - np.log(4)) / 10
    found = labels_needed(second[None], labels, first[None])[0]
    assert found[:7] == pytest.approx(4 * labels[:7])
    assert np.isinf(found[7:]).all()


def test_monotone_curves_are_the_nearest_that_do_not_fall() -> None:
    assert monotone(np.array([0.3, 0.1, 0.5])).tolist() == pytest.approx([0.2, 0.2, 0.5])
    rising = np.array([0.1, 0.2, 0.2, 0.4])
    assert (monotone(rising) == rising).all()


def test_differences_are_paired(curves: LabelCurves) -> None:
    """On the same draws and groups, so narrower than from two intervals apart."""
    found = {(one.first, one.second, one.size): one for one in label_differences(curves)}
    assert len(found) == 3 * 6
    for at, size in enumerate(curves.sizes):
        one = found["noisy", "clean", size]
        mean = curves.main.mean[:, at]
        assert one.difference == pytest.approx(mean[0] - mean[1])
        half = (curves.main.high - curves.main.low)[:, at] / 2
        assert (one.high - one.low) / 2 < np.hypot(*half[:2])
        assert one.low < one.difference < one.high
    assert found["noisy", "clean", None].high < 0
    twins = label_curves({"a": np.eye(24), "b": np.eye(24)}, [0, 1] * 12, None, sizes=[2])
    only = label_differences(twins)[0]
    assert (only.low, only.difference, only.high) == (0, 0, 0)


def test_the_worse_encoder_needs_more_labels_and_the_better_fewer(curves: LabelCurves) -> None:
    found = {(one.encoder, one.reference, one.size): one for one in label_equivalences(curves)}
    for at, size in enumerate(curves.sizes):
        asked = float(curves.per[at])
        more, fewer = found["noisy", "clean", size], found["clean", "noisy", size]
        assert more.labels > asked * 1.2 or size == 1
        assert fewer.labels <= asked
        for one in (more, fewer):
            assert one.low <= one.labels <= one.high
    hopeless = found["noise", "clean", 20]
    assert (hopeless.labels, hopeless.low) == (np.inf, np.inf)
    assert list(ahead(curves)) == [("clean", "noisy"), ("clean", "noise"), ("noisy", "noise")]


def test_without_groups_enough_there_is_a_number_and_no_interval() -> None:
    X, y, _ = blobs(40, classes=2)
    features = {"a": X, "b": X[:, :1]}
    few = label_curves(features, y, np.arange(40) // 8, sizes=[2, None], repeats=2, n_folds=2)
    assert all(np.isnan(one.low) and np.isnan(one.high) for one in label_equivalences(few))
    assert all(np.isnan(one.low) and one.difference >= -1 for one in label_differences(few))
