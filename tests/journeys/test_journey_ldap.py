"""A whole gate and a real slapd: people of a directory sign in, work, and stop when the directory says so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, sync_playwright
from slapd import GATE, GATE_SECRET, GROUPS, PASSWORD, PEOPLE, Slapd, beginning, group, of, person

from penstock.lab.gate import LabFailure, LabGate, Person
from penstock.lab.machine import Machine

LOCAL_PASSWORD = "turbine hall seven"
REFRESH_S = 10
SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones:
  cell: {{networks: [127.0.0.0/8]}}
assets:
  plc-dosing: {{zone: cell, role: plc, address: 127.0.0.1, services: {{modbus: 15502}}}}
  plc-filter: {{zone: cell, role: plc, address: 127.0.0.2, services: {{modbus: 15502}}}}
identity:
  sources:
    plant:
      kind: ldap
      title: Plant directory
      url: {url}
      authorities: |
{authorities}
      bind: {gate}
      secret: plant
      people: {{base: "{people}"}}
      membership: {{base: "{groups}"}}
      groups: {{operators: operators}}
      refresh: {refresh}s
conduits:
  Operators set the dosing rate:
    from: {{group: operators}}
    to: {{asset: plc-dosing}}
    allow: {{modbus: [read]}}
  Operators with two factors clean the filter:
    from: {{group: operators}}
    to: {{asset: plc-filter}}
    allow: {{modbus: [read]}}
    require: {{factors: two}}
"""


