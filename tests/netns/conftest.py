"""The plant of the kernel's tests; see tests/conftest.py for the namespaces that each test gets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gate_plant import Plant

sys.path.insert(0, str(Path(__file__).parents[1] / "wire"))  # messages are shared with the tests of the decoders


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """A flat plant network with a gate that runs its enforcer."""
    built = Plant(tmp_path)
    try:
        yield built
    finally:
        built.close()
