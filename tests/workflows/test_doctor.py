"""``segue doctor``: what is here, and what a missing extra would give."""

from __future__ import annotations

import pytest

from segue.workflows import doctor


def test_everything_that_decides_whether_work_can_be_done_is_told() -> None:
    facts = doctor.examine()
    for name in ("torch", "pyarrow", "libsndfile", "ffmpeg", "devices", "memory", "disk here"):
        assert facts[name], name
    assert "mp3" in facts["ffmpeg"]
    assert "FLAC" in facts["libsndfile"]
    assert facts["devices"].startswith("cpu")
    assert "GB free" in facts["disk here"]
    assert "GB free" in facts["weights folder"]
    for extra in doctor.EXTRAS:
        assert extra.gives in facts[f"extra {extra.name}"]


def test_a_missing_extra_says_how_to_get_it_and_what_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_there", lambda module: module == "onnx")
    facts = doctor.examine()
    said = facts["extra ray"]
    assert said.startswith("not installed: pip install 'segue[ray]' gives segue embed --engine ray")
    assert facts["extra onnx"].startswith("not installed (lacks onnxruntime, onnxscript): pip")
