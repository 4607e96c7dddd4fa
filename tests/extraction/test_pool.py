"""Workers under supervision: what a track does to its process costs that track alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from troubled import (
    OnDevice,
    SlowRecipe,
    Telling,
    Troubled,
    TroubledDecoding,
    TroubledFrames,
    tasks_of,
)

from segue.datasets import Manifest
from segue.errors import SegueError, UsageError
from segue.extraction import Limits, Recipe, apart, supervisor
from segue.extraction.limits import footprint
from segue.extraction.pool import Gauge, run_apart, run_here, run_pool
from segue.extraction.worker import Outcome, Task
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


def needed() -> tuple[int, int]:
    """Bytes that this process and one worker ask for, as the refusal says."""
    with pytest.raises(UsageError) as refused:
        list(run_pool(_one(), RECIPE, workers=1, limits=Limits(memory=MEGABYTE)))
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


def test_decoding_apart_keeps_to_a_limit_on_memory(album: Path) -> None:
    recipe = Recipe("mfcc")
    with pytest.raises(UsageError, match=r"at least \d+ MB of memory"):
        list(run_apart(tasks_of(album), recipe, recipe.build(), workers=2,
                       limits=Limits(memory=MEGABYTE)))  # fmt: skip
    limits = Limits(memory=4000 * MEGABYTE)
    found = named(run_apart(tasks_of(album), recipe, recipe.build(), workers=2, limits=limits))
    same(found, here(album))


def test_a_worker_has_the_environment_of_its_parent_now(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that workers are forked from was started earlier, perhaps in another one."""
    assert named(run_pool(tasks_of(music), RECIPE, workers=1))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "another-home"))
    with pytest.raises(SegueError, match="another-home"):  # where it looks for weights
        list(run_pool(tasks_of(music), Recipe("choi2017-msd"), workers=1))
