"""Real Chromium without a window, as journeys drive it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


@contextmanager
def launched(environment: Mapping[str, str] | None = None) -> Iterator[Browser]:
    """The system's Chromium; it must be there."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "Chromium is missing; scripts/system-packages test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            headless=True,
            args=list(FLAGS),
            env=None if environment is None else dict(environment),
        )
        yield browser
        browser.close()
