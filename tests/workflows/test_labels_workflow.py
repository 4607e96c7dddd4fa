"""What encoders say of clips, and the map of an embedding's labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from joint_runs import learn, named

from joint_toys import random_joint
from labelled_music import BANDS, RATE, data_set, sound
from segue.encoders import encoder
from segue.encoders.folders import open_folder, packaged_folder, write_folder
from segue.errors import ManifestError, SegueError, UsageError, WeightsError
from segue.workflows.joint import Joint
from segue.workflows.labels import draw_classes, tag_clips


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("one"), list(BANDS), tracks=4)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, one: Path) -> Joint:
    names = {"low": "bass", "high": "treble"}
    other = data_set(
        tmp_path_factory.mktemp("two"), ["low", "high"], names=names, tracks=4, prefix="t"
    )
    out = tmp_path_factory.mktemp("learned") / "both"
    return learn([named("one", one), named("two", other)], out)


def test_tags_of_files_folders_and_manifests(learned: Joint, one: Path) -> None:
    path = str(learned.encoder.path)
    by_file = tag_clips([one.parent / "low0.wav"], path)
    by_files = tag_clips([one.parent / "low0.wav", one.parent / "high0.wav"], path)
    by_folder = {said.path.name: said for said in tag_clips([one.parent], path)}
    by_manifest = {said.path.name: said for said in tag_clips([one], path)}
    assert len(by_folder) == len(by_manifest) == 12
    for said in (*by_file, *by_files):
        assert said.labels == by_folder[said.path.name].labels
        assert said.labels == by_manifest[said.path.name].labels


def test_stretches_of_a_manifest_are_heard_alone(learned: Joint, tmp_path: Path) -> None:
    both = np.concatenate([sound("low", 1, seconds=2.0), sound("high", 1, seconds=2.0)])
    soundfile.write(tmp_path / "both.wav", both, RATE)
    (tmp_path / "t.csv").write_text(
        "path,id,start,duration\nboth.wav,a,0,2\nboth.wav,b,2,2\nboth.wav,c,2,\n"
    )
    said = tag_clips([tmp_path / "t.csv"], str(learned.encoder.path))
    assert [one.labels["one"][0][0] for one in said] == ["low", "high", "high"]
    assert said[1].labels == said[2].labels


def test_chunks_say_how_much_is_heard(learned: Joint, tmp_path: Path) -> None:
    parts = [sound("low", 1, seconds=30.0), sound("high", 1, seconds=60.0)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), RATE)
    path = str(learned.encoder.path)
    for chunks, first in ((1, "low"), (None, "high"), (3, "high")):
        (said,) = tag_clips([tmp_path / "long.wav"], path, chunks=chunks)
        assert said.labels["one"][0][0] == first


def test_bad_files_are_said_and_stop_nothing(learned: Joint, one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    soundfile.write(folder / "a.wav", sound("low", 1), RATE)
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    broken = sound("low", 2)
    broken[5] = np.nan
    soundfile.write(folder / "nan.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(
        folder / "huge.wav",
        np.full(RATE, 3e38, np.float32) * sound("noise", 1)[:RATE],
        RATE,
        subtype="FLOAT",
    )
    said = {each.path.name: each for each in tag_clips([folder], str(learned.encoder.path))}
    assert set(said) == {"a.wav", "empty.wav", "silent.wav", "nan.wav", "huge.wav"}
    assert said["a.wav"].reason == ""
    for name in ("empty.wav", "silent.wav", "nan.wav", "huge.wav"):
        assert said[name].labels == {}, name
        assert name in said[name].reason
    with pytest.raises(ManifestError, match="missing"):
        tag_clips([tmp_path / "missing.wav"], str(learned.encoder.path))


def test_a_tagger_has_one_nameless_list(one: Path) -> None:
    (said,) = tag_clips([one.parent / "low0.wav"], "choi2017-4q")
    assert list(said.labels) == [""]
    assert len(said.labels[""]) == 87
    assert all(0.0 <= score <= 1.0 for _, score in said.labels[""])


def test_an_encoder_without_tags_is_refused(one: Path) -> None:
    with pytest.raises(UsageError, match=r"says tags, got mfcc, which has none"):
        tag_clips([one.parent / "low0.wav"], "mfcc")


def test_progress(learned: Joint, one: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    tag_clips([one], str(learned.encoder.path), watch=lambda *now: seen.append(now))
    assert seen[0][1:] == (1, 12)
    assert seen[-1][1:] == (12, 12)


def test_the_map_its_table_and_its_page(learned: Joint, tmp_path: Path) -> None:
    done = draw_classes(learned.encoder.path, tmp_path / "map", k=2)
    with (tmp_path / "map" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 2
    assert set(rows[0]) == {
        *("data set", "label", "rank", "near data set", "near label", "distance"),
    }
    near = {(row["data set"], row["label"]): row for row in rows if row["rank"] == "1"}
    assert near["one", "low"]["near label"] == "bass"
    assert near["two", "treble"]["near label"] == "high"
    W = dict(zip(learned.encoder.tags, learned.encoder.tensors["labels"], strict=True))
    for row in rows:
        mine, theirs = (
            W[f"{row[side + 'data set']}: {row[side + 'label']}"] for side in ("", "near ")
        )
        wanted = np.abs(mine.astype(np.float64) - theirs).sum()
        assert float(row["distance"]) == pytest.approx(wanted, rel=1e-4)
    page = done.page.read_text()
    assert "one 3, two 2" in page
    plots = {path.name for path in (tmp_path / "map" / "plots").iterdir()}
    assert {"classes.png", "class-distances.png"} <= plots
    assert 0.0 <= done.stress <= 1.0


def test_k_beyond_the_labels_and_below_one(learned: Joint, tmp_path: Path) -> None:
    done = draw_classes(learned.encoder.path, tmp_path / "map", k=99)
    assert all(len(row.nearest) == 4 for row in done.rows)
    for k in (0, -1):
        with pytest.raises(UsageError):
            draw_classes(learned.encoder.path, tmp_path / "none", k=k)
    assert not (tmp_path / "none").exists()


def test_equal_names_in_two_sets_are_two_labels(tmp_path: Path) -> None:
    random_joint(tmp_path / "toy", base=None)
    done = draw_classes(tmp_path / "toy", tmp_path / "map")
    assert [(row.set, row.name) for row in done.rows] == [
        *(("one", "jazz"), ("one", "rock"), ("two", "Jazz"), ("two", "calm")),
    ]


def test_names_that_plots_pages_and_tables_could_trip_over(tmp_path: Path) -> None:
    folder = random_joint(tmp_path / "toy", base=None)
    tags = ["$x: $\\frac{", "$x: <script>alert(1)</script>", "b|c: 'Ac,id\" | `x`", "b|c: 音楽 🎵"]
    write_folder(
        tmp_path / "odd",
        architecture="warp",
        card=folder.card,
        tags=tags,
        training={},
        tensors=folder.tensors,
    )
    done = draw_classes(tmp_path / "odd", tmp_path / "map")
    assert "<script>alert" not in done.page.read_text()
    with (tmp_path / "map" / "classes.csv").open() as file:
        assert {row["label"] for row in csv.DictReader(file)} == {
            tag.split(": ", 1)[1] for tag in tags
        }


def test_what_is_no_embedding(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a joint embedding.*architecture 'convnet'"):
        draw_classes(packaged_folder("choi2017-4q"), tmp_path / "map")
    with pytest.raises(WeightsError):
        draw_classes(tmp_path / "nothing", tmp_path / "map")
    with pytest.raises(SegueError):
        draw_classes("mfcc", tmp_path / "map")
    assert not (tmp_path / "map").exists()


def test_encoders_say_their_tags(learned: Joint) -> None:
    assert encoder(str(learned.encoder.path)).tag_names == learned.encoder.tags
    assert open_folder(learned.encoder.path).tags == learned.encoder.tags
