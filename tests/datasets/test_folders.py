"""Folders and command-line paths as manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.audio import AUDIO_SUFFIXES
from segue.datasets import from_folder, from_paths
from segue.errors import ManifestError


def test_folder_per_class_counts_what_it_ignores(tmp_path: Path) -> None:
    for name in ("rock/a.MP3", "rock/b.wav", "jazz/c.flac", "jazz/cover.jpg", "notes"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    manifest = from_folder(tmp_path, suffixes=AUDIO_SUFFIXES)
    assert manifest.ids == ["jazz/c.flac", "rock/a.MP3", "rock/b.wav"]
    assert manifest.column("label") == ["jazz", "rock", "rock"]
    assert manifest.ignored == {"suffix .jpg": 1, "suffix (none)": 1}


def test_flat_folder_has_no_label_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    assert from_folder(tmp_path, suffixes=AUDIO_SUFFIXES).columns == ["path", "id"]
    for name in ("nowhere", "a.wav"):
        with pytest.raises(ManifestError, match="got no such folder"):
            from_folder(tmp_path / name, suffixes=AUDIO_SUFFIXES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="wanted audio files in a folder, got nothing"):
        from_folder(tmp_path / "empty", suffixes=AUDIO_SUFFIXES)


def test_links_that_circle_are_counted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.wav").symlink_to("self.wav")
    manifest = from_folder(tmp_path, suffixes=AUDIO_SUFFIXES)
    assert manifest.ids == ["a.wav", "self.wav"]  # the circular file is refused when it is read
    assert manifest.ignored == {"link to a folder above it": 1}


def test_command_line_paths(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a.wav", "d/b.mp3", "strange.xyz"):
        (tmp_path / name).write_bytes(b"x")
    paths = [tmp_path / "a.wav", tmp_path / "d", tmp_path / "strange.xyz", tmp_path / "a.wav"]
    manifest = from_paths(paths, suffixes=AUDIO_SUFFIXES)
    assert [track.path.name for track in manifest.tracks()] == ["a.wav", "b.mp3", "strange.xyz"]
    with pytest.raises(ManifestError, match="got nothing"):
        from_paths([], suffixes=AUDIO_SUFFIXES)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    for names in (["x" * 300], ["x" * 300, tmp_path / "a.wav"], ["y/" * 3000]):
        with pytest.raises(ManifestError, match=r"name of a file or folder, got [0-9]+ characters"):
            from_paths(names, suffixes=AUDIO_SUFFIXES)
    for names in (["a\0.wav"], [tmp_path / "a.wav", "a\0.wav"]):
        with pytest.raises(ManifestError, match="with a zero byte in it"):
            from_paths(names, suffixes=AUDIO_SUFFIXES)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.wav", "nowhere.csv", "a.wav/nowhere"])
def test_one_path_with_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"nowhere.*got nothing there"):
        from_paths([tmp_path / name], suffixes=AUDIO_SUFFIXES)


def test_what_is_missing_among_several_stays_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    manifest = from_paths([tmp_path / "a.wav", tmp_path / "nowhere.wav"], suffixes=AUDIO_SUFFIXES)
    assert [track.path.name for track in manifest.tracks()] == ["a.wav", "nowhere.wav"]


def test_a_link_that_leads_nowhere_is_something_there(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to("absent.wav")
    (tmp_path / "self.wav").symlink_to("self.wav")
    for name in ("gone.wav", "self.wav"):
        assert len(from_paths([tmp_path / name], suffixes=AUDIO_SUFFIXES)) == 1


def test_a_manifest_stands_alone(tmp_path: Path) -> None:
    for name in ("a.csv", "b.PARQUET", "c.txt", "a.wav"):
        (tmp_path / name).write_text("path\na.wav\n")
    for names in (["a.csv", "b.PARQUET"], ["a.wav", "c.txt"], ["a.csv", "a.csv"]):
        with pytest.raises(ManifestError, match=r"one manifest at a time; .*among 2 paths"):
            from_paths([tmp_path / name for name in names], suffixes=AUDIO_SUFFIXES)
    (tmp_path / "album.csv").mkdir()
    (tmp_path / "album.csv/b.wav").write_bytes(b"x")
    found = from_paths([tmp_path / "album.csv", tmp_path / "a.wav"], suffixes=AUDIO_SUFFIXES)
    assert len(found) == 2
    assert len(from_paths([tmp_path / "album.csv"], suffixes=AUDIO_SUFFIXES)) == 1
    assert len(from_paths([tmp_path / "a.csv"], suffixes=AUDIO_SUFFIXES)) == 1
