"""The two ways to a number, resumed exactly, and what each change is worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC, SVR

from segue.evaluation.blocks import Blocks
from segue.evaluation.folds import outer_folds
from segue.evaluation.protocols import nested_cv
from segue.experiments.choi2017 import runs as module
from segue.experiments.choi2017.material import Material, feature_sets, paper_splits
from segue.experiments.choi2017.released import read_released
from segue.experiments.choi2017.runs import (
    AUTO,
    GROUPED,
    NESTED,
    PAPER,
    SHUFFLED,
    Runner,
    corrected_protocols,
)
from segue.experiments.choi2017.table import agreement, recalls, table_rows, wins
from segue.experiments.choi2017.tasks import paper_task

CELLS = [
    {
        "C": [0.1, 2.0, 8.0, 32.0],
        "kernel": ["rbf"],
        "gamma": [*(0.5**k for k in (3, 5, 7, 9, 11, 13)), "auto"],
    },
    {"C": [0.1, 2.0, 8.0, 32.0], "kernel": ["linear"]},
]


def material(kind: str = "classification", n: int = 80, seed: int = 0) -> Material:
    """Layer 3 knows the label, the others hardly; groups of four clips share an offset."""
    draws = np.random.default_rng(seed)
    y = np.arange(n) % 2 if kind == "classification" else draws.normal(size=n) / 5 + 0.5
    groups = np.array([f"artist {i // 4}" for i in range(n)])
    signal = (np.asarray(y, float) - np.mean(y))[:, None]
    strength = {"1": 0.2, "2": 0.2, "3": 3.0, "4": 0.1, "5": 0.1}
    arrays = [
        draws.normal(size=(n, 4)) * 0.5 + strength[layer] * signal * draws.normal(size=4)
        for layer in strength
    ]
    blocks = Blocks((*strength, "mfcc"), (*arrays, draws.normal(size=(n, 6))))
    return Material(
        name="toy",
        title="Toy",
        kind=kind,  # type: ignore[arg-type]
        y=y,
        classes=("a", "b") if kind == "classification" else (),
        convnet=blocks,
        random=Blocks(tuple(strength), tuple(np.roll(X, 7, axis=0) for X in arrays)),
        splits=paper_splits(kind, y, "toy"),  # type: ignore[arg-type]
        groups=groups,
        group_name="artist",
        theirs={"3": 0.9},
    )


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_papers_number_is_the_best_score_of_a_plain_grid_search(
    tmp_path: Path, kind: str
) -> None:
    one = material(kind)
    rows = ["3", "135", "mfcc", "mfcc+12345", "random 3"]
    run = Runner(material=one, out=tmp_path).by_paper(rows=rows)
    assert list(run.scores) == ["3", "135", "mfcc", "mfcc+12345", "random 3"]
    estimator = SVC() if kind == "classification" else SVR()
    for label, scored in run.scores.items():
        blocks, names = feature_sets(one)[label]
        plain = GridSearchCV(estimator, CELLS, cv=one.splits, error_score="raise")
        plain.fit(blocks.matrix(names), one.y)
        assert scored.score == pytest.approx(plain.best_score_, abs=1e-9)


def test_corrected_is_nested_cross_validation(tmp_path: Path) -> None:
    one = material()
    runner = Runner(material=one, out=tmp_path, seed=3)
    run = runner.corrected(protocol=GROUPED, rows=["35"])
    folds = outer_folds(one.y, one.groups, "classification", seed=3)
    for label in ("35",):
        blocks, names = feature_sets(one)[label]
        expected = nested_cv(
            blocks.matrix(names), one.y, one.groups, "classification", "svm", folds=folds, seed=3
        )
        np.testing.assert_array_equal(run.scores[label].predictions, expected.predictions)


def test_finished_cells_are_not_computed_again_and_changed_inputs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = material()
    runner = Runner(material=one, out=tmp_path)
    first = runner.by_paper(rows=["3", "5"])
    nested = runner.corrected(protocol=SHUFFLED, rows=["3"])

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(module, "paper_grid", never)
        patched.setattr(module, "nested_layer_sets", never)
        again = runner.by_paper(rows=["3", "5"])
        assert {k: v.score for k, v in again.scores.items()} == {
            k: v.score for k, v in first.scores.items()
        }
        nested_again = runner.corrected(protocol=SHUFFLED, rows=["3"])
        np.testing.assert_array_equal(
            nested_again.scores["3"].predictions, nested.scores["3"].predictions
        )
        assert nested_again.scores["3"].low == nested.scores["3"].low
        for other in (
            replace(one, y=1 - one.y),
            replace(one, splits=one.splits[::-1]),
            replace(one, convnet=Blocks(one.convnet.names, one.convnet.arrays[::-1])),
        ):
            with pytest.raises(AssertionError, match="computed again"):
                Runner(material=other, out=tmp_path).by_paper(rows=["3"])
        with pytest.raises(AssertionError, match="computed again"):
            runner.corrected(protocol=NESTED, rows=["3"], scale=False)
        with pytest.raises(AssertionError, match="computed again"):
            runner.corrected(protocol=GROUPED, rows=["3"])


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = material()
    whole = Runner(material=one, out=tmp_path / "whole").by_paper(rows=["1", "3", "5"])
    runner = Runner(material=one, out=tmp_path / "cut")
    put = module.Cells.put
    kept: list[str] = []

    def stop_after_one(self: module.Cells, features: str, cell: dict[str, object]) -> None:
        put(self, features, cell)
        kept.append(features)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module.Cells, "put", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            runner.by_paper(rows=["1", "3", "5"])
    assert len(kept) == 1
    resumed = runner.by_paper(rows=["1", "3", "5"])
    for label, scored in whole.scores.items():
        assert resumed.scores[label].score == scored.score
        np.testing.assert_array_equal(resumed.scores[label].predictions, scored.predictions)


def test_a_damaged_cell_is_computed_again(tmp_path: Path) -> None:
    runner = Runner(material=material(), out=tmp_path)
    before = runner.by_paper(rows=["3"]).scores["3"].score
    (path,) = tmp_path.glob("3.*.json")
    path.write_text(path.read_text()[:40])
    assert runner.by_paper(rows=["3"]).scores["3"].score == before
    path.write_text("{}")
    assert runner.by_paper(rows=["3"]).scores["3"].score == before


def test_which_corrected_protocols_there_are() -> None:
    one = material()
    assert corrected_protocols(one) == (SHUFFLED, GROUPED)
    assert corrected_protocols(replace(one, groups=None)) == (SHUFFLED,)


def test_rows_have_theirs_and_differences_only_where_published(tmp_path: Path) -> None:
    one = material()
    run = Runner(material=one, out=tmp_path).by_paper(rows=["3", "5"])
    rows = {row.features: row for row in table_rows(one, [run])}
    assert rows["3"].difference == pytest.approx(run.scores["3"].score - 0.9)
    assert rows["5"].theirs is None
    assert rows["5"].difference is None
    assert agreement(list(rows.values()))["compared"] == 1
    assert recalls(one, run.scores["3"])[0] > 0.8


def test_progress_counts_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    runner = Runner(material=material(), out=tmp_path, watch=lambda *facts: told.append(facts))
    runner.by_paper(rows=["3", "5"])
    assert told[-1][0] == f"toy, {PAPER}"
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_released_speech_and_music_scores_are_the_published_ones(
    segue_data: Path, tmp_path: Path
) -> None:
    (one,) = read_released(segue_data / "choi2017", paper_task("gtzan_speechmusic"))
    run = Runner(material=one, out=tmp_path).by_paper(rows=["1", "4", "12345", "mfcc"])
    for row in table_rows(one, [run]):
        assert row.difference == pytest.approx(0, abs=0.0005), row


def test_released_scores_of_genre_and_emotion_are_the_published_ones(
    segue_data: Path, tmp_path: Path
) -> None:
    (genre,) = read_released(segue_data / "choi2017", paper_task("gtzan_genre"))
    arousal, valence = read_released(segue_data / "choi2017", paper_task("emoMusic"))
    for one, rows in ((genre, ["4"]), (arousal, ["123"]), (valence, ["3"])):
        run = Runner(material=one, out=tmp_path / one.name).by_paper(rows=rows)
        for row in table_rows(one, [run]):
            assert row.difference == pytest.approx(0, abs=0.0005), row


@pytest.mark.long
def test_all_released_cells_without_layer_5_are_the_published_ones(
    segue_data: Path, tmp_path: Path
) -> None:
    """Cells with layer 5 may come from a file that was not released."""
    for name in ("gtzan_genre", "emoMusic", "gtzan_speechmusic"):
        for one in read_released(segue_data / "choi2017", paper_task(name)):
            rows = [label for label in one.theirs if "5" not in label]
            run = Runner(material=one, out=tmp_path / one.name, jobs=2).by_paper(rows=rows)
            for row in table_rows(one, [run]):
                assert row.difference == pytest.approx(0, abs=0.0005), row


def test_auto_is_chosen_inside_the_folds_among_the_layer_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["3", "5", "35"]
    one = material()
    monkeypatch.setattr(
        module, "feature_sets", lambda m: {k: v for k, v in feature_sets(m).items() if k in rows}
    )
    run = Runner(material=one, out=tmp_path).corrected(protocol=SHUFFLED)
    assert list(run.scores) == [*rows, AUTO]
    won = wins(run.scores[AUTO])
    assert sum(won.values()) == 10
    assert "5" not in won
    for settings, (_, test) in zip(
        run.scores[AUTO].settings, module.folds_of(one, SHUFFLED, 0).splits(), strict=True
    ):
        chosen = run.scores[str(settings["layers"])]
        np.testing.assert_array_equal(run.scores[AUTO].predictions[test], chosen.predictions[test])


def test_auto_is_the_same_whatever_was_finished_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal inner scores are told apart by the order of the table, not of the computation."""
    one = material()
    same = Blocks(one.convnet.names, (one.convnet.arrays[2],) * 5 + one.convnet.arrays[5:])
    one = replace(one, convnet=same)
    rows = ["1", "2", "3"]
    monkeypatch.setattr(
        module, "feature_sets", lambda m: {k: v for k, v in feature_sets(m).items() if k in rows}
    )
    runner = Runner(material=one, out=tmp_path)
    first = runner.corrected(protocol=SHUFFLED).scores[AUTO]
    for path in tmp_path.glob("1.*.json"):
        path.unlink()
    again = runner.corrected(protocol=SHUFFLED).scores[AUTO]
    assert wins(first) == wins(again) == {"1": 10}


def test_a_cell_that_lacks_something_is_computed_again(tmp_path: Path) -> None:
    runner = Runner(material=material(), out=tmp_path)
    before = runner.by_paper(rows=["3"]).scores["3"].score
    (path,) = tmp_path.glob("3.*.json")
    facts = json.loads(path.read_text())
    for damaged in ({}, {"cell": {}}, {"cell": {"score": 1.0}}):
        path.write_text(json.dumps({"digest": facts["digest"], **damaged}))
        assert runner.by_paper(rows=["3"]).scores["3"].score == before


def test_what_the_papers_protocol_leaves_out_of_regression_is_said(tmp_path: Path) -> None:
    one = material("regression", n=40)
    y = one.y.copy()
    y[one.splits[0][1]] = 0.5
    run = Runner(material=replace(one, y=y), out=tmp_path).by_paper(rows=["3"])
    assert any("exact optimum" in note for note in run.notes)
    assert "R2 is undefined in 1 of 10 folds: 4 clips unscored." in run.notes
    assert Runner(material=material(), out=tmp_path / "c").by_paper(rows=["5"]).notes == ()
