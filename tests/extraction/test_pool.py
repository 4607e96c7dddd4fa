"""Workers under supervision: what a track does to its process costs that track alone."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from troubled import (
    OnDevice,
    Peak,
    SlowRecipe,
    Sluggish,
    Telling,
    Troubled,
    TroubledDecoding,
    TroubledFrames,
    Unstartable,
    tasks_of,
    tell_affinity,
)

from segue.datasets import Manifest
from segue.errors import SegueError, UsageError
from segue.extraction import Limits, Recipe, apart, processes, supervisor
from segue.extraction.limits import footprint
from segue.extraction.pool import Gauge, run_apart, run_here, run_pool
from segue.extraction.worker import HASH_BLOCK, Outcome, Task, content_hash, on_beat
from segue.store import Failure, Row

MEGABYTE = 2**20
RECIPE = Recipe("mfcc")


def named(batches: Iterable[list[Outcome]]) -> dict[str, Outcome]:
    """Outcomes by file name; no track has two."""
    outcomes = [outcome for batch in batches for outcome in batch]
    found = {Path(outcome.facts.path).name: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found


def same(found: dict[str, Outcome], expected: dict[str, Outcome]) -> None:
    """The same rows, bit for bit, and the same failures."""
    assert found.keys() == expected.keys()
    for name, outcome in expected.items():
        other = found[name]
        if isinstance(outcome, Row):
            assert isinstance(other, Row), other
            np.testing.assert_array_equal(other.features, outcome.features)
            assert (other.key, other.seconds) == (outcome.key, outcome.seconds)
            assert other.source_rate == outcome.source_rate
            assert other.source_channels == outcome.source_channels
        else:
            assert isinstance(other, Failure)
            assert (other.stage, other.reason) == (outcome.stage, outcome.reason)


def here(music: Path | Manifest, recipe: Recipe = RECIPE) -> dict[str, Outcome]:
    return named(run_here(tasks_of(music), recipe, recipe.build()))


def children() -> list[BaseProcess]:
    """Worker processes that this one has started and that have not ended."""
    return [child for child in multiprocessing.active_children() if child.name == "segue-worker"]


def add(music: Path, *names: str) -> None:
    for name in names:
        shutil.copy(music / "wild/7.wav", music / "wild" / f"{name}.wav")


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_are_those_of_this_process(music: Path, workers: int) -> None:
    (music / "calm/bad.wav").write_text("not audio")
    soundfile.write(music / "calm/silent.wav", np.zeros(22050), 22050)
    found = named(run_pool(tasks_of(music), RECIPE, workers=workers))
    same(found, here(music))
    assert len(found) == 10


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("killed", "SIGKILL"),
        ("segfault", "SIGSEGV"),
        ("exit", "exit code 3"),
        ("system-exit", "exit code 1"),
    ],
)
def test_a_crash_costs_one_file(music: Path, trouble: str, words: str, workers: int) -> None:
    before = here(music)
    add(music, trouble)
    found = named(run_pool(tasks_of(music), Troubled("mfcc"), workers=workers))
    failure = found.pop(f"{trouble}.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "crash"
    assert words in failure.reason
    same(found, before)


@pytest.mark.parametrize("trouble", ["sleeps", "holds-lock"])
def test_a_decoder_that_hangs_costs_one_file(music: Path, trouble: str) -> None:
    before = here(music)
    add(music, trouble)
    began = time.monotonic()
    limits = Limits(seconds=1.5)
    found = named(run_pool(tasks_of(music), Troubled("mfcc"), workers=2, limits=limits))
    failure = found.pop(f"{trouble}.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "timeout"
    assert "no sign of life for 1.5 s" in failure.reason
    assert time.monotonic() - began < 30
    same(found, before)


def test_many_troubles_at_once_cost_what_they_must(music: Path) -> None:
    troubles = [f"{name}-{n}" for name in ("killed", "segfault", "sleeps") for n in range(2)]
    before = here(music)
    add(music, *troubles)
    limits = Limits(seconds=1.5)
    found = named(run_pool(tasks_of(music), Troubled("mfcc"), workers=2, limits=limits))
    stages = {name: found.pop(f"{name}.wav").stage for name in troubles}  # type: ignore[union-attr]
    assert stages == {n: "timeout" if n.startswith("sleeps") else "crash" for n in troubles}
    same(found, before)


def test_in_a_batch_for_a_device_the_one_to_blame_is_found(music: Path) -> None:
    before = here(music)
    add(music, "killed", "sleeps")
    limits = Limits(seconds=1.5)
    found = named(
        run_pool(tasks_of(music), OnDevice("mfcc", device="elsewhere"), workers=1, limits=limits)
    )
    stages = [found.pop(f"{name}.wav").stage for name in ("killed", "sleeps")]  # type: ignore[union-attr]
    assert stages == ["crash", "timeout"]
    same(found, before)


def test_frames_are_protected_too(music: Path) -> None:
    add(music, "killed")
    found = named(run_pool(tasks_of(music), TroubledFrames(name="hamel2013"), workers=2))
    failure = found.pop("killed.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "crash"
    assert len(found) == 8
    assert all(isinstance(outcome, Row) for outcome in found.values())


def test_a_worker_that_someone_else_kills_costs_nothing(music: Path) -> None:
    add(music, *(f"slow-{n}" for n in range(4)))
    outcomes = run_pool(tasks_of(music), Troubled("mfcc"), workers=2)
    collected = [next(outcomes)]
    for _ in range(3):
        children()[0].kill()
        collected.append(next(outcomes))
    collected += outcomes
    same(named(collected), here(music))


def test_a_track_that_waits_behind_another_is_never_blamed(music: Path) -> None:
    """Two are in a worker's hands: the second waits longer than the limit, and may."""
    add(music, *(f"slow-{n}" for n in range(3)))
    limits = Limits(seconds=1.2)
    found = named(run_pool(tasks_of(music), Troubled("mfcc"), workers=1, limits=limits))
    same(found, here(music))


