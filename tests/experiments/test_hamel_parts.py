"""Pieces of the reproduction of Hamel et al. 2013: what is printed, counted, and learned from."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import miniatures
import numpy as np
import pytest
import soundfile

from labelled_music import RATE, sound
from segue.datasets import Manifest
from segue.datasets.known import dataset
from segue.encoders.folders import check_name
from segue.errors import ManifestError, UsageError
from segue.evaluation.few_labels import FewLabelPoint
from segue.evaluation.windows import Windows
from segue.experiments.hamel2013 import Sets, distributed_sets, named_sets
from segue.experiments.hamel2013.published import BASE, GENRE, GENRE_SETS, NEAREST, TAG, TAG_SET
from segue.experiments.hamel2013.scores import (
    Material,
    Precision,
    Scored,
    _chance_precision,
    clustered,
    precisions,
)
from segue.experiments.hamel2013.sets import GenreSet, genre_set, shared_artists, shares_files
from segue.experiments.hamel2013.spaces import Teacher, _folder, spaces_for
from segue.experiments.hamel2013.table import Done, findings, table_rows, to_csv
from segue.training.loop import Settings
from segue.training.warp.settings import WarpSettings
from segue.workflows.jointsets import Source

TABLE_1 = """
1517-Artists [11]	3180	19
GTZAN [14]	1000	10
Homburg [4]	1886	9
Unique [12]	3115	14
Magnatagatune [5]	22787	160
"""
TABLE_4 = """
Artists	0.323 +/- 0.010	0.310 +/- 0.005	0.338 +/- 0.007
GTZAN	0.748 +/- 0.010	0.671 +/- 0.014	0.754 +/- 0.015
Homburg	0.580 +/- 0.012	0.561 +/- 0.009	0.584 +/- 0.008
Unique	0.651 +/- 0.006	0.634 +/- 0.005	0.666 +/- 0.006
"""
TABLE_5 = """
Artists	0.15	0.19	0.19
GTZAN	0.48	0.52	0.53
Homburg	0.36	0.41	0.40
Unique	0.53	0.52	0.54
"""
TABLE_3 = """
Hip-Hop(artists)	hip-hop(unique), raphiphop(homburg), schlager(unique), hiphop(gtzan), Electronic & Dance(artists)
Rock & Pop(artists)	rock(unique), rock(homburg), Alternative & Punk(artists), metal(gtzan), alternative(homburg)
Electronic & Dance(artists)	raphiphop(homburg), reggae(unique), electronica(unique), pop(gtzan), dance(unique)
country(gtzan)	country(unique), folkcountry(homburg), rock(unique), Country(artists), Religious(artists)
jazz(homburg)	jazz(unique), jazz(gtzan), Jazz(artists), world(unique), dance(unique)
blues(unique)	alternative(homburg), Alternative & Punk(artists), blues(gtzan), funksoulrnb(homburg), rock(homburg)
"""  # noqa: E501
"""Typed from the paper, cell by cell."""


def cells(table: str) -> list[list[str]]:
    return [line.split("\t") for line in table.strip().splitlines()]


def test_published_numbers_are_the_papers() -> None:
    names = {"Artists": "1517-Artists"}
    sets = {one.name: one for one in GENRE_SETS}
    assert len(sets) == 4
    for name, excerpts, classes in cells(TABLE_1):
        one = {**sets, TAG_SET.name: TAG_SET}[name.split(" [")[0]]
        assert (one.excerpts, one.classes) == (int(excerpts), int(classes))
    for name, *three in cells(TABLE_4):
        ours = sets[names.get(name, name)].accuracy
        theirs = [tuple(map(float, cell.split(" +/- "))) for cell in three]
        assert [ours[BASE], ours[GENRE], ours[TAG]] == theirs
    for name, *three in cells(TABLE_5):
        mean = sets[names.get(name, name)].precision
        assert [mean[BASE], mean[GENRE], mean[TAG]] == [float(cell) for cell in three]


def test_published_neighbours_are_the_papers() -> None:
    full = {"artists": "1517-Artists", "gtzan": "GTZAN", "homburg": "Homburg", "unique": "Unique"}

    def spelt(cell: str) -> str:
        label, short = cell.strip().removesuffix(")").rsplit("(", 1)
        return f"{label} ({full[short]})"

    theirs = {spelt(seed): tuple(map(spelt, near.split(", "))) for seed, near in cells(TABLE_3)}
    assert dict(NEAREST) == theirs


def test_labels_of_the_neighbours_are_those_of_the_loaders() -> None:
    """Otherwise the paper's rows would never be found beside ours."""
    known = {one.name: dataset(one.registered).counts.by.get("genre", {}) for one in GENRE_SETS}
    for one in GENRE_SETS:
        assert dataset(one.registered).counts.total == one.excerpts
        assert len(known[one.name]) in (0, one.classes), "where numbers a genre are published"
    for label in {*NEAREST, *(near for five in NEAREST.values() for near in five)}:
        name, of_set = label.removesuffix(")").rsplit(" (", 1)
        assert name in (known[of_set] or [name]), label


