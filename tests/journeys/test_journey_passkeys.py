"""Passkeys in a real browser (Chromium) with a virtual authenticator, at a real gate without a kernel.

The browser trusts the gate's authority as a station would, by its certificate store: Chromium takes no passkeys over a
connection with certificate errors, whether or not they are ignored.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from chromium import launched
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect

from penstock.lab.gate import LabGate, Person
from penstock.lab.machine import Machine

sys.path.insert(0, str(Path(__file__).parent))

from test_journey_no_kernel import PASSWORD

SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones:
  cell: {networks: [127.0.0.0/8]}
assets:
  plc-dosing: {zone: cell, role: plc, address: 127.0.0.1, services: {modbus: 502}}
  plc-trip: {zone: cell, role: safety, address: 127.0.0.2, services: {modbus: 502}}
conduits:
  Operators look at the dosing:
    from: {group: operators}
    to: {asset: plc-dosing}
    allow: {modbus: [read]}
    require: {factors: two}
  Operators look at the trip system:
    from: {group: operators}
    to: {asset: plc-trip}
    allow: {modbus: [read]}
    require: {factors: phishing-resistant}
"""
#: What a browser would do that somebody has changed.
LIE = """const ask = navigator.credentials.get.bind(navigator.credentials);
navigator.credentials.get = (options) => {{ options.publicKey.{}; return ask(options); }};
null"""
CODE = re.compile(r"[A-Z0-9]{4}(?:-[A-Z0-9]{4}){3}")


class Site:
    """A gate on loopback, and the people that it knows."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine()
        site = folder / "site.yaml"
        site.write_text(SITE)
        self.gate = LabGate.on_loopback(self.machine, folder, site)
        self.url, self.by_address = f"https://localhost:{self.gate.portal_port}", self.gate.url

    def person(self, name: str) -> Person:
        return self.gate.enrol(name, "operators", PASSWORD, self.machine)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("passkeys"))
    try:
        made.gate.start()
        yield made
    finally:
        made.gate.stop()
        made.machine.close()


@pytest.fixture(scope="module")
def browser(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("station")
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    authority = str(site.gate.state_dir / "keys" / "ca.pem")
    for words in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "gate", "-i", authority]):
        subprocess.run(["certutil", "-d", f"sql:{store}", *words], check=True, capture_output=True)
    with launched({"HOME": str(home), "PATH": "/usr/bin:/bin"}) as browser:
        yield browser


class Station:
    """One person's browser, with a key that is plugged in."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context, self.site, self.page = context, site, context.new_page()
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.devtools: CDPSession = context.new_cdp_session(self.page)
        self.devtools.send("WebAuthn.enable")
        self.key = self.plug_in(can_verify=True)

    def plug_in(self, *, can_verify: bool) -> str:
        """A key, with a PIN or without."""
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasResidentKey": True,
            "hasUserVerification": can_verify,
            "isUserVerified": can_verify,
            "automaticPresenceSimulation": True,
        }
        return str(self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])

    def change_key(self, *, can_verify: bool) -> None:
        """The same passkeys in another key."""
        kept = self.credentials()
        self.devtools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.key})
        self.key = self.plug_in(can_verify=can_verify)
        for credential in kept:
            self.take_over(credential)

    def credentials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.devtools.send("WebAuthn.getCredentials", {"authenticatorId": self.key})[
            "credentials"
        ]
        return found

    def take_over(self, credential: dict[str, Any]) -> None:
        """Put a credential of another key into this one."""
        self.devtools.send("WebAuthn.addCredential", {"authenticatorId": self.key, "credential": credential})

    def sign_in(self, person: Person, code: str = "") -> None:
        self.page.goto(self.site.url + "/sign-in")
        self.page.get_by_label("Name").fill(person.name)
        self.page.get_by_label("Password").fill(person.password)
        self.page.get_by_label("Code of your authenticator").fill(code or person.code())
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def add_passkey(self, title: str) -> None:
        self.page.goto(self.site.url + "/me")
        self.page.get_by_label("Add a passkey called").fill(title)
        self.page.get_by_role("button", name="Add a passkey").click()

    def enter(self) -> None:
        self.page.goto(self.site.url + "/sign-in")
        self.page.get_by_role("button", name="Sign in with a passkey").click()


