"""The checks that every registered encoder passes, for encoders that no registry lists."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def encoder_contract() -> ModuleType:
    """The contract suite as a module of its own, from where it stands."""
    path = Path(__file__).parent / "contracts" / "test_encoders.py"
    spec = importlib.util.spec_from_file_location("contract_of_encoders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