def test_error_over_tracks_of_their_own_is_the_plain_one() -> None:
    values = np.random.default_rng(0).random(50)
    mean, se = clustered(values, np.arange(50))
    assert mean == pytest.approx(values.mean())
    assert se == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def test_error_over_groups_agrees_with_a_bootstrap_of_groups() -> None:
    draws = np.random.default_rng(1)
    sizes = draws.integers(1, 8, size=60)
    codes = np.repeat(np.arange(60), sizes)
    values = draws.normal(size=60)[codes] + 0.3 * draws.normal(size=len(codes))
    mean, se = clustered(values, codes)
    assert mean == pytest.approx(values.mean())
    sums, counts = np.bincount(codes, weights=values), np.bincount(codes)
    chosen = draws.integers(0, 60, size=(4000, 60))
    means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    assert se == pytest.approx(means.std(), rel=0.08)
    plain = values.std(ddof=1) / math.sqrt(len(values))
    assert se > 1.3 * plain, "tracks of an artist are no witnesses of their own"


def test_error_by_hand_with_undefined_queries() -> None:
    values = np.array([1.0, 0.0, np.nan, 0.5, np.nan])
    mean, se = clustered(values, np.array([7, 7, 7, 3, 1]))
    # two groups are left: off their mean 0.5 by 0.5 - 0.5 = 0 and 0
    assert (mean, se) == (0.5, 0.0)
    mean, se = clustered(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1]))
    # mean 2/3; sums off it 2/3 and -2/3; sqrt(2/1 * 8/9) / 3
    assert (mean, se) == (pytest.approx(2 / 3), pytest.approx(math.sqrt(16 / 9) / 3))
    mean, se = clustered(np.array([1.0, 0.0]), np.array([4, 4]))
    assert mean == 0.5
    assert math.isnan(se)
    assert all(map(math.isnan, clustered(np.full(3, np.nan), np.arange(3))))


def test_chance_precision_by_hand() -> None:
    labels = np.array(["a", "a", "a", "b"])
    # of three others: two, two, two, none
    assert _chance_precision(labels, None) == pytest.approx((2 / 3 * 3 + 0) / 4)
    artists = np.array(["x", "x", "y", "y"])
    # first two may take c, d: one of two; the third a, b: both; the fourth a, b: none
    assert _chance_precision(labels, artists) == pytest.approx((0.5 + 0.5 + 1.0 + 0.0) / 4)


def test_chance_precision_is_that_of_random_features() -> None:
    draws = np.random.default_rng(2)
    labels = draws.choice(["a", "b", "c"], size=120, p=[0.5, 0.3, 0.2])
    artists = np.array([f"{label}{number % 9}" for number, label in enumerate(labels)])
    windows = {BASE: Windows(draws.normal(size=(120, 5)), np.arange(120))}
    for groups in (None, artists):
        means = []
        for seed in range(6):
            windows[BASE] = Windows(
                np.random.default_rng(seed).normal(size=(120, 5)), np.arange(120)
            )
            found = precisions(_material(labels, groups, windows), groups)
            means += [one.mean for one in found if one.distance == "l1"]
        assert np.mean(means) == pytest.approx(_chance_precision(labels, groups), abs=0.03)


def _material(
    labels: np.ndarray, groups: np.ndarray | None, windows: Mapping[str, Windows]
) -> Material:
    target = cast("GenreSet", SimpleNamespace(name="toy", paper=None, notes=()))
    return Material(
        target=target, labels=labels, groups=groups, spaces=(), windows=windows, blocks={}
    )


