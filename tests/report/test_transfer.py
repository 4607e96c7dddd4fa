"""Nearest classes as a section."""

from __future__ import annotations

from segue.report.content import Cell, Figure, Folded, Table
from segue.report.label_plots import class_map
from segue.report.transfer import nearest_section, nearest_table
from segue.similarity import nearest_labels

NAMES = ["jazz", "rock", "Jazz", "pop", "ROCK"]
SETS = ["a", "a", "b", "b", "b"]
VECTORS = [[0.0, 0.0], [9.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 9.0]]


def rows(k: int = 2):
    return nearest_labels(VECTORS, NAMES, SETS, k=k)


def test_the_table_names_the_neighbours_in_order_with_set_and_distance() -> None:
    table = nearest_table(rows())
    assert table.header == ["label", "1", "2"]
    assert table.rows[0] == [
        Cell("jazz", detail="a"),
        Cell("Jazz", detail="b, 1", strong=True),
        Cell("pop", detail="b, 1"),
    ]


def test_the_words_count_equal_names_across_sets() -> None:
    words = nearest_section(rows()).blocks[0]
    assert isinstance(words, str)
    assert "5 labels of 2 data sets" in words
    assert "Of 4 labels whose name another data set has, too, 2 have such a label nearest." in words
    assert "2 have one among the 2 nearest (median rank 1)." in words


def test_names_that_differ_are_said_to_differ() -> None:
    found = nearest_labels([[0.0], [1.0]], ["x", "y"], ["a", "b"])
    assert str(nearest_section(found).blocks[0]).endswith("No name occurs in two data sets.")


def test_equal_names_in_one_data_set_do_not_count_as_two_sets() -> None:
    found = nearest_labels([[0.0], [1.0]], ["x", "X"], ["a", "a"])
    assert "No name occurs in two data sets" in str(nearest_section(found).blocks[0])


def test_a_label_with_fewer_neighbours_has_empty_cells() -> None:
    found = nearest_labels(VECTORS[:3], NAMES[:3], SETS[:3], k=5, others_only=True)
    table = nearest_table(found)
    assert [len(line) for line in table.rows] == [3, 3, 3]
    assert table.rows[0][2] == Cell("")


def test_long_tables_are_folded_and_pictures_stand_before_them() -> None:
    many = nearest_labels([[float(i)] for i in range(40)], [f"l{i}" for i in range(40)], ["s"] * 40)
    figure = class_map(NAMES, SETS, VECTORS)
    words, picture, folded = nearest_section(many, [figure]).blocks
    assert isinstance(words, str)
    assert isinstance(picture, Figure)
    assert isinstance(folded, Folded)
    assert folded.summary == "All 40 labels"
    assert isinstance(nearest_section(rows()).blocks[-1], Table)
