"""Factors of groups end to end: audio and labels to a folder, resumed, read back, refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from labelled_music import RATE, data_set
from segue.datasets import Manifest
from segue.errors import UsageError
from segue.targets.factors import FactorSettings, group_shares
from segue.targets.folder import open_targets
from segue.workflows import framing, groups
from segue.workflows.groups import ArtistGroups, artist_groups, group_source

SETTINGS = FactorSettings(words=48, topics=3, passes=5)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of sound, four artists each; a silent file, and an artist with only that."""
    folder = tmp_path_factory.mktemp("factors")
    rows = [
        "silent.wav,silent,low,dark,artist low 0",
        "mute.wav,mute,low,dark,mute one",
        "low0.wav,nobody's,low,dark,",
    ]
    path = data_set(folder, ["low", "high", "noise"], tracks=8, rows=rows)
    for name in ("silent", "mute"):
        soundfile.write(folder / f"{name}.wav", np.zeros(RATE), RATE)
    return path


def learn(music: Path | Manifest, out: Path, **more: Any) -> ArtistGroups:
    options: dict[str, Any] = {"settings": SETTINGS, "workers": 1, "seeds": 2}
    group, kind = more.pop("group", "artist"), more.pop("kind", "mfcc")
    return artist_groups(music, group, kind, out, **{**options, **more})


@pytest.fixture(scope="module")
def done(music: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtistGroups, Path]:
    out = tmp_path_factory.mktemp("learned") / "mine"
    return learn(music, out), out


def test_kinds_of_sound_become_factors(done: tuple[ArtistGroups, Path]) -> None:
    shares = done[0].folder.shares
    main = {
        name: int(row.argmax())
        for name, row, known in zip(shares.names, shares.shares, shares.known, strict=True)
        if known
    }
    kinds = ("low", "high", "noise")
    usual = [Counter(main[f"artist {kind} {n}"] for n in range(4)).most_common(1) for kind in kinds]
    assert {one[0][0] for one in usual} == {0, 1, 2}
    assert sum(one[0][1] for one in usual) >= 11


def test_what_was_left_out_is_named(done: tuple[ArtistGroups, Path]) -> None:
    facts, failures = done[0].facts, done[0].failures
    assert facts["empty"] == ["mute one"]
    assert facts["empty_groups"] == 1
    assert (facts["groups"], facts["tracks"], facts["nameless"]) == (13, 24, 1)
    assert {Path(one["path"]).name for one in failures} == {"silent.wav", "mute.wav"}
    notes = " ".join(facts["notes"])
    assert "1 track without a group left out (line 28)." in notes
    assert "Files that could not be used, left out: 2." in notes
    assert "Groups without words, and so without a distribution: 1 (mute one)." in notes
    assert "48 words" in notes


def test_the_folder_says_all_and_shows_itself(done: tuple[ArtistGroups, Path]) -> None:
    made, out = done
    assert {one.name for one in out.iterdir()} == {
        *("targets.json", "model.safetensors", "groups.parquet", "tracks.parquet"),
        *("report.html", "plots", "run"),
    }
    assert {one.name for one in (out / "run").iterdir()} == {"run.json"}
    page = (out / "report.html").read_text()
    assert "artist noise 0" in page
    assert "mute one" in page
    assert page.count("data:image/png") == len(list((out / "plots").iterdir())) == 4
    for factor in made.facts["factors"]:
        assert len(factor["groups"]) == 5
        assert factor["tracks"][0]["share"] > 0.5
    json.dumps(dict(made.facts), allow_nan=False)


def test_tracks_get_the_distribution_of_their_group(
    done: tuple[ArtistGroups, Path], music: Path
) -> None:
    made, out = done
    table = pq.read_table(out / "tracks.parquet").to_pylist()
    assert {one["id"] for one in table} == {*Manifest.read(music).ids} - {"nobody's"}
    shares = made.folder.shares
    for one in table:
        own = [one[f"factor_{number}"] for number in (1, 2, 3)]
        expected = shares.shares[shares.names.index(one["group"])]
        if one["group"] == "mute one":
            assert own == [None, None, None]
        else:
            np.testing.assert_array_equal(np.float32(own), expected)


