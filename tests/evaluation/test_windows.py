"""The window classifier against scikit-learn on stacked windows, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from segue.audio.decode import load
from segue.audio.frontends import FrontEnd, preset
from segue.datasets import Manifest
from segue.encoders.windows import window_features
from segue.errors import UsageError
from segue.evaluation.folds import inner_folds, outer_folds
from segue.evaluation.linear_heads import CentredSVD
from segue.evaluation.triangles import Factor
from segue.evaluation.window_penalty import SHARES, chosen_share
from segue.evaluation.window_sets import Windows
from segue.evaluation.windows import WindowRegression, cross_validate_windows


def song_windows(
    n_clips: int = 40, d: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of songs of three classes, 1 to 9 a song, in mixed order; clip numbers; labels."""
    rng = np.random.default_rng(seed)
    labels = np.array(["a", "bb", "ccc"])[np.arange(n_clips) % 3]
    clips = rng.permutation(np.repeat(np.arange(n_clips), rng.integers(1, 10, n_clips)))
    centres = rng.standard_normal((n_clips, d)) + 0.7 * np.eye(3, d)[np.arange(n_clips) % 3]
    return centres[clips] + rng.standard_normal((len(clips), d)), clips, labels


def oracle(
    table: np.ndarray, clips: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """The paper's procedure, literally: fit all windows, average the outputs of each song."""
    classes = np.unique(labels)
    used = np.isin(clips, train)
    targets = (labels[clips[used]][:, None] == classes).astype(float)
    fitted = LinearRegression().fit(table[used], targets)
    outputs = fitted.predict(table)
    means = np.array([outputs[clips == clip].mean(axis=0) for clip in test])
    return classes[means.argmax(axis=1)]


@pytest.mark.parametrize("d", [12, 300])  # more windows than dimensions, and fewer
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_folds_are_those_of_the_literal_procedure(d: int, dtype: type) -> None:
    table, clips, labels = song_windows(d=d)
    table = table.astype(dtype)
    folds = outer_folds(labels, None, "classification", n_folds=5)
    done = cross_validate_windows(table, clips, labels, folds.splits())
    for (train, test), accuracy in zip(folds.splits(), done.fold_accuracy, strict=True):
        wanted = oracle(table.astype(np.float64), clips, labels, train, test)
        assert done.predictions[test].tolist() == wanted.tolist()
        assert accuracy == np.mean(wanted == labels[test])


def test_folds_that_overlap_and_leave_clips_out() -> None:
    """Training parts of any kind, not only the complements of the tests."""
    table, clips, labels = song_windows()
    splits = [(np.arange(20), np.arange(30, 35)), (np.arange(10, 30), np.arange(5))]
    done = cross_validate_windows(table, clips, labels, splits)
    for train, test in splits:
        wanted = oracle(table, clips, labels, train, test)
        assert done.predictions[test].tolist() == wanted.tolist()
    assert set(done.predictions[5:30]) == {""}


def test_progress_is_told_after_each_fold() -> None:
    table, clips, labels = song_windows()
    told: list[tuple[int, int]] = []
    folds = outer_folds(labels, None, "classification", n_folds=3)
    cross_validate_windows(
        table, clips, labels, folds.splits(), progress=lambda *seen: told.append(seen)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


class TestFactor:
    @pytest.mark.parametrize("n", [3, 12, 30, 31, 400])
    @pytest.mark.parametrize("alpha", [0.0, 2.5])
    def test_merged_parts_are_the_whole(self, n: int, alpha: float) -> None:
        rng = np.random.default_rng(n)
        X = rng.standard_normal((n, 30)) * np.geomspace(1e-3, 1e3, 30) + 5
        Y = rng.standard_normal((n, 4))
        parts = np.array_split(rng.permutation(n), 3)
        merged = Factor.merged([Factor.of(X[rows], Y[rows]) for rows in parts])
        coef, intercept = merged.ridge(alpha)
        centred, offset = X - X.mean(axis=0), Y - Y.mean(axis=0)
        golden = np.linalg.lstsq(centred, offset)[0]
        if alpha:
            golden = Ridge(alpha=alpha, solver="svd").fit(X, Y).coef_.T
        outputs = X @ coef.T + intercept
        assert outputs == pytest.approx(centred @ golden + Y.mean(axis=0), abs=1e-8)
        assert np.linalg.norm(coef) == pytest.approx(np.linalg.norm(golden), rel=1e-6)

    def test_collinear_and_constant_columns_have_the_solution_of_least_norm(self) -> None:
        rng = np.random.default_rng(0)
        base = rng.standard_normal((500, 6))
        X = np.hstack([base, base[:, :3], base @ rng.standard_normal((6, 4)), np.full((500, 2), 7)])
        Y = rng.standard_normal((500, 2))
        merged = Factor.merged(
            [Factor.of(X[rows], Y[rows]) for rows in np.split(np.arange(500), 5)]
        )
        coef, intercept = merged.ridge(0.0)
        golden = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=1e-10)[0].T
        assert coef == pytest.approx(golden, abs=1e-9)
        assert intercept == pytest.approx(Y.mean(axis=0) - golden @ X.mean(axis=0), abs=1e-9)
        assert np.abs(coef[:, -2:]).max() < 1e-12

    def test_nearly_collinear_columns_are_solved_as_by_the_decomposition_of_all(self) -> None:
        """Condition number 1e10: sums of products would have lost it all."""
        rng = np.random.default_rng(1)
        left = np.linalg.qr(rng.standard_normal((600, 20)))[0]
        X = left * np.geomspace(1, 1e-10, 20) @ np.linalg.qr(rng.standard_normal((20, 20)))[0]
        Y = rng.standard_normal((600, 3))
        whole, whole_intercept = CentredSVD.of(X).ridge(Y, 0.0)
        parts = [Factor.of(X[rows], Y[rows]) for rows in np.split(np.arange(600), 6)]
        coef, intercept = Factor.merged(parts).ridge(0.0)
        outputs, wanted = X @ coef.T + intercept, X @ whole.T + whole_intercept
        assert np.abs(outputs - wanted).max() < 1e-5
        centred = X - X.mean(axis=0)
        sums = np.linalg.pinv(centred.T @ centred) @ centred.T @ (Y - Y.mean(axis=0))
        assert np.abs(centred @ sums - (wanted - Y.mean(axis=0))).max() > 1e-3

    def test_many_rows_pass_in_steps(self) -> None:
        rng = np.random.default_rng(2)
        X, Y = rng.standard_normal((1000, 5)), rng.standard_normal((1000, 2))  # 31 steps
        coef, _ = Factor.of(X, Y).ridge(0.0)
        assert coef == pytest.approx(LinearRegression().fit(X, Y).coef_, abs=1e-12)


class TestWindowRegression:
    def test_scores_are_mean_outputs(self) -> None:
        table, clips, labels = song_windows()
        windows = Windows(table, clips)
        model = WindowRegression().fit(windows, labels)
        outputs = table @ model.coef_.T + model.intercept_
        wanted = np.array([outputs[clips == clip].mean(axis=0) for clip in range(len(labels))])
        assert model.clip_scores(windows) == pytest.approx(wanted, abs=1e-12)

    def test_order_of_windows_does_not_matter(self) -> None:
        table, clips, labels = song_windows()
        model = WindowRegression().fit(Windows(table, clips), labels)
        order = np.random.default_rng(3).permutation(len(clips))
        mixed = WindowRegression().fit(Windows(table[order], clips[order]), labels)
        assert mixed.coef_ == pytest.approx(model.coef_, abs=1e-10)
        same = Windows(table[order], clips[order])
        assert mixed.predict(same).tolist() == model.predict(Windows(table, clips)).tolist()

    def test_a_clip_is_predicted_alone_as_among_others(self) -> None:
        table, clips, labels = song_windows()
        model = WindowRegression().fit(Windows(table, clips), labels)
        together = model.clip_scores(Windows(table, clips))
        alone = model.clip_scores(Windows(table[clips == 7], np.zeros((clips == 7).sum(), int)))
        assert alone[0] == pytest.approx(together[7], abs=1e-12)

    def test_penalty_is_that_of_ridge(self) -> None:
        table, clips, labels = song_windows()
        model = WindowRegression(alpha=3.0).fit(Windows(table, clips), labels)
        targets = (labels[clips][:, None] == model.classes_).astype(float)
        golden = Ridge(alpha=3.0).fit(table, targets)
        assert model.coef_ == pytest.approx(golden.coef_, abs=1e-10)
        assert model.intercept_ == pytest.approx(golden.intercept_, abs=1e-10)

    def test_every_window_is_an_example(self) -> None:
        """Doubling a clip's windows counts it twice; averaging windows first would not."""
        table, clips, labels = song_windows()
        extra = clips == 0
        doubled = WindowRegression().fit(
            Windows(np.vstack([table, table[extra]]), np.concatenate([clips, clips[extra]])), labels
        )
        once = WindowRegression().fit(Windows(table, clips), labels)
        assert np.abs(doubled.coef_ - once.coef_).max() > 1e-4

    @pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
    def test_bad_penalties(self, alpha: float) -> None:
        table, clips, labels = song_windows()
        with pytest.raises(UsageError, match="penalty of 0 or more"):
            WindowRegression(alpha=alpha).fit(Windows(table, clips), labels)

    def test_bad_use(self) -> None:
        table, clips, labels = song_windows()
        windows = Windows(table, clips)
        with pytest.raises(UsageError, match="a fitted model, got none"):
            WindowRegression().predict(windows)
        model = WindowRegression().fit(windows, labels)
        with pytest.raises(UsageError, match="windows of 12 numbers, got 5"):
            model.predict(Windows(table[:, :5], clips))


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([0, 0, 1], r"shape \(3,\)"),
        ([0, 0, 1, -1], "clips from -1 to 1"),
        ([0, 0, 1, 9**9], "clips from 0 to 387420489"),
        ([0, 0, 2, 2], "no window of clip 1"),
        ([0.0, 0.0, 1.0, 1.0], "float64"),
    ],
)
def test_clips_that_cannot_be(clips: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Windows(np.ones((4, 2)), np.array(clips))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_windows_that_are_not_finite_are_named(value: float) -> None:
    table, clips, labels = song_windows()
    table[5, 1] = value
    with pytest.raises(UsageError, match=r"NaN or infinity in 1 of \d+ rows: 5"):
        cross_validate_windows(table, clips, labels, [([0, 1, 2], [3])])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 4, "same target for every clip"),
        (["a", "b", None, "a"], "missing or malformed"),
        (["a", "b", "a"], "label for each of 4 clips, got 3"),
    ],
)
def test_labels_that_cannot_be(labels: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cross_validate_windows(np.ones((4, 2)), np.arange(4), labels, [([0, 1], [2, 3])])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([], "one fold or more, got none"),
        ([([0, 2], [1])], "two classes or more to train on, got one in fold 0"),
        ([([0, 1], [4])], "'c' in fold 0 only to test"),
        ([([0, 1, 2], [2, 3])], "clip 2 in fold 0"),
        ([([0, 1], [2]), ([1, 0], [2])], "clip 2 2 times"),
        ([([0, 1], [])], "test clips of fold 0"),
        ([([0, 1], [6])], "whole numbers below 6"),
        ([([0, 0, 1], [2])], "training clips of fold 0: different"),
        ([([True, False, True, False, True, False], [2])], "of bool"),
    ],
)
def test_folds_that_cannot_be(splits: list, message: str) -> None:
    labels = ["a", "b", "a", "b", "c", "c"]
    with pytest.raises(UsageError, match=message):
        cross_validate_windows(np.eye(6), np.arange(6), labels, splits)


