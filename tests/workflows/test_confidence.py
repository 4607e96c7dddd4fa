"""`fit` and `predict` with probabilities, thresholds, pictures, and older model files."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from segue.cli import app
from segue.errors import UsageError
from segue.workflows import Model, embed, fit, predict

ARTISTS, PER = 20, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty short clips of twenty artists in two styles not told apart easily, embedded."""
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    rows = ["path,id,style,tags,artist,loudness"]
    for artist in range(ARTISTS):
        style, pitch = artist % 2, 400 + 250 * (artist % 2) + 90 * rng.normal()
        for number in range(PER):
            time = np.arange(6000) / 12000
            tone = np.sin(2 * np.pi * (pitch + 60 * rng.normal()) * time)
            name = f"{artist}-{number}.wav"
            soundfile.write(folder / name, 0.2 * tone + 0.05 * rng.normal(size=6000), 12000)
            tags = "live;loud" if style else "live" if number else ""
            rows.append(f"{name},{name},{('calm', 'wild')[style]},{tags},{artist},{rng.random()}")
    (folder / "tracks.csv").write_text("\n".join(rows) + "\n")
    embed(folder / "tracks.csv", folder / "store", encoder="mfcc", workers=1)
    return folder


def fitted(folder: Path, **options: Any) -> Model:
    defaults: dict[str, Any] = {"target": "style", "group": "artist", "head": "ridge", "inner": 4}
    return fit(folder / "tracks.csv", folder / "store", **(defaults | options))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_are_probabilities_and_the_model_says_so(folder: Path, tmp_path: Path) -> None:
    model = fitted(folder, out=tmp_path / "m.segue")
    facts = Model.load(tmp_path / "m.segue").facts
    assert facts == model.facts
    assert facts.calibrated
    assert facts.ece is not None
    assert facts.ece_before is not None
    assert facts.ece < facts.ece_before  # regression onto one-hot rows is never sure
    assert facts.ece_if_perfect is not None
    assert (facts.unknown, facts.coverage) == (None, None)
    assert (tmp_path / "m.reliability.png").read_bytes().startswith(b"\x89PNG")
    found = predict(tmp_path / "m.segue", folder / "tracks.csv", out=tmp_path / "p.csv", workers=1)
    assert found.scores is not None
    np.testing.assert_allclose(found.scores.sum(axis=1), 1)
    rows = table(tmp_path / "p.csv")
    assert list(rows[0]) == ["id", "path", "style", "confidence", "score:calm", "score:wild"]
    for row in rows:
        assert float(row["confidence"]) == max(float(row["score:calm"]), float(row["score:wild"]))
        assert float(row[f"score:{row['style']}"]) == float(row["confidence"])


def test_without_calibration_all_is_as_it_was(folder: Path, tmp_path: Path) -> None:
    plain = fitted(folder, calibrate=False, out=tmp_path / "m.segue")
    assert not plain.facts.calibrated
    assert plain.facts.ece is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.segue"]
    found = predict(plain, folder / "tracks.csv", out=tmp_path / "p.csv", workers=1)
    assert found.confidence is None
    assert list(table(tmp_path / "p.csv")[0]) == ["id", "path", "style", "score:calm", "score:wild"]
    # the labels of both are those of the head
    both = predict(fitted(folder), folder / "tracks.csv", workers=1)
    np.testing.assert_array_equal(both.values, found.values)


def test_what_is_not_sure_enough_is_unknown(folder: Path, tmp_path: Path) -> None:
    model = fitted(folder, unknown=0.8, report=tmp_path / "about")
    facts = model.facts
    assert facts.unknown == 0.8
    assert facts.coverage is not None
    assert facts.accepted_accuracy is not None
    assert 0 < facts.coverage < 1
    assert facts.accepted_accuracy > 0.7
    page = (tmp_path / "about/reliability.html").read_text()
    assert "unknown below a confidence of 0.8" in page.lower()
    assert "95 % interval" in page
    found = predict(model, folder / "tracks.csv", out=tmp_path / "p.csv", workers=1)
    unsure = [float(row["confidence"]) < 0.8 for row in table(tmp_path / "p.csv")]
    assert [row["style"] == "unknown" for row in table(tmp_path / "p.csv")] == unsure
    assert any(unsure)
    assert (found.values == "unknown").sum() == sum(unsure)


def test_a_threshold_can_be_chosen_by_the_share_of_right_labels(folder: Path) -> None:
    facts = fitted(folder, unknown="auto:0.85").facts
    assert facts.unknown is not None
    assert facts.coverage is not None
    assert 0 < facts.unknown < 1
    assert facts.coverage < 1
    with pytest.raises(UsageError, match="100% of the labels given to be right, got at most"):
        fitted(folder, unknown="auto:1")


