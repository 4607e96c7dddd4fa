"""The pieces of Kim et al. 2018: printed numbers, combinations, splits, differences, claims."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from miniatures import fma
from scipy import stats
from sklearn.metrics import f1_score, log_loss

from segue.datasets import Manifest
from segue.errors import UsageError
from segue.experiments.kim2018.claims import AGAINST, HOLDS, OPEN, findings
from segue.experiments.kim2018.combinations import combinations_of, singles_of, systems_of
from segue.experiments.kim2018.music import Music, distributed_music, named_music
from segue.experiments.kim2018.published import (
    LOG_LOSS,
    MACRO_F1,
    ORDER,
    TABLE3,
    TABLE4,
    TABLE5,
    Sharing,
)
from segue.experiments.kim2018.results import Results, estimate, scores_of, slope
from segue.experiments.kim2018.scale import FULL, SMALL, Scale, scale_of
from segue.experiments.kim2018.splits import kinds_of, make_split
from segue.experiments.kim2018.table import differences, score_rows, table5

SHARED: tuple[Sharing, ...] = ("STN", "MTN")


def printed(noise: float = 0.0) -> Results:
    """The paper's own numbers as if three seeds had given them, and its wide networks."""
    draws = np.random.default_rng(0)
    rows = {f"{way} {tasks}": pair for (way, tasks), pair in TABLE4.items()}
    rows |= {f"wSTN {n}": pair for (way, n), pair in TABLE5.items() if way == "wSTN"}
    scores = {}
    for seed in range(3):
        for name, (loss, f1) in rows.items():
            off = noise * draws.normal(size=2)
            scores["random", seed, name] = {LOG_LOSS: loss + off[0], MACRO_F1: f1 + off[1]}
    return Results("fma-medium", "gmdes", ("random",), (0, 1, 2), scores)  # type: ignore[arg-type]


def test_printed_tables_agree_with_each_other() -> None:
    """Table 3 is made of means of Table 4, Table 5 of its best: typed without a slip."""
    assert len(TABLE4) == 31 + 26
    for way in SHARED:
        for genre in (False, True):
            own = [
                pair
                for (sharing, tasks), pair in TABLE4.items()
                if sharing == way and ("g" in tasks) == genre
            ]
            for place in (0, 1):
                found = mean(pair[place] for pair in own)
                assert found == pytest.approx(TABLE3[way, genre][place], abs=1.1e-4)
        for n in range(2, 6):
            own = [p for (sharing, one), p in TABLE4.items() if sharing == way and len(one) == n]
            slip = way == "STN" and n == 4  # printed .6352, by Table 4 .6379
            assert min(pair[0] for pair in own) == pytest.approx(TABLE5[way, n][0], abs=1.1e-4)
            if not slip:
                assert max(pair[1] for pair in own) == TABLE5[way, n][1]


def test_every_combination_is_named_once() -> None:
    assert len({frozenset(one) for one in ORDER}) == 31
    assert len(systems_of("gmdes")) == 31 + 26 + 4
    assert len(systems_of("gmde")) == 15 + 11 + 3
    assert [one.tasks for one in singles_of("gmde")] == ["g", "m", "d", "e"]
    for tasks in ("gx", "md", ""):
        with pytest.raises(UsageError, match="tasks among"):
            combinations_of(tasks)


def test_scales() -> None:
    assert FULL.epochs_of(1) == 200
    assert FULL.epochs_of(5) == 1000
    assert any("channels" in one and "paper 1" in one for one in SMALL.reductions())
    with pytest.raises(UsageError, match="full, small"):
        scale_of("huge")
    for wrong in ({"epochs": 0}, {"batch": 0}, {"segments": 0}, {"topics": 1}):
        with pytest.raises(UsageError, match="1 or more"):
            Scale(name="wrong", **wrong)  # type: ignore[arg-type]