def test_factors_are_compared_over_seeds_and_numbers(done: tuple[ArtistGroups, Path]) -> None:
    facts = done[0].facts
    found = facts["stability"]
    assert found["seeds"] == 2
    assert [line["topics"] for line in found["numbers"]] == [2, 3, 6]
    assert [one["similarity"] for one in facts["factors"]] == found["similarity"]
    # kinds of sound are there whatever the seed
    own = next(line for line in found["numbers"] if line["topics"] == 3)
    assert np.mean(found["similarity"]) > own["chance_similarity"] + 0.3
    said = "Factors learned with other seeds and the same words are alike"
    assert any(said in note for note in facts["notes"])


def test_progress_of_many_learnings_counts_them(music: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    learn(music, tmp_path / "out", kind="labels:kind", watch=lambda *one: told.append(one))
    again = [(done, total) for what, done, total in told if what == "factors learned again"]
    assert again[-1] == (21, 21)
    assert again == sorted(again)
    restarted = [(what, done) for what, done, _ in told]
    assert len({what for what, _ in restarted}) < 12
    for what in {what for what, _ in restarted}:
        own = [done for name, done in restarted if name == what]
        assert own == sorted(own), what


def test_few_groups_are_not_compared_and_that_is_said(music: Path, tmp_path: Path) -> None:
    one = Manifest.read(music)
    some = one.subset([row for row, name in enumerate(one.column("artist")) if "low" in name])
    made = artist_groups(some, "artist", "mfcc", tmp_path, settings=SETTINGS, workers=1)
    assert made.facts["stability"] is None
    assert "Not compared over seeds: fewer than ten groups with words." in made.facts["notes"]


def test_held_out_groups_are_described_by_the_same_model(
    done: tuple[ArtistGroups, Path], music: Path, tmp_path: Path
) -> None:
    manifest, model = Manifest.read(music), done[0].folder.model
    rows = [row for row, name in enumerate(manifest.column("artist")) if name == "artist high 2"]
    source = group_source(manifest, "artist", "mfcc", frames=tmp_path, rows=rows, workers=1)
    alone = group_shares(model, source, work=tmp_path)
    whole = done[0].folder.shares
    np.testing.assert_array_equal(alone.shares[0], whole.shares[whole.names.index("artist high 2")])


def test_a_finished_run_is_read_back(
    done: tuple[ArtistGroups, Path], music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, out = done
    monkeypatch.setattr(groups, "learn_counted", None)  # it would fail
    again = learn(music, out)
    assert again.facts == made.facts
    assert again.failures == made.failures


def test_other_arguments_are_refused(done: tuple[ArtistGroups, Path], music: Path) -> None:
    out = done[1]
    with pytest.raises(UsageError, match="topics: 3 -> 4"):
        learn(music, out, settings=FactorSettings(words=48, topics=4, passes=5))
    with pytest.raises(UsageError, match=r"frames: .* -> "):
        learn(music, out, seconds=1.0)
    with pytest.raises(UsageError, match="from: mfcc -> dmfcc"):
        learn(music, out, kind="dmfcc")
    assert open_targets(out).facts == done[0].facts


def test_other_audio_in_the_same_place_is_refused(music: Path, tmp_path: Path) -> None:
    copy = data_set(tmp_path / "copy", ["low", "high"], tracks=2)
    learn(copy, tmp_path / "out")
    soundfile.write(copy.parent / "low0.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    with pytest.raises(UsageError, match="files of another size or time"):
        learn(copy, tmp_path / "out")


def test_audio_that_is_there_is_compared_though_other_is_gone(music: Path, tmp_path: Path) -> None:
    copy = data_set(tmp_path / "copy", ["low", "high"], tracks=3)
    with copy.open("a") as file:
        file.write("gone.wav,gone,high,,artist high 0\n")
    made = learn(copy, tmp_path / "out", seeds=1)
    assert len(made.failures) == 1
    folder = copy.parent
    kept = (folder / "low1.wav").read_bytes()
    (folder / "low1.wav").unlink()
    assert learn(copy, tmp_path / "out", seeds=1).facts == made.facts
    soundfile.write(folder / "low0.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    with pytest.raises(UsageError, match="files of another size or time"):
        learn(copy, tmp_path / "out", seeds=1)
    (folder / "low0.wav").unlink()
    (folder / "gone.wav").write_bytes(kept)  # the run did not hear it
    with pytest.raises(UsageError, match="files of another size or time"):
        learn(copy, tmp_path / "out", seeds=1)
    for one in folder.glob("*.wav"):
        one.unlink()
    assert learn(copy, tmp_path / "out", seeds=1).facts == made.facts


def test_tracks_that_are_gone_are_written_again_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    lines = [f"{n}.wav,artist {n // 2},{'' if n < 2 else f'mood {n % 3}'}" for n in range(8)]
    path.write_text("path,artist,mood\n" + "\n".join(lines))
    made = learn(path, tmp_path / "out", kind="labels:mood")
    tracks = tmp_path / "out" / "tracks.parquet"
    before = tracks.read_bytes()
    tracks.unlink()
    again = learn(path, tmp_path / "out", kind="labels:mood")
    assert tracks.read_bytes() == before
    assert again.facts == made.facts
    tracks.write_bytes(before[:-1])
    with pytest.raises(UsageError, match="Remove or rename it, and run again"):
        learn(path, tmp_path / "out", kind="labels:mood")


def test_groups_of_one_word_each_are_learned(music: Path, tmp_path: Path) -> None:
    """One vector a track, one track a group: no group has two words to foretell one by another."""
    made = learn(
        music, tmp_path / "out", kind="encoder:mfcc", settings=FactorSettings(words=4, topics=3),
        group="id",
    )  # fmt: skip
    numbers = made.facts["stability"]["numbers"]
    assert {line["perplexity"] for line in numbers} == {None}
    assert {line["unigram_perplexity"] for line in numbers} == {None}
    assert all(line["dealt_perplexity"] == [] for line in numbers)
    said = "could not be measured: none of these groups has two words"
    assert any(said in note for note in made.facts["notes"])
    assert said in (tmp_path / "out" / "report.html").read_text()
    assert "because of the groups" in " ".join(made.facts["notes"])


def test_noise_is_not_said_to_be_shown(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    chances = 1 / np.arange(1, 101)
    labels = [
        ";".join(f"w{n}" for n in draws.choice(100, 40, replace=False, p=chances / chances.sum()))
        for _ in range(60)
    ]
    path = tmp_path / "m.csv"
    path.write_text("path,artist,tags\n" + "".join(f"{n}.wav,a{n},{one}\n" for n, one in
                                                   enumerate(labels)))  # fmt: skip
    made = learn(path, tmp_path / "out", kind="labels:tags", seeds=3)
    own = next(one for one in made.facts["stability"]["numbers"] if one["topics"] == 3)
    assert (len(own["dealt_similarity"]), own["shown"]) == (5, False)
    notes = " ".join(made.facts["notes"])
    assert "not shown that factors return because of the groups" in notes
    assert "5 deals" in notes


def test_ids_and_titles_of_any_characters_are_learned_and_shown_escaped(tmp_path: Path) -> None:
    ids = [f"id\u202e{n}" for n in range(6)] + [f"id\n{n}" for n in range(6)]
    rows = [
        {"path": f"{n}.wav", "id": one, "artist": f"a{n // 2}", "mood": f"m{n % 3}",
         "title": "\x1b[31mred" * (n % 2)}
        for n, one in enumerate(ids)
    ]  # fmt: skip
    made = learn(Manifest.from_rows(rows), tmp_path / "out", kind="labels:mood", seeds=1)
    said = json.dumps(made.facts, ensure_ascii=False)
    page = (tmp_path / "out" / "report.html").read_text()
    assert not {"\u202e", "\x1b"} & {*said, *page}
    assert "x1b[31mred (a" in page
    assert pq.read_table(tmp_path / "out" / "tracks.parquet")["id"].to_pylist() == ids


def test_groups_without_words_are_counted_and_few_of_them_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "LISTED", 2)
    rows = [
        {"path": f"{n}.wav", "artist": f"a{n:02}", "mood": "" if n < 5 else f"m{n % 3}"}
        for n in range(12)
    ]
    made = learn(Manifest.from_rows(rows), tmp_path / "out", kind="labels:mood", seeds=1)
    assert (made.facts["empty_groups"], made.facts["empty"]) == (5, ["a00", "a01"])
    assert made.folder.shares.empty == tuple(f"a{n:02}" for n in range(5))
    assert "3 factors of 7 groups" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("stage", ["topics", "write_targets"])
def test_an_interrupted_run_goes_on_and_ends_the_same(
    done: tuple[ArtistGroups, Path],
    music: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    def stop(what: str, _done: int, _total: int) -> None:
        if what == stage:
            raise KeyboardInterrupt

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if stage == "write_targets":
            patched.setattr(groups, "write_targets", stopped)
        with pytest.raises(KeyboardInterrupt):
            learn(music, tmp_path / "out", watch=stop)
    computed = []
    extract = framing.extract_frames
    monkeypatch.setattr(
        framing,
        "extract_frames",
        lambda *args, **more: computed.append(one := extract(*args, **more)) or one,
    )
    again = learn(music, tmp_path / "out")
    assert [one.computed for one in computed] == [0]
    assert len(again.failures) == 2
    for name in ("model.safetensors", "groups.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (done[1] / name).read_bytes()


def test_a_failed_run_leaves_its_folder_to_other_arguments(music: Path, tmp_path: Path) -> None:
    one = Manifest.read(music)
    lone = one.subset([row for row, name in enumerate(one.column("artist")) if "low 0" in name])
    with pytest.raises(UsageError, match="at least two groups"):
        artist_groups(lone, "artist", "mfcc", tmp_path / "out", settings=SETTINGS, workers=1)
    assert learn(music, tmp_path / "out", seconds=1.0).facts["groups"] == 13


def test_fewer_vectors_than_words_is_said(music: Path, tmp_path: Path) -> None:
    made = learn(music, tmp_path / "out", kind="encoder:mfcc", settings=None, seeds=1)
    assert made.facts["words"] < made.facts["words_asked"] == 2048
    assert made.folder.model.settings.normalise == "quantile"
    assert any("fewer" in note.lower() or "2048" in note for note in made.folder.model.notes)
    assert made.facts["stability"] is None
    assert made.facts["factors"][0]["similarity"] is None


def test_labels_are_words_and_open_no_audio(music: Path, tmp_path: Path) -> None:
    lines = music.read_text().splitlines()
    (tmp_path / "gone.csv").write_text("\n".join(line.replace(".wav", ".mp3") for line in lines))
    made = learn(tmp_path / "gone.csv", tmp_path / "out", kind="labels:kind,traits")
    assert made.failures == ()
    assert made.facts["words_asked"] is None
    best = {factor["words"][0]["name"] for factor in made.facts["factors"]}
    assert best <= {
        *("kind: low", "kind: high", "kind: noise"),
        *("traits: dark", "traits: bright", "traits: tonal"),
    }
    assert learn(tmp_path / "gone.csv", tmp_path / "out", kind="labels:kind,traits").facts == (
        made.facts
    )


def test_real_artists_share_factors(segue_data: Path, tmp_path: Path) -> None:
    """The artists of emotify with most tracks: each is far more like itself than like others."""
    whole = Manifest.read(segue_data / "emotify" / "manifest.csv")
    names = whole.column("artist")
    several = {"Norine Braun", "Ivan Ilic", "Bezdin Ensemble"}
    rows = [row for row, name in enumerate(names) if name in several]
    seen: dict[str, int] = {}
    halves = []
    for row in rows:
        seen[names[row]] = seen.get(names[row], 0) + 1
        half = f"{names[row]} {seen[names[row]] % 2}"
        halves.append({"path": str(whole.root / whole.column("path")[row]), "half": half})
    made = artist_groups(
        Manifest.from_rows(halves),
        "half",
        "mfcc",
        tmp_path / "out",
        settings=FactorSettings(words=64, topics=3, passes=20, seed=1),
        seconds=5.0,
        seeds=2,
        workers=1,
    )
    shares = made.folder.shares.shares
    near = np.minimum(shares[:, None], shares[None]).sum(axis=2)  # what two distributions share
    own = near[np.arange(0, 6, 2), np.arange(1, 6, 2)].mean()
    others = near[np.ix_(range(0, 6, 2), range(1, 6, 2))][~np.eye(3, dtype=bool)].mean()
    assert own > others + 0.2
