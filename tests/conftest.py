"""Fixtures shared by all rooms: where real music is, and small synthetic clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def segue_data() -> Path:
    """Folder of real music named by SEGUE_DATA; tests that need it skip, saying so, without it."""
    folder = os.environ.get("SEGUE_DATA")
    if not folder:
        pytest.skip("SEGUE_DATA is not set: no real music to test with")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SEGUE_DATA={folder} is not a folder")
    return path
