"""Which tracks form groups, and what describes them: real files, labels, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from labelled_music import RATE, data_set
from segue.datasets import Manifest
from segue.encoders.descriptors import descriptor_names
from segue.errors import ManifestError, UsageError
from segue.extraction.run import FillReport
from segue.store import FileFacts, FrameKind, FrameTable, Row
from segue.targets.factors import FactorSettings, group_shares, learn_factors
from segue.targets.source import LabelSource
from segue.training.clips import Clips
from segue.workflows import framing, groupkinds
from segue.workflows.grouping import read_groups
from segue.workflows.groupkinds import parse_kind
from segue.workflows.groupsource import ClipSource, group_source, group_tracks


def manifest_of(*rows: tuple[str, str]) -> Manifest:
    named = [{"path": f"{n}/{path}.wav", "artist": name} for n, (path, name) in enumerate(rows)]
    return Manifest.from_rows(named)


def test_rows_stand_group_by_group_in_the_manifests_order() -> None:
    found = read_groups(manifest_of(("a", "y"), ("b", "x"), ("c", "y"), ("d", "x")), "artist")
    assert found.names == ("x", "y")
    assert found.rows.tolist() == [1, 3, 0, 2]
    assert found.group_of.tolist() == [0, 0, 1, 1]


def test_tracks_without_a_group_are_counted_and_named_by_line() -> None:
    found = read_groups(manifest_of(("a", "x"), ("b", ""), ("c", " "), ("d", "y")), "artist")
    assert found.nameless == (2, 3)
    assert "2 tracks without a group left out (line 2, 3)." in found.notes()


def test_only_asked_rows_take_part() -> None:
    manifest = manifest_of(("a", "x"), ("b", "y"), ("c", "z"))
    found = read_groups(manifest, "artist", [2, 0])
    assert (found.names, found.rows.tolist()) == (("x", "z"), [0, 2])
    with pytest.raises(UsageError, match="rows of the manifest, from 0 to 2"):
        read_groups(manifest, "artist", [3])


def test_an_absent_column_says_which_there_are() -> None:
    with pytest.raises(ManifestError, match="path, artist, id"):
        read_groups(manifest_of(("a", "x")), "album")


def test_an_empty_column_says_which_there_are() -> None:
    with pytest.raises(ManifestError, match=r"only empty cells.*path, artist, id"):
        read_groups(manifest_of(("a", ""), ("b", "")), "artist")


def test_a_name_with_a_semicolon_is_one_group() -> None:
    found = read_groups(manifest_of(("a", "Earth; Wind & Fire"), ("b", "Air")), "artist")
    assert found.names == ("Air", "Earth; Wind & Fire")
    assert any("also with a ';' in it: 'Earth; Wind & Fire'" in note for note in found.notes())


@pytest.mark.parametrize("cells", [("a;b", "a; b", "c"), (";", "b"), (" ; ", ";", "b")])
def test_cells_that_name_no_other_group_are_names(cells: tuple[str, ...]) -> None:
    found = read_groups(manifest_of(*((f"{n}", cell) for n, cell in enumerate(cells))), "artist")
    assert set(found.names) == {cell.strip() for cell in cells}


@pytest.mark.parametrize("cells", [("a;b", "a", "b"), ("a;b", "b;c", "a;c")])
def test_several_groups_in_a_cell_are_refused(cells: tuple[str, ...]) -> None:
    manifest = manifest_of(*((f"{n}", cell) for n, cell in enumerate(cells)))
    with pytest.raises(ManifestError, match="one group a track"):
        read_groups(manifest, "artist")


def test_folder_is_the_parent_folder_unless_there_is_such_a_column(tmp_path: Path) -> None:
    rows = [{"path": "one/a.wav"}, {"path": "two/deep/b.wav"}, {"path": "c.wav"}]
    found = read_groups(Manifest.from_rows(rows, root=tmp_path), "folder")
    assert found.names == (".", "one", "two/deep")
    assert "folder that a file lies in" in found.taken
    named = [{**row, "folder": "mine"} for row in rows]
    found = read_groups(Manifest.from_rows(named, root=tmp_path), "folder")
    assert (found.names, found.taken) == (("mine",), "column 'folder'")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two kinds of four tracks, two an artist, and one file that is silent."""
    folder = tmp_path_factory.mktemp("groups")
    rows = ["silent.wav,silent,low,,artist low 0", "gone.wav,gone,high,,nobody"]
    path = data_set(folder, ["low", "high"], tracks=4, rows=rows)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    return Manifest.read(path)


def test_frames_of_groups_lie_where_their_tracks_say(music: Manifest, tmp_path: Path) -> None:
    found = group_tracks(music, "artist", "mfcc", frames=tmp_path, workers=1)
    source = found.source
    assert isinstance(source, ClipSource)
    assert source.names == (
        "artist high 0",
        "artist high 1",
        "artist low 0",
        "artist low 1",
        "nobody",
    )
    assert source.group_of.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [music.ids[row] for row in found.rows.tolist()] == list(source.tracks)
    assert source.vectors(0).shape[1] == 25
    assert {Path(one.facts.path).name for one in found.failures} == {"silent.wav", "gone.wav"}
    assert "Files that could not be used, left out: 2." in found.notes()
    # the same clip gives the same frames alone
    alone = group_source(music, "artist", "mfcc", frames=tmp_path / "x", rows=[5], workers=1)
    row = found.rows.tolist().index(5)
    np.testing.assert_array_equal(alone.vectors(0), source.vectors(row))  # type: ignore[union-attr]


