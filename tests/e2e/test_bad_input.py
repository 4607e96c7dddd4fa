"""Bad input through the command a user types: a clear message, and every other file done."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from segue.cli import app
from segue.store import choose_table


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def embed(*arguments: object) -> tuple[dict[str, Any], int]:
    result = run("embed", *arguments, "--json", "--workers", "1")
    assert result.stdout, result.stderr
    return json.loads(result.stdout), result.exit_code


@pytest.fixture
def album(tmp_path: Path, clip: Callable[..., np.ndarray]) -> Path:
    """Two good files that must be done whatever stands beside them."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(2):
        soundfile.write(folder / f"good{number}.wav", clip(number, 1.0), 22050)
    return folder


def mp3(path: Path, seconds: float) -> bytes:
    """An mp3 whose header declares its length (libsndfile writes a Xing header)."""
    soundfile.write(path, np.sin(np.arange(round(seconds * 22050)) / 20) * 0.3, 22050, format="MP3")
    return path.read_bytes()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("These are words, not music.\n" * 200)


def truncated(path: Path) -> None:
    body = mp3(path, 10.0)
    path.write_bytes(body[: len(body) // 3])


def one_sample(path: Path) -> None:
    soundfile.write(path, np.array([0.5]), 22050, format="WAV")


def zeros(path: Path) -> None:
    soundfile.write(path, np.zeros(22050), 22050, format="WAV")


def nans(path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=22050).astype(np.float32) * 0.1
    samples[[5, 10000, 22000]] = np.nan
    soundfile.write(path, samples, 22050, format="WAV", subtype="FLOAT")


def folder(path: Path) -> None:
    path.mkdir()


def link_loop(path: Path) -> None:
    path.symlink_to(path.name)


def absent(path: Path) -> None:
    """Nothing is made: the manifest names a file that is not there."""


@dataclass
class Bad:
    name: str
    make: Callable[[Path], None]
    words: str
    stage: str = "open"


BAD = [
    Bad("empty.wav", empty, "0 bytes"),
    Bad("text.mp3", text, "no decoder recognises its content"),
    Bad("cut.mp3", truncated, "wanted 10.06 s as its header declares", "decode"),
    Bad("one.wav", one_sample, "1 sample", "samples"),
    Bad("zeros.wav", zeros, "digital silence: every sample is 0", "samples"),
    Bad("nan.wav", nans, "3 of 22050 samples are NaN or infinite", "samples"),
    Bad("folder.wav", folder, "got is a directory"),
    Bad("loop.wav", link_loop, "symbolic links"),
    Bad("absent.wav", absent, "no such file"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
@pytest.mark.parametrize("chunks", ["1", "all"])
def test_a_bad_file_is_quarantined_and_the_others_done(
    album: Path, tmp_path: Path, bad: Bad, chunks: str
) -> None:
    bad.make(album / bad.name)
    names = ["good0.wav", bad.name, "good1.wav"]
    (album / "tracks.csv").write_text("path\n" + "\n".join(names) + "\n")
    answer, code = embed(album / "tracks.csv", "-o", tmp_path / "store", "--chunks", chunks)
    assert code == 3
    assert (answer["computed"], answer["quarantined"], answer["total"]) == (2, 1, 3)
    failure = answer["failures"][0]
    assert failure["path"] == str(album / bad.name)
    assert failure["line"] == 3
    assert failure["stage"] == bad.stage, failure
    assert bad.words.lower() in failure["reason"].lower(), failure["reason"]
    assert "wanted" in failure["reason"]
    found, X = choose_table(tmp_path / "store").read()
    assert sorted(one.id for one in found) == ["good0.wav", "good1.wav"]
    assert np.isfinite(X).all()


def test_all_bad_files_at_once_are_all_listed(album: Path, tmp_path: Path) -> None:
    for bad in BAD[:-1]:
        bad.make(album / bad.name)
    result = run("embed", album, "-o", tmp_path / "store")
    assert result.exit_code == 3
    assert "2 embedded" in result.stdout
    for bad in BAD[:-3]:
        assert bad.name in result.stderr


def test_eight_channels_are_mixed(
    album: Path, tmp_path: Path, clip: Callable[..., np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    mono = clip(7, 1.0)
    parts = np.random.default_rng(0).normal(size=(len(mono), 8)) * 0.01
    parts += mono[:, None] - parts.mean(axis=1, keepdims=True)
    soundfile.write(album / "eight.wav", parts, 22050, subtype="FLOAT")
    soundfile.write(album / "mono.wav", mono, 22050, subtype="FLOAT")
    with caplog.at_level("INFO", logger="segue"):
        result = run("-v", "embed", album, "-o", tmp_path / "store", "--workers", "0")
    assert result.exit_code == 0, result.stderr
    assert "eight.wav: 8 channels mixed to mono" in caplog.text
    found, X = choose_table(tmp_path / "store").read()
    where = [one.id for one in found]
    X = X[[where.index("eight.wav"), where.index("mono.wav")]]
    np.testing.assert_allclose(X[0], X[1], atol=1e-2)


@pytest.mark.parametrize("rate", [8000, 192000])
def test_low_and_high_rates_are_resampled_and_logged(
    album: Path,
    tmp_path: Path,
    rate: int,
    clip: Callable[..., np.ndarray],
    caplog: pytest.LogCaptureFixture,
) -> None:
    soundfile.write(album / "odd.wav", clip(7, 1.0, rate), rate)
    with caplog.at_level("INFO", logger="segue"):
        result = run("-v", "embed", album, "-o", tmp_path / "store", "--workers", "0")
    assert result.exit_code == 0, result.stderr
    assert f"odd.wav: resampled {rate} Hz -> 12000 Hz" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(choose_table(tmp_path / "store").read()[0]) == 3


def test_spaces_and_other_alphabets_in_paths(album: Path, tmp_path: Path) -> None:
    odd = album / "ünï cödé 音楽 [1];'x" / "a b.wav"
    odd.parent.mkdir()
    shutil.copy(album / "good0.wav", odd)
    answer, code = embed(album, "-o", tmp_path / "störe dir")
    assert (code, answer["computed"]) == (0, 3)
    found = [one.path for one in choose_table(tmp_path / "störe dir").read()[0]]
    assert str(odd) in found


def test_a_file_name_that_is_no_unicode(album: Path, tmp_path: Path) -> None:
    raw = os.fsencode(album) + b"/caf\xe9.wav"
    try:
        shutil.copy(album / "good0.wav", raw)
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    answer, code = embed(album, "-o", tmp_path / "store")
    assert (code, answer["computed"]) == (0, 2)
    assert answer["ignored"] == {"file name that is not Unicode: rename it": 1}
    result = run("embed", os.fsdecode(raw), "-o", tmp_path / "store")
    assert result.exit_code == 2
    assert "Rename the file" in result.stderr


def test_circular_folders_end(album: Path, tmp_path: Path) -> None:
    (album / "again").symlink_to(album, target_is_directory=True)
    answer, code = embed(album, "-o", tmp_path / "store")
    assert (code, answer["computed"]) == (0, 2)
    assert answer["ignored"] == {"link to a folder above it": 1}


def test_a_manifest_with_a_wrong_column(album: Path, tmp_path: Path) -> None:
    (album / "tracks.csv").write_text("file,genre\ngood0.wav,x\n")
    result = run("embed", album / "tracks.csv", "-o", tmp_path / "store")
    assert result.exit_code == 2
    assert "wanted a column 'path', got the columns file, genre" in result.stderr
    (album / "tracks.csv").write_text("path,genre\ngood0.wav,x\ngood1.wav,y\n")
    answer, code = embed(album / "tracks.csv", "-o", tmp_path / "store")
    assert (code, answer["computed"]) == (0, 2)
    result = run(
        "evaluate", album / "tracks.csv", "--target", "gnere", "-o", tmp_path / "r",
        "--store", tmp_path / "store",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "path, genre, id, got 'gnere'" in result.stderr
    assert len(choose_table(tmp_path / "store").read()[0]) == 2


def test_a_label_with_one_example(music: Path, tmp_path: Path) -> None:
    with (music / "tracks.csv").open("a") as file:
        file.write("calm/0.wav,extra,polka,z,0,soft\n")
    answer, code = embed(music / "tracks.csv", "-o", tmp_path / "store")
    assert (code, answer["computed"]) == (0, 9)
    result = run("fit", music / "tracks.csv", tmp_path / "store", "--target", "style",
                 "-o", tmp_path / "m.segue")  # fmt: skip
    assert result.exit_code == 2
    assert "line 10: class 'polka' of 'style' has one example" in result.stderr
    assert not (tmp_path / "m.segue").exists()
    result = run("fit", music / "tracks.csv", tmp_path / "store", "--target", "style",
                 "-o", tmp_path / "m.segue", "--min-examples", "2")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "['polka'] (1 tracks) left out" in result.stdout.replace("\n", " ")


def test_a_full_disk_stops_cleanly_and_the_next_run_goes_on(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segue import files

    embed(album / "good0.wav", "-o", tmp_path / "store")
    shutil.copy(album / "good1.wav", album / "good2.wav")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        result = run("embed", album, "-o", tmp_path / "store", "--workers", "1")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "what was finished is kept" in result.stderr.replace("\n", " ")
    assert len(choose_table(tmp_path / "store").read()[0]) == 1
    assert embed(album, "-o", tmp_path / "store")[1] == 0
    assert len(choose_table(tmp_path / "store").read()[0]) == 3


def test_nothing_audible_and_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/cover.jpg").write_bytes(b"x")
    result = run("embed", tmp_path / "d", "-o", tmp_path / "store")
    assert result.exit_code == 2
    assert "1 x suffix .jpg" in result.stderr
    assert not (tmp_path / "store").exists()
    result = run("embed", tmp_path / "nowhere", "-o", tmp_path / "store")
    assert result.exit_code == 2
    assert "nothing there" in result.stderr
    assert not (tmp_path / "store").exists()


def test_mp3_originals_embed_without_a_warning(segue_data: Path, tmp_path: Path) -> None:
    """16 to 44.1 kHz, mono and stereo: nothing on standard error, from Python or a decoder."""
    code = (
        "import sys, warnings; warnings.simplefilter('error'); from segue.cli import main; main()"
    )
    for encoder in ("mfcc", "melstats", "random-convnet"):
        done = subprocess.run(
            [
                *(sys.executable, "-c", code, "embed", str(segue_data / "mp3_originals")),
                *("-o", str(tmp_path / "store"), "--encoder", encoder, "--json"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        answer = json.loads(done.stdout)
        assert (answer["computed"], answer["quarantined"]) == (14, 0)
