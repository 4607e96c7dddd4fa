"""Folders of factors: they come back as they were, and damaged ones are refused."""

from __future__ import annotations

import hashlib
import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import vector_source
from safetensors.numpy import load_file, save

from segue.errors import ModelError, UsageError
from segue.targets import folder_checks
from segue.targets.factors import FactorSettings, GroupShares, group_shares, learn_factors
from segue.targets.folder import open_targets, write_targets
from segue.targets.source import LabelSource


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    work = tmp_path_factory.mktemp("made")
    source = vector_source(tracks=30, groups=10)
    source.arrays[0] = source.arrays[0][:0]
    source.group_of = np.array([0, *np.sort(source.group_of[1:] % 9 + 1)])
    settings = FactorSettings(words=20, topics=4, passes=2, normalise="quantile")
    model = learn_factors(source, settings, work=work)
    shares = group_shares(model, source, work=work)
    write_targets(work / "folder", model, shares, {"column": "artist", "deep": {"n": [1, 2.5]}})
    return model, shares, source, work / "folder"


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[3], tmp_path / "folder")


def test_a_folder_gives_back_every_bit(made, tmp_path):
    model, shares, source, folder = made
    there = open_targets(folder)
    np.testing.assert_array_equal(there.model.components, model.components)
    for name in ("centres", "shift", "scale", "quantiles"):
        mine, theirs = (getattr(one.dictionary, name) for one in (model, there.model))
        np.testing.assert_array_equal(mine, theirs)
    assert there.model.settings == model.settings
    assert (there.model.notes, there.model.facts) == (model.notes, model.facts)
    np.testing.assert_array_equal(there.shares.shares, shares.shares)
    np.testing.assert_array_equal(there.shares.words, shares.words)
    np.testing.assert_array_equal(there.shares.tracks, shares.tracks)
    assert there.shares.empty == shares.empty == ("artist 0",)
    assert list(there.shares.names) == list(shares.names)
    assert there.facts == {"column": "artist", "deep": {"n": [1, 2.5]}}
    again = group_shares(there.model, source, work=tmp_path)
    np.testing.assert_array_equal(again.shares, shares.shares)


def test_a_folder_of_labels_gives_back_its_vocabulary(tmp_path):
    source = LabelSource(["a", "Sigur Rós"], [0, 1], "xy", [("pop",), ("rock", "日本")])
    model = learn_factors(source, FactorSettings(topics=3), work=tmp_path)
    shares = group_shares(model, source, work=tmp_path)
    there = open_targets(write_targets(tmp_path / "folder", model, shares, {}))
    assert there.model.vocabulary == ("pop", "rock", "日本")
    assert there.model.dictionary is None
    assert there.shares.names == ("a", "Sigur Rós")


def rewrite_head(folder, **changed):
    head = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    head.update(changed)
    (folder / "targets.json").write_text(json.dumps(head), encoding="utf-8")


def rewrite(folder, name, content):
    (folder / name).write_bytes(content)
    head = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    sums = {**head["sha256"], name: hashlib.sha256(content).hexdigest()}
    rewrite_head(folder, sha256=sums)


@pytest.mark.parametrize("name", ["targets.json", "model.safetensors", "groups.parquet"])
@pytest.mark.parametrize("how", ["gone", "cut", "changed", "folder", "empty"])
def test_a_damaged_file_is_refused(folder, name, how):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if how == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif how == "changed":
        (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:] + b"x")
    elif how == "folder":
        (folder / name).mkdir()
    elif how == "empty":
        (folder / name).write_bytes(b"")
    with pytest.raises(ModelError, match=name):
        open_targets(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"groups": 9},
        {"groups": -1},
        {"groups": 10**12},
        {"groups": True},
        {"topics": 5},
        {"topics": "4"},
        {"vocabulary": ["a", "b"]},
        {"vocabulary": ["\x1b[2J"]},
        {"vocabulary": ["a", "a"]},
        {"vocabulary": 3},
        {"notes": ["line\nbreak"]},
        {"notes": [3]},
        {"learned_from": {"groups": 1.5}},
        {"settings": {"words": 1}},
        {"settings": {"more": 1}},
        {"settings": []},
        {"facts": []},
        {"sha256": {}},
        {"unknown": None},
        {"more": 1},
    ],
)
def test_facts_that_do_not_fit_are_refused(folder, changed):
    rewrite_head(folder, **changed)
    with pytest.raises(ModelError):
        open_targets(folder)


def test_deep_json_is_refused(folder):
    (folder / "targets.json").write_text("[" * 10**6, encoding="utf-8")
    with pytest.raises(ModelError):
        open_targets(folder)


