"""Scenes in front of a worker's doors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from loopback import Doors, doors

sys.path.insert(0, str(Path(__file__).parents[1] / "wire"))  # messages are shared with the tests of the decoders

Scene = Callable[[Doors], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Run a scene in front of the doors, on either event loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(scene: Scene, **options: object) -> None:
        async def main() -> None:
            async with doors(tmp_path, **options) as site:  # type: ignore[arg-type]  # options of `doors`
                await scene(site)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run
