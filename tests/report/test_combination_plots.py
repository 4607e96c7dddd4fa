"""Pictures of combinations of tasks: words that say the same, whatever is given."""

from __future__ import annotations

import math

from segue.report.combination_plots import (
    CombinationPoint,
    SizePoint,
    combinations_plot,
    sizes_plot,
)


def sizes(**more: float) -> list[SizePoint]:
    return [
        SizePoint(metric=metric, system=system, tasks=n, mean=0.9 - 0.1 * n, **more)
        for metric in ("log loss", "macro F1")
        for system in ("STN", "MTN")
        for n in (1, 2, 3)
    ]


def combinations() -> list[CombinationPoint]:
    return [
        CombinationPoint(
            metric=metric,
            system=system,
            tasks=tasks,
            mean=0.5 + 0.1 * len(tasks),
            low=0.5,
            high=0.9,
            paper=0.7 if system == "STN" else None,
        )
        for metric in ("log loss", "macro F1")
        for system in ("STN", "MTN")
        for tasks in ("g", "gs", "gsd")
    ]


def test_sizes_say_every_point() -> None:
    figure = sizes_plot(sizes(), levels={"log loss": 0.8}, level_name="g alone", name="figure3")
    assert "log loss: STN 1 0.800, 2 0.700, 3 0.600; MTN 1" in figure.alt
    assert "Dashed: g alone." in figure.caption
    assert "Lines" not in figure.caption
    assert "Hollow" not in figure.caption
    assert figure.name == "figure3"


def test_lines_and_published_values_are_explained_where_there_are_any() -> None:
    figure = sizes_plot(sizes(low=0.1, high=0.9, paper=0.5), bars="standard error")
    assert "Lines: standard error." in figure.caption
    assert "Hollow: the paper's." in figure.caption
    one_sided = sizes_plot(sizes(low=math.nan, high=math.nan))
    assert "Lines" not in one_sided.caption


def test_combinations_name_the_best_of_each_metric() -> None:
    figure = combinations_plot(combinations())
    assert "log loss: best STN g 0.600. macro F1: best STN gsd 0.800." in figure.alt
    assert "Lines: 95 % interval." in figure.caption
    width, height = figure.size
    taller = combinations_plot(
        [
            CombinationPoint(metric="macro F1", system="STN", tasks=f"t{n}", mean=0.5)
            for n in range(31)
        ]
    )
    assert taller.size[0] == width
    assert taller.size[1] > height


def test_the_same_drawing_gives_the_same_bytes_and_any_name_can_be_drawn() -> None:
    assert sizes_plot(sizes()).png == sizes_plot(sizes()).png
    odd = [SizePoint(metric="macro F1", system="a$b$ <i>\u0007", tasks=1, mean=0.5)]
    assert sizes_plot(odd).png.startswith(b"\x89PNG")