def test_what_a_folder_makes_us_say_is_shown_escaped(folder):
    rewrite_head(folder, vocabulary=["\x1b[2J"])
    with pytest.raises(ModelError) as caught:
        open_targets(folder)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("components"),
        lambda t: t.pop("centres"),
        lambda t: t.update(components=t["components"].astype(np.float32)),
        lambda t: t.update(components=-t["components"]),
        lambda t: t.update(components=np.full_like(t["components"], np.nan)),
        lambda t: t.update(components=np.full_like(t["components"], 1e-320)),
        lambda t: t.update(components=np.full_like(t["components"], 1e-300)),
        lambda t: t.update(components=np.full_like(t["components"], 1e300)),
        lambda t: t.update(components=t["components"][:, :1]),
        lambda t: t.update(centres=t["centres"][:-1]),
        lambda t: t.update(shift=t["shift"][:-1]),
        lambda t: t.update(scale=-t["scale"]),
        lambda t: t.update(quantiles=t["quantiles"][::-1].copy()),
        lambda t: t.update(quantiles=t["quantiles"][:0]),
        lambda t: t.update(more=t["shift"]),
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    rewrite(folder, "model.safetensors", save(tensors))
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        open_targets(folder)


def shares_column(table, change):
    values = table["shares"].to_pylist()
    change(values)
    column = pa.array(values, pa.list_(pa.float32(), 4))
    return table.set_column(3, table.schema.field("shares"), column)


def names_column(table, change):
    values = table["group"].to_pylist()
    change(values)
    return table.set_column(0, table.schema.field("group"), pa.array(values, pa.string()))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.slice(1),
        lambda t: pa.concat_tables([t, t]),
        lambda t: t.drop_columns(["words"]),
        lambda t: t.append_column("more", t["words"]),
        lambda t: t.rename_columns(["a", "tracks", "words", "shares"]),
        lambda t: shares_column(t, lambda v: v.__setitem__(1, [0.5, 0.2, 0.2, 0.2])),
        lambda t: shares_column(t, lambda v: v.__setitem__(1, [-0.5, 0.5, 0.5, 0.5])),
        lambda t: shares_column(t, lambda v: v.__setitem__(1, [float("nan"), 0.0, 0.5, 0.5])),
        lambda t: shares_column(t, lambda v: v.__setitem__(1, [None, 0.0, 0.5, 0.5])),
        lambda t: shares_column(t, lambda v: v.__setitem__(1, None)),
        lambda t: shares_column(t, lambda v: v.__setitem__(0, [0.25] * 4)),
        lambda t: names_column(t, lambda v: v.__setitem__(0, v[1])),
        lambda t: names_column(t, lambda v: v.__setitem__(0, "\u202egnp")),
        lambda t: names_column(t, lambda v: v.__setitem__(0, "x" * 5000)),
    ],
)
def test_groups_that_do_not_fit_are_refused(folder, change):
    table = change(pq.read_table(folder / "groups.parquet"))
    content = io.BytesIO()
    pq.write_table(table, content)
    rewrite(folder, "groups.parquet", content.getvalue())
    with pytest.raises(ModelError, match=r"groups\.parquet"):
        open_targets(folder)


def test_large_files_and_tables_are_refused_before_they_are_read(folder, monkeypatch):
    monkeypatch.setattr(folder_checks, "MAX_UNPACKED", 100)
    with pytest.raises(ModelError, match="bytes"):
        open_targets(folder)
    monkeypatch.setitem(folder_checks.MAX_BYTES, "model.safetensors", 100)
    with pytest.raises(ModelError, match="more than 100 bytes"):
        open_targets(folder)


def test_what_could_not_be_read_again_is_not_written(made, tmp_path, monkeypatch):
    model, shares, *_ = made
    named = GroupShares(
        names=["a\tb", *shares.names[1:]],
        tracks=shares.tracks,
        words=shares.words,
        shares=shares.shares,
        empty=(),
    )
    narrow = GroupShares(
        names=shares.names,
        tracks=shares.tracks,
        words=shares.words,
        shares=shares.shares[:, 1:],
        empty=(),
    )
    for bad, facts in [
        (named, {}),
        (narrow, {}),
        (shares, {"x": object()}),
        (shares, {"x": np.nan}),
    ]:
        with pytest.raises(UsageError):
            write_targets(tmp_path / "bad", model, bad, facts)
    monkeypatch.setitem(folder_checks.MAX_BYTES, "model.safetensors", 100)
    with pytest.raises(UsageError, match="limit of 100 bytes"):
        write_targets(tmp_path / "bad", model, shares, {})
    assert not (tmp_path / "bad").exists()


def test_a_folder_written_over_another_is_the_new_one(made, folder):
    model, shares, *_ = made
    write_targets(folder, model, shares, {"again": True})
    assert open_targets(folder).facts == {"again": True}
