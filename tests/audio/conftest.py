"""Fixtures of the audio room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from audio_files import PYAV_FORMATS, SOUNDFILE_FORMATS, encode, music


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The same four seconds in any of ALL_FORMATS, each made once."""
    folder = tmp_path_factory.mktemp("songs")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            if name in SOUNDFILE_FORMATS:
                kind, subtype, rate = SOUNDFILE_FORMATS[name]
                soundfile.write(path, music(rate), rate, format=kind, subtype=subtype)
            else:
                codec, container, rate, video = PYAV_FORMATS[name]
                encode(path, music(rate), rate, codec, container, video=video)
        return path

    return make
