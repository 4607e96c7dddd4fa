"""The public face: what ``import segue`` offers, pinned."""

from __future__ import annotations

import subprocess
import sys

import pytest

import segue


def test_public_names() -> None:
    assert sorted(segue.__all__) == [
        "Audio",
        "FeatureTable",
        "Manifest",
        "__version__",
        "audit",
        "build_index",
        "curve",
        "embed",
        "encoder",
        "evaluate",
        "fit",
        "load",
        "predict",
    ]
    for name in segue.__all__:
        assert getattr(segue, name) is not None
    assert set(segue.__all__) <= set(dir(segue))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        segue.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("segue", "torch ray numpy pyarrow soundfile sklearn"),
        ("segue.audio", "torch soundfile soxr av"),
        ("segue.evaluation.compare", "torch soundfile av segue.audio segue.encoders"),
        ("segue.similarity.index", "torch soundfile av sklearn faiss"),
        ("segue.report", "torch soundfile av faiss matplotlib.pyplot"),
        ("segue.cli", "torch sklearn pyarrow matplotlib"),
    ],
)
def test_importing_a_room_does_not_load_what_it_does_not_need(module: str, heavy: str) -> None:
    code = f"import sys, {module}; sys.exit(' '.join(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