def test_whoever_takes_outcomes_may_take_their_time(music: Path) -> None:
    def slowly(batches: Iterator[list[Outcome]]) -> Iterator[list[Outcome]]:
        for number, batch in enumerate(batches):
            time.sleep(1.5 if number % 5 == 0 else 0.0)
            yield batch

    add(music, *(f"slow-{n}" for n in range(2)))
    limits = Limits(seconds=1.2)
    outcomes = run_pool(tasks_of(music), Troubled("mfcc"), workers=2, limits=limits)
    same(named(slowly(outcomes)), here(music))


def test_a_long_file_gives_signs_of_life(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 8 * 29 * 8000)
    soundfile.write(tmp_path / "long.wav", samples, 8000)
    began = time.monotonic()
    recipe, limits = SlowRecipe("mfcc", chunks=None), Limits(seconds=1.0)
    found = named(run_pool(tasks_of(tmp_path), recipe, workers=1, limits=limits))
    assert time.monotonic() - began > 2.0
    same(found, here(tmp_path, Recipe("mfcc", chunks=None)))


def test_workers_that_cannot_start_blame_no_file(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SegueError, match=r"worker processes.*an encoder among"):
        list(run_pool(tasks_of(music), Recipe("nonsense"), workers=2))
    monkeypatch.setattr(supervisor, "serve", _never)
    with pytest.raises(SegueError, match=r"wanted worker processes.*they die as they start"):
        list(run_pool(tasks_of(music), RECIPE, workers=2))
    assert not children()


def _never(*_: object) -> None:
    os._exit(1)


