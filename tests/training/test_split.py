"""Parts that never split a group, whether drawn or given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.training.split import (
    PARTS,
    check_filled,
    drawn_split,
    given_split,
    held_out,
    track_groups,
)


@given(st.lists(st.integers(0, 30), min_size=3, max_size=200), st.integers(0, 5))
def test_drawn_parts_hold_every_track_once_and_split_no_group(
    numbers: list[int], seed: int
) -> None:
    groups = [f"artist {number}" for number in numbers]
    if len(set(groups)) < 3:
        with pytest.raises(UsageError, match="a group for each of train, valid, test"):
            drawn_split(groups, seed=seed)
        return
    parts = drawn_split(groups, seed=seed)
    rows = np.concatenate([parts[part] for part in PARTS])
    assert sorted(rows.tolist()) == list(range(len(groups)))
    sides = [{groups[row] for row in parts[part]} for part in PARTS]
    assert len(set.union(*sides)) == sum(map(len, sides))


def test_shares_are_kept_and_order_of_rows_does_not_matter() -> None:
    groups = [f"artist {n // 3}" for n in range(300)]
    parts = drawn_split(groups, seed=1)
    assert [len(parts[part]) for part in PARTS] == [210, 45, 45]
    back = drawn_split(groups[::-1], seed=1)
    assert {groups[row] for row in parts["test"]} == {groups[::-1][row] for row in back["test"]}
    assert parts["test"].tolist() != drawn_split(groups, seed=2)["test"].tolist()


def test_given_parts_are_obeyed_and_checked() -> None:
    cells, groups = ["train", "train", "valid", "test", ""], ["a", "a", "b", "c", "b"]
    parts = given_split(cells, groups, name="fold")
    assert {part: rows.tolist() for part, rows in parts.items()} == {
        "train": [0, 1],
        "valid": [2],
        "test": [3],
    }
    with pytest.raises(ManifestError, match=r"in column 'fold', got 'dev'"):
        given_split(["dev", "train"], ["a", "b"], name="fold")
    with pytest.raises(ManifestError, match=r"1 groups in several \(a\)"):
        given_split(["test", "train", "valid"], ["a", "a", "b"], name="fold")
    with pytest.raises(UsageError, match=r"got none in valid, test"):
        check_filled(given_split(["train"], ["a"], name="fold"))


def test_stretches_of_one_file_stay_together() -> None:
    """Learning from one half of a track and being judged on the other is no test."""
    rows = [
        {"id": f"{n}-{k}", "path": f"{n}.wav", "start": str(k), "duration": "1"}
        for n in range(12)
        for k in range(4)
    ]
    manifest = Manifest.from_rows(rows)
    groups = track_groups(manifest, np.arange(48), None)
    assert groups[:5] == ["0-0"] * 4 + ["1-0"]
    parts = drawn_split(groups)
    files = [{row // 4 for row in parts[part].tolist()} for part in PARTS]
    assert sum(map(len, files)) == 12
    cells = ["train", "test"] * 24
    with pytest.raises(ManifestError, match="12 groups in several"):
        given_split(cells, groups, name="fold")


def test_a_file_in_two_groups_is_refused_and_one_in_none_is_its_own() -> None:
    rows = [("a", "x"), ("a", "x"), ("b", ""), ("b", ""), ("c", "")]
    table = [
        {"id": str(n), "path": path, "artist": artist} for n, (path, artist) in enumerate(rows)
    ]
    groups = track_groups(Manifest.from_rows(table), np.arange(5), "artist")
    assert groups[:2] == ["x", "x"]
    assert groups[2] == groups[3] != groups[4]
    table[1]["artist"] = "y"
    with pytest.raises(ManifestError, match=r"'x' \(line 1\) and 'y' \(line 2\)"):
        track_groups(Manifest.from_rows(table), np.arange(5), "artist")
    assert track_groups(Manifest.from_rows(table), np.array([1, 4]), "artist")[0] == "y"


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=120),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_whole_groups_are_held_out_up_to_a_share(
    numbers: list[int], share: float, seed: int
) -> None:
    groups = [f"artist {number}" for number in numbers]
    if len(set(groups)) < 2:
        with pytest.raises(UsageError, match="two groups at least"):
            held_out(groups, share, seed=seed)
        return
    held = held_out(groups, share, seed=seed)
    sides = [{group for group, out in zip(groups, held, strict=True) if out is np.bool_(side)}
             for side in (True, False)]  # fmt: skip
    assert all(sides)
    assert sides[0].isdisjoint(sides[1])
    largest = max(map(groups.count, groups))
    assert held.sum() < share * len(groups) + largest
    if len(sides[1]) > 1:  # all groups but one is the most there can be
        assert held.sum() >= share * len(groups)


def test_what_is_held_out_follows_from_names_and_seed() -> None:
    groups = [f"artist {number // 3}" for number in range(300)]
    held = held_out(groups, 0.1)
    assert held.sum() == 30
    assert held_out(groups[::-1], 0.1)[::-1].tolist() == held.tolist()
    assert held_out(groups, 0.1, seed=1).tolist() != held.tolist()
    more = held_out(groups, 0.3)
    assert (more | ~held).all(), "a larger share holds out the same groups, and others"
    names = [group.replace("artist", "band") for group in groups]
    assert held_out(names, 0.1).tolist() != held.tolist()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan"), float("inf")])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(UsageError, match="above 0 and below 1"):
        held_out(["a", "b"], share)
