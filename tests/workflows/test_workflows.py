"""Jobs joined: evaluate, fit, predict, index, with the facts that travel between them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.errors import InvalidSamplesError, ModelError, StoreError, UsageError
from segue.similarity.index import ExactIndex
from segue.workflows import Model, build_index, embed, evaluate, fit, predict, similar


@pytest.fixture
def store(music: Path, tmp_path: Path) -> Path:
    embed(music / "tracks.csv", tmp_path / "store", encoder="mfcc", workers=1)
    return tmp_path / "store"


def test_evaluate_writes_rows_and_a_page(music: Path, tmp_path: Path) -> None:
    done = evaluate(
        music / "tracks.csv",
        ["style", "loudness"],
        encoders=["mfcc", "random-convnet@1"],
        out=tmp_path / "report",
        folds=2,
        inner=2,
        workers=1,
    )
    with (tmp_path / "report/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["encoder"] for row in rows if row["metric"] == "accuracy"] == [
        "mfcc",
        "random-convnet",
        "auto",
        "chance",
        "majority",
    ]
    assert {row["target"] for row in rows} == {"style", "loudness"}
    assert len(rows) == len(done.rows())
    assert [row["layers"] for row in rows][2] == "1"
    assert done.page is not None
    page = done.page.read_text()
    assert "random-convnet" in page
    assert str(done.results[0].n) in page


def test_evaluate_leaves_out_quarantined_tracks_for_all_encoders_and_says_so(
    music: Path, tmp_path: Path
) -> None:
    (music / "calm/0.wav").write_bytes(b"")
    done = evaluate(
        music / "tracks.csv",
        ["style"],
        encoders=["mfcc", "melstats"],
        out=tmp_path / "report",
        folds=2,
        inner=2,
        workers=1,
    )
    assert done.results[0].n == 7
    assert any("1 of 8 tracks left out" in note for note in done.results[0].notes)
    assert [failure.facts.id for failure in done.failures] == ["0"]
    assert done.page is not None
    assert "Files left out" in done.page.read_text()


def test_a_class_that_falls_to_one_track_by_quarantine_is_left_out_with_a_note(
    music: Path, tmp_path: Path
) -> None:
    with (music / "tracks.csv").open("a") as file:
        file.write("calm/rare.wav,r1,rare,z,0,soft\nwild/rare.wav,r2,rare,z,0,soft\n")
    shutil.copy(music / "calm/0.wav", music / "calm/rare.wav")
    (music / "wild/rare.wav").write_text("no audio")
    done = evaluate(
        music / "tracks.csv",
        ["style"],
        encoders=["mfcc"],
        out=tmp_path / "report",
        folds=2,
        inner=2,
        workers=1,
    )
    assert done.results[0].n == 8
    assert done.results[0].labels == ("calm", "wild")
    assert "classes ['rare'] left out" in " ".join(done.results[0].notes)
    model = fit(music / "tracks.csv", tmp_path / "report/features", "style", head="linear")
    assert model.facts.labels == ("calm", "wild")
    assert "classes ['rare'] left out" in " ".join(model.facts.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": ["mfcc", "nope"]}, "an encoder among"),
        ({"encoders": ["random-convnet", "random-convnet@12345"]}, "different encoders"),
        ({"heads": ["nope"]}, "nope"),
        ({"folds": 1}, "two folds or more"),
        ({"folds": 500}, "no more than the 8 groups, got 500 folds"),
        ({"targets": ["stile"]}, "got 'stile'"),
        ({"group": "artst"}, "got 'artst'"),
        ({"targets": []}, "at least one target"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_embedded(
    music: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    request = {"targets": ["style"], "encoders": ["mfcc"], "folds": 2, **changes}
    with pytest.raises(UsageError, match=message):
        evaluate(music / "tracks.csv", out=tmp_path / "r", **request)  # type: ignore[arg-type]
    assert not (tmp_path / "r").exists()


def test_fit_predict_round_trip(music: Path, store: Path, tmp_path: Path) -> None:
    model = fit(music / "tracks.csv", store, "style", group="artist", out=tmp_path / "m.segue")
    found = predict(tmp_path / "m.segue", music, out=tmp_path / "out.csv", workers=1)
    assert found.embedding.computed == 8
    truth = {name: name.split("/")[0] for name in found.ids}
    right = [truth[n] == v for n, v in zip(found.ids, found.values, strict=True)]
    assert np.mean(right) > 0.8
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["style"] for row in rows] == found.values.tolist()
    best = [max(("calm", "wild"), key=lambda label: float(row[f"score:{label}"])) for row in rows]
    assert best == found.values.tolist()
    again = Model.load(tmp_path / "m.segue")
    assert again.card == model.card
    assert again.facts == model.facts
    assert again.facts.licence == "MIT"


def test_tagging_and_regression_models(music: Path, store: Path, tmp_path: Path) -> None:
    tags = fit(music / "tracks.csv", store, "tags", head="ridge", min_examples=1)
    assert tags.facts.task == "tagging"
    found = predict(tags, music / "tracks.csv", out=tmp_path / "tags.csv", workers=1)
    assert found.values.shape == (8, len(tags.facts.labels))
    loudness = fit(music / "tracks.csv", store, "loudness", head="ridge")
    values = predict(loudness, music / "tracks.csv", workers=1).values
    assert np.corrcoef(values, np.arange(8))[0, 1] > 0.9


def test_per_class_takes_that_many(music: Path, store: Path) -> None:
    model = fit(music / "tracks.csv", store, "style", per_class=3, head="linear")
    assert model.facts.examples == 6
    ids = model.facts.training_ids_sha256
    assert (
        fit(
            music / "tracks.csv", store, "style", per_class=3, head="linear"
        ).facts.training_ids_sha256
        == ids
    )
    for wrong, message in ((5, "got 4 of 'calm'"), (1, "at least two examples")):
        with pytest.raises(UsageError, match=message):
            fit(music / "tracks.csv", store, "style", per_class=wrong)
    with pytest.raises(UsageError, match="classification target"):
        fit(music / "tracks.csv", store, "loudness", per_class=2)


def test_predict_reports_files_it_cannot_use(music: Path, store: Path, tmp_path: Path) -> None:
    model = fit(music / "tracks.csv", store, "style", head="linear")
    (music / "calm/0.wav").write_text("no audio")
    found = predict(model, music, out=tmp_path / "out.csv", workers=1)
    assert len(found.ids) == 7
    assert [failure.facts.id for failure in found.embedding.failures] == ["calm/0.wav"]


def test_two_data_sets_with_the_same_names_in_one_store(music: Path, tmp_path: Path) -> None:
    """Predicting new files into the training store leaves the training features alone."""
    store, other = tmp_path / "store", tmp_path / "other"
    embed(music, store, workers=1)
    first = fit(music, store, "label", head="linear")
    shutil.copytree(music, other)
    for path in other.rglob("*.wav"):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[::-1] * 0.5, rate)
    predict(first, other, store=store, workers=1)
    second = fit(music, store, "label", head="linear")
    before, after = (predict(one, music, workers=1).scores for one in (first, second))
    np.testing.assert_array_equal(before, after)
    index = build_index(store, manifest=music)
    assert len(index) == 8
    both = build_index(store)
    assert len(both) == len(set(both.ids)) == 16


def test_predictions_into_a_folder_are_refused_at_once(
    music: Path, store: Path, tmp_path: Path
) -> None:
    model = fit(music / "tracks.csv", store, "style", head="linear")
    with pytest.raises(UsageError, match="a file for the predictions, got a folder"):
        predict(model, music, out=tmp_path, store=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_renamed_file_is_indexed_once(music: Path, tmp_path: Path) -> None:
    embed(music, tmp_path / "store", workers=1)
    (music / "calm/0.wav").rename(music / "calm/renamed.wav")
    embed(music, tmp_path / "store", workers=1)
    index = build_index(tmp_path / "store")
    assert len(index) == 8
    assert "calm/renamed.wav" in index.ids
    assert "calm/0.wav" not in index.ids


def test_a_model_made_for_another_encoder_is_refused(music: Path, store: Path) -> None:
    from dataclasses import replace

    model = fit(music / "tracks.csv", store, "style", head="linear")
    other = Model(replace(model.card, version=99), model.facts, model.estimator)
    with pytest.raises(ModelError, match="version: 99 -> 1"):
        predict(other, music)


def rewritten(path: Path, change: dict[str, bytes | None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | change
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in parts.items():
            if body is not None:
                archive.writestr(name, body)
    path.write_bytes(content.getvalue())
    return path


def test_damaged_and_hostile_model_files(music: Path, store: Path, tmp_path: Path) -> None:
    import hashlib

    import skops.io
    from sklearn.pipeline import Pipeline

    path = tmp_path / "m.segue"

    def fresh() -> Path:
        fit(music / "tracks.csv", store, "style", head="linear", out=path)
        return path

    (tmp_path / "text").write_text("no zip")
    for wrong in (tmp_path / "text", tmp_path / "absent", tmp_path):
        with pytest.raises(ModelError, match="a model file that `segue fit` wrote"):
            Model.load(wrong)
    with pytest.raises(ModelError, match=r"a zip file with \['head.skops'\]"):
        Model.load(rewritten(fresh(), {"model.json": None}))
    with pytest.raises(ModelError, match="does not match its digest"):
        Model.load(rewritten(fresh(), {"head.skops": b"x"}))
    with pytest.raises(ModelError, match="JSONDecodeError"):
        Model.load(rewritten(fresh(), {"model.json": b"{"}))
    # a head of another kind, with a digest that fits: only trusted types are built
    evil = skops.io.dumps(Pipeline([("head", Untrusted())]))
    with zipfile.ZipFile(fresh()) as archive:
        facts = json.loads(archive.read("model.json"))
    facts["head_sha256"] = hashlib.sha256(evil).hexdigest()
    parts = {"model.json": json.dumps(facts).encode(), "head.skops": evil}
    with pytest.raises(ModelError, match="Do not trust this file"):
        Model.load(rewritten(path, parts))


class Untrusted:
    """Stands for any type that a head of segue never has."""


def test_similar_by_id_and_by_file(music: Path, store: Path, tmp_path: Path) -> None:
    build_index(store, out=tmp_path / "index")
    by_id = similar(tmp_path / "index", "3", k=3)
    assert "3" not in by_id.ids
    assert by_id.distances == sorted(by_id.distances)
    by_file = similar(tmp_path / "index", music / "calm/3.wav", k=4)
    assert by_file.ids == ["3", *by_id.ids]
    assert by_file.distances[0] == pytest.approx(0.0, abs=1e-3)
    assert by_file.paths[0] == str(music / "calm/3.wav")


def test_queries_that_cannot_be(music: Path, store: Path, tmp_path: Path) -> None:
    index = build_index(store)
    with pytest.raises(UsageError, match="an id in the index or an audio file"):
        similar(index, "nobody")
    soundfile.write(tmp_path / "silence.wav", np.zeros(22050), 22050)
    with pytest.raises(InvalidSamplesError, match="silence"):
        similar(index, tmp_path / "silence.wav")
    bare = ExactIndex.build(np.eye(120), [str(i) for i in range(120)])
    with pytest.raises(ModelError, match="without an encoder card"):
        similar(bare, music / "calm/3.wav")
    with pytest.raises(StoreError, match="no tables"):
        build_index(tmp_path / "empty")
