"""One gate with every provider that is here, for all journeys of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from chromium import launched
from glewlwyd_provider import Glewlwyd
from keycloak_provider import Keycloak
from npm_provider import NpmProvider
from playwright.sync_api import Browser
from provider import Missing, Provider, missing
from trust import make_trust
from visit import Visit

from bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("providers")
    trust, made, absent = make_trust(folder / "trust"), [], {}
    for kind in (Keycloak, NpmProvider, Glewlwyd):
        try:
            made.append(kind(folder, trust))
        except Missing as why:
            absent[kind.name] = str(why)
    whole = Bench(folder, made, absent)
    try:
        whole.start()
        yield whole
    finally:
        whole.close()


def _of(bench: Bench, name: str) -> Provider:
    if name in bench.absent:
        missing(bench.absent[name])
    return next(each for each in bench.providers if each.name == name)


@pytest.fixture
def keycloak(bench: Bench) -> Keycloak:
    found = _of(bench, Keycloak.name)
    assert isinstance(found, Keycloak)
    return found


@pytest.fixture
def second(bench: Bench) -> NpmProvider:
    found = _of(bench, NpmProvider.name)
    assert isinstance(found, NpmProvider)
    return found


@pytest.fixture
def third(bench: Bench) -> Glewlwyd:
    found = _of(bench, Glewlwyd.name)
    assert isinstance(found, Glewlwyd)
    return found


@pytest.fixture(params=[Keycloak.name, NpmProvider.name])
def provider(request: pytest.FixtureRequest, bench: Bench) -> Provider:
    return _of(bench, request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, bench: Bench) -> Iterator[Callable[[], Visit]]:
    """Makes browsers without history."""
    with ExitStack() as stack:

        def new() -> Visit:
            made = Visit(browser, bench)
            stack.callback(made.close)
            return made

        yield new
