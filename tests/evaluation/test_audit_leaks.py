"""Groups, duplicates, wrong labels and shortcuts: found where planted, not where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from segue.evaluation.audit.duplicates import (
    Pair,
    duplicate_groups,
    duplicate_test,
    find_pairs,
    nearest,
)
from segue.evaluation.audit.groups import group_tests, on_both_sides
from segue.evaluation.audit.labelnoise import noise_test
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.probe import Probe
from segue.evaluation.audit.run import audit_features
from segue.evaluation.audit.shortcut import shortcut_tests
from segue.evaluation.audit.simulated import Recipe, clean_recipes, simulate, with_leak
from segue.evaluation.audit.verdicts import LeakTest, NotRun, decide
from segue.evaluation.audit.worth import random_folds, sides, worth
from segue.seeds import generator


def ran(found: LeakTest | NotRun) -> LeakTest:
    assert isinstance(found, LeakTest)
    return found


def regression(data: AuditSet) -> AuditSet:
    """The same clips with a number to predict that goes with their class and their artist."""
    shift = generator(1).normal(size=2000)
    artists = {name: row for row, name in enumerate(dict.fromkeys(data.groups["artist"]))}
    own = [shift[artists[name]] for name in data.groups["artist"]]
    y = [float(value + code) for value, code in zip(own, data.codes, strict=True)]
    return replace(data, y=y, task="regression")


def test_artists_on_both_sides_of_a_given_split_leak() -> None:
    data = simulate(Recipe(artist_spread=1.0, split="clips"), 0)
    [test] = decide([ran(one) for one in group_tests(data)])
    assert test.verdict == "leak"
    assert 0.1 < test.low < test.statistic < test.high < 0.5
    assert len(test.rows) <= 100
    assert test.statistic == pytest.approx(np.subtract(*test.curves["scores"]))


def test_artists_kept_apart_do_not() -> None:
    data = simulate(Recipe(artist_spread=1.0, split="artists"), 0)
    [test] = decide([ran(one) for one in group_tests(data)])
    assert test.verdict == "clear"
    assert "No artist stands on both sides of the given split" in test.words


def test_without_a_split_it_is_a_warning() -> None:
    data = simulate(Recipe(artist_spread=1.0), 0)
    [test] = decide([ran(one) for one in group_tests(data)])
    assert test.verdict == "suspect"
    assert "--group artist" in test.words


def test_artists_who_sound_like_any_other_are_worth_nothing() -> None:
    recipe = Recipe(artist_spread=0.0, split="clips", clips=200)
    p_values = [ran(group_tests(simulate(recipe, seed))[0]).p_value for seed in range(20)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.2  # 3 or more of 20: 8 % where each has 5 %


def test_groups_of_numbers_and_tags_have_their_worth_too() -> None:
    data = simulate(Recipe(artist_spread=1.0, split="clips"), 0)
    numbers = regression(data)
    assert ran(group_tests(numbers)[0]).low > 0.02
    tags = [("x", label) if row % 2 else (label,) for row, label in enumerate(data.y)]
    tagged = replace(data, y=tags, task="tagging", split=None)
    assert ran(group_tests(tagged)[0]).low > 0.02


def test_train_and_test_parts() -> None:
    data = simulate(Recipe(artist_spread=1.0), 0)
    parts = ["test" if row % 4 == 0 else "valid" if row % 4 == 1 else "train" for row in range(400)]
    assert [len(test) for _, test in sides(parts)] == [100, 100]
    [test] = group_tests(replace(data, split=parts))
    assert ran(test).low > 0


def test_no_groups_no_test() -> None:
    [found] = group_tests(simulate(Recipe(known_artists=False), 0))
    assert isinstance(found, NotRun)
    assert "--group" in found.why
    alone = simulate(Recipe(), 0)
    [found] = group_tests(replace(alone, groups={"artist": ["x"] * 400}))
    assert isinstance(found, NotRun)


def test_unknown_groups_are_not_one_group() -> None:
    assert on_both_sides(["", "", "x"], ["1", "2", "1"]) == {}
    data = simulate(Recipe(split="clips"), 0)
    assert worth(data, [""] * 400, data.split or []) is None


def test_large_sets_are_drawn_from_in_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    data = simulate(Recipe(clips=900, artist_spread=1.0, split="clips", per_artist=5), 0)
    monkeypatch.setattr("segue.evaluation.audit.worth.MOST_ROWS", 500)
    found = worth(data, data.groups["artist"], data.split or [])
    assert found is not None
    assert 470 < found.tested <= 500
    assert found.low > 0.1


def test_random_folds_hold_every_label() -> None:
    data = simulate(Recipe(), 0)
    folds = np.array(random_folds(data, 0))
    assert set(folds) == set("01234")
    assert all(set(data.codes[folds == fold]) == set(range(5)) for fold in "01234")


def test_the_probe_agrees_with_scikit_learn() -> None:
    from sklearn.kernel_ridge import KernelRidge

    data = simulate(Recipe(clips=120), 0)
    probe, train, test = Probe(data, data.labelled), np.arange(0, 120, 2), np.arange(1, 120, 2)
    K, Y = probe.kernel, probe.labels
    head = KernelRidge(alpha=0.1, kernel="precomputed")
    head.fit(K[np.ix_(train, train)], Y[train] - Y[train].mean(axis=0))
    theirs = head.predict(K[np.ix_(test, train)]) + Y[train].mean(axis=0)
    np.testing.assert_allclose(probe.predict(train, test), theirs, atol=1e-10)


# duplicates


def test_planted_copies_are_all_found_and_no_other() -> None:
    data = simulate(Recipe(duplicates=0.05), 0)
    pairs = find_pairs(data)
    assert len(pairs) == 20
    assert all(pair.kind == "near" and pair.distance < 0.2 for pair in pairs)
    assert find_pairs(simulate(Recipe(), 0)) == []


def test_clean_sets_have_hardly_any_near_duplicates() -> None:
    found = [
        find_pairs(simulate(with_leak(recipe, clips=min(recipe.clips, 800)), seed))
        for seed, recipe in enumerate(clean_recipes(18, 30))
    ]
    assert sum(map(len, found)) <= 1  # one in a hundred sets is expected to have any


def test_exact_copies_are_known_by_content_and_by_features() -> None:
    data = simulate(Recipe(split="clips"), 0)
    X = data.X.copy()
    X[11] = X[10]
    content = [f"clip {row}" for row in range(400)]
    content[21] = content[20]
    found = {(p.first, p.second): p for p in find_pairs(replace(data, X=X, content=content))}
    assert found[20, 21].kind == "same file"
    assert found[10, 11].kind == "same features"
    assert found[20, 21].certain
    assert not found[10, 11].certain


def test_listening_confirms_and_refuses() -> None:
    data = simulate(Recipe(duplicates=0.01), 0)
    asked: list[tuple[int, int]] = []

    def hear(pairs: Sequence[tuple[int, int]]) -> list[float | None]:
        asked.extend(pairs)
        return [0.1, 0.48, None, *[None] * (len(pairs) - 3)]

    pairs = find_pairs(data, hear=hear)
    assert len(asked) >= 4
    assert len(pairs) == 3  # one refused
    assert [pair.bits for pair in pairs].count(0.1) == 1


def test_copies_in_all_folds_leak_as_far_as_they_are_worth_something() -> None:
    recipe = Recipe(duplicates=0.2, split="clips", class_spread=0.2)
    data = simulate(recipe, 0)
    [test] = decide([duplicate_test(data, find_pairs(data))])
    assert test.verdict == "leak"
    assert test.low > 0
    easy = simulate(with_leak(recipe, class_spread=3.0), 0)
    [test] = decide([duplicate_test(easy, find_pairs(easy))])
    assert test.verdict == "clear"
    assert test.rows


def test_confirmed_copies_across_a_given_split_are_never_clear() -> None:
    data = simulate(Recipe(split="clips"), 0)
    split = list(data.split or [])
    pair = Pair(first=0, second=1, kind="same file", distance=0.0)
    split[0], split[1] = "0", "1"
    [test] = decide([duplicate_test(replace(data, split=split), [pair])])
    assert test.verdict == "suspect"
    split[1] = "0"
    [test] = decide([duplicate_test(replace(data, split=split), [pair])])
    assert test.verdict == "clear"


def test_copies_of_copies_are_one_recording() -> None:
    pairs = [
        Pair(first=a, second=b, kind="near", distance=0.1) for a, b in ((0, 1), (1, 4), (2, 3))
    ]
    groups = duplicate_groups(pairs, 6)
    assert groups[0] == groups[1] == groups[4] != groups[2] == groups[3]
    assert groups[5] == ""
    assert duplicate_groups([], 2) == ["", ""]


def test_nearest_is_the_nearest() -> None:
    data = simulate(Recipe(clips=60, dimensions=5), 0)
    distance, neighbour, near = nearest(data)
    assert near < 0.4  # in five dimensions, clips come near by chance
    assert (neighbour != np.arange(60)).all()
    assert (distance > 0).all()
    moved = AuditSet(X=data.X * 1000 + 5, y=data.y, task="classification")
    np.testing.assert_array_equal(nearest(moved)[1], neighbour)


# labels


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_share_of_wrong_labels_is_estimated(share: float) -> None:
    recipe = Recipe(clips=800, noise_labels=share, class_spread=0.8)
    found = [ran(noise_test(simulate(recipe, seed))).statistic for seed in range(3)]
    assert np.mean(found) == pytest.approx(share, rel=0.25)


def test_wrong_labels_are_listed() -> None:
    clean = simulate(Recipe(clips=800, class_spread=1.0), 3)
    noisy = simulate(Recipe(clips=800, class_spread=1.0, noise_labels=0.1), 3)
    wrong = {str(row) for row in range(800) if clean.y[row] != noisy.y[row]}
    assert len(wrong) == 80
    [test] = decide([ran(noise_test(noisy))])
    assert test.verdict == "suspect"
    listed = [row["clip"] for row in test.rows]
    assert len(listed) >= 40
    assert sum(clip in wrong for clip in listed) >= 0.9 * len(listed)


def test_confusable_classes_are_no_noise() -> None:
    recipe = Recipe(clips=800, class_spread=0.45)
    p_values = [ran(noise_test(simulate(recipe, seed))).p_value for seed in range(3)]
    assert min(p_values) > 0.05


def test_labels_cannot_be_doubted_without_skill_or_clips() -> None:
    found = noise_test(simulate(Recipe(class_spread=0.05), 0))
    assert isinstance(found, NotRun)
    assert "too badly" in found.why
    assert isinstance(noise_test(simulate(Recipe(clips=80, class_spread=1.5), 0)), NotRun)
    numbers = regression(simulate(Recipe(), 0))
    assert isinstance(noise_test(numbers), NotRun)


def test_one_recording_with_two_labels_is_certain() -> None:
    data = simulate(Recipe(class_spread=1.0), 0)
    pair = Pair(first=0, second=399, kind="near", distance=0.1, bits=0.02)
    [test] = decide([ran(noise_test(data, [pair]))])
    assert test.verdict == "suspect"
    assert "two labels" in test.words
    untold = replace(pair, bits=None)
    assert ran(noise_test(data, [untold])).least == "clear"


# shortcuts


def test_a_format_by_class_is_a_leak() -> None:
    said = shortcut_tests(simulate(Recipe(format_shift=0.5), 0))
    test, loud = decide([ran(one) for one in said])
    assert test.verdict == "leak"
    assert "rate" in test.words
    assert loud.limit != "leak"


def test_loudness_is_at_most_suspect() -> None:
    data = simulate(Recipe(), 0)
    level = [float(code) * 3 + value for code, value in zip(data.codes, data.X[:, 0], strict=True)]
    said = shortcut_tests(replace(data, loudness={"rms": level}))
    _, loud = decide([ran(one) for one in said])
    assert loud.verdict == "suspect"
    assert "music itself" in loud.words
    level = [
        float(code == 0) + value / 3 for code, value in zip(data.codes, data.X[:, 0], strict=True)
    ]
    _, loud = shortcut_tests(replace(data, loudness={"rms": level}))
    assert ran(loud).p_value < 0.01
    assert ran(loud).limit == "clear"
    assert "no more than is ordinary" in ran(loud).words


def test_formats_that_go_with_artists_are_no_leak_where_artists_are_known() -> None:
    p_values = [
        ran(shortcut_tests(simulate(Recipe(clips=240, per_artist=6), seed))[0]).p_value
        for seed in range(20)
    ]
    assert np.mean(np.array(p_values) < 0.05) <= 0.2


def test_facts_of_numbers_unknowns_and_constants() -> None:
    data = simulate(Recipe(known_artists=False), 0)
    facts = {"codec": ["x"] * 400, "rate": [None if row % 2 else 1 for row in range(400)]}
    test = ran(shortcut_tests(replace(data, facts=facts))[0])
    assert [row["fact"] for row in test.rows] == ["rate"]
    same = shortcut_tests(replace(data, facts={"codec": ["x"] * 400}))[0]
    assert isinstance(same, NotRun)
    assert "the same for all" in same.why
    none = shortcut_tests(replace(data, facts={}, loudness={}))
    assert all(isinstance(one, NotRun) for one in none)


def test_numbers_are_predicted_from_facts_too() -> None:
    data = regression(simulate(Recipe(), 0))
    level = [value + noise for value, noise in zip(data.y, data.X[:, 0], strict=True)]
    said = shortcut_tests(replace(data, loudness={"rms": level}))
    assert ran(said[1]).p_value < 0.01
    assert ran(said[0]).p_value > 0.01


# all together


def test_an_audit_is_the_same_every_time() -> None:
    data = simulate(Recipe(batch_size=64, batch_shift=0.8), 0)
    first, second = (audit_features(data, seed=3) for _ in range(2))
    assert str(first.as_dict()) == str(second.as_dict())


def test_an_audit_names_what_it_did_not_run() -> None:
    told: list[tuple[str, int, int]] = []
    data = AuditSet(
        X=simulate(Recipe(), 0).X, y=generator(0).normal(size=400).tolist(), task="regression"
    )
    result = audit_features(data, watch=lambda *said: told.append(said))
    ran = {test.name for test in result.tests}
    left = {one.name for one in result.not_run}
    assert ran == {"batch order", "duplicates"}
    assert left == {
        *("recall across batches", "groups on both sides", "label noise"),
        *("file format", "loudness and size"),
    }
    assert all(one.why for one in result.not_run)
    assert told[-1][1] == told[-1][2]


def test_clean_sets_are_clear_altogether() -> None:
    said = [
        audit_features(simulate(with_leak(recipe, clips=min(recipe.clips, 300)), seed)).verdict
        for seed, recipe in enumerate(clean_recipes(10, 11))
    ]
    assert sum(one != "clear" for one in said) <= 2  # more than 2 of 10: 1 % where each has 5 %