def test_precision_by_hand() -> None:
    """Twelve tracks of two classes on a line, ten neighbours: all others but one."""
    labels = np.array(["a"] * 6 + ["b"] * 6)
    line = Windows(np.arange(12.0)[:, None], np.arange(12))
    mirrored = Windows(-np.arange(12.0)[:, None] * 3, np.arange(12))
    found = precisions(_material(labels, None, {BASE: line, TAG: mirrored}), None)
    by = {(one.features, one.distance): one for one in found}
    # whichever end is left out is of the other class: 5 of 10 are its own
    assert by[BASE, "l1"].mean == pytest.approx(0.5)
    assert by[TAG, "l1"].difference == pytest.approx(0.0)
    assert by[TAG, "l1"].difference_se == pytest.approx(0.0)
    assert {one.queries for one in found} == {12}


def point(
    features: str, size: int | None, difference: float, se: float, mean: float = 0.5
) -> FewLabelPoint:
    return FewLabelPoint(
        features=features,
        per_class=size,
        clips=1.0,
        mean=mean,
        se=0.01,
        difference=difference,
        difference_se=se,
    )


def done_with(
    curve: Sequence[FewLabelPoint], precision: Sequence[Precision] = (), paper: Any = None
) -> Done:
    scored = Scored(
        protocol="paper",
        curve=list(curve),
        ridge=[],
        controlled=[],
        heads=[],
        precision=list(precision),
        chance=0.1,
        chance_precision=0.1,
    )
    target = SimpleNamespace(name="toy", paper=paper, notes=())
    material = cast("Material", SimpleNamespace(target=target))
    return Done(material=material, scored={"paper": scored})


def near(features: str, difference: float, se: float) -> Precision:
    return Precision(
        features=features,
        distance="l1",
        mean=0.3,
        se=0.02,
        difference=difference,
        difference_se=se,
        above_control=-difference,
        above_control_se=se,
        queries=9,
        undefined=0,
    )


FEW = "few labels: tag embedding better than base"


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([(0.05, 0.01), (0.05, 0.01), (0.0, 0.01)], "holds"),
        ([(0.05, 0.01), (0.0, 0.01), (0.0, 0.01)], "not shown"),
        ([(0.05, 0.01), (0.05, 0.01), (-0.05, 0.01)], "not shown"),
        ([(-0.05, 0.01), (-0.05, 0.01), (0.0, 0.01)], "does not hold"),
        ([(-0.05, 0.01), (-0.05, 0.01), (0.05, 0.01)], "not shown"),
        ([(0.05, float("nan"))] * 3, "not shown"),
        ([(0.0, 0.0)] * 3, "not shown"),
    ],
)
def test_verdicts_over_few_labels(gains: list[tuple[float, float]], verdict: str) -> None:
    sizes = (1, 10, 20)
    curve = [point(BASE, size, 0.0, 0.0) for size in (*sizes, 50)]
    curve += [point(TAG, size, *gain) for size, gain in zip(sizes, gains, strict=True)]
    curve += [point(TAG, 50, -0.9, 0.001)]  # fifty are not few
    found = {one.claim: one for one in findings([done_with(curve)])}
    assert found[FEW].verdict == verdict
    assert "50 a class" not in found[FEW].numbers
    assert found[FEW].numbers.count("±") == 3


def test_verdicts_with_all_labels_and_for_similarity() -> None:
    curve = [point(BASE, None, 0.0, 0.0), point(GENRE, None, -0.1, 0.01)]
    curve += [point(TAG, None, -0.1, 0.01)]
    precision = [near(BASE, 0.0, 0.0), near(GENRE, 0.05, 0.01), near(TAG, -0.05, 0.01)]
    found = {one.claim: one.verdict for one in findings([done_with(curve, precision)])}
    near_words = "similarity (precision at 10, L1):"
    assert found == {
        "all labels: tag embedding better than base": "does not hold",
        "all labels: genre embedding worse than base": "holds",
        f"{near_words} genre embedding better than base": "holds",
        f"{near_words} genre embedding better than an untrained map": "does not hold",
        f"{near_words} tag embedding better than base": "does not hold",
        f"{near_words} tag embedding better than an untrained map": "holds",
    }


