"""The critical-difference picture says what its numbers say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_results import make_result

from segue.evaluation.ranks import ranked
from segue.report.rank_plots import overall_section, rank_plot, ranks_section
from segue.report.sections import looks_of
from segue.report.style import marks


def test_joined_where_no_test_tells_apart() -> None:
    apart = make_result(p_holm=0.001)
    section = ranks_section(apart, looks_of([apart]), "01-genre")
    assert section is not None
    assert "Not told apart: no run" in section.blocks[1].alt
    alike = make_result(p_holm=0.5)
    section = ranks_section(alike, looks_of([alike]), "01-genre")
    assert section is not None
    assert "Not told apart: choi2017-msd@12345 to random-convnet@12345" in section.blocks[1].alt


def test_two_encoders_need_no_picture() -> None:
    result = make_result(encoders=(("a", ""), ("b", "")), means=(0.5, 0.6))
    assert ranks_section(result, looks_of([result]), "x") is None


def test_over_targets_friedman_and_nemenyi() -> None:
    results = [make_result(target=f"t{k}", seed=k) for k in range(12)]
    section = overall_section(results, looks_of(results))
    assert section is not None
    words, figure = section.blocks
    assert "p < .001" in words
    assert "choi2017-msd@12345 1.00, mfcc 2.00, random-convnet@12345 3.00" in figure.alt
    assert "Not told apart: choi2017-msd@12345 to mfcc" in figure.alt or "no run" in figure.alt
    assert overall_section(results[:2], looks_of(results)) is None
    lacking = [replace(results[0], rows=results[0].rows[2:]), *results[1:]]
    assert overall_section(lacking, looks_of(results)) is None  # two encoders are left


@pytest.mark.parametrize("m", [3, 9, 17])
def test_pictures_of_any_number(m: int) -> None:
    names = [f"encoder-number-{k}@12345" for k in range(m)]
    scores = [[(k * 7 + fold * 3) % m for k in range(m)] for fold in range(5)]
    figure = rank_plot(ranked(names, scores, {}), marks(names), name="r", caption="c")
    assert figure.size[0] == 1200
    assert all(name in figure.alt for name in names)
