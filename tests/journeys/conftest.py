"""Each journey gets a whole gate in a whole plant, in namespaces of its own (see tests/conftest.py)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from works import Works

from penstock.lab.gate import LabGate
from penstock.lab.layout import SITE_PATH
from penstock.lab.plant import Plant


@pytest.fixture
def site_text() -> str:
    """The site document; a journey may override it."""
    return SITE_PATH.read_text()


@pytest.fixture
def responders() -> tuple[str, ...]:
    """Where the gate answers for names; a journey may override it."""
    return ()


@pytest.fixture
def works(tmp_path: Path, site_text: str, responders: tuple[str, ...], empty_state: Path) -> Iterator[Works]:
    """The plant is up, the gate is ready, both pollers are answered."""
    site = tmp_path / "site.yaml"
    site.write_text(site_text)
    with Plant(tmp_path) as plant:
        gate = LabGate(
            node=plant.nodes["gate"], folder=tmp_path, site=site, address=plant.address("gate"), responders=responders
        )
        gate.state_dir.mkdir(mode=0o700)
        shutil.copy(empty_state, gate.state_dir / "state.db")
        try:
            gate.start()
            for poller in ("scada-1", "historian-1"):
                gate.wait(lambda name=poller: plant.polls(name).lines()[-1]["ok"], f"{poller} to be answered")
            yield Works(plant, gate, tmp_path)
        finally:
            gate.stop()