@pytest.fixture
def stations(browser: Browser, site: Site) -> Iterator[list[Station]]:
    contexts = [browser.new_context() for _ in range(3)]
    yield [Station(context, site) for context in contexts]
    for context in contexts:
        context.close()


def may_reach(page: Page) -> str:
    return page.locator("section", has=page.locator("#may")).inner_text()


def test_a_passkey_from_registration_to_the_conduit_that_asks_for_it(site: Site, stations: list[Station]) -> None:
    station, maria = stations[0], site.person("maria")
    page = station.page
    station.sign_in(maria)
    assert "plc-trip" not in may_reach(page)
    station.add_passkey("blue key")
    expect(page.get_by_role("status").filter(has_text="The passkey was added.")).to_be_visible()
    expect(page.get_by_role("heading", name="blue key")).to_be_visible()
    (kept,) = station.credentials()
    assert kept["rpId"] == "localhost"
    assert kept["isResidentCredential"]
    page.get_by_role("button", name="Sign out").click()
    station.enter()
    expect(page.get_by_text("Signed in as maria")).to_be_visible()
    assert page.url == site.url + "/"
    assert "plc-trip" in may_reach(page), "what asks for phishing-resistant is open to a passkey"
    found = site.gate.search("--kind", "signed_in", "--subject", "maria")
    (signed,) = [one for one in found if one["detail"]["factors"] == ["passkey"]]
    assert signed["detail"]["strength"] == "phishing-resistant"
    assert all(url.startswith(site.url) for url in station.requests), "no page needs anything from elsewhere"


