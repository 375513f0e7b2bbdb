"""Held operations in a real browser (Chromium): what comes is shown by itself, and the keyboard is enough to decide.

The gate is in memory behind its real portal; the worker is a fake that tells what a real one tells.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chromium import launched
from playwright.sync_api import Browser, Page, expect

from penstock.model import Grant, HoldEnding

sys.path.insert(0, str(Path(__file__).parents[1] / "control"))
sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from control_world import PASSWORD
from held_operations import HoldingWorker, approving, asking
from portal_server import PortalServer, portal_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A portal, a worker that holds what Ada asks, and Bob, who may decide."""

    portal: PortalServer
    worker: HoldingWorker
    grant: Grant

    def hold(self, number: int = 1, **words: object) -> None:
        """One more operation waits."""
        self.portal.call(lambda: self.worker.hold(self.grant, number, **{"for_s": 600, **words}))  # type: ignore[arg-type]

    def end(self, number: int, ending: HoldEnding) -> None:
        """It waits no longer."""
        self.portal.call(lambda: self.worker.end(number, ending))

    def pass_s(self, seconds: float) -> None:
        """Time passes at the gate."""
        self.portal.call(lambda: self.portal.world.clock.pass_s(seconds))


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with portal_of(tmp_path) as portal:
        worker, grant = portal.run(asking(portal.world))
        portal.run(approving(portal.world))
        yield Plant(portal=portal, worker=worker, grant=grant)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(params=[True], ids=["scripts"])
def page(browser: Browser, plant: Plant, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Bob's page; nothing may be asked of anybody but the gate, nor be refused by the policy of the page."""
    context = browser.new_context(
        ignore_https_errors=True, java_script_enabled=request.param, viewport={"width": 1100, "height": 900}
    )
    page = context.new_page()
    asked, said = list[str](), list[str]()
    page.on("request", lambda each: asked.append(each.url))
    page.on("console", lambda each: said.append(each.text))
    page.on("pageerror", lambda each: said.append(str(each)))
    page.goto(f"{plant.portal.url}/sign-in")
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code of your authenticator").fill(plant.portal.world.code("bob"))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{plant.portal.url}/")
    plant.pass_s(30)
    yield page
    context.close()
    assert {url for url in asked if not url.startswith(plant.portal.url)} == set()
    assert said == []


without_scripts = pytest.mark.parametrize("page", [False], ids=["no scripts"], indirect=True)


def test_what_comes_is_shown_by_itself_and_the_keyboard_is_enough_to_approve_it(plant: Plant, page: Page) -> None:
    page.goto(f"{plant.portal.url}/held")
    expect(page.get_by_role("status")).to_have_text("No operation waits.")
    plant.hold()
    expect(page.get_by_role("status")).to_have_text("1 waits for you.")
    expect(page).to_have_title(re.compile(r"^\(1\) Held operations"))
    link = page.get_by_role("link", name="write holding_registers 10 = 250")
    expect(link).to_be_visible()
    page.locator("#main").focus()
    while not link.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    plant.hold(2)
    expect(page.get_by_role("status")).to_have_text("2 wait for you.")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "/held/1042.1"
    page.keyboard.press("Enter")
    page.wait_for_url("**/held/1042.1")
    reason = page.get_by_label("Why")
    while not reason.evaluate("field => field === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.type("work order 4711")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".good")).to_contain_text("Forwarded: the asset has it")
    expect(page.locator(".good")).to_contain_text("work order 4711")
    assert [(each.hold, each.is_approved) for each in plant.worker.decisions] == [(1, True)]
    expect(page.get_by_role("link", name=re.compile("Next: write"))).to_have_attribute("href", "/held/1042.2")


def test_enter_in_the_reason_refuses(plant: Plant, page: Page) -> None:
    plant.hold()
    page.goto(f"{plant.portal.url}/held/1042.1")
    page.get_by_label("Why").fill("not today")
    page.keyboard.press("Enter")
    expect(page.locator(".good")).to_contain_text("Refused: the asset never saw it")
    assert [each.is_approved for each in plant.worker.decisions] == [False]


def test_the_seconds_run_and_what_is_typed_stays_until_somebody_else_is_first(plant: Plant, page: Page) -> None:
    plant.hold(for_s=90, behind=1)
    page.goto(f"{plant.portal.url}/held/1042.1")
    timer = page.get_by_role("timer")
    expect(timer).to_contain_text("1 request waits behind it")
    expect(timer).to_contain_text(re.compile("1 min 2[0-9] s left"))  # counted here: the gate's clock stands still
    plant.pass_s(40)
    expect(timer).to_contain_text("50 s left")
    page.get_by_label("Why").fill("half a rea")
    plant.hold(for_s=90, behind=3)
    expect(timer).to_contain_text("3 requests wait behind it")
    expect(page.get_by_label("Why")).to_have_value("half a rea")
    plant.end(1, HoldEnding.TIMED_OUT)
    expect(page.locator(".trouble")).to_contain_text("Too late: nobody decided in time")
    expect(page).to_have_title(re.compile("timed out"))
    expect(page.get_by_label("Why")).to_have_count(0)


def test_who_is_signed_out_meanwhile_is_led_to_the_sign_in(plant: Plant, page: Page) -> None:
    plant.hold(for_s=3000)
    page.goto(f"{plant.portal.url}/held")
    expect(page.get_by_role("status")).to_have_text("1 waits for you.")
    plant.pass_s(2400)
    page.wait_for_url("**/sign-in")


@without_scripts
def test_without_scripts_the_list_and_the_time_that_is_left_follow_too(plant: Plant, page: Page) -> None:
    page.goto(f"{plant.portal.url}/held")
    expect(page.get_by_role("status")).to_have_text("No operation waits.")
    plant.hold(for_s=90)
    expect(page.get_by_role("status")).to_have_text("1 waits for you.", timeout=15_000)
    page.goto(f"{plant.portal.url}/held/1042.1")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("timer")).to_contain_text("1 min 30 s left")
    page.get_by_label("Why").fill("half a rea")
    plant.pass_s(45)
    expect(frame.get_by_role("timer")).to_contain_text("45 s left")
    expect(page.get_by_label("Why")).to_have_value("half a rea")
    plant.end(1, HoldEnding.WITHDRAWN)
    expect(frame.locator("#state")).to_contain_text("whoever asked is gone")
    frame.get_by_role("link", name="Show it as it is now").click()
    expect(page.locator(".trouble")).to_contain_text("Nothing was forwarded")
    plant.hold(2)
    page.goto(f"{plant.portal.url}/held/1042.2")
    page.get_by_label("Why").fill("work order 4711")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".good")).to_contain_text("Forwarded")
