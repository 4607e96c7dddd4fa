"""Tiny models of Hugging Face's format, saved once and copied for tests that change them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from huggingface_toys import save_toy


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("saved")

    def folder(name: str) -> Path:
        return root / name if (root / name).is_dir() else save_toy(name, root / name)

    return folder


@pytest.fixture
def copied(saved: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A toy's folder that a test may change."""

    def folder(name: str) -> Path:
        return shutil.copytree(saved(name), tmp_path / name)

    return folder