def test_rows_have_theirs_only_where_the_paper_has_a_number() -> None:
    curve = [point(BASE, None, 0.0, 0.0, 0.7), point(BASE, 5, 0.0, 0.0, float("nan"))]
    curve += [point("random embedding", None, 0.1, 0.1)]
    precision = [near(BASE, 0.0, 0.0), near("random embedding", 0.0, 0.0)]
    rows = table_rows(done_with(curve, precision, GENRE_SETS[1]))
    by = {(row.features, row.metric): row for row in rows}
    assert by[BASE, "accuracy"].theirs == 0.748
    assert by[BASE, "accuracy"].difference == pytest.approx(0.7 - 0.748)
    assert by[BASE, "precision at 10, l1"].theirs == 0.48
    for key in ((BASE, "accuracy at 5 a class"), ("random embedding", "accuracy")):
        assert (by[key].theirs, by[key].difference) == (None, None)
    assert by["random embedding", "precision at 10, l1"].theirs is None
    table = list(csv.DictReader(io.StringIO(to_csv(rows).decode())))
    assert list(table[0]) == [
        *("task", "features", "metric", "ours", "theirs", "difference", "protocol", "se"),
    ]
    assert [row["ours"] for row in table if row["metric"] == "accuracy at 5 a class"] == [""]


def source(folder: Path, name: str, labels: Sequence[str], group: str | None = None) -> Source:
    rows = [
        {"path": str(folder / f"{name}-{n}.wav"), "id": f"{name}{n}", "g": cell, "a": f"a{n // 2}"}
        for n, cell in enumerate(labels)
    ]
    return Source(name=name, manifest=Manifest.from_rows(rows), column="g", group=group)


def test_what_is_classified_and_what_only_teaches(tmp_path: Path) -> None:
    labels = ["x"] * 12 + ["y"] * 10 + ["x;y", "", *["rare"] * 9]
    one = genre_set(source(tmp_path, "one", labels, "a"))
    assert sorted(set(one.labels)) == ["x", "y"]
    assert len(one.labels) == len(one.manifest) == 22
    assert one.groups is not None
    assert len(one.groups) == 22
    assert len(one.source.manifest) == 33
    (note,) = one.notes
    assert "22 tracks of 2 classes are classified" in note
    assert "1 with several labels only teach" in note
    assert "rare (9)" in note
    assert genre_set(source(tmp_path, "two", labels)).groups is None
    with pytest.raises(UsageError, match=r"two classes of 10 tracks.*got 1 in column 'g' of few"):
        genre_set(source(tmp_path, "few", ["x"] * 12 + ["y"] * 9))


