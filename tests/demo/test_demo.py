"""The demonstration: the whole main job runs offline and its words are those of its numbers."""

from __future__ import annotations

import csv
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import pytest

from segue.demo import Demo, corpus_manifest, run
from segue.store import tables
from segue.workflows import Model


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run with every connection refused."""
    with pytest.MonkeyPatch.context() as patch:
        connect = socket.socket.connect

        def refuse(one: socket.socket, address: object) -> None:
            if one.family != socket.AF_UNIX:  # as the server that workers are forked from is called
                raise AssertionError("the demonstration tried to reach the network")
            connect(one, address)  # type: ignore[arg-type]

        patch.setattr(socket.socket, "connect", refuse)
        return run(tmp_path_factory.mktemp("demo"), workers=1)


def test_three_encoders_on_three_tasks_with_pieces_apart(demo: Demo) -> None:
    results = demo.evaluation.results
    assert [result.task for result in results] == ["classification", "tagging", "regression"]
    for result in results:
        assert result.n == 120
        assert result.group == "piece"
        names = [one.name for one in result.encoders]
        majority = ["majority"] * (result.task == "classification")
        assert names[3:] == ["auto", "chance", *majority]
    assert not demo.evaluation.failures


def test_style_is_learned_and_no_piece_is_on_both_sides(demo: Demo) -> None:
    style = demo.evaluation.results[0]
    accuracy = {row.encoder: row.mean for row in style.rows if row.metric == "accuracy"}
    assert accuracy["chance"] == pytest.approx(1 / 8, abs=0.03)
    assert min(accuracy["mfcc"], accuracy["choi2017-4q"]) > 3 * accuracy["chance"]
    with corpus_manifest().open() as file:
        pieces = [row["piece"] for row in csv.DictReader(file)]
    folds: dict[str, set[int]] = {}
    for piece, fold in zip(pieces, style.folds, strict=True):
        folds.setdefault(piece, set()).add(int(fold))
    assert {len(where) for where in folds.values()} == {1}


def test_few_label_model_predicts_pieces_it_never_heard(demo: Demo) -> None:
    folder = demo.page.parent
    model = Model.load(folder / "style.segue")
    assert model.facts.examples == 80
    with (folder / "predictions.csv").open() as file:
        predictions = {row["id"]: row["style"] for row in csv.DictReader(file)}
    with corpus_manifest().open() as file:
        truth = {row["id"]: row["style"] for row in csv.DictReader(file)}
    right = sum(truth[name] == style for name, style in predictions.items())
    assert demo.findings["few labels"].startswith(f"{right} of {len(predictions)} unseen clips")
    assert right / len(predictions) > 0.25


class Page(HTMLParser):
    """What a reader gets: text, pictures, sounds, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures = self.sounds = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value and not value.startswith(("data:", "#")):
                self.fetched.append(value)
        self.pictures += tag == "img"
        self.sounds += tag == "audio"


def test_the_page_holds_everything_itself(demo: Demo) -> None:
    page = Page()
    text = demo.page.read_text()
    page.feed(text)
    assert page.fetched == []
    assert page.pictures >= 8
    assert page.sounds == 6
    found = re.search(r"precision at 10 for style ([0-9.]+)", demo.findings["similarity"])
    assert found is not None
    shown = re.search(r"([0-9.]+) % carry the query", text)
    assert shown is not None
    assert float(shown[1]) / 100 == pytest.approx(float(found[1]), abs=0.006)


def test_run_again_it_reuses_the_features(demo: Demo) -> None:
    again = run(demo.page.parent, workers=1)
    assert [done.computed for done in again.evaluation.embedding] == [0, 0, 0]
    assert again.findings == demo.findings
    assert len(tables(demo.page.parent / "features")) == 3


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    from segue.errors import StoreError

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="Choose another folder"):
        run(tmp_path / "file", workers=1)