def test_the_command_line_opens_the_conduit_with_the_proof_of_the_browser(site: Site, stations: list[Station]) -> None:
    station, tom = stations[0], site.person("tom")
    station.sign_in(tom)
    station.add_passkey("tom's key")
    expect(station.page.get_by_role("heading", name="tom's key")).to_be_visible()
    station.page.get_by_role("button", name="Sign out").click()
    station.enter()
    expect(station.page.get_by_text("Signed in as tom")).to_be_visible()
    authority = str(site.gate.state_dir / "keys" / "ca.pem")
    login = site.machine.popen(
        [sys.executable, "-m", "penstock", "login", "--device", "--gate", site.gate.url, "--ca", authority],
        environment=site.gate.environment(tom),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert login.stdout is not None
    code = next(found[0] for line in login.stdout if (found := re.search(r"[A-Z0-9]{4}-[A-Z0-9]{4}", line)))
    station.page.goto(site.url + "/device")
    station.page.get_by_role("textbox").fill(code)
    station.page.locator("main button").first.click()
    station.page.locator("main button").first.click()
    assert login.wait(30) == 0
    opened = site.gate.command("connect", "plc-trip", "--", "true", station=site.machine, person=tom)
    assert opened.status == 0, opened.said


def test_the_key_of_somebody_else_is_refused_for_a_sign_in_that_runs(site: Site, stations: list[Station]) -> None:
    mine, theirs = stations[0], stations[1]
    nina, otto = site.person("nina"), site.person("otto")
    for station, person in ((mine, nina), (theirs, otto)):
        station.sign_in(person)
        station.add_passkey(f"key of {person.name}")
        expect(station.page.get_by_role("heading", name=f"key of {person.name}")).to_be_visible()
    (own,), (foreign,) = mine.credentials(), theirs.credentials()
    # a browser that lies: it sends otto's answer where nina's was asked for
    mine.devtools.send("WebAuthn.clearCredentials", {"authenticatorId": mine.key})
    mine.take_over(foreign)
    mine.page.goto(site.url + "/prove")
    mine.page.evaluate(LIE.format("allowCredentials = []"))
    mine.page.get_by_role("button", name="Use a passkey").click()
    expect(mine.page.get_by_role("alert")).to_contain_text("This passkey is not yours.")
    (refused,) = site.gate.search("--kind", "sign_in.refused", "--subject", "nina")
    assert (refused["detail"]["why"], refused["detail"]["passkey_of"]) == ("passkey_of_another_subject", "otto")
    assert own["credentialId"] != foreign["credentialId"]


def test_without_a_pin_or_a_finger_there_is_no_sign_in(site: Site, stations: list[Station]) -> None:
    station, vera = stations[0], site.person("vera")
    page = station.page
    station.sign_in(vera)
    station.add_passkey("grey key")
    expect(page.get_by_role("heading", name="grey key")).to_be_visible()
    station.change_key(can_verify=False)
    # a browser that lies, with a key that has no PIN: it is asked for no verification
    page.goto(site.url + "/prove")
    page.evaluate(LIE.format("userVerification = 'discouraged'"))
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("did not check that it is you")
    found = site.gate.search("--kind", "sign_in.refused", "--subject", "vera")
    assert [one["detail"]["why"] for one in found] == ["user_not_verified"]
    page.get_by_role("button", name="Sign out").click()
    station.enter()
    expect(page.get_by_role("status")).to_contain_text("Nothing was sent")
    assert page.url == site.url + "/sign-in"
    station.change_key(can_verify=True)
    station.enter()
    expect(page.get_by_text("Signed in as vera")).to_be_visible()


def test_a_copied_key_is_found_out_and_its_owner_sees_it(site: Site, stations: list[Station]) -> None:
    mine, thief, owner = stations[0], stations[1], site.person("olga")
    mine.sign_in(owner)
    mine.add_passkey("red key")
    expect(mine.page.get_by_role("heading", name="red key")).to_be_visible()
    (copied,) = mine.credentials()
    for _ in range(2):
        mine.page.get_by_role("button", name="Sign out").click()
        mine.enter()
        expect(mine.page.get_by_text("Signed in as olga")).to_be_visible()
    thief.take_over(copied)
    thief.enter()
    expect(thief.page.get_by_role("alert")).to_contain_text("Somebody has a copy of this passkey")
    mine.page.goto(site.url + "/me")
    expect(mine.page.get_by_text("its counter went back")).to_be_visible()
    mine.page.get_by_text("Rename or remove").click()
    mine.page.get_by_role("button", name="Remove the passkey red key").click()
    expect(mine.page.get_by_text("You have none.")).to_be_visible()


def test_by_keyboard_alone_and_with_words_for_what_cannot_work(site: Site, stations: list[Station]) -> None:
    station, page = stations[0], stations[0].page
    page.goto(site.url + "/sign-in")
    page.get_by_label("Code of your authenticator").focus()
    for expected in ("Sign in", "Sign in with a passkey"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == expected
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Nothing was sent")
    assert page.evaluate("document.activeElement.textContent") == "Sign in with a passkey", "the focus is where it was"
    station.context.add_init_script("delete window.PublicKeyCredential")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("This browser cannot use passkeys.")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_disabled()
    page.goto(site.by_address + "/sign-in")
    expect(page.get_by_text("Passkeys are bound to a name")).to_be_visible()
    assert page.get_by_role("button", name="Sign in with a passkey").count() == 0


def test_a_code_of_the_enrolment_page_opens_the_way_to_a_new_authenticator(site: Site, stations: list[Station]) -> None:
    page = stations[0].page
    code = site.gate.admin("POST", "/admin/subjects", {"name": "lost", "groups": ["operators"]})["code"]
    page.goto(site.url + "/enrol")
    page.get_by_label("Enrolment code").fill(code)
    page.get_by_role("button", name="Go on").click()
    secret = page.locator("code.secret").inner_text().replace(" ", "")
    person = Person(name="lost", password=PASSWORD, totp=pyotp.TOTP(secret), home=site.gate.folder)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_label("The code that your authenticator shows now").fill(person.code())
    page.get_by_role("button", name="Enrol").click()
    codes = CODE.findall(page.locator(".codes").inner_text())
    assert len(set(codes)) == 10
    page.get_by_role("button", name="Go on").click()
    assert page.url == site.url + "/enrol/confirm", "first they must be kept"
    page.get_by_label("I have kept them").check()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("You are enrolled.")).to_be_visible()
    stations[0].sign_in(person, codes[3])
    assert page.url == site.url + "/me"
    expect(page.get_by_role("alert")).to_contain_text("9 are left")
    page.get_by_role("button", name="Replace it").click()
    secret = page.locator("code.secret").inner_text().replace(" ", "")
    page.get_by_label("The code that it shows now").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Use this one").click()
    expect(page.get_by_text("The new authenticator counts from now on.")).to_be_visible()
    (used,) = site.gate.search("--kind", "factor.removed", "--subject", "lost")
    assert (used["detail"]["factor"], used["detail"]["left"]) == ("recovery_code", 9)
