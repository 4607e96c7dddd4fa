"""`audit` from files to verdicts: what it reads, what it asks of audio, what it writes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.errors import ManifestError, StoreError, UsageError
from segue.workflows import audit, embed
from segue.workflows.auditing import Audit
from segue.workflows.auditrows import labels_of, read_labels, read_rows, split_of
from segue.workflows.embedding import open_manifest

TRACKS, RATE = 48, 11025


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, clip: Callable[..., np.ndarray]) -> Path:
    """48 clips of two classes: "b" is in stereo and louder; one file is there twice, and one cut.

    Their features are in ``store``.
    """
    folder = tmp_path_factory.mktemp("audit")
    lines = ["path,id,style,artist,fold"]
    for number in range(TRACKS):
        style = "ab"[number % 2]
        samples = clip(number, 7.0, RATE) * (0.1, 0.4)[number % 2]
        if number == 40:
            samples = clip(10, 8.0, RATE)[RATE // 2 :] * 0.1
        channels = samples if style == "a" else np.column_stack([samples, samples])
        soundfile.write(folder / f"{number}.wav", channels, RATE)
        lines.append(f"{number}.wav,{number},{style},artist {number // 2},{number % 4}")
    shutil.copy(folder / "3.wav", folder / "5.wav")
    soundfile.write(folder / "10.wav", clip(10, 8.0, RATE) * 0.1, RATE)
    (folder / "tracks.csv").write_text("\n".join(lines) + "\n")
    embed(folder / "tracks.csv", folder / "store", encoder="mfcc", chunks=None, workers=0)
    return folder


@pytest.fixture(scope="module")
def done(corpus: Path) -> Audit:
    """The audit of that store, with its page."""
    return audit(corpus / "store", corpus / "tracks.csv", "style", out=corpus / "report", workers=1)


def test_every_test_is_run_or_said_not_to_be(done: Audit) -> None:
    ran = [test.name for test in done.result.tests]
    left = [one.name for one in done.result.not_run]
    assert sorted([*ran, *left]) == [
        *("artist on both sides", "batch order", "duplicates", "file format", "label noise"),
        *("loudness and size", "recall across batches"),
    ]


def test_stereo_of_one_class_is_a_leak(done: Audit) -> None:
    by_name = {test.name: test for test in done.result.tests}
    assert done.result.verdict == "leak"
    assert by_name["file format"].verdict == "leak"
    assert by_name["file format"].statistic == pytest.approx(1.0)
    assert by_name["loudness and size"].verdict == "suspect"
    facts = {row["fact"] for row in by_name["file format"].rows}
    assert "channels" in facts
    assert "decoder" not in facts  # the same for all


def test_copies_are_known_by_content_and_by_ear(done: Audit) -> None:
    [test] = [test for test in done.result.tests if test.name == "duplicates"]
    pairs = {(row["first"], row["second"]): row for row in test.rows}
    assert pairs["3", "5"]["kind"] == "same file"
    assert pairs["10", "40"]["bits that differ"] < 0.35
    assert len(pairs) == 2
    assert test.verdict == "suspect"  # both stand in two of the given folds


def test_the_page_holds_every_verdict(done: Audit, corpus: Path) -> None:
    page = (corpus / "report" / "report.html").read_text()
    assert done.page == corpus / "report" / "report.html"
    for test in done.result.tests:
        assert f"{test.name}: {test.verdict}" in page
    for one in done.result.not_run:
        assert one.name in page
    kept = json.loads((corpus / "report" / "audit.json").read_text())
    assert kept["verdict"] == "leak"
    assert [test["name"] for test in kept["tests"]] == [test.name for test in done.result.tests]
    with (corpus / "report" / "audit.csv").open() as file:
        rows = {row["name"]: row["verdict"] for row in csv.DictReader(file)}
    assert rows["file format"] == "leak"
    assert rows["recall across batches"] == "not run"
    assert list((corpus / "report" / "plots").glob("*.png"))


def test_files_need_not_be_opened(corpus: Path) -> None:
    quiet = audit(corpus / "store", corpus / "tracks.csv", "style", listen=False)
    left = {one.name for one in quiet.result.not_run}
    assert "loudness and size" in left
    assert any("not opened" in note for note in quiet.notes)
    [test] = [test for test in quiet.result.tests if test.name == "file format"]
    assert test.verdict == "leak"  # the store knows the channels


def test_the_result_does_not_depend_on_workers(corpus: Path, done: Audit) -> None:
    again = audit(corpus / "store", corpus / "tracks.csv", "style", workers=3)
    assert str(again.as_dict()) == str(done.as_dict())


def test_a_matrix_in_manifest_order(corpus: Path, tmp_path: Path) -> None:
    rows = read_rows([corpus / "store"], corpus / "tracks.csv", None)
    np.save(tmp_path / "X.npy", rows.X)
    said = audit(tmp_path / "X.npy", corpus / "tracks.csv", "style", listen=False)
    assert said.features == "X.npy"
    left = {one.name: one.why for one in said.result.not_run}
    assert "nothing is known of the files" in left["file format"]
    both = audit([tmp_path / "X.npy"] * 2, corpus / "tracks.csv", "style", listen=False)
    assert both.features == "X.npy + X.npy"


def test_tracks_without_features_are_left_out_and_counted(corpus: Path, tmp_path: Path) -> None:
    text = (corpus / "tracks.csv").read_text() + "none.wav,48,a,artist 9,1\n"
    (corpus / "more.csv").write_text(text)
    rows = read_rows([corpus / "store"], corpus / "more.csv", None)
    assert len(rows.manifest) == len(rows.X) == TRACKS
    assert rows.notes == ("1 of 49 tracks have no features: left out",)


def test_labels_without_files_in_whatever_columns(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label\na\nb\n")
    assert read_labels(path).ids == ["row 1", "row 2"]
    path.write_text("filename,label\nx.wav,a\nx.wav,b\n")  # ids would repeat
    labels = read_labels(path)
    assert labels.ids == ["row 1", "row 2"]
    assert labels.column("label") == ["a", "b"]
    path.write_text("path,id,label\nx.wav,1,a\ny.wav,2,b\n")
    assert read_labels(path).ids == ["1", "2"]
    path.write_text("")
    with pytest.raises(ManifestError):
        read_labels(path)


def test_whole_numbers_of_few_kinds_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label\n" + "".join(f"{row % 13}\n" for row in range(260)))
    task, labels, notes = labels_of(read_labels(path), "label", None)
    assert task == "classification"
    assert labels[12] == "12"
    assert "names of classes" in notes[0]
    assert labels_of(read_labels(path), "label", "regression")[0] == "regression"


def test_a_given_split_is_found_or_refused(corpus: Path) -> None:
    manifest = open_manifest(corpus / "tracks.csv")
    assert split_of(manifest, None) == [str(number % 4) for number in range(TRACKS)]
    assert split_of(manifest.with_column("fold", ["1"] * TRACKS), None) is None
    with pytest.raises(UsageError, match="fold or the part"):
        split_of(manifest.with_column("half", ["1"] * TRACKS), "half")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((47, 3)), r"shape \(47, 3\)"),
        (np.ones(48), r"shape \(48,\)"),
        (np.full((48, 2), np.inf), "48 rows that are not finite"),
        (np.array([["a"]] * 48), "array of <U1"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(
    array: np.ndarray, said: str, corpus: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "X.npy", array)
    with pytest.raises(UsageError, match=said):
        audit(tmp_path / "X.npy", corpus / "tracks.csv", "style")


def test_what_is_no_matrix_no_store_or_no_column(corpus: Path, tmp_path: Path) -> None:
    tracks = corpus / "tracks.csv"
    (tmp_path / "X.npy").write_bytes(b"no array")
    with pytest.raises(StoreError, match=r"X\.npy"):
        audit(tmp_path / "X.npy", tracks, "style")
    with pytest.raises(StoreError, match=r"none\.npy"):
        audit(tmp_path / "none.npy", tracks, "style")
    with pytest.raises(UsageError, match="one store"):
        audit([corpus / "store", tmp_path / "X.npy"], tracks, "style")
    with pytest.raises(UsageError, match="Name the features"):
        audit([], tracks, "style")
    with pytest.raises(UsageError, match="--encoder"):
        audit(tmp_path / "X.npy", tracks, "style", encoder="mfcc")
    with pytest.raises(ManifestError, match="'mood'"):
        audit(corpus / "store", tracks, "mood")
    with pytest.raises(ManifestError, match="'mood'"):
        audit(corpus / "store", tracks, "style", groups=["mood"])
    (tmp_path / "other.csv").write_text("path,style\nx.wav,a\ny.wav,b\nz.wav,a\nw.wav,b\n")
    with pytest.raises(UsageError, match="Embed this manifest"):
        audit(corpus / "store", tmp_path / "other.csv", "style")


@pytest.mark.long
def test_our_own_features_of_gtzan_show_no_batches(segue_data: Path, tmp_path: Path) -> None:
    manifest = segue_data / "gtzan100" / "manifest.csv"
    embed(manifest, tmp_path, encoder="mfcc", workers=1)
    said = audit(tmp_path, manifest, "genre", listen=False)
    [test] = [test for test in said.result.tests if test.name == "batch order"]
    assert test.verdict == "clear"
    assert said.result.verdict == "clear"