def toy(tracks: int = 240, classes: int = 3, per_artist: int = 4) -> Music:
    """Artists of one class with two albums each, and a class of a single artist."""
    rows = [
        {
            "path": f"{n}.wav",
            "genre": f"class {n // per_artist % classes}",
            "artist": f"artist {n // per_artist}",
            "album": "Greatest Hits" if n % 2 else f"{n // 2}",
        }
        for n in range(tracks)
    ]
    rows += [
        {"path": f"x{n}.wav", "genre": "rare", "artist": f"artist {n}", "album": ""}
        for n in range(9)
    ]
    return named_music(
        Manifest.from_rows(rows), target="genre", group="artist", album="album", name="toy"
    )


@pytest.mark.parametrize("kind", ["random", "album", "artist"])
def test_splits_are_stratified_and_keep_groups_together(kind: str) -> None:
    music = toy()
    assert music.classes == ("class 0", "class 1", "class 2")
    assert any("rare (9)" in note for note in music.notes)
    seen = []
    for seed in range(3):
        split = make_split(music, kind, seed)  # type: ignore[arg-type]
        again = make_split(music, kind, seed)  # type: ignore[arg-type]
        assert np.array_equal(split.test, again.test)
        seen.append(split.test.tolist())
        assert not set(split.train) & set(split.test)
        assert np.abs(split.shares(music) - 0.15).max() < 0.05
        assert (music.genre[split.test] >= 0).all()
        of = {"album": music.albums, "artist": music.artists}.get(kind)
        if of is not None:
            assert not set(of[split.test]) & set(of[split.train])
        # those that only teach: barred with their artist, and none is lost uncounted
        assert len(split.train) + len(split.test) + split.barred == len(music.genre)
        rare = set(music.artists[music.genre < 0])
        expected = len(rare & set(music.artists[split.test])) if kind == "artist" else 0
        assert split.barred == expected
    assert seen[0] != seen[1]


def test_the_same_title_of_two_artists_is_one_album() -> None:
    """It may be a compilation, which a split must not tear."""
    music = toy()
    assert music.albums is not None
    assert "Greatest Hits" in music.albums.tolist()
    split = make_split(music, "album", 0)
    assert not set(music.albums[split.test].tolist()) & set(music.albums[split.train].tolist())


