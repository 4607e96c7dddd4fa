"""Maps of labels, few-label curves, precision and tags: what is drawn and what is said of it."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.image import imread

from segue.errors import UsageError
from segue.report import label_plots
from segue.report.label_plots import NAMED, class_map, label_heatmap
from segue.report.marks import set_marks
from segue.report.transfer_plots import (
    CurvePoint,
    PrecisionPoint,
    few_label_plot,
    precision_plot,
    tags_bars,
)
from segue.seeds import generator

NAMES = ["jazz", "rock", "Jazz", "a$b", "日本"]
SETS = ["a", "a", "b", "b", "b"]
POINTS = np.array([[0.0, 0.0], [3.0, 1.0], [0.1, 0.0], [-2.0, 1.0], [1.0, -2.0]])


def pixels(png: bytes):
    return imread(io.BytesIO(png))


def test_the_map_says_its_counts_and_its_nearest_pair() -> None:
    figure = class_map(NAMES, SETS, POINTS, stress=0.123)
    assert figure.alt == (
        "Map of 5 labels of 2 data sets: a 2, b 3. Nearest in the picture: jazz (a) and Jazz (b)."
    )
    assert "Stress 0.12" in figure.caption
    assert "had room" not in figure.caption
    assert figure.png == class_map(NAMES, SETS, POINTS, stress=0.123).png
    moved = class_map(NAMES, SETS, POINTS * [1, -1])
    assert moved.png != figure.png


@pytest.mark.parametrize("spread", [1.0, 0.02])
def test_no_name_covers_another_or_a_point(monkeypatch, spread) -> None:
    """52 labels as in the paper, at random and in one crowd: every name is written, none hidden."""
    points = generator(0, "map").standard_normal((52, 2)) * spread
    points[0], points[1] = (10, 10), (-10, -10)  # so that the spread is one of the picture
    placed = []
    real = label_plots._free_place

    def spy(dot, size, taken, *rest):
        place, gap, free = real(dot, size, taken, *rest)
        placed.append((free, label_plots._around(place[None], size)[0]))
        return place, gap, free

    monkeypatch.setattr(label_plots, "_free_place", spy)
    class_map([f"a long label {i}" for i in range(52)], ["s"] * 52, points)
    assert len(placed) == 52
    assert all(free for free, _ in placed)
    boxes = np.stack([box for _, box in placed])
    shared = label_plots._overlaps(boxes, boxes)
    assert (shared[~np.eye(52, dtype=bool)] == 0).all()


def test_equal_points_still_give_a_picture() -> None:
    figure = class_map([f"l{i}" for i in range(60)], ["s"] * 60, np.zeros((60, 2)))
    assert figure.size[0] > 1000


def test_a_crowded_map_says_how_many_are_named() -> None:
    n = NAMED + 120
    points = generator(1, "map").standard_normal((n, 2))
    figure = class_map([f"some longer label {i}" for i in range(n)], ["s"] * n, points)
    named = int(figure.caption.split(f" of {n} labels had room")[0].rsplit(" ", 1)[1])
    assert 20 <= named < n


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (POINTS[:4], "positions \\(5, 2\\).*shape \\(4, 2\\)"),
        (POINTS * np.nan, "NaN or infinity"),
    ],
)
def test_positions_that_do_not_fit_are_refused(points, message) -> None:
    with pytest.raises(UsageError, match=message):
        class_map(NAMES, SETS, points)


def test_the_heat_map_shows_every_pair_once_in_the_order_given() -> None:
    distances = np.array([[0, 1, 5], [1, 0, 4], [5, 4, 0.0]])
    names, sets = ["x", "y", "z"], ["a", "b", "a"]
    figure = label_heatmap(distances, names, sets)
    assert figure.alt.endswith("of 3 labels of 2 data sets, from 1 to 5.")
    turned = label_heatmap(distances, names, sets, order=[2, 1, 0])
    assert turned.png != figure.png
    with pytest.raises(UsageError, match="every row once"):
        label_heatmap(distances, names, sets, order=[0, 0, 1])
    with pytest.raises(UsageError, match=r"distances \(2, 2\)"):
        label_heatmap(distances, names[:2], sets[:2])


@pytest.mark.parametrize("n", [1, 2, 40, 100])
def test_heat_maps_of_few_and_many_labels(n) -> None:
    distances = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(float)
    figure = label_heatmap(distances, [f"a very long label name {i}" for i in range(n)], ["s"] * n)
    assert ("too many" in figure.caption) == (n == 100)
    picture = pixels(figure.png)
    assert (picture[:, 0, :3] == 1).all()  # nothing runs over the left edge
    assert (picture[:, -1, :3] == 1).all()


def curve(*, features="base", counts=(1, 5, None)):
    return [
        CurvePoint(dataset=d, features=features, per_class=n, mean=0.1 * (i + 1), se=0.01)
        for d in ("A", "B")
        for i, n in enumerate(counts)
    ]


def test_few_label_curves_say_every_number() -> None:
    figure = few_label_plot([*curve(), *curve(features="tags", counts=(5, 1))], chance={"A": 0.1})
    assert figure.alt == (
        "Curves of accuracy against examples of each class. "
        "A: base 1 0.100, 5 0.200, all 0.300; tags 5 0.100, 1 0.200. "
        "B: base 1 0.100, 5 0.200, all 0.300; tags 5 0.100, 1 0.200."
    )
    assert "Dashed: chance." in figure.caption
    assert few_label_plot(curve()).png != figure.png
    assert "chance" not in few_label_plot(curve()).caption


@pytest.mark.parametrize("counts", [(None,), (1,), (10, None)])
def test_curves_of_single_points(counts) -> None:
    assert few_label_plot(curve(counts=counts)).size[0] > 1000


def test_precision_says_ours_and_the_papers() -> None:
    points = [
        PrecisionPoint(dataset="G", features="base", mean=0.47, low=0.45, high=0.49, paper=0.48),
        PrecisionPoint(dataset="G", features="tags", mean=0.5),
        PrecisionPoint(dataset="H", features="tags", mean=math.nan),
    ]
    figure = precision_plot(points, k=5, chance={"G": 0.1})
    assert figure.alt == (
        "Dot plot of precision at 5 by L1. G: base 0.470 (paper 0.480), tags 0.500. H: tags n/a."
    )
    for words in ("95 % interval", "Hollow: the paper's.", "random neighbours"):
        assert words in figure.caption
    plain = precision_plot(points[1:2])
    for words in ("interval", "Hollow", "random"):
        assert words not in plain.caption


def test_tags_stand_by_data_set() -> None:
    figure = tags_bars({"G": [("jazz", 2.0), ("a$b", -1.0)], "M": []}, clip="x.mp3")
    assert figure.alt == "Labels of x.mp3. G: jazz 2, a$b -1. M: ."
    assert figure.png != tags_bars({"G": [("jazz", 2.0), ("a$b", 1.0)], "M": []}).png


def test_sets_differ_in_colour_and_shape() -> None:
    looks = list(set_marks(f"set {i}" for i in range(8)).values())
    assert len({look.colour for look in looks}) == len({look.marker for look in looks}) == 8
