"""Limits of an encoder folder: told before training, and before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joint_toys import TAGS, random_joint
from segue.encoders import folder_checks, folders
from segue.encoders.folders import FACTS, WEIGHTS, write_folder
from segue.errors import UsageError


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    """What a folder of an embedding is written of."""
    made = random_joint(tmp_path / "joint", base=None)
    return {
        **{"architecture": "warp", "card": made.card, "training": {}},
        **{"tags": TAGS, "tensors": made.tensors},
    }


def limit(monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    monkeypatch.setattr(folder_checks, "MAX_BYTES", {**folder_checks.MAX_BYTES, name: size})


@pytest.mark.parametrize(("name", "fix"), [(FACTS, "--min-tracks"), (WEIGHTS, "dimensions")])
def test_nothing_is_written_that_could_not_be_read(
    tmp_path: Path, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, fix: str
) -> None:
    size = (tmp_path / "joint" / name).stat().st_size
    limit(monkeypatch, name, size)
    write_folder(tmp_path / "fits", **facts)
    limit(monkeypatch, name, size - 1)
    with pytest.raises(UsageError, match=rf"{name} within its limit of {size - 1} bytes.*{fix}"):
        write_folder(tmp_path / "large", **facts)
    assert not (tmp_path / "large").exists()


def test_a_folder_of_many_labels_is_refused_whole(tmp_path: Path, facts: dict[str, Any]) -> None:
    facts["tags"] = [f"set: {number:060d}" for number in range(70_000)]
    labels = np.zeros((len(facts["tags"]), 6), np.float32)
    facts["tensors"] = {**facts["tensors"], "labels": labels}
    with pytest.raises(UsageError, match=r"encoder\.json within its limit of 4194304 bytes"):
        write_folder(tmp_path / "large", **facts)
    assert not (tmp_path / "large").exists()


def test_tags_that_are_none_are_not_written(tmp_path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="different tags"):
        write_folder(tmp_path / "twice", **{**facts, "tags": [TAGS[0], *TAGS[:3]]})
    assert not (tmp_path / "twice").exists()


def test_labels_too_large_are_told_before_training() -> None:
    half = folder_checks.MAX_BYTES[FACTS] // 2
    names = [f"{number:096d}" for number in range(half // 100)]  # a line of 101 bytes each
    folders.check_size(names[: half // 102])
    with pytest.raises(UsageError, match=r"half of the limit of encoder\.json.*--min-tracks"):
        folders.check_size(names)


def test_tensors_too_large_are_told_before_training() -> None:
    most = 64 * 2**20  # numbers in 256 MiB
    folders.check_size(TAGS, {"V": (most - 2000, 1)})
    with pytest.raises(UsageError, match=r"weights\.safetensors within its limit"):
        folders.check_size(TAGS, {"V": (most - 2000, 1), "shift": (2000,)})