def test_stretches_of_one_file_are_never_torn() -> None:
    rows = [
        {"path": f"{n // 2}.wav", "id": str(n), "start": n % 2, "genre": "ab"[n // 2 % 2],
         "artist": str(n // 2)}
        for n in range(120)
    ]  # fmt: skip
    music = named_music(Manifest.from_rows(rows), target="genre", group="artist", name="toy")
    split = make_split(music, "random", 0)
    assert not set((split.test // 2).tolist()) & set((split.train // 2).tolist())


def test_without_albums_there_is_no_split_of_albums() -> None:
    rows = [{"path": f"{n}", "genre": "ab"[n % 2], "artist": str(n)} for n in range(40)]
    music = named_music(Manifest.from_rows(rows), target="genre", group="artist", name="toy")
    assert kinds_of(music) == ("random", "artist")
    assert kinds_of(toy()) == ("random", "album", "artist")


def test_a_split_that_cannot_be_made_is_refused() -> None:
    rows = [{"path": f"{n}", "genre": "ab"[n % 2], "artist": str(n)} for n in range(4)]
    music = named_music(
        Manifest.from_rows(rows), target="genre", group="artist", fewest=2, name="toy"
    )
    with pytest.raises(UsageError, match="a test track of each"):
        make_split(music, "random", 0)


def test_scores_agree_with_scikit_learn() -> None:
    draws = np.random.default_rng(1)
    likely = draws.dirichlet(np.ones(4), 50)
    truth = draws.integers(4, size=50)
    found = scores_of(truth, likely)
    assert found[LOG_LOSS] == pytest.approx(log_loss(truth, likely, labels=range(4)))
    assert found[MACRO_F1] == pytest.approx(f1_score(truth, likely.argmax(1), average="macro"))
    sure = np.eye(2)[[0, 0]]
    assert scores_of(np.array([0, 1]), sure)[LOG_LOSS] == pytest.approx(-math.log(1e-8) / 2)


def test_an_interval_is_students_with_overlapping_training_parts() -> None:
    values = [0.1, 0.4, 0.3, 0.2]
    found = estimate(values)
    spread = np.std(values, ddof=1) * math.sqrt(1 / 4 + 0.15 / 0.85)
    assert found.se == pytest.approx(spread)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 3) * spread)
    assert estimate([0.2, 0.2, 0.2]).shown == 1
    assert estimate([-0.2, -0.2]).shown == -1
    assert estimate([0.2]).shown == 0


def test_the_papers_numbers_give_the_papers_tables() -> None:
    results = printed()
    rows = {(row.features, row.metric): row for row in score_rows(results, paper=True)}
    for row in rows.values():
        if row.theirs is not None:
            assert row.difference == pytest.approx(0.0, abs=1.1e-4), row
    assert rows["STN with g, mean", LOG_LOSS].theirs == 0.8540
    assert rows["MTN without g, mean", MACRO_F1].theirs == 0.5168
    assert rows["wSTN 3", MACRO_F1].theirs == 0.6629
    assert all(row.theirs is None for row in score_rows(results, paper=False))
    best = table5(results, "random", "MTN", 4, LOG_LOSS)
    assert best is not None
    assert (best.features, best.best.mean) == ("MTN gsed", pytest.approx(0.8132))
    every = [pair[0] for (way, one), pair in TABLE4.items() if way == "MTN" and len(one) == 4]
    assert best.average.mean == pytest.approx(mean(every))
    assert best.with_genre is not None
    assert best.with_genre.mean == pytest.approx((mean(every) * 5 - 0.8875) / 4)


def test_claims_are_those_of_the_numbers() -> None:
    """With next to no noise, the paper's own numbers show what the paper says."""
    verdicts = {
        (one.claim.split(":")[0] + one.claim.split(":")[-1], one.metric): one.verdict
        for one in findings(printed(noise=1e-5))
    }

    def of(words: str, metric: str = LOG_LOSS) -> set[str]:
        found = {
            verdict for (claim, at), verdict in verdicts.items() if words in claim and at == metric
        }
        assert found, words
        return found

    assert of("every further task") == {HOLDS}
    assert of("(Table 3)") == of("(Table 3)", MACRO_F1) == {HOLDS}
    assert of("the other tasks the same") == {HOLDS}
    assert of("every other combination") == of("every other combination", MACRO_F1) == {HOLDS}
    assert of("MTN better than STN") == {HOLDS}
    assert of("MTN better than STN", MACRO_F1) == {AGAINST}
    # what choosing the best on the test tracks brings about is no verdict
    assert of("(chosen on the test tracks)") <= {OPEN, AGAINST}
    assert of("(mean, none chosen)", MACRO_F1) == {AGAINST}


def test_noise_shows_nothing() -> None:
    draws = np.random.default_rng(3)
    results = printed()
    scores = {
        key: {metric: float(draws.normal()) for metric in one}
        for key, one in results.scores.items()
    }
    found = findings(Results("x", "gmdes", results.kinds, results.seeds, scores))
    assert sum(one.verdict == OPEN for one in found) > 0.8 * len(found)


def test_slope_is_the_mean_change_by_task() -> None:
    results = printed()
    found = slope(results, "random", "STN", LOG_LOSS)
    sizes = [len(one) for one in ORDER]
    losses = [TABLE4["STN", one][0] for one in ORDER]
    assert found is not None
    assert found.mean == pytest.approx(np.polyfit(sizes, losses, 1)[0])


def test_differences_are_paired() -> None:
    results = printed(noise=0.01)
    found = [
        one
        for one in differences(results)
        if (one.features, one.minus, one.metric) == ("MTN gs", "STN gs", LOG_LOSS)
    ]
    by_seed = [
        results.scores["random", seed, "MTN gs"][LOG_LOSS]
        - results.scores["random", seed, "STN gs"][LOG_LOSS]
        for seed in range(3)
    ]
    assert found[0].found == estimate(by_seed)


def test_fma_as_distributed(tmp_path: Path) -> None:
    """The medium subset by its own name; without one, what is missing is said."""
    with pytest.raises(UsageError, match=r"tracks\.csv"):
        distributed_music(tmp_path)
    fma(tmp_path)
    with pytest.raises(UsageError, match="two classes of 2 artists"):
        distributed_music(tmp_path)  # it reads as far as that; a miniature has few artists
