"""Thousands of damaged files of every format: the run ends, and no row is wrong.

What a row must be is computed here anew from the same bytes: decoded to the end by libsndfile or
FFmpeg directly, mixed, resampled at once, encoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from mutations import FORMATS, Damaged, damaged

from segue.datasets import Manifest
from segue.encoders import Encoder
from segue.extraction import Limits, Recipe
from segue.extraction.pool import run_pool
from segue.extraction.worker import Outcome, Task
from segue.store import Failure, Row

RECIPE = Recipe("mfcc")
SOUNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS",
                   b"Creative Voice", b"NIST_1A")  # fmt: skip
LIMITS = Limits(seconds=20.0)
TOLERANCE = 1e-3  # of MFCC between 0 and some hundreds: what the order of sums may change


def test_no_damage_stops_the_run_or_makes_a_wrong_row(tmp_path: Path) -> None:
    fuzz(tmp_path, count=4000, seed=6)


@pytest.mark.long
def test_no_damage_does_in_many_more_files(tmp_path: Path) -> None:
    fuzz(tmp_path, count=12000, seed=66)


def fuzz(folder: Path, *, count: int, seed: int) -> None:
    """Damage clips of every format, embed them among undamaged ones, and check every outcome."""
    bases = {form: form.write(folder) for form in FORMATS}
    files = damaged(bases, count, seed=seed)
    controls = [
        Damaged(f"{number:05}-whole-{form.name}", content, form, "whole")
        for number, (form, content) in enumerate(bases.items())
    ]
    every = len(files) // len(controls)
    for number, control in enumerate(controls):
        files.insert(number * (every + 1), control)
    outcomes = embed(folder / "files", files)
    encoder = RECIPE.build()
    found = Counter[tuple[str, str]]()
    for file in files:
        outcome = outcomes[file.name]
        stage = "row" if isinstance(outcome, Row) else outcome.stage
        found[file.damage, stage] += 1
        problem = wrong(outcome, file, folder / "files" / file.name, encoder)
        assert not problem, (file.name, problem)
    assert found["whole", "row"] == len(controls)
    # each was refused for what it is: nothing unforeseen happened, and to no process
    stages = {stage for _, stage in found}
    assert not stages & {"unexpected", "crash", "timeout", "memory"}, found
    rows = sum(number for (_, stage), number in found.items() if stage == "row")
    assert 0.2 < rows / len(files) < 0.8, found  # neither harmless damage nor hopeless files


def embed(folder: Path, files: Sequence[Damaged]) -> dict[str, Outcome]:
    """Outcomes by file name, through the pool; each file has exactly one."""
    folder.mkdir()
    for file in files:
        (folder / file.name).write_bytes(file.content)
    manifest = Manifest.from_rows([{"path": str(folder / file.name)} for file in files])
    tasks = [Task(track) for track in manifest.tracks()]
    batches = run_pool(tasks, RECIPE, workers=2, limits=LIMITS)
    outcomes = [outcome for batch in batches for outcome in batch]
    by_name = {Path(outcome.facts.path).name: outcome for outcome in outcomes}
    assert len(outcomes) == len(by_name) == len(files)
    return by_name


def wrong(outcome: Outcome, file: Damaged, path: Path, encoder: Encoder) -> str:
    """What is wrong with an outcome; empty where nothing is."""
    if isinstance(outcome, Failure):
        if not outcome.reason.strip() or not outcome.stage:
            return "a failure without a reason"
        return "an undamaged file failed: " + outcome.reason if file.damage == "whole" else ""
    if not np.isfinite(outcome.features).all():
        return "features that are not finite"
    if file.must_fail:
        return f"a row of a file cut to {file.kept:.0%}"
    heard = [decoded for decode in (by_soundfile, by_ffmpeg) if (decoded := decode(path))]
    expected = [features(samples, rate, encoder) for samples, rate in heard]
    scale = max(1.0, float(np.abs(outcome.features).max()))
    if not any(np.abs(outcome.features - one).max() <= TOLERANCE * scale for one in expected):
        return f"features that differ from what its bytes decode to, by {len(expected)} decoders"
    return ""


def features(samples: np.ndarray, rate: int, encoder: Encoder) -> np.ndarray:
    """Features of samples (n, channels), as the encoder's card says they are to be made."""
    card = encoder.card
    mono = samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    if rate != card.rate:
        mono = soxr.resample(mono, rate, card.rate, quality="HQ")
    return encoder.encode_chunks([mono[: round(card.excerpt.seconds * card.rate)]])[0]


def by_soundfile(path: Path) -> tuple[np.ndarray, int] | None:
    """All samples, as libsndfile reads them at once; None where it cannot, to the end.

    Its decoder of MPEG audio is left out: it complains on standard error.
    """
    with path.open("rb") as file:
        if not file.read(16).startswith(SOUNDFILE_MAGIC):
            return None
    nameless = path.with_name("nameless")  # libsndfile goes by the name where it knows no content
    nameless.unlink(missing_ok=True)
    nameless.symlink_to(path)
    try:
        samples, rate = soundfile.read(nameless, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError):
        return None
    return (samples, rate) if len(samples) else None


def by_ffmpeg(path: Path) -> tuple[np.ndarray, int] | None:
    """All samples of the first audio stream, as FFmpeg decodes them; None where it cannot.

    Packets that do not decode count as absent where none is good before, or none after them.
    """
    parts, rate, gap = [], 0, False
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for packet in container.demux(container.streams.audio[0]):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    gap = bool(parts)
                    continue
                for frame in frames:
                    if (gap and packet.size) or (rate and frame.sample_rate != rate):
                        return None
                    rate = frame.sample_rate
                    parts.append(as_float(frame))
    except (av.error.FFmpegError, ValueError, IndexError):
        return None
    if not parts or len({part.shape[1] for part in parts}) > 1:
        parts = [part.mean(axis=1, keepdims=True) for part in parts]
    return (np.concatenate(parts), rate) if parts else None


def as_float(frame: av.AudioFrame) -> np.ndarray:
    """Samples (n, channels) of a frame, full scale -1 to 1."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype == np.uint8:
        return ((samples.astype(np.float64) - 128) / 128).astype(np.float32)
    return (samples / float(-int(np.iinfo(samples.dtype).min))).astype(np.float32)
