from __future__ import annotations

import pytest

from segue.errors import UsageError
from segue.evaluation.targets import encode_target


def test_classes_become_text() -> None:
    encoded = encode_target([1, 2, 1], None, "classification")
    assert encoded.y.tolist() == ["1", "2", "1"]
    assert encoded.labels == ("1", "2")


def test_numbers_stay_numbers() -> None:
    encoded = encode_target([1, 2], None, "regression")
    assert encoded.y.tolist() == [1.0, 2.0]
    assert encoded.labels == ()


def test_tags_are_counted_by_group() -> None:
    y = [("rock", "live"), ("rock", "live"), ("rock",), ("jazz", "rock"), ("jazz",), ()]
    encoded = encode_target(y, ["a", "a", "b", "c", "d", "e"], "tagging", min_positives=2)
    assert encoded.labels == ("jazz", "rock")  # live: two clips, but one artist
    assert encoded.y.tolist() == [[0, 1], [0, 1], [0, 1], [1, 1], [1, 0], [0, 0]]
    assert "1 of 3 tags dropped" in encoded.notes[0]
    assert "'live'" in encoded.notes[0]


def test_a_tag_that_all_carry_is_dropped() -> None:
    encoded = encode_target([("x", "y"), ("x",), ("x", "y")], None, "tagging", min_positives=2)
    assert encoded.labels == ("y",)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([("a",), None], "1 of 2 clips with something else, first in row 1: None"),
        (["rock", ("a",)], "first in row 0: 'rock'"),
        ([("a",), ("b",)], "none of 2 tags"),
        ([], "0 of 0"),
    ],
)
def test_malformed_tags_raise(y, message) -> None:
    with pytest.raises(UsageError, match=message):
        encode_target(y, None, "tagging", min_positives=2)


def test_missing_labels_raise() -> None:
    with pytest.raises(UsageError, match="1 clips with a missing"):
        encode_target(["a", "", "b"], None, "classification")
