"""Fixtures of the web tests: the same gate in memory as the control tests, behind its two applications."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))
sys.path.insert(0, str(Path(__file__).parents[1] / "control"))

from control_world import World, make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "state.db"
    asyncio.run(make_template(path))
    return path


@pytest.fixture
def world(tmp_path: Path, template: Path) -> World:
    return World(tmp_path, template)