def test_workers_that_hang_while_they_start_blame_no_file(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START", 2.5)
    began = time.monotonic()
    with pytest.raises(SegueError, match=r"wanted worker processes.*they do not start within"):
        list(run_pool(tasks_of(music), Unstartable("mfcc"), workers=2, limits=Limits(seconds=1.0)))
    assert 2.5 <= time.monotonic() - began < 30
    assert not children()


def test_a_worker_may_take_longer_to_start_than_a_track_may(music: Path) -> None:
    limits = Limits(seconds=0.5)
    same(named(run_pool(tasks_of(music), Sluggish("mfcc"), workers=1, limits=limits)), here(music))


def test_a_file_without_an_end_is_a_failure_soon(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    rows = [{"path": "/dev/zero"}, {"path": str(tmp_path / "pipe.wav")}]
    found = named(run_pool(tasks_of(Manifest.from_rows(rows)), RECIPE, workers=1))
    for outcome in found.values():
        assert isinstance(outcome, Failure)
        assert outcome.stage != "timeout"
        assert "got a pipe, socket or device, not a regular file" in outcome.reason
    assert len(found) == 2


def test_of_a_file_that_grows_what_it_was_is_hashed(tmp_path: Path) -> None:
    path, block = tmp_path / "grows.wav", b"\1" * HASH_BLOCK
    path.write_bytes(block)
    beats = []

    def grow() -> None:
        beats.append(path.stat().st_size)
        assert len(beats) < 10
        with path.open("ab") as file:
            file.write(block)

    on_beat(grow)
    try:
        assert content_hash(path) == hashlib.sha256(block).hexdigest()
    finally:
        on_beat(None)
    assert beats == [HASH_BLOCK]


def test_workers_use_one_thread_and_say_as_much_as_their_parent(
    music: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="segue"):
        found = named(run_pool(tasks_of(music)[:2], Telling("mfcc"), workers=1))
    for outcome in found.values():
        assert isinstance(outcome, Failure)
        pools, torch_threads, parallel, level = map(float, outcome.reason.split())
        assert (pools, torch_threads, level) == (1, 1, logging.ERROR)
        assert parallel < 1.2


def test_closing_ends_all_workers_at_once(music: Path) -> None:
    add(music, "sleeps-1", "sleeps-2", "sleeps-3")
    outcomes = run_pool(tasks_of(music), Troubled("mfcc"), workers=2)
    next(outcomes)
    assert len(children()) == 2
    began = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 1.0
    assert not children()


def test_no_worker_is_started_for_nothing(music: Path) -> None:
    assert list(run_pool([], RECIPE, workers=2)) == []
    outcomes = run_pool(tasks_of(music)[:1], RECIPE, workers=4)
    next(outcomes)
    assert len(children()) == 1
    assert list(outcomes) == []
    assert not children()


def test_limits_that_make_no_sense_are_refused(music: Path) -> None:
    with pytest.raises(UsageError, match="more than 0 seconds"):
        list(run_pool(tasks_of(music), RECIPE, workers=1, limits=Limits(seconds=0)))


def needed(run: Callable[..., Iterator[list[Outcome]]] = run_pool) -> tuple[int, int]:
    """Bytes that this process and one worker ask for, as the refusal says."""
    with pytest.raises(UsageError) as refused:
        list(run(_one(), RECIPE, workers=1, limits=Limits(memory=MEGABYTE)))
    assert "got a limit of 1 MB" in str(refused.value)
    words = refused.value.wanted.split()
    numbers = [int(word) * MEGABYTE for word in words if word.isdigit()]
    assert numbers[0] == pytest.approx(numbers[1] + numbers[2], abs=2 * MEGABYTE)
    return numbers[1], numbers[2]


def _one() -> list[Task]:
    return tasks_of(Manifest.from_rows([{"path": "nothing.wav"}]))


def test_as_many_workers_as_fit_the_memory(music: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, need = needed()
    limits = Limits(memory=own + round(2.5 * need))
    seen = []
    for batch in run_pool(tasks_of(music), RECIPE, workers=8, limits=limits):
        assert isinstance(batch[0], Row)
        seen.append(len(children()))
    assert max(seen) == 2
    assert "2 of 8 workers: each takes" in caplog.text


def test_memory_stays_within_its_limit_and_what_takes_more_is_a_failure(music: Path) -> None:
    before = here(music)
    add(music, "hog")
    own, need = needed()
    limit = own + 2 * need + 100 * MEGABYTE
    largest, collected = 0, []
    outcomes = run_pool(tasks_of(music), Troubled("mfcc"), workers=2, limits=Limits(memory=limit))
    for batch in outcomes:
        collected.append(batch)
        largest = max(largest, sum(footprint(child.pid or 0) for child in children()))
    found = named(collected)
    failure = found.pop("hog.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "memory"
    assert "MB of memory were taken" in failure.reason
    assert "each worker's share" in failure.reason
    assert 0 < largest < limit - own
    same(found, before)


def test_preparing_does_not_load_torch_here() -> None:
    code = (
        "import sys; from segue.extraction import prepare; prepare(); "
        "assert not {'torch', 'av', 'pyarrow'} & set(sys.modules); "
        "from multiprocessing import forkserver; "
        "assert forkserver._forkserver._forkserver_pid"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from troubled import Troubled, tasks_of
from segue.extraction.pool import run_pool
for batch in run_pool(tasks_of(Path(sys.argv[1])), Troubled("mfcc"), workers=2):
    print(len(batch), flush=True)
"""


def test_ctrl_c_ends_everything_without_a_word_from_workers(music: Path) -> None:
    add(music, *(f"slow-{n}" for n in range(50)))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(music), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
    _, errors = process.communicate(timeout=20)
    assert errors.count("Traceback") == 1  # the parent's own
    assert errors.rstrip().endswith("KeyboardInterrupt")
    _, alive = psutil.wait_procs(family, timeout=10)
    assert len(family) >= 3
    assert not alive


def test_workers_that_hang_end_with_their_parent(music: Path) -> None:
    """Even one that holds the interpreter's lock, so that nothing of its own can notice."""
    add(music, "holds-lock-1", "holds-lock-2", "sleeps")
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(music), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(8):
        process.stdout.readline()
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=20)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert len(family) >= 3
    assert not alive


# -- decoding apart ----------------------------------------------------------------------------


@pytest.fixture
def album(music: Path) -> Path:
    """Short and long files, and bad ones."""
    draws = np.random.default_rng(0)
    for seconds in (29, 50, 100):
        samples = (0.1 * draws.normal(size=(seconds * 8000, 2))).astype(np.float32)
        soundfile.write(music / f"long{seconds}.wav", samples, 8000, subtype="FLOAT")
    (music / "bad.wav").write_text("not audio")
    soundfile.write(music / "silent.wav", np.zeros(70 * 8000), 8000)
    soundfile.write(music / "short.wav", np.ones(30), 22050)
    whole = (music / "long100.wav").read_bytes()
    (music / "cut.wav").write_bytes(whole[: len(whole) // 2])
    noise = 0.1 * draws.normal(size=70 * 8000)
    soundfile.write(music / "late-nan.wav", noise, 8000, subtype="FLOAT")
    with (music / "late-nan.wav").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(np.nan).tobytes())
    return music


@pytest.mark.parametrize("chunks", [1, 2, None])
@pytest.mark.parametrize("name", ["mfcc", "random-convnet"])
def test_decoded_apart_features_are_the_same(album: Path, name: str, chunks: int | None) -> None:
    recipe, gauge = Recipe(name, chunks=chunks), Gauge()
    built = recipe.build()
    found = named(run_apart(tasks_of(album), recipe, built, workers=2, chunks=3, gauge=gauge))
    expected = named(run_here(tasks_of(album), recipe, built))
    same(found, expected)
    stages = [one.stage for one in found.values() if isinstance(one, Failure)]
    assert len(stages) >= 3
    assert gauge.chunks >= 11
    assert 0 <= gauge.idle_share < 1
    assert gauge.busy > 0


def test_a_decoder_apart_that_breaks_costs_one_file(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("mfcc", chunks=None)
    before = here(album, recipe)
    names = ["killed", "sleeps", "late-segfault", "late-sleeps"]
    for name in names:
        shutil.copy(album / "long100.wav", album / f"{name}.wav")
    monkeypatch.setattr(apart, "_Decoding", TroubledDecoding)
    limits = Limits(seconds=1.5)
    found = named(run_apart(tasks_of(album), recipe, recipe.build(), workers=2, limits=limits))
    stages = [found.pop(f"{name}.wav").stage for name in names]  # type: ignore[union-attr]
    assert stages == ["crash", "timeout", "crash", "timeout"]
    same(found, before)
    assert not children()


def test_what_the_encoder_cannot_take_costs_one_file(album: Path) -> None:
    recipe = Recipe("mfcc")
    built = recipe.build()
    encode = built.encode_chunks

    def sometimes(chunks: list[np.ndarray]) -> np.ndarray:
        if any(np.abs(chunk).max() > 2.0 for chunk in chunks):
            raise ZeroDivisionError("too loud for me")
        return encode(chunks)

    before = named(run_here(tasks_of(album), recipe, built))
    built.encode_chunks = sometimes  # type: ignore[method-assign, assignment]
    soundfile.write(album / "loud.wav", 3 * np.sin(np.arange(9000)), 8000, subtype="FLOAT")
    found = named(run_apart(tasks_of(album), recipe, built, workers=2, chunks=8))
    failure = found.pop("loud.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "unexpected"
    assert "too loud for me" in failure.reason
    same(found, before)


def test_whoever_decodes_waits_while_the_encoder_is_slow(album: Path) -> None:
    """Nobody listens to a worker whose chunks there is no room for: that costs it nothing."""
    recipe = Recipe("mfcc", chunks=None)
    built = SlowRecipe("mfcc", chunks=None).build()
    limits = Limits(seconds=1.5)
    found = named(run_apart(tasks_of(album), recipe, built, workers=2, limits=limits, chunks=2))
    same(found, here(album, recipe))


def test_decoding_apart_keeps_to_a_limit_on_memory(
    album: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe, before = Recipe("mfcc"), here(album)
    built = recipe.build()
    shutil.copy(album / "long29.wav", album / "hog.wav")
    monkeypatch.setattr(apart, "_Decoding", TroubledDecoding)
    run = partial(run_apart, encoder=built, chunks=4)
    own, need = needed(run)
    limit = own + 2 * need + 40 * MEGABYTE
    largest, seen, collected = 0, 0, []
    for batch in run(tasks_of(album), recipe, workers=8, limits=Limits(memory=limit)):
        collected.append(batch)
        seen = max(seen, len(children()))
        largest = max(largest, sum(footprint(child.pid or 0) for child in children()))
    assert "2 of 8 workers: each takes" in caplog.text
    found = named(collected)
    failure = found.pop("hog.wav")
    assert isinstance(failure, Failure)
    assert failure.stage == "memory"
    assert "each worker's share" in failure.reason
    assert seen == 2
    assert 0 < largest < limit - own
    same(found, before)


def test_what_a_worker_is_told_never_waits_for_what_it_says(
    album: Path,
) -> None:
    """Names that no connection holds: sent to a worker that sends, both would wait for ever."""
    recipe = Recipe("mfcc")
    rows = [
        {"path": str(album / f"long{seconds}.wav"), "id": f"{seconds}" * 200_000}
        for seconds in (29, 50, 100)
    ]
    manifest = Manifest.from_rows(rows)
    expected = here(manifest)

    def give_up(*_: object) -> None:
        raise AssertionError("both wait for the other")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    try:
        same(named(run_apart(tasks_of(manifest), recipe, recipe.build(), workers=1)), expected)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


APART = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from troubled import SlowAt44100, tasks_of
from segue.extraction import Recipe
from segue.extraction.pool import run_apart
recipe, encoder = Recipe("mfcc", chunks=None), SlowAt44100()
((outcome,),) = run_apart(tasks_of(Path(sys.argv[1])), recipe, encoder, workers=1)
assert hasattr(outcome, "features"), outcome
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_apart_a_long_file_takes_little_more_memory_at_any_rate(tmp_path: Path) -> None:
    """Half an hour at 44.1 kHz is 317 MB: what is held is bounded by bytes, not by chunks."""
    peaks = []
    for minutes in (0.5, 30):
        folder = tmp_path / str(minutes)
        folder.mkdir()
        long_noise(folder / "noise.wav", minutes)
        done = subprocess.run(
            [sys.executable, "-c", APART, str(folder), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 160, peaks


def test_in_a_worker_a_long_file_takes_little_more_memory(tmp_path: Path) -> None:
    """A quarter of an hour at 12 kHz is 43 MB."""
    peaks = []
    for minutes in (0.5, 15):
        folder = tmp_path / str(minutes)
        folder.mkdir()
        long_noise(folder / "noise.wav", minutes)
        (told,) = named(run_pool(tasks_of(folder), Peak("mfcc", chunks=None), workers=1)).values()
        assert isinstance(told, Failure)
        assert told.stage == "told"
        peaks.append(int(told.reason) // MEGABYTE)
    assert peaks[1] - peaks[0] < 30, peaks


def long_noise(path: Path, minutes: float) -> None:
    half = (np.random.default_rng(0).normal(size=30 * 8000) * 0.05).astype(np.float32)
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(round(2 * minutes)):
            file.write(half)


def test_a_worker_has_the_environment_of_its_parent_now(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that workers are forked from was started earlier, perhaps in another one."""
    assert named(run_pool(tasks_of(music), RECIPE, workers=1))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "another-home"))
    with pytest.raises(SegueError, match="another-home"):  # where it looks for weights
        list(run_pool(tasks_of(music), Recipe("choi2017-msd"), workers=1))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_a_worker_may_use_the_processors_that_its_parent_may_use_now() -> None:
    """The server may have been started while the parent was bound to one of them."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    try:
        os.sched_setaffinity(0, one)
        processes.prepare()
        os.sched_setaffinity(0, allowed)
        for chosen in (allowed, one):
            os.sched_setaffinity(0, chosen)
            process, connection = processes.start(tell_affinity, (), name="affine")
            assert connection.recv() == chosen
            process.join()
            connection.close()
    finally:
        os.sched_setaffinity(0, allowed)
