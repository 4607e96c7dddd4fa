"""Label curves in words and pictures: what they claim, and what they leave open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segue.evaluation.label_classes import Profit, class_profit
from segue.evaluation.label_curves import LabelCurves, label_curves
from segue.evaluation.label_equivalence import (
    Equivalence,
    LabelDifference,
    label_differences,
    label_equivalences,
)
from segue.report import Section, write_page
from segue.report.content import Figure, Table
from segue.report.curve_page import (
    curve_protocol,
    curve_sections,
    curve_verdict,
    labels_text,
    matching_words,
    profit_words,
)
from segue.report.curve_plots import curve_plot, profit_plot
from segue.report.marks import set_marks

Found = tuple[LabelCurves, list[LabelDifference], list[Equivalence], list[Profit]]


def found(n_groups: int = 60, names: tuple[str, ...] = ("clean", "noisy")) -> Found:
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = 1.5 * np.eye(3, 5)[y] + rng.standard_normal((240, 5))
    features = {names[0]: X, names[1]: X + 1.5 * rng.standard_normal(X.shape)}
    labels = np.array(["jazz", "rock", "$x$"])[y]
    groups = np.arange(240) // 3 * n_groups // 80
    curves = label_curves(
        features, labels, groups, sizes=[1, 5, 20, None], repeats=3, n_folds=3, group="artist"
    )
    profits = [
        class_profit(
            *(name, curves.labels, curves.sizes, curves.class_clips, scores, curves.n_groups),
            intervals=not curves.why_no_interval,
        )
        for name, scores in curves.classes.items()
    ]
    return curves, label_differences(curves), label_equivalences(curves), [*filter(None, profits)]


@pytest.fixture(scope="module")
def whole() -> Found:
    return found()


def pictures(sections: list[Section]) -> list[Figure]:
    return [block for one in sections for block in one.blocks if isinstance(block, Figure)]


def test_the_page_holds_pictures_tables_and_findings(whole: Found, tmp_path) -> None:
    sections = curve_sections(*whole)
    assert [one.name for one in pictures(sections)] == ["curve", "classes"]
    tables = [block for one in sections for block in one.blocks if isinstance(block, Table)]
    assert len(tables) == 3
    assert [row[0] for row in tables[0].rows] == ["clean", "noisy", "chance", "majority"]
    page = write_page(
        tmp_path / "page.html", title="x", summary=curve_verdict(*whole), sections=sections
    )
    text = page.read_text()
    assert "kept apart by artist" in text
    assert "noisy needs" in text
    assert "Nothing was left out" in text


def test_the_verdict_names_the_best_and_how_sure_that_is(whole: Found) -> None:
    words = curve_verdict(*whole)
    assert set(words) == {"score", "labels", "classes"}
    assert words["score"].startswith("With 1 clip a class, clean is best: accuracy 0.")
    assert "With all clips a class, clean is best" in words["score"]
    curves, differences, *rest = whole
    shaky = [replace(one, low=-0.1, high=0.2) for one in differences]
    level = [replace(one, difference=0.0) for one in differences]
    assert "level with noisy" in curve_verdict(curves, level, *rest)["score"]
    assert "which may be chance" in curve_verdict(curves, shaky, *rest)["score"]


def test_labels_are_said_with_what_is_known_of_them(whole: Found) -> None:
    curves = whole[0]
    assert labels_text(curves, 3.456) == "3.5"
    assert labels_text(curves, 34.56) == "35"
    assert labels_text(curves, 1.0) == "1 or fewer"
    assert labels_text(curves, np.inf) == "more than all 53"
    assert labels_text(curves, np.nan) == ""
    pair = {"reference": "clean", "encoder": "noisy"}
    facts = {"score": 0.5, "low": 2.0, "high": np.inf}
    matched = Equivalence(**pair, **facts, size=5, labels=12.3)
    lost = Equivalence(**pair, **facts, size=20, labels=np.inf)
    assert matching_words(curves, [matched, lost], "clean", "noisy") == (
        "noisy needs 12 clips a class (2.0 to more than all 53) to match what clean reaches with "
        "5; with all its labels it does not reach what clean has with 20."
    )
    assert matching_words(curves, [lost], "clean", "noisy") == (
        "With all its labels noisy does not reach what clean has with 20."
    )


def test_a_class_is_named_only_if_it_stands_apart(whole: Found) -> None:
    profit = replace(whole[3][0], grew=True, apart=(whole[3][0].gains[0].label,))
    best = profit.gains[0].label
    assert f"{best} would profit most from more labels" in profit_words(profit, "clips a class")
    tied = replace(profit, apart=(best, "rock"))
    assert "cannot be told from that of rock" in profit_words(tied, "clips a class")
    flat = replace(profit, grew=False)
    assert "no class can be told to profit" in profit_words(flat, "clips a class")


def test_pictures_say_their_numbers_and_are_the_same_each_time(whole: Found) -> None:
    curves, _, _, profits = whole
    looks = set_marks(curves.encoders)
    figure = curve_plot(curves, "accuracy", looks)
    assert figure.png == curve_plot(curves, "accuracy", looks).png
    assert f"clean: {curves.main.mean[0, 0]:.3f} with 1" in figure.alt
    gains = profit_plot(profits, looks, unit=curves.unit())
    assert f"most for {profits[0].gains[0].label}" in gains.alt


def test_without_groups_enough_nothing_is_claimed() -> None:
    few = found(n_groups=5)
    words = curve_verdict(*few)
    assert "(" not in words["score"]
    assert "no class can be told to profit" in words["classes"]
    sections = curve_sections(*few)
    assert "no intervals" in pictures(sections)[0].caption
    assert any("groups are too few" in str(block) for block in sections[-1].blocks)


def test_the_protocol_says_what_was_done(whole: Found) -> None:
    curves = whole[0]
    assert "3 times" in curve_protocol(curves)
    changed = replace(curves, tune=True, scale=False, group="")
    words = curve_protocol(changed)
    assert "chosen on inner folds of the drawn clips" in words
    assert "not standardised" in words
    assert "each clip a group of its own" in words


def test_names_of_any_kind_can_be_drawn() -> None:
    odd = found(names=("a$b$ " + "x" * 60, "<b>"))
    assert pictures(curve_sections(*odd))[0].size[0] > 100