class Works:
    """A gate on this machine and the plant's directory."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine()
        self.slapd = Slapd(folder / "slapd")
        self.slapd.load(beginning() + "".join(person(uid) for uid in ("ada", "bea", "cleo")))
        self.slapd.start()
        self.slapd.add(group("operators", of("ada"), of("bea"), of("cleo")))
        authorities = "\n".join(f"        {line}" for line in self.slapd.authorities.splitlines())
        site = folder / "site.yaml"
        places = {"gate": f'"{GATE}"', "people": PEOPLE, "groups": GROUPS, "refresh": REFRESH_S}
        site.write_text(SITE.format(url=self.slapd.url, authorities=authorities, **places))
        secret = folder / "state" / "keys" / "sources" / "plant"
        secret.parent.mkdir(parents=True, mode=0o700)
        secret.touch(0o600)
        secret.write_text(GATE_SECRET + "\n")
        self.gate = LabGate.on_loopback(self.machine, folder, site)
        self.gate.start()

    def close(self) -> None:
        self.gate.stop()
        self.machine.close()
        self.slapd.stop()

    def sign_in(self, name: str, password: str = PASSWORD, code: str = "", source: str = "plant") -> dict[str, Any]:
        body = {"subject": name, "password": password, "totp": code, "csr_pem": request_pem(), "source": source}
        answer = self.gate.api(self.machine, "POST", "/api/sign-ins", body)
        assert isinstance(answer, dict)
        return answer

    def refused(self, *words: str, **more: str) -> str:
        with pytest.raises(LabFailure) as caught:
            self.sign_in(*words, **more)
        return str(caught.value)

    def grant(self, signed: dict[str, Any], asset: str = "plc-dosing") -> int:
        wish = {"asset": asset, "service": "modbus"}
        return int(self.gate.api(self.machine, "POST", "/api/grants", wish, signed["token"])["grant"])

    def no_grant(self, signed: dict[str, Any], asset: str = "plc-dosing") -> str:
        with pytest.raises(LabFailure) as caught:
            self.grant(signed, asset)
        return str(caught.value)

    def recorded(self, kind: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first such record, as soon as it is there."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [each for each in self.gate.records(kind) if is_it(each)]
            return bool(found)

        self.gate.wait(look, f"a record {kind}", 45)
        return found[0]


def request_pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return built.public_bytes(Encoding.PEM).decode()


def seconds(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(str(record["time"])).timestamp()


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    made = Works(tmp_path_factory.mktemp("ldap"))
    try:
        yield made
    finally:
        made.close()


def test_a_password_of_the_directory_is_one_factor_and_opens_what_asks_for_no_more(at_work: Works) -> None:
    signed = at_work.sign_in("ada")
    assert (signed["subject"], signed["groups"], signed["strength"]) == ("ada@plant", ["operators"], "one")
    assert at_work.grant(signed) > 0
    assert "factors_too_weak" in at_work.no_grant(signed, "plc-filter")
    record = at_work.recorded("signed_in", lambda each: each["subject"] == "ada@plant")
    assert record["detail"]["identity"] == "plant"
    assert record["detail"]["evidence"]["dn"] == of("ada")


def test_whoever_is_refused_reads_the_same_and_the_record_has_the_reason(at_work: Works) -> None:
    at_work.slapd.change(f"dn: {of('cleo')}\nchangetype: modify\nadd: pwdReset\npwdReset: TRUE\n")
    said = {
        at_work.refused("cleo"),
        at_work.refused("ada", "wrong"),
        at_work.refused("nobody"),
        at_work.refused("ada", ""),
        at_work.refused("ada", source="elsewhere"),
        at_work.refused("ada", LOCAL_PASSWORD, source="local"),
    }
    (only,) = said
    assert "HTTP 401" in only
    for name, why in (("cleo", "must be changed"), ("ada", "wrong password"), ("nobody", "nobody of that name")):
        at_work.recorded("sign_in.refused", lambda each, n=name, w=why: _is_refusal(each, n, w))  # type: ignore[misc]
    assert PASSWORD not in (at_work.gate.evidence.parent.parent / "gate.log").read_text()


def _is_refusal(record: dict[str, Any], name: str, why: str) -> bool:
    return record.get("subject") == name and why in record["detail"].get("why", "")


def test_an_authenticator_of_the_gate_makes_two_factors_and_is_then_always_asked_for(at_work: Works) -> None:
    gate, slapd = at_work.gate, at_work.slapd
    with pytest.raises(LabFailure, match="there is no subject dave@plant"):
        gate.admin("POST", "/admin/subjects/dave@plant/invite")
    at_work.sign_in("bea")
    code = gate.command("subject", "invite", "bea@plant", station=at_work.machine).printed.strip()
    shown = gate.api(at_work.machine, "POST", "/api/enrolments", {"code": code})
    assert (shown["subject"], shown["asks_password"]) == ("bea@plant", False)
    bea = Person(name="bea", password=PASSWORD, totp=pyotp.parse_uri(shown["otpauth_uri"]), home=gate.folder / "bea")
    gate.api(at_work.machine, "POST", "/api/enrolments/confirm", {"code": code, "totp": bea.code()})
    assert "HTTP 401" in at_work.refused("bea")
    code = bea.code()
    signed = at_work.sign_in("bea", code=code)
    assert signed["strength"] == "two"
    assert at_work.grant(signed, "plc-filter") > 0
    assert "HTTP 401" in at_work.refused("bea", code=code), "a code works once"
    assert "HTTP 401" in at_work.refused("bea@plant", source="local"), "the gate itself has no password of hers"
    assert at_work.sign_in("ada", code=code)["strength"] == "one", "bea's authenticator says nothing of ada"
    slapd.change(f"dn: {of('bea')}\nchangetype: delete\n")
    slapd.add(person("bea"))
    assert "HTTP 401" in at_work.refused("bea"), "a new person of an old name is somebody else"
    at_work.recorded("sign_in.refused", lambda each: each.get("reason") == "identity_conflict")


def test_the_command_line_signs_in_at_the_directory(at_work: Works) -> None:
    gate = at_work.gate
    ada = Person(name="ada", password=PASSWORD, totp=None, home=gate.folder / "home-ada")
    words = ["login", "--gate", gate.url, "--ca", str(gate.state_dir / "keys" / "ca.pem"), "--as", "ada"]
    words += ["--source", "plant", "--password-stdin"]
    done = gate.command(*words, station=at_work.machine, person=ada, typed=f"{PASSWORD}\n\n")
    assert done.status == 0, done.said
    assert "as ada@plant" in done.said
    again = gate.command("login", "--again", "--password-stdin", station=at_work.machine, person=ada,
                         typed=f"{PASSWORD}\n\n")  # fmt: skip
    assert again.status == 0, again.said


def test_a_group_that_is_taken_away_ends_what_it_allowed_within_the_time_that_the_site_states(at_work: Works) -> None:
    signed = at_work.sign_in("ada")
    number = at_work.grant(signed)
    at_work.slapd.change(f"dn: cn=operators,{GROUPS}\nchangetype: modify\ndelete: member\nmember: {of('ada')}\n")
    taken_at = time.time()
    closed = at_work.recorded("grant.closed", lambda each: each.get("grant") == number)
    assert closed["reason"] == "membership_ended"
    assert seconds(closed) - taken_at < REFRESH_S + 5
    assert "subject_not_named" in at_work.no_grant(signed) or "no_conduit" in at_work.no_grant(signed)
    at_work.slapd.change(f"dn: cn=operators,{GROUPS}\nchangetype: modify\nadd: member\nmember: {of('ada')}\n")
    at_work.gate.wait(lambda: _may(at_work, signed), "the group to count again", 30)


def _may(works: Works, signed: dict[str, Any]) -> bool:
    try:
        return works.grant(signed) > 0
    except LabFailure:
        return False


def test_a_disabled_account_ends_its_sign_in(at_work: Works) -> None:
    at_work.slapd.add(person("dan") + "")
    at_work.slapd.change(f"dn: cn=operators,{GROUPS}\nchangetype: modify\nadd: member\nmember: {of('dan')}\n")
    signed = at_work.sign_in("dan")
    number = at_work.grant(signed)
    lock = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    at_work.slapd.change(f"dn: {of('dan')}\n{lock}")
    closed = at_work.recorded("grant.closed", lambda each: each.get("grant") == number)
    assert closed["reason"] == "source_refused"
    assert "HTTP 401" in at_work.no_grant(signed)


def test_while_the_directory_is_down_what_is_open_goes_on_and_local_accounts_still_work(at_work: Works) -> None:
    gate = at_work.gate
    signed = at_work.sign_in("ada")
    number = at_work.grant(signed)
    maria = gate.enrol("maria", "operators", LOCAL_PASSWORD, at_work.machine)
    at_work.slapd.stop()
    try:
        for _ in range(12):  # more than any limit on failures: nobody's password was tried
            assert "HTTP 503" in at_work.refused("ada")
        lost = at_work.recorded("source.lost", lambda each: each["detail"]["identity"] == "plant")
        assert "cannot be reached" in lost["detail"]["why"] or "asked again" in lost["detail"]["why"]
        assert "HTTP 503" in at_work.no_grant(signed)
        assert number in {row["number"] for row in gate.admin("GET", "/admin/grants")["grants"]}
        local = at_work.sign_in("maria", LOCAL_PASSWORD, maria.code(), "local")
        assert at_work.grant(local, "plc-filter") > 0
    finally:
        at_work.slapd.start()
    gate.wait(lambda: _may(at_work, signed), "the directory to be asked again", 40)
    at_work.recorded("source.restored", lambda each: each["detail"]["identity"] == "plant")
    assert at_work.sign_in("ada")["strength"] == "one"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(ignore_https_errors=True)
        yield context.new_page()
        browser.close()


def test_the_sign_in_page_asks_whose_password_it_is(at_work: Works, page: Page) -> None:
    url = at_work.gate.url
    page.goto(url + "/sign-in")
    assert page.get_by_label("Account", exact=True).locator("option").all_inner_texts() == [
        "Plant directory",
        "Account of this gate",
    ]
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Account", exact=True).select_option("local")
    page.get_by_label("Code of your authenticator").fill("123456")
    page.get_by_role("button", name="Sign in", exact=True).click()
    assert "not right" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Account", exact=True).input_value() == "local"
    page.get_by_label("Account", exact=True).select_option("plant")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(url + "/")
    assert "ada@plant" in page.content()
    assert re.search("plc-dosing", page.inner_text("main"))
    page.goto(url + "/prove")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Prove it").click()
    page.wait_for_url(url + "/")


def test_the_page_to_enrol_asks_somebody_of_a_directory_for_no_password(at_work: Works, page: Page) -> None:
    url, gate = at_work.gate.url, at_work.gate
    code = gate.admin("POST", "/admin/subjects/ada@plant/invite")["code"]
    page.context.clear_cookies()
    page.goto(url + "/enrol")
    page.get_by_label("Enrolment code").fill(code)
    page.get_by_role("button", name="Go on").click()
    assert page.get_by_label("New password").count() == 0
    secret = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("The code that your authenticator shows now").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Enrol").click()
    page.wait_for_url(re.compile("/sign-in"))
    assert "You are enrolled" in page.inner_text("main")
    enrolled = at_work.recorded("subject.enrolled", lambda each: each["subject"] == "ada@plant")
    assert enrolled["detail"]["factors"] == ["totp"]