def test_differences_are_of_subsequent_frames_of_the_same_table(
    music: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = group_source(music, "artist", "mfcc", frames=tmp_path, workers=1)
    computed = []
    extract = framing.extract_frames

    def counting(*args: object, **more: object) -> FillReport:
        done = extract(*args, **more)  # type: ignore[arg-type]
        computed.append(done.computed)
        return done

    monkeypatch.setattr(framing, "extract_frames", counting)
    moved = group_source(music, "artist", "dmfcc", frames=tmp_path, workers=1)
    assert computed == [0]
    assert isinstance(plain, ClipSource)
    assert isinstance(moved, ClipSource)
    frames = plain.vectors(3)
    np.testing.assert_array_equal(moved.vectors(3), frames[1:] - frames[:-1])


def test_a_track_of_one_frame_has_no_difference_and_is_counted(tmp_path: Path) -> None:
    """Audio of 0.1 s, the least that is heard, has five frames; a table may hold less."""
    table = FrameTable.open_or_create(tmp_path, FrameKind("toy", 2, {}))
    for name, frames in (("a", 1), ("b", 3)):
        facts = FileFacts(id=name, path=f"/{name}", line=1, bytes=9, mtime_ns=1)
        values = np.arange(2 * frames, dtype=np.float32).reshape(frames, 2) ** 2
        table.append(Row(facts=facts, key=name, source_rate=8000, source_channels=1, seconds=1.0,
                         features=values))  # fmt: skip
    table.flush()
    clips = Clips(table, table.contents().usable())
    source = ClipSource(("x",), np.zeros(2, np.int64), ("a", "b"), clips, difference=True)
    assert source.vectors(0).shape == (0, 2)
    assert source.vectors(1).tolist() == [[4, 8], [12, 16]]
    assert source.bare == 1
    model = learn_factors(
        ClipSource(("x", "y"), np.arange(2), ("a", "b"), clips),
        FactorSettings(words=2, topics=2, vectors_per_word=1),
        work=tmp_path,
    )
    lone = ClipSource(("x", "y"), np.arange(2), ("a", "b"), clips, difference=True)
    assert group_shares(model, lone, work=tmp_path).empty == ("x",)


def test_a_name_that_cannot_be_shown_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="a text of one line"):
        read_groups(manifest_of(("a", "x\x1b[31m"), ("b", "y")), "artist")


def test_labels_open_no_audio(tmp_path: Path) -> None:
    rows = [
        {"path": "gone1.wav", "id": "1", "artist": "x", "moods": "sad; slow", "genres": "folk"},
        {"path": "gone2.wav", "id": "2", "artist": "x", "moods": "", "genres": "rock"},
        {"path": "gone3.wav", "id": "3", "artist": "y", "moods": "", "genres": ""},
    ]
    manifest = Manifest.from_rows(rows)
    found = group_tracks(manifest, "artist", "labels:moods,genres")
    source = found.source
    assert isinstance(source, LabelSource)
    assert source.vocabulary == ("genres: folk", "genres: rock", "moods: sad", "moods: slow")
    assert [sorted(source.words(track).tolist()) for track in range(3)] == [[0, 2, 3], [1], []]
    assert found.bare == 1
    assert "Tracks without a label, which contribute nothing: 1." in found.notes()
    one = group_source(manifest, "artist", "labels:moods")
    assert isinstance(one, LabelSource)
    assert one.vocabulary == ("sad", "slow")


def test_bad_kinds_say_what_there_is(tmp_path: Path) -> None:
    manifest = manifest_of(("a", "x"), ("b", "y"))
    with pytest.raises(UsageError, match="an encoder among mfcc"):
        group_tracks(manifest, "artist", "chroma", frames=tmp_path)
    with pytest.raises(UsageError, match="each named once"):
        parse_kind("labels:a,a")
    with pytest.raises(UsageError, match="labels:COLUMN"):
        parse_kind("labels:")
    with pytest.raises(UsageError, match="a store for the frames"):
        group_tracks(manifest, "artist", "mfcc")
    with pytest.raises(UsageError, match="none of 2"):
        group_tracks(manifest, "artist", "mfcc", frames=tmp_path, workers=1)
    with pytest.raises(ManifestError, match="a column among"):
        group_tracks(manifest, "artist", "labels:genre")


def test_an_encoder_by_its_name_is_said_with_its_terms(music: Manifest, tmp_path: Path) -> None:
    found = group_tracks(music, "artist", "encoder:mfcc", frames=tmp_path, workers=1)
    assert isinstance(found.source, ClipSource)
    assert found.source.vectors(0).shape == (1, 120)
    assert found.facts["encoder"] == "mfcc"
    assert found.kind.normalise == "quantile"


@pytest.mark.parametrize(("installed", "name"), [(True, "essentia"), (False, "descriptors")])
def test_which_descriptors_are_taken_is_said(
    monkeypatch: pytest.MonkeyPatch, installed: bool, name: str
) -> None:
    monkeypatch.setattr(groupkinds, "_has_essentia", lambda: installed)
    kind = parse_kind("descriptors")
    assert (kind.heard, kind.normalise) == (name, "quantile")
    assert ("Essentia is not installed" in kind.said) != installed
    assert parse_kind("encoder:descriptors").heard == "descriptors"


def test_own_descriptors_describe_a_track_each(music: Manifest, tmp_path: Path) -> None:
    found = group_tracks(music, "artist", "encoder:descriptors", frames=tmp_path, workers=1)
    assert isinstance(found.source, ClipSource)
    assert found.source.vectors(0).shape == (1, len(descriptor_names()))
    assert found.facts["encoder"] == "descriptors"