def test_a_tag_may_be_neither_given_nor_denied(folder: Path, tmp_path: Path) -> None:
    model = fitted(folder, target="tags", head="ridge", unknown=0.75, out=tmp_path / "m.segue")
    assert model.facts.calibrated
    found = predict(tmp_path / "m.segue", folder / "tracks.csv", out=tmp_path / "p.csv", workers=1)
    assert found.confidence is None
    assert found.undecided is not None
    rows = table(tmp_path / "p.csv")
    assert list(rows[0])[2:4] == ["tags", "unknown"]
    for row in rows:
        for tag in model.facts.labels:
            p = float(row[f"score:{tag}"])
            given, open_ = tag in row["tags"].split(";"), tag in row["unknown"].split(";")
            assert given == (p >= 0.75)
            assert open_ == (max(p, 1 - p) < 0.75)
    assert found.undecided.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "loudness", "calibrate": True}, "a number has no probability"),
        ({"target": "loudness", "unknown": 0.9}, "a number has no probability"),
        ({"calibrate": False, "unknown": 0.9}, "--unknown with --no-calibrate"),
        ({"unknown": 1.5}, "a confidence from 0 to 1, got 1.5"),
        ({"unknown": "often"}, "a confidence such as 0.8, or auto:0.9"),
        ({"target": "tags", "unknown": 0.3}, r"a confidence from 0\.5 to 1, got 0\.3"),
        ({"target": "tags", "unknown": "auto:0.9"}, "nearly every 'no' is right"),
        ({"per_class": 10, "calibrate": True}, "50 clips or more to calibrate on"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        fitted(folder, **options)


def test_regression_and_few_clips_are_left_as_they_are_with_a_note(folder: Path) -> None:
    assert not fitted(folder, target="loudness", head="ridge").facts.calibrated
    few = fitted(folder, per_class=10).facts
    assert not few.calibrated
    assert "not calibrated: wanted 50 clips or more" in few.notes[-1]


def test_a_class_called_unknown_is_no_answer_to_leave_open(folder: Path, tmp_path: Path) -> None:
    text = (folder / "tracks.csv").read_text().replace(",calm,", ",unknown,")
    (folder / "renamed.csv").write_text(text)
    with pytest.raises(UsageError, match="none of which is called 'unknown'"):
        fit(folder / "renamed.csv", folder / "store", "style", group="artist", unknown=0.6)
    assert fit(
        folder / "renamed.csv", folder / "store", "style", group="artist", head="ridge"
    ).facts.calibrated


def test_model_files_of_before_calibration_can_be_read(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.segue"
    new = fitted(folder, calibrate=False, out=path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(parts["model.json"])
    facts["format"] = 1
    for name in (
        "calibrated", "ece_before", "ece", "ece_if_perfect", "unknown", "coverage",
        "accepted_accuracy",
    ):  # fmt: skip
        del facts["facts"][name]
    parts["model.json"] = json.dumps(facts).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in parts.items():
            archive.writestr(name, body)
    old = Model.load(path)
    assert old.facts == new.facts
    found = predict(old, folder / "tracks.csv", workers=1)
    assert found.confidence is None
    assert found.scores is not None


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_line_says_it_in_words_and_in_json(folder: Path, tmp_path: Path) -> None:
    request = ["fit", folder / "tracks.csv", folder / "store", "--target", "style"]
    request += ["--group", "artist", "--head", "ridge", "-o", tmp_path / "m.segue"]
    words = run(*request, "--unknown", "0.7")
    assert "expected calibration error, out of fold" in words
    assert "unknown below a confidence of 0.7" in words
    assert str(tmp_path / "m.reliability.png") in words
    answer = json.loads(run(*request, "--unknown", "auto:0.8", "--json"))
    assert answer["calibrated"] is True
    assert answer["reliability"] == str(tmp_path / "m.reliability.png")
    assert 0 <= answer["unknown"] < 1
    assert answer["ece"] < answer["ece_before"]
    predicted = json.loads(
        run("predict", tmp_path / "m.segue", folder, "-o", tmp_path / "p.csv", "--json")
    )
    for one in predicted["predictions"]:
        assert (one["style"] == "unknown") == (one["confidence"] < answer["unknown"])
    said = run("predict", tmp_path / "m.segue", folder, "-o", tmp_path / "p.csv")
    assert "unknown: confidence below" in said
    plain = json.loads(run(*request, "--no-calibrate", "--json"))
    assert (plain["calibrated"], plain["ece"], plain["reliability"]) == (False, None, None)
