"""Sources of a joint embedding: what is asked, which labels and tracks teach, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from segue.datasets import Manifest
from segue.errors import ManifestError, SegueError, UsageError
from segue.workflows.jointsets import Source, Taught, parse_source, read_sources


def source(
    cells: Sequence[str],
    *,
    name: str = "one",
    column: str = "label",
    group: str | None = None,
    artists: Sequence[str] | None = None,
) -> Source:
    rows = [
        {"path": f"{number}.wav", "id": str(number), "label": cell, "none": "x"}
        | ({"artist": artists[number]} if artists else {})
        for number, cell in enumerate(cells)
    ]
    return Source(name=name, manifest=Manifest.from_rows(rows), column=column, group=group)


def read(*sources: Source, share: float = 0.25, seed: int = 0, **more: object) -> list[Taught]:
    return read_sources(sources, share=share, seed=seed, **more)  # type: ignore[arg-type]


def held_ids(taught: Taught) -> set[str]:
    return {one for one, held in zip(taught.manifest.ids, taught.valid, strict=True) if held}


def test_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "a=b:c" / "my.csv.old" / "tracks.CSV"
    path.parent.mkdir(parents=True)
    path.write_text("path,label,artist\n0.wav,x,a\n")
    asked = parse_source(f"my set={path}:label:artist")
    assert (asked.name, asked.column, asked.group) == ("my set", "label", "artist")
    assert parse_source(f"my set={path}:label").group is None
    assert asked.manifest.ids == ["0.wav"]


@pytest.mark.parametrize(
    "text",
    ["", "4q", "=a.csv:x", "4q=a.csv", "4q=a.csv:", "4q=a.txt:x", "a.csv:x", "4q=a.csv:x:y:z"],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"wanted NAME=MANIFEST:COLUMN") as refused:
        parse_source(text)
    assert repr(text) in str(refused.value)


def test_no_such_manifest_and_no_such_column(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"missing\.csv"):
        parse_source(f"4q={tmp_path / 'missing.csv'}:x")
    with pytest.raises(ManifestError, match="genre"):
        read(source(["x", "y"] * 4, column="genre"))
    with pytest.raises(ManifestError, match="performer"):
        read(source(["x", "y"] * 4, group="performer"))


@pytest.mark.parametrize(
    "name", ["", " ", "a:b", "a=b", "a,b", "a;b", "x" * 64, " a", "a\x1bb", "a\nb", "a\u202eb"]
)
def test_names_that_cannot_be_told_apart_or_shown_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(source(["x", "y"] * 4, name=name))
    assert "\x1b" not in str(refused.value)
    assert "\u202e" not in str(refused.value)


def test_a_name_twice_or_no_source_at_all() -> None:
    two = source(["x", "y"] * 4)
    with pytest.raises(UsageError, match="each with a name of its own, got one, one"):
        read(two, two)
    with pytest.raises(UsageError, match="each with a name of its own, got none"):
        read()


def test_labels_with_control_characters_are_refused_not_shown() -> None:
    with pytest.raises(UsageError, match=r"control characters") as refused:
        read(source(["x", "red\x1b[31m"] * 4))
    assert "\x1b" not in str(refused.value)


def test_a_data_set_with_one_label_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"two labels or more.*got 1 in column 'label' of one"):
        read(source(["x"] * 8))
    with pytest.raises(UsageError, match=r"got 1 in column 'label' of one with 3 tracks or more"):
        read(source(["x"] * 6 + ["y"] * 2), min_tracks=3)
    with pytest.raises(ManifestError):
        read(source([""] * 8))


def test_tracks_without_labels_and_rare_labels_are_counted() -> None:
    cells = ["x", "y", "x;y", "", "rare", "x;rare", "y", "x", "y", "x;x"]
    (taught,) = read(source(cells), min_tracks=3)
    assert taught.labels == ("x", "y")
    assert taught.carried == [(0,), (1,), (0, 1), (0,), (1,), (0,), (1,), (0,)]
    assert taught.manifest.ids == ["0", "1", "2", "5", "6", "7", "8", "9"]
    assert taught.unlabelled == 2, "an empty cell, and one with nothing but a rare label"
    assert taught.rare == {"rare": 2}
    notes = "\n".join(taught.notes())
    assert "2 tracks have no label: left out" in notes
    assert "labels of too few tracks are not taught: rare (2)" in notes
    assert "1 tracks carry every label and teach nothing" in notes
    assert "8 tracks, 1 with several" in notes


def test_a_label_that_only_validation_tracks_carry_is_told() -> None:
    groups = [str(number) for number in range(12)]
    plain = source(["x", "y"] * 6, group="artist", artists=groups)
    held = held_ids(read(plain)[0])
    cells = ["z" if str(n) in held else "xy"[n % 2] for n in range(12)]
    (taught,) = read(source(cells, group="artist", artists=groups))
    assert held_ids(taught) == held
    assert any("no training track carries z" in note for note in taught.notes())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan"), 2.0])
def test_shares_that_leave_a_part_empty(share: float) -> None:
    with pytest.raises(UsageError, match="above 0 and below 1"):
        read(source(["x", "y"] * 4), share=share)


def test_one_group_only_cannot_be_parted() -> None:
    with pytest.raises(UsageError, match="two groups at least, one of them for validation"):
        read(source(["x", "y"] * 4, group="artist", artists=["same"] * 8))


def test_min_tracks_of_nothing() -> None:
    with pytest.raises(UsageError, match="one track at least, got --min-tracks 0"):
        read(source(["x", "y"] * 4), min_tracks=0)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides(seed: int) -> None:
    artists = [f"a{number % 7}" for number in range(40)]
    (taught,) = read(source(["x", "y"] * 20, group="artist", artists=artists), seed=seed)
    held = held_ids(taught)
    sides: tuple[set[str], set[str]] = (set(), set())
    for one, group in zip(taught.manifest.ids, taught.groups, strict=True):
        sides[one in held].add(group)
    assert all(sides)
    assert sides[0].isdisjoint(sides[1])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("group", [None, "artist"])
def test_tracks_of_two_sources_are_held_out_of_both(group: str | None, seed: int) -> None:
    """Two columns of one manifest, one of them filled in for some tracks only."""
    rows = [
        {
            "path": f"{number}.wav",
            "id": str(number),
            "mood": "xy"[number % 2],
            "genre": "uv"[number % 2] if number % 3 else "",
            "artist": f"a{number // 4}",
        }
        for number in range(60)
    ]
    manifest = Manifest.from_rows(rows)
    moods, genres = read(
        Source(name="moods", manifest=manifest, column="mood", group=group),
        Source(name="genres", manifest=manifest, column="genre", group=group),
        seed=seed,
        share=0.2,
    )
    both = set(moods.manifest.ids) & set(genres.manifest.ids)
    assert held_ids(moods) & both == held_ids(genres) & both


def test_sources_that_hold_out_all_of_each_other_are_refused() -> None:
    artists = {"one": ["a", "b"], "two": ["b", "c"], "three": ["c", "a"]}
    sources = [
        source(["x", "y"], name=name, group="artist", artists=names)
        for name, names in artists.items()
    ]
    with pytest.raises(UsageError, match=r"to learn from.*another --valid-share"):
        read(*sources)


def test_tracks_that_all_carry_every_label_are_refused() -> None:
    with pytest.raises(UsageError, match=r"of one to learn from that lack a label.*carry all 2"):
        read(source(["x;y"] * 8))
    held = held_ids(read(source(["x", "y"] * 4))[0])
    learned_from_nothing = ["x" if str(number) in held else "x;y" for number in range(8)]
    with pytest.raises(UsageError, match="of one to learn from that lack a label"):
        read(source(learned_from_nothing))
    judged_by_nothing = ["x;y" if str(number) in held else "x" for number in range(8)]
    with pytest.raises(UsageError, match="of one to validate with that lack a label"):
        read(source(judged_by_nothing))


def test_known_labels_come_first_whatever_carries_them() -> None:
    (taught,) = read(source(["new", "b"] * 4), known={"one": ("z", "b")})
    assert taught.labels == ("z", "b", "new")
    assert taught.known == 2
    assert taught.carried[:2] == [(2,), (1,)]
    learned = taught.learned()
    assert learned is not None
    assert learned.tolist() == [False, False, True]
    (other,) = read(source(["new", "b"] * 4), known={"another": ("z", "b")})
    assert other.labels == ("b", "new")
    assert other.learned() is None


def test_labels_with_marks_in_them_stay_whole() -> None:
    (taught,) = read(source(["drum: bass", "a=b,c"] * 4))
    assert taught.tags == ["one: a=b,c", "one: drum: bass"]


def test_every_refusal_says_what_to_do() -> None:
    for bad in ([], [source(["x"] * 8)], [source(["x", "y"] * 4, name="a:b")]):
        with pytest.raises(SegueError) as refused:
            read(*bad)
        assert refused.value.fix


def test_a_file_of_two_sources_is_held_out_of_both_whatever_its_group_is_called() -> None:
    rows = [
        {"path": f"{n}.wav", "id": f"{n}", "kind": "ab"[n % 2], "by": f"by {n // 3}"}
        for n in range(30)
    ]
    other = [{**row, "id": f"other {row['id']}"} for row in rows]
    sources = [
        Source(name="one", manifest=Manifest.from_rows(rows), column="kind", group="by"),
        Source(name="two", manifest=Manifest.from_rows(other), column="kind"),
    ]
    one, two = read_sources(sources, share=0.1, seed=1)
    assert one.valid.tolist() == two.valid.tolist()
    assert 3 <= one.valid.sum() < 15