def lessons(target: GenreSet, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    for name in ("joint_map", "untrained_map"):
        monkeypatch.setattr(f"segue.experiments.hamel2013.spaces.{name}", lambda *folder: None)
    folder = SimpleNamespace(card=None, tensors=None)
    teacher = cast("Teacher", SimpleNamespace(learn=lambda sources: folder))
    return {
        one.name: list(one.learned_from)
        for one in spaces_for(target, sets, teacher)
        if one.learned_from
    }


def test_who_teaches_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ["x", "y"] * 10
    own = [source(tmp_path, name, labels) for name in ("one", "two", "three")]
    # the same files by another way, through a link
    linked = tmp_path / "linked"
    for n in range(20):
        (tmp_path / f"one-{n}.wav").write_bytes(b"")
    linked.symlink_to(tmp_path)
    moods = Source(name="moods", manifest=source(linked, "one", labels).manifest, column="g")
    free = source(tmp_path, "free", labels)
    sets = Sets(genres=[genre_set(one) for one in own], tags=[moods, free])
    assert lessons(sets.genres[0], sets, monkeypatch) == {GENRE: ["two", "three"], TAG: ["free"]}
    assert lessons(sets.genres[1], sets, monkeypatch) == {GENRE: ["one", "three"], TAG: ["moods"]}
    again = Source(name="again", manifest=own[0].manifest.subset([0]), column="g")
    assert shares_files(again.manifest, own[0].manifest)
    none = Sets(genres=sets.genres[:2], tags=[moods])
    assert lessons(none.genres[0], none, monkeypatch) == {GENRE: ["two"]}


def test_genre_sets_of_the_same_files_teach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = source(tmp_path, "one", ["x", "y"] * 10)
    both = [genre_set(one), genre_set(Source(name="two", manifest=one.manifest, column="g"))]
    assert lessons(both[0], Sets(genres=both, tags=[]), monkeypatch) == {}


def test_a_copy_under_another_name_is_the_same_file(tmp_path: Path) -> None:
    one = source(tmp_path / "here", "one", ["x", "y"] * 3).manifest
    two = source(tmp_path / "there", "two", ["x", "y"] * 3).manifest
    for folder, name in (("here", "one"), ("there", "two")):
        (tmp_path / folder).mkdir()
        for n in range(6):
            (tmp_path / folder / f"{name}-{n}.wav").write_bytes(f"{name}{n}".encode())
    assert not shares_files(one, two)
    (tmp_path / "there" / "two-4.wav").write_bytes((tmp_path / "here" / "one-2.wav").read_bytes())
    assert shares_files(one, two)
    assert shares_files(two, one)


def test_artists_that_teach_their_own_target_are_named(tmp_path: Path) -> None:
    labels = ["x", "y"] * 10
    target = genre_set(source(tmp_path, "one", labels, "a"))
    rows = [{"path": "a.wav", "g": "x", "by": "A3"}, {"path": "b.wav", "g": "y", "by": "nobody"}]
    other = Source(name="two", manifest=Manifest.from_rows(rows), column="g", group="by")
    assert shared_artists(target, [other]) == ["a3"]
    assert shared_artists(genre_set(source(tmp_path, "one", labels)), [other]) == []


def test_folders_of_embeddings_are_of_their_sets_alone() -> None:
    asked = [
        ["a", "b"], ["b", "a"], ["a and b"], ["a-and-b"], ["A", "b"], ["音楽"], ["音", "楽"],
        ["---"], ["mfcc"], ["4q moods"], ["4q-moods"], ["x" * 60, "y"], ["x" * 60, "z"], ["x" * 63],
        ["a and", "b"], ["a", "and b"], ["1517-Artists", "GTZAN", "Homburg", "Unique"],
    ]  # fmt: skip
    found = [_folder(names) for names in asked]
    assert len(set(found)) == len(asked)
    for name in found:
        assert check_name(name) == name


def test_sets_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("path,g\n" + "".join(f"{n}.wav,{'xy'[n % 2]}\n" for n in range(20)))
    asked, other = f"first={path}:g", f"second={path}:g"
    with pytest.raises(UsageError, match=r"two genre sets or more.*got first"):
        named_sets([asked], [])
    with pytest.raises(UsageError, match="a name of its own"):
        named_sets([asked, asked], [])
    with pytest.raises(UsageError, match="a name of its own"):
        named_sets([asked, other], [asked])
    with pytest.raises(ManifestError, match="artist"):
        named_sets([f"{asked}:artist", other], [])
    with pytest.raises(UsageError, match="NAME=MANIFEST:COLUMN"):
        named_sets(["one"], [])


def test_data_sets_as_distributed(tmp_path: Path) -> None:
    """Miniatures of Homburg and GTZAN; the others are not there, and said to be missing."""
    for genre, band in (("rock", "Band"), ("jazz", "Trio")):
        for n in range(12):
            path = tmp_path / "homburg" / genre / f"{band}_{n // 2}-Song_{n}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"sound")
    for genre in ("soul_rnb", "wort"):
        for n in range(11):
            path = tmp_path / "unique" / genre / f"{n}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"sound")
    miniatures.magnatagatune(tmp_path / "magnatagatune")
    sets = distributed_sets(tmp_path)
    assert [one.name for one in sets.genres] == ["Homburg", "Unique"]
    assert [one.name for one in sets.tags] == ["Magnatagatune"]
    homburg, unique = sets.genres
    assert homburg.paper is GENRE_SETS[2]
    assert sorted(set(homburg.labels)) == ["jazz", "rock"]
    assert homburg.groups is not None
    assert len(set(homburg.groups)) == 12
    assert unique.groups is None, "nobody says who plays there"
    assert [note.split(" is not")[0] for note in sets.notes] == ["1517-Artists", "GTZAN"]
    assert sets.tags[0].column in sets.tags[0].manifest.columns


def test_too_few_data_sets_as_distributed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1517-artists.*two with genres.*got none of them"):
        distributed_sets(tmp_path)
    miniatures.magnatagatune(tmp_path / "magnatagatune")
    with pytest.raises(UsageError, match="got magnatagatune"):
        distributed_sets(tmp_path)


def test_a_teacher_tells_what_it_could_not_hear(tmp_path: Path) -> None:
    """Files of a tag set teach only, so nobody else would notice that they are damaged."""
    labels = ["low", "high"] * 5
    tags = source(tmp_path, "tags", labels)
    for n, label in enumerate(labels):
        soundfile.write(tmp_path / f"tags-{n}.wav", sound(label, n), RATE)
    (tmp_path / "tags-4.wav").write_bytes(b"")
    teacher = Teacher(
        tmp_path / "out",
        warp=WarpSettings(dimensions=3, batch=10),
        settings=Settings(epochs=1, learning_rate=0.05, stop_on="valid_map"),
        workers=1,
    )
    teacher.learn([tags])
    assert list(teacher.failures) == [str(tmp_path / "tags-4.wav")]