def test_music_of_two_kinds(segue_data) -> None:
    """Real windows: sixteen clips of 4q, two quadrants, against the literal procedure."""
    manifest = Manifest.read(segue_data / "4q/manifest.csv")
    quadrants = manifest.column("quadrant")
    chosen = [i for q in ("Q1", "Q3") for i in [n for n, v in enumerate(quadrants) if v == q][:8]]
    front_end = FrontEnd(preset("hamel2013")).eval()
    tracks = list(manifest.tracks())
    tables = []
    for index in chosen:
        audio = load(tracks[index].path, rate=22050, duration=30.0)
        tables.append(window_features(front_end(torch.from_numpy(audio.samples)[None])[0]).numpy())
    table = np.concatenate(tables)
    clips = np.repeat(np.arange(16), [len(part) for part in tables])
    labels = np.array([quadrants[index] for index in chosen])
    folds = outer_folds(labels, None, "classification", n_folds=4)
    done = cross_validate_windows(table, clips, labels, folds.splits())
    for train, test in folds.splits():
        assert done.predictions[test].tolist() == oracle(table, clips, labels, train, test).tolist()
    assert done.fold_accuracy.mean() > 0.6


class TestChosenPenalty:
    def test_the_choice_is_that_of_a_literal_search(self) -> None:
        table, clips, labels = song_windows(d=30, seed=4)
        windows, train = Windows(table, clips), np.arange(3, 40)
        codes = np.unique(labels, return_inverse=True)[1]
        groups = np.arange(40) // 2
        right = dict.fromkeys(SHARES, 0)
        parts = inner_folds(codes[train], groups[train], "classification", seed=9)
        for inner, held in parts.splits():
            used = np.isin(clips, train[inner])
            X = table[used]
            largest = np.linalg.norm(X - X.mean(axis=0), 2) ** 2
            for share in SHARES:
                model = Ridge(alpha=max(share * largest, 1e-12), solver="svd")
                model.fit(X, np.eye(3)[codes[clips[used]]])
                best = model.predict(windows.means[train[held]]).argmax(axis=1)
                right[share] += int(np.sum(best == codes[train[held]]))
        wanted = max(SHARES, key=lambda share: (right[share], share))
        assert len(set(right.values())) > 2
        assert chosen_share(windows, train, codes, groups, seed=9) == wanted

    def test_test_clips_have_no_part_in_it(self) -> None:
        """Labels of the tested clips changed: the same predictions."""
        table, clips, labels = song_windows(d=30)
        train, test = np.arange(30), np.arange(30, 40)
        told = []
        for mixed in (labels, np.concatenate([labels[:30], np.roll(labels[30:], 1)])):
            done = cross_validate_windows(table, clips, mixed, [(train, test)], alpha="chosen")
            told.append(done.predictions[test].tolist())
        assert told[0] == told[1]

    def test_scale_of_the_features_does_not_matter(self) -> None:
        table, clips, labels = song_windows(d=30)
        splits = [(np.arange(30), np.arange(30, 40))]
        one = cross_validate_windows(table, clips, labels, splits, alpha="chosen")
        other = cross_validate_windows(1000 * table, clips, labels, splits, alpha="chosen")
        assert one.predictions.tolist() == other.predictions.tolist()

    def test_one_clip_a_class_takes_the_largest(self) -> None:
        windows = Windows(np.eye(3), np.arange(3))
        assert chosen_share(windows, np.arange(3), np.arange(3), np.arange(3), seed=0) == SHARES[-1]

    def test_another_word_is_refused(self) -> None:
        table, clips, labels = song_windows()
        with pytest.raises(UsageError, match="or 'chosen', got 'best'"):
            cross_validate_windows(table, clips, labels, [([0, 1, 2], [3])], alpha="best")
