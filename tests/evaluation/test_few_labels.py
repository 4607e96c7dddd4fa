"""The few-label curve: draws nested and shared, accuracies those of fits from scratch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from segue.errors import UsageError
from segue.evaluation import window_penalty
from segue.evaluation.few_labels import (
    FewLabelRow,
    draw_order,
    few_label_curve,
    few_label_points,
)
from segue.evaluation.folds import group_codes, inner_folds, outer_folds
from segue.evaluation.window_penalty import SHARES, choosing_folds, chosen_share
from segue.evaluation.window_sets import Windows
from segue.evaluation.windows import cross_validate_windows

LABELS = np.array(["a"] * 24 + ["b"] * 16 + ["c"] * 8)


def features(d: int, seed: int, strength: float = 1.0) -> Windows:
    """Three windows a clip, centred on its class."""
    rng = np.random.default_rng(seed)
    classes = np.unique(LABELS, return_inverse=True)[1]
    centres = strength * np.eye(3, d)[classes] + 0.5 * rng.standard_normal((len(LABELS), d))
    clips = rng.permutation(np.repeat(np.arange(len(LABELS)), 3))
    return Windows(centres[clips] + 0.5 * rng.standard_normal((len(clips), d)), clips)


def folds(n: int = 4) -> list:
    return list(outer_folds(LABELS, None, "classification", n_folds=n).splits())


@pytest.mark.parametrize("d", [5, 60])
def test_accuracies_are_those_of_fits_from_scratch(d: int) -> None:
    """Factors grow from size to size; each is held against scikit-learn on the drawn windows."""
    windows = features(d, 0, strength=0.6)
    sizes = [1, 2, 7, None]
    rows = few_label_curve({"x": windows}, LABELS, folds(), sizes=sizes, repeats=2, seed=3)
    assert len(rows) == len(sizes) * 4 * 2
    classes = np.unique(LABELS)
    for row in rows:
        train, test = folds()[row.fold]
        places = draw_order(LABELS, train, 3, row.fold, row.repeat)
        drawn = train[places < (row.per_class or len(LABELS))]
        used = np.isin(windows.clip_of_window, drawn)
        targets = (LABELS[windows.clip_of_window[used]][:, None] == classes).astype(float)
        fitted = LinearRegression().fit(windows.table[used], targets)
        outputs = fitted.predict(windows.table)
        means = np.array([outputs[windows.clip_of_window == clip].mean(axis=0) for clip in test])
        assert row.accuracy == np.mean(classes[means.argmax(axis=1)] == LABELS[test])
        assert row.clips == len(drawn)


def test_all_clips_are_the_cross_validation() -> None:
    windows = features(8, 1, strength=0.6)
    rows = few_label_curve({"x": windows}, LABELS, folds(), sizes=[None])
    whole = cross_validate_windows(windows.table, windows.clip_of_window, LABELS, folds())
    assert [row.accuracy for row in rows] == whole.fold_accuracy.tolist()


class TestDraws:
    def test_each_class_gives_k_or_all_it_has(self) -> None:
        train = np.arange(len(LABELS))
        places = draw_order(LABELS, train, 0, 0)
        for k, wanted in [(1, (1, 1, 1)), (10, (10, 10, 8)), (20, (20, 16, 8))]:
            drawn = LABELS[train[places < k]]
            assert tuple(np.sum(drawn == name) for name in "abc") == wanted

    def test_larger_draws_hold_smaller_ones(self) -> None:
        train = folds()[0][0]
        places = draw_order(LABELS, train, 0, 0)
        draws = [set(train[places < k].tolist()) for k in (1, 2, 5, 100)]
        assert all(small < large for small, large in pairwise(draws))
        assert draws[-1] == set(train.tolist())

    def test_seeds_folds_and_repeats_draw_others(self) -> None:
        train = np.arange(len(LABELS))
        draws = [
            draw_order(LABELS, train, *purpose).tolist()
            for purpose in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        ]
        assert len({tuple(draw) for draw in draws}) == 4
        assert draws[0] == draw_order(LABELS, train, 0, 0, 0).tolist()

    def test_every_clip_is_as_likely(self) -> None:
        train = np.arange(len(LABELS))
        first = [
            int(train[(draw_order(LABELS, train, seed) < 1) & (LABELS == "c")][0])
            for seed in range(800)
        ]
        counts = np.bincount(first, minlength=len(LABELS))[LABELS == "c"]
        assert np.sum((counts - 100) ** 2 / 100) < 24.3  # chi-squared, 7 degrees: p = .001

    def test_all_features_see_the_same_clips(self) -> None:
        """The same table twice, once in other order and under another name: equal everywhere."""
        one = features(8, 1, strength=0.4)
        order = np.random.default_rng(5).permutation(len(one.table))
        other = Windows(one.table[order], one.clip_of_window[order])
        rows = few_label_curve({"x": one, "y": other}, LABELS, folds(), sizes=[1, 3, 9])
        values = {
            name: [row.accuracy for row in rows if row.features == name] for name in ("x", "y")
        }
        assert values["x"] == values["y"]
        assert len(set(values["x"])) > 3


def test_processes_and_order_of_sizes_change_nothing() -> None:
    sets = {"x": features(6, 0, 0.5), "y": features(9, 1, 0.5)}
    told: list[tuple[int, int]] = []
    rows = few_label_curve(
        sets,
        LABELS,
        folds(),
        sizes=[None, 1, 4],
        progress=lambda *seen: told.append(seen),
    )
    again = few_label_curve(sets, LABELS, folds(), sizes=[1, 4, None], n_jobs=2)
    assert told == [(done, 8) for done in range(1, 9)]
    assert [row.per_class for row in rows[:12]] == [None] * 4 + [1] * 4 + [4] * 4
    assert {(*row.as_dict().values(),) for row in rows} == {
        (*row.as_dict().values(),) for row in again
    }


def test_a_chosen_penalty_for_every_draw() -> None:
    windows = features(40, 0, strength=1.5)
    curves = {
        alpha: few_label_curve(
            {"x": windows}, LABELS, folds(), sizes=[1, 4, None], repeats=3, alpha=alpha
        )
        for alpha in (0.0, "chosen")
    }
    plain, chosen = (
        [point.mean for point in few_label_points(rows, base="x")] for rows in curves.values()
    )
    assert chosen[1] > plain[1] + 0.03  # 36 windows, 40 dimensions
    whole = cross_validate_windows(
        windows.table, windows.clip_of_window, LABELS, folds(), alpha="chosen"
    )
    assert abs(whole.fold_accuracy.mean() - chosen[2]) < 0.1  # other inner folds, the same clips


@pytest.mark.parametrize("head", ["linear", "ridge", "logistic", "knn"])
def test_heads_on_mean_windows(head: str) -> None:
    windows = features(4, 0, strength=4.0)
    groups = np.arange(len(LABELS)) // 2
    split = outer_folds(LABELS, groups, "classification", n_folds=3)
    rows = few_label_curve(
        {"x": windows}, LABELS, split.splits(), sizes=[1, 2, 8], head=head, groups=groups
    )
    points = few_label_points(rows, base="x")
    assert [point.per_class for point in points] == [1, 2, 8]
    assert points[0].mean > 0.5
    assert points[-1].mean > 0.9


class TestNothingToChoose:
    """One artist has clips of both classes, and other artists have one each."""

    LABELS = np.array(["x"] * 20 + ["y"] * 20)
    GROUPS = np.array(
        [*["solo"] * 12, *(f"x{n}" for n in range(8)), *["solo"] * 12, *(f"y{n}" for n in range(8))]
    )

    def curve(self, groups: np.ndarray, folds: list, **options: object) -> list[FewLabelRow]:
        rng = np.random.default_rng(0)
        table = (self.LABELS == "y")[:, None] + rng.standard_normal((40, 3))
        windows = {"x": Windows(table, np.arange(40))}
        return few_label_curve(windows, self.LABELS, folds, groups=groups, **options)

    @pytest.mark.parametrize("options", [{"alpha": "chosen"}, {"head": "svm"}, {"head": "knn"}])
    def test_draws_of_one_artist_stop_nothing(self, options: dict) -> None:
        for seed in range(5):
            parts = outer_folds(self.LABELS, self.GROUPS, "classification", n_folds=4, seed=seed)
            rows = self.curve(
                self.GROUPS, list(parts.splits()), sizes=[2, 5], seed=seed, repeats=2, **options
            )
            assert len(rows) == 16
            assert all(0 <= row.accuracy <= 1 for row in rows)

    @pytest.mark.parametrize("groups", [np.zeros(40), np.arange(40) >= 20], ids=["one", "classes"])
    def test_the_largest_share_and_the_defaults_are_taken(self, groups: np.ndarray) -> None:
        groups = groups.astype(int)
        both = np.concatenate([np.arange(10), np.arange(20, 30)])
        codes = (self.LABELS == "y").astype(int)
        windows = Windows(np.random.default_rng(0).standard_normal((40, 3)), np.arange(40))
        assert chosen_share(windows, both, codes, groups, seed=0) == SHARES[-1]
        parts = [(both, np.setdiff1d(np.arange(40), both))]
        rows = self.curve(groups, parts, sizes=[None], head="knn")
        table = (self.LABELS == "y")[:, None] + np.random.default_rng(0).standard_normal((40, 3))
        one = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
        one.fit(table[both], self.LABELS[both])
        assert rows[0].accuracy == one.score(table[parts[0][1]], self.LABELS[parts[0][1]])

    def test_settings_are_chosen_where_there_are_two_groups(self) -> None:
        groups = np.array(["a", "b"] * 20)
        assert len(choosing_folds(self.LABELS, group_codes(groups, 40), seed=0).names) == 2

    def test_fewer_folds_where_one_would_be_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def some(*args: object, n_folds: int, seed: int) -> object:
            asked.append(n_folds)
            if n_folds > 3:
                raise UsageError(wanted="clips in each fold", got="an empty fold", fix="Fewer")
            return inner_folds(*args, n_folds=n_folds, seed=seed)

        monkeypatch.setattr(window_penalty, "inner_folds", some)
        parts = choosing_folds(self.LABELS, np.arange(40), seed=0)
        assert (asked, len(parts.names)) == ([5, 4, 3], 3)


def test_more_labels_help_where_there_is_something_to_learn() -> None:
    sets = {"noise": features(6, 0, 0.0), "music": features(6, 1, 2.0)}
    rows = few_label_curve(sets, LABELS, folds(), sizes=[1, None], repeats=5)
    points = {(one.features, one.per_class): one for one in few_label_points(rows, base="noise")}
    assert points["music", None].mean > points["music", 1].mean > points["noise", 1].mean
    gain = points["music", None]
    assert gain.difference > 3 * gain.difference_se > 0
    assert points["noise", 1].difference == points["noise", 1].difference_se == 0


class TestPoints:
    ROWS = tuple(
        FewLabelRow(features=name, per_class=2, clips=4, fold=fold, repeat=0, accuracy=value)
        for name, values in {"mel": (0.2, 0.4, 0.9), "tags": (0.3, 0.5, 0.7)}.items()
        for fold, value in enumerate(values)
    )

    def test_error_is_the_deviation_over_the_root_of_the_folds(self) -> None:
        mel, tags = few_label_points(self.ROWS, base="mel")
        assert mel.mean == pytest.approx(0.5)
        assert mel.se == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / np.sqrt(3))
        assert tags.difference == pytest.approx(0.0)
        assert tags.difference_se == pytest.approx(np.std([0.1, 0.1, -0.2], ddof=1) / np.sqrt(3))

    def test_repeats_are_averaged_within_their_fold(self) -> None:
        more = [
            FewLabelRow(features="mel", per_class=2, clips=4, fold=fold, repeat=1, accuracy=1.0)
            for fold in range(3)
        ]
        [point] = few_label_points([*self.ROWS[:3], *more], base="mel")
        assert point.mean == pytest.approx(0.75)
        assert point.se == pytest.approx(np.std([0.1, 0.2, 0.45], ddof=1) / np.sqrt(3))

    @pytest.mark.parametrize("base", ["chroma", "tags"])
    def test_a_base_that_does_not_fit(self, base: str) -> None:
        with pytest.raises(UsageError, match=f"rows of '{base}' for the same sizes"):
            few_label_points(self.ROWS[:4], base=base)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": {}}, "features of the same clips, got none"),
        ({"features": {"x": features(3, 0), "y": Windows(np.eye(3), np.arange(3))}}, "'y': 3"),
        ({"sizes": [0]}, r"1 or more, or None for all, got \[0\]"),
        ({"sizes": [2, 2]}, "different numbers"),
        ({"sizes": []}, "different numbers"),
        ({"repeats": 0}, "one repeat or more"),
        ({"head": "tree"}, "a head among windows, svm"),
        ({"alpha": -1.0}, "penalty of 0 or more"),
        ({"labels": LABELS[:-1]}, "label for each of 48 clips"),
        ({"folds": [(np.arange(24), np.arange(40, 44))]}, "two classes or more to train on"),
        ({"groups": ["x"]}, "one group for each of 48 clips"),
    ],
)
def test_what_cannot_be(changed: dict, message: str) -> None:
    given = {"features": {"x": features(3, 0)}, "labels": LABELS, "folds": folds()} | changed
    options = {key: given.pop(key) for key in list(given) if key not in ("features", "labels")}
    with pytest.raises(UsageError, match=message):
        few_label_curve(given["features"], given["labels"], options.pop("folds"), **options)
