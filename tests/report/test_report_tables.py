import csv
import math
from dataclasses import replace

import pytest
from synthetic_results import make_result, without_numbers

from segue.errors import SegueError
from segue.report.tables import leaderboard, markdown_table, score_table, write_rows_csv


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_has_the_ten_columns_in_order_and_every_digit(classification, tmp_path):
    rows = (
        replace(classification.rows[0], mean=0.1 + 0.2, target="a,b\n“c”"),
        *classification.rows,
    )
    header, first, *rest = read(write_rows_csv(rows, tmp_path / "results.csv"))
    assert header == [
        "encoder", "layers", "head", "target", "metric", "mean", "se", "low", "high", "n",
    ]  # fmt: skip
    assert len(rest) == len(classification.rows)
    assert float(first[5]) == 0.1 + 0.2
    assert first[3] == "a,b\n“c”"
    assert first[9] == "240"


def test_csv_writes_nan_as_an_empty_cell(classification, tmp_path):
    write_rows_csv(without_numbers(classification).rows, tmp_path / "r.csv")
    assert all(line[5:9] == ["", "", "", ""] for line in read(tmp_path / "r.csv")[1:])


def test_csv_over_an_older_file_leaves_nothing_else(classification, tmp_path):
    for _ in range(2):
        write_rows_csv(classification.rows, tmp_path / "r.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_a_place_that_cannot_be_written_is_a_clear_error(classification, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegueError, match=r"file/r\.csv: wanted to write "):
        write_rows_csv(classification.rows, tmp_path / "file" / "r.csv")


def test_markdown_ranks_bolds_the_best_and_ends_with_chance(classification):
    lines = markdown_table([classification]).splitlines()
    assert lines[0] == "### genre (classification)"
    names = [line.split("|")[1].strip() for line in lines[4:]]
    assert names == ["choi2017-msd", "mfcc", "random-convnet", "chance"]
    assert "**0.690 ± 0.015 [0.660, 0.720]**" in lines[4]
    assert not any("**" in line for line in lines[5:])
    assert {line.count("|") for line in lines[2:]} == {7}


def test_markdown_escapes_what_would_break_the_table(classification):
    rows = tuple(replace(row, encoder="a|b_<script>") for row in classification.rows[:2])
    text = markdown_table([replace(classification, rows=rows, target="x\n# y")])
    assert "a\\|b\\_\\<script\\>" in text
    assert text.startswith("### x \\# y (")


def test_an_error_metric_is_best_when_small(regression):
    rows = tuple(replace(row, metric="mae") for row in regression.rows)
    board = leaderboard(replace(regression, rows=rows))
    assert [entry.encoder for entry in board] == [
        "random-convnet", "mfcc", "choi2017-msd", "chance",
    ]  # fmt: skip
    table = score_table(replace(regression, rows=rows))
    assert [row[-1].strong for row in table.rows] == [True, False, False, False]
    assert table.header[-1] == "mean absolute error ↓"


def test_undefined_scores_come_after_defined_ones_and_are_never_best(classification):
    rows = tuple(
        replace(row, mean=math.nan, se=math.nan) if row.encoder == "choi2017-msd" else row
        for row in classification.rows
    )
    result = replace(classification, rows=rows)
    assert [entry.encoder for entry in leaderboard(result)] == [
        "mfcc", "random-convnet", "choi2017-msd", "chance",
    ]  # fmt: skip
    assert "**n/a" not in markdown_table([result])


def test_two_heads_of_one_encoder_are_two_lines(classification):
    other = make_result(head="knn", means=(0.5, 0.4, 0.3))
    both = replace(
        classification,
        rows=classification.rows + other.rows,
        encoders=classification.encoders + other.encoders,
        tests=classification.tests + other.tests,
    )
    table = score_table(both)
    assert table.header[:2] == ["encoder", "head"]
    assert len(table.rows) == 7  # chance is one line, whatever the head
