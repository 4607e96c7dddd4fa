"""Label columns: tasks, and clear words for labels that cannot be used."""

from __future__ import annotations

import pytest

from segue.datasets import Manifest, infer_task, read_target
from segue.errors import ManifestError


def manifest(*cells: str) -> Manifest:
    return Manifest.from_rows([{"path": f"{i}.wav", "y": cell} for i, cell in enumerate(cells)])


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["a", "b", ""], "classification"),
        (["1", "2", "1"], "classification"),
        ([str(i) for i in range(11)], "regression"),
        (["0.5", "", "1"], "regression"),
        (["a; b", "c"], "tagging"),
        (["nan", "1"], "classification"),
    ],
)
def test_task_is_inferred(cells: list[str], task: str) -> None:
    assert infer_task(cells) == task


def test_classification_leaves_out_empty_cells_and_says_so() -> None:
    target = read_target(manifest("a", "", "b", "a", "b"), "y")
    assert target.values == ["a", "b", "a", "b"]
    assert target.rows.tolist() == [0, 2, 3, 4]
    assert target.notes == ("1 tracks without this label left out",)


def test_tags_are_split_and_stripped() -> None:
    target = read_target(manifest("a; b", " b ;", "c;a;a"), "y")
    assert target.values == [("a", "b"), ("b",), ("a", "c")]


def test_regression_values() -> None:
    assert read_target(manifest("0.5", "", "-2"), "y").values == [0.5, -2.0]


def test_a_class_with_one_example_is_an_error_with_its_line_or_left_out_on_request() -> None:
    cells = manifest("a", "a", "polka", "b", "b")
    with pytest.raises(ManifestError, match=r"line 3: class 'polka' of 'y' has one example"):
        read_target(cells, "y")
    target = read_target(cells, "y", min_examples=2)
    assert target.values == ["a", "a", "b", "b"]
    assert "['polka'] (1 tracks) left out" in target.notes[0]


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (("", ""), None, "only empty cells"),
        (("a", "a"), None, r"at least two classes .* got \['a'\]"),
        (("a;b", "c"), "classification", r"line 1: y 'a;b' holds several labels"),
        (("1", "x"), "regression", r"line 2: y 'x' is no finite number"),
        (("1", "inf"), "regression", r"line 2: y 'inf' is no finite number"),
    ],
)
def test_unusable_labels(cells: tuple[str, ...], task: str | None, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_target(manifest(*cells), "y", task=task)  # type: ignore[arg-type]


def test_unknown_column() -> None:
    with pytest.raises(ManifestError, match="got 'genre'"):
        read_target(manifest("a", "b"), "genre")
