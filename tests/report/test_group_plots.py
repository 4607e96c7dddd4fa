"""Pictures of group factors and their table: what is drawn, what is said, few groups and many."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from segue.errors import UsageError
from segue.report import write_page
from segue.report.group_plots import (
    ROWS,
    factor_heatmap,
    profile_plot,
    sorted_rows,
    stability_plot,
    topics_plot,
)
from segue.report.groups import Factor, Heard, empty_section, factors_section, factors_table
from segue.seeds import generator
from segue.targets.listing import Holder, Word
from segue.targets.stability import Stability


def shares(groups: int, factors: int) -> np.ndarray:
    return generator(0, "shares", groups).dirichlet(np.full(factors, 0.1), groups)


def test_rows_are_sorted_by_main_factor_and_then_by_its_share() -> None:
    table = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [1.0, 0.0]])
    assert sorted_rows(table).tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize(("groups", "factors"), [(1, 2), (5, 2), (300, 40), (20_000, 80)])
def test_a_heat_map_of_any_size(groups: int, factors: int) -> None:
    names = [f"group {number}" for number in range(groups)]
    figure = factor_heatmap(shares(groups, factors), names, group="artist")
    assert f"{groups} groups (artist) and {factors} factors" in figure.alt
    sampled = f"{ROWS} of {groups} groups are drawn"
    assert (sampled in figure.caption) == (groups > ROWS)
    picture = imread(io.BytesIO(figure.png))
    assert picture.shape[1] == 1200
    # both ends of the scale are in the map itself, left of the colour bar
    middle = picture[300:, 200:1000, :3].reshape(-1, 3)
    assert middle[:, 2].max() - middle[:, 2].min() > 0.1


def test_the_heat_map_shows_what_it_is_given() -> None:
    plain = factor_heatmap([[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    other = factor_heatmap([[0.9, 0.1], [0.8, 0.2]], ["a", "b"])
    assert plain.png != other.png
    assert plain.png == factor_heatmap([[0.9, 0.1], [0.2, 0.8]], ["a", "b"]).png
    assert "Largest factor: 1, with 85 %" in other.alt


@pytest.mark.parametrize(
    "table", [[[0.5, 0.5]], [[0.5, 0.6], [0.5, 0.5]], [[np.nan, np.nan], [0.5, 0.5]], []]
)
def test_shares_that_are_none_are_refused(table: list[list[float]]) -> None:
    with pytest.raises(UsageError, match="rows that add up to 1"):
        factor_heatmap(table, ["a", "b"])


def test_names_from_anywhere_are_drawn_or_explained() -> None:
    figure = factor_heatmap([[0.9, 0.1], [0.2, 0.8]], ["A$AP$ <b>", "\U000f0000"])
    assert "[2] = \U000f0000" in figure.caption


def test_stability_is_drawn_beside_the_range_of_all_deals() -> None:
    some = [[0.9, 0.3, 0.6], [0.7, 0.2, 0.6]]
    figure = stability_plot(some, dealt=[0.5, 0.7, 0.6], chance=0.1)
    assert "3 factors over 3 seeds: mean similarity 0.55" in figure.alt
    assert "tracks dealt out anew 0.50 to 0.70 (3 deals), words shuffled 0.10." in figure.alt
    assert figure.png != stability_plot(some, dealt=[0.6, 0.6, 0.6], chance=0.1).png
    assert "over 2 seeds" in stability_plot([0.9, 0.3, 0.6], dealt=[0.7], chance=0.1).alt
    for bad, dealt in (([[]], [0.1]), ([[0.1, np.nan]], [0.1]), ([0.1], []), ([0.1], [np.nan])):
        with pytest.raises(UsageError, match="finite similarities"):
            stability_plot(bad, dealt=dealt, chance=0.1)


def test_topics_are_drawn_in_their_order() -> None:
    lines = [
        Stability(topics=n, seeds=2, perplexity=100.0 - n, dealt_perplexity=(101.0, 103.0),
                  unigram_perplexity=200.0, similarity=0.5, dealt_similarity=(0.4, 0.3),
                  chance_similarity=0.1)
        for n in (40, 10)
    ]  # fmt: skip
    figure = topics_plot(lines, chosen=40)
    assert figure.alt.index("10 factors 90") < figure.alt.index("40 factors 60")
    assert "(dealt 101 to 103 (2 deals) and 0.30 to 0.40 (2 deals))" in figure.alt
    assert figure.png == topics_plot(lines[::-1], chosen=40).png
    assert figure.png != topics_plot(lines, chosen=10).png
    with pytest.raises(UsageError, match="a number of factors"):
        topics_plot([], chosen=40)
    narrow = [replace(line, dealt_similarity=(0.35, 0.35)) for line in lines]
    assert topics_plot(narrow, chosen=40).png != figure.png


def test_a_perplexity_that_was_not_measured_is_left_out_and_said() -> None:
    line = Stability(topics=3, seeds=3, perplexity=None, dealt_perplexity=(),
                     unigram_perplexity=None, similarity=0.5, dealt_similarity=(0.4, 0.3),
                     chance_similarity=0.1)  # fmt: skip
    figure = topics_plot([line], chosen=3)
    assert "3 factors not measured and 0.50 (dealt not measured and 0.30 to 0.40" in figure.alt


def test_profiles_need_a_name_a_number() -> None:
    figure = profile_plot([[1.0, -2.0]], ["low", "high"])
    assert "from -2 to 1 standard units" in figure.alt
    assert profile_plot([[0.0, 0.0]], ["low", "high"]).png != figure.png
    with pytest.raises(UsageError, match="profiles"):
        profile_plot([[1.0, -2.0]], ["low"])


def factor(number: int, size: float, **more: object) -> Factor:
    known: dict[str, object] = {"mainly": 3, "half": 9, "words": (), "similarity": None} | more
    return Factor(
        number=number,
        size=size,
        groups=[Holder("Nina", 0.9, 4), Holder("Bach", 0.8, 1)],
        tracks=[Heard("Sinnerman (Nina)", 0.95)],
        **known,  # type: ignore[arg-type]
    )


def test_the_largest_factor_stands_first() -> None:
    table = factors_table([factor(1, 0.2), factor(2, 0.8)], group="artist")
    assert [row[0].text for row in table.rows] == ["2", "1"]
    assert table.header == [
        "factor", "groups (artist) with most of it", "tracks with most of it"
    ]  # fmt: skip
    assert table.rows[0][1].detail == "0.90 in 4 tracks · 0.80"


def test_idle_factors_are_named_but_not_listed() -> None:
    factors = [factor(1, 0.9), factor(2, 0.05, idle=True), factor(3, 0.05, idle=True)]
    section = factors_section(factors)
    assert [row[0].text for row in section.blocks[0].rows] == ["1"]
    assert section.blocks[-1].startswith("2 factors are idle")
    assert "(2, 3)" in section.blocks[-1]


def test_words_and_similarity_have_columns_where_there_are_some() -> None:
    words = (Word("jazz", 0.5, 4.0),)
    table = factors_table([factor(1, 0.6, words=words, similarity=0.75), factor(2, 0.4)])
    assert (table.header[1], table.header[-1]) == ("words in it most", "returns")
    assert (table.rows[0][1].text, table.rows[0][1].detail) == ("jazz", "50 % (x 4.0)")
    assert [row[-1].text for row in table.rows] == ["0.75", ""]


def test_a_page_escapes_what_labels_hold(tmp_path) -> None:
    words = (Word("<script>alert(1)</script>", 0.5, 4.0),)
    section = factors_section([factor(1, 1.0, words=words)], notes=["a note"])
    sections = [section, empty_section(["<b>none</b>", *map(str, range(300))])]
    page = write_page(tmp_path / "p.html", title="t", summary={}, sections=sections).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;none" in page
    assert "And 101 more" in page
