"""Smart cards at a real gate on loopback: keys in SoftHSM2, a real browser, a real responder, and a real revocation."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import launched
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from playwright.sync_api import Browser, BrowserContext

from penstock.lab.gate import Done, LabGate, Person
from penstock.lab.machine import Machine

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from card_pki import Authority, key_pem, name, pem, upn
from card_token import MODULE, PIN, Token

SITE = """
site: riverside
domain: riverside.ot
overlay: 100.64.0.0/16
zones:
  cell: {{networks: [127.0.0.0/8]}}
  yard: {{networks: [10.9.0.0/24]}}
assets:
  plc-dosing: {{zone: cell, role: plc, address: 127.0.0.1, services: {{modbus: {plc}}}}}
  plc-gate: {{zone: yard, role: plc, address: 10.9.0.2, services: {{modbus: 502}}}}
conduits:
  Operators set the dosing rate:
    from: {{group: operators}}
    to: {{role: plc}}
    allow: {{modbus: [read]}}
    require: {{factors: phishing-resistant}}
identity:
  sources:
    cards:
      kind: smart-card
      title: Smart card
      authorities: {authorities}
      subject: upn
      crls: [riverside.crl]
      groups: {{Operations: operators}}
      refresh: 1s
    visitors:
      kind: smart-card
      title: Visitors' card
      authorities: {visitors}
      subject: upn
      ocsp: certificate
      zones: {{cell: accept}}
      groups: {{"*": operators}}
      refresh: 1s
"""


class Responder:
    """A responder for the cards of one authority, which can be silenced."""

    def __init__(self, issuing: Authority) -> None:
        self.issuing, self.is_silent = issuing, False
        self.known: dict[int, tuple[x509.Certificate, ocsp.OCSPCertStatus]] = {}
        outer = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = ocsp.load_der_ocsp_request(self.rfile.read(int(self.headers["content-length"])))
                if outer.is_silent:
                    self.send_error(503)
                    return
                card, status = outer.known[question.serial_number]
                nonce = question.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
                now = dt.datetime.now(dt.UTC).replace(microsecond=0)
                answer = outer.issuing.answer(card, nonce, status, begins=now, ends=now + dt.timedelta(seconds=1))
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Works:
    """A gate with a door for cards, the site's authorities, and a controller."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.folder = Machine(), folder
        self.plc = self.machine.popen(
            [sys.executable, "-m", "penstock.lab.plc", "dosing", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self.plc.stdout is not None
        plc_port = json.loads(self.plc.stdout.readline())["port"]
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.root, self.foreign = Authority.root(now), Authority.root(now, "Elsewhere").issuing("Elsewhere Cards")
        self.issuing, self.guests = self.root.issuing(), Authority.root(now, "Visitors")
        self.responder = Responder(self.guests)
        self.revoked: list[x509.Certificate] = []
        self.lists = folder / "state" / "keys" / "sources"
        self.lists.mkdir(mode=0o700, parents=True)
        (folder / "state").chmod(0o700)
        (folder / "state" / "keys").chmod(0o700)
        self.publish()
        site = folder / "site.yaml"
        named = json.dumps(pem(self.root.certificate, self.issuing.certificate))
        guests = json.dumps(pem(self.guests.certificate))
        site.write_text(SITE.format(plc=plc_port, authorities=named, visitors=guests))
        self.gate = LabGate.on_loopback(self.machine, folder, site, has_cards=True)
        (self.cards,) = self.gate.cards
        self.ca = folder / "state" / "keys" / "ca.pem"

    def publish(self) -> None:
        """The list of the site as it is now, put into its place as an administrator does."""
        part = self.lists / ".riverside.crl.new"
        part.write_bytes(self.issuing.list_of(*self.revoked))
        part.replace(self.lists / "riverside.crl")

    def token(
        self, who: str, issuing: Authority | None = None, kind: str = "rsa:2048", **more: Any
    ) -> tuple[Token, Any]:
        """A card for somebody, and its certificate."""
        made = Token(self.folder / f"card-{who}", f"card of {who}")
        card = (issuing or self.issuing).card(
            subject=name(who, "Operations"), public=made.make_key(kind), names=[upn(f"{who}@riverside.ot")], **more
        )
        made.take(card)
        return made, card

    def login(self, token: Token, who: str, *words: str, pin: str = PIN) -> tuple[Done, Person]:
        """``penstock login --pkcs11`` at a station of its own."""
        person = Person(name=who, password="", totp=None, home=self.folder / f"home-{who}")  # type: ignore[arg-type]
        command = ["login", "--gate", self.gate.url, "--ca", str(self.ca), "--pkcs11", MODULE, "--pin-stdin", *words]
        done = subprocess.run(
            [sys.executable, "-m", "penstock", *command],
            input=f"{pin}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**self.gate.environment(person), **token.environment},
        )
        return Done(status=done.returncode, printed=done.stdout, said=done.stderr), person

    def curl(self, token: Token, path: str = "/card", *words: str) -> subprocess.CompletedProcess[str]:
        """Run curl with the card's key, through OpenSSL's engine."""
        uri = f"pkcs11:token={token.label.replace(' ', '%20')};id=%01;pin-value={PIN}"
        card = ["--engine", "pkcs11", "--cert", uri, "--cert-type", "ENG", "--key", uri, "--key-type", "ENG"]
        url = f"https://{self.cards}{path}"
        return subprocess.run(
            ["curl", "-sS", "-i", "--cacert", str(self.ca), *card, *words, url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **token.environment},
        )

    def wait_for(self, kind: str, **wanted: str) -> dict[str, Any]:
        """The first record of that kind whose detail says all that."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            for row in self.gate.records(kind):
                told = {**row["detail"], "subject": row.get("subject"), "reason": row.get("reason")}
                if all(part in str(told.get(key, "")) for key, part in wanted.items()):
                    found.append(row)
            return bool(found)

        self.gate.wait(is_there, f"a record {kind} that says {wanted}", 30)
        return found[0]

    def sign_ins(self) -> int:
        return int(self.gate.status()["sign_ins"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    made = Works(tmp_path_factory.mktemp("cards"))
    try:
        made.gate.start()
        yield made
    finally:
        made.gate.stop()
        made.machine.close()
        made.responder.server.shutdown()
        made.responder.server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


def with_card(chromium: Browser, site: Works, card: x509.Certificate, key: Any) -> BrowserContext:
    """A browser that has this card."""
    origin = f"https://{site.cards}"
    mine = {"origin": origin, "cert": pem(card).encode(), "key": key_pem(key)}
    return chromium.new_context(ignore_https_errors=True, client_certificates=[mine])  # type: ignore[list-item]


def test_the_command_line_signs_in_with_a_key_that_stays_in_the_card(site: Works) -> None:
    token, card = site.token("ada")
    done, ada = site.login(token, "ada")
    assert done.status == 0, done.said
    assert "signed in at" in done.said
    assert "ada@riverside.ot@cards" in done.said
    assert PIN not in done.said + done.printed
    listed = site.gate.command("ls", "--json", station=site.machine, person=ada)
    rows = {row["asset"]: row for row in json.loads(listed.printed)}
    assert rows["plc-dosing"]["is_allowed"], rows
    row = site.wait_for("signed_in", subject="ada@riverside.ot@cards")
    assert row["detail"]["factors"] == ["smart_card"]
    assert row["detail"]["strength"] == "phishing-resistant"
    assert row["detail"]["evidence"]["serial"] == f"{card.serial_number:x}"
    assert row["detail"]["evidence"]["revocation"] == "confirmed"
    again, _ = site.login(token, "ada", "--again")
    assert again.status == 0, again.said
    assert "is proved again (phishing-resistant: smart_card)" in again.said
    site.wait_for("proved_again", subject="ada@riverside.ot@cards")


def test_a_card_with_an_elliptic_key_signs_in_too_and_a_wrong_pin_does_not(site: Works) -> None:
    token, _ = site.token("eli", kind="EC:prime256v1")
    wrong, _ = site.login(token, "eli", pin="000000")
    assert wrong.status == 3
    assert "did not take this PIN" in wrong.said
    done, _ = site.login(token, "eli")
    assert done.status == 0, done.said


def test_what_is_wrong_with_module_or_card_is_said_with_what_to_do(site: Works) -> None:
    token, _ = site.token("eve")
    done, _ = site.login(token, "eve", "--token", "another")
    assert done.status == 2
    assert "no card is called 'another'; there is: card of eve" in done.said
    missing, _ = site.login(token, "eve", "--pkcs11", "/nowhere/opensc.so")
    assert missing.status == 2
    assert "cannot be loaded" in missing.said
    empty = Token(site.folder / "card-empty", "empty")
    none, _ = site.login(empty, "nobody")
    assert none.status == 2
    assert "has no certificate that can sign in" in none.said


def test_a_tls_client_with_the_cards_key_is_known_by_its_handshake(site: Works) -> None:
    token, _ = site.token("tess")
    without = site.curl(token)
    assert "303" in without.stdout.splitlines()[0], without.stderr
    assert f"location: {site.gate.url}/sign-in" in without.stdout.splitlines()
    proved = site.curl(token, "/card", "--cookie", "__Host-penstock-form=of-this-browser")
    assert "/sign-in/card" in proved.stdout, proved.stdout
    url = f"{site.gate.url}/sign-in/card"
    words = ["curl", "-sS", "-i", "--cacert", str(site.ca), "--cookie", "__Host-penstock-form=of-this-browser", url]
    first = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "303" in first.splitlines()[0]
    assert "__Host-penstock=" in first
    again = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "401" in again.splitlines()[0], "a proof is taken once"


def test_nobody_else_takes_what_a_card_proved(site: Works) -> None:
    token, _ = site.token("tara")
    site.curl(token, "/card", "--cookie", "__Host-penstock-form=taras-own")
    url = f"{site.gate.url}/sign-in/card"
    words = ["curl", "-sS", "-i", "--cacert", str(site.ca), "--cookie", "__Host-penstock-form=another", url]
    assert "401" in subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_header_that_claims_a_certificate_is_not_believed(site: Works) -> None:
    token, _ = site.token("hana", stated=())
    refused = site.curl(token, "/card", "--cookie", "__Host-penstock-form=x", "-H", "X-SSL-Client-Cert: ada")
    assert "403" in refused.stdout.splitlines()[0], refused.stdout
    assert "not accepted" in refused.stdout
    row = site.wait_for("sign_in.refused", certificate="CN=hana", reason="certificate_refused")
    assert "states no policy" in row["detail"]["why"]


def test_refused_handshakes_leave_a_record_with_the_reason_and_the_subject(site: Works) -> None:
    foreign, _ = site.token("fred", issuing=site.foreign)
    refused = site.curl(foreign)
    assert refused.returncode != 0
    row = site.wait_for("tls.refused", why="unable to get local issuer certificate")
    assert "CN=fred" in row["detail"]["certificate"]
    assert site.curl(foreign, "/card", "--tls-max", "1.2").returncode != 0
    site.wait_for("tls.refused", why="the version of TLS is too old")
    assert row["detail"]["source"] == "127.0.0.1"
    bare = ["curl", "-sS", "--cacert", str(site.ca), f"https://{site.cards}/card"]
    assert subprocess.run(bare, capture_output=True, timeout=60, check=False).returncode != 0
    site.wait_for("tls.refused", why="no certificate was sent")
    plain = ["curl", "-sS", f"http://{site.cards}/card"]
    assert subprocess.run(plain, capture_output=True, timeout=60, check=False).returncode != 0
    site.wait_for("tls.refused", why="plain HTTP")


def test_many_refused_handshakes_are_counted_and_not_each_written(site: Works) -> None:
    before = len(site.gate.records("tls.refused"))
    url = f"http://{site.cards}/[1-60]"
    subprocess.run(["curl", "-sS", "--no-keepalive", url], capture_output=True, timeout=60, check=False)
    assert len(site.gate.records("tls.refused")) < before + 30


def test_a_person_signs_in_with_a_card_in_the_browser(site: Works, chromium: Browser) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    card = site.issuing.card(subject=name("bea", "Operations"), key=key, names=[upn("bea@riverside.ot")])
    context = with_card(chromium, site, card, key)
    page = context.new_page()
    page.goto(f"{site.gate.url}/sign-in")
    page.get_by_role("link", name="Sign in with Smart card").click()
    page.wait_for_url(f"{site.gate.url}/")
    assert page.get_by_text("Signed in as").is_visible()
    assert page.get_by_text("bea@riverside.ot@cards").first.is_visible()
    assert page.get_by_text("plc-dosing").first.is_visible()
    assert page.context.cookies()
    context.close()


def test_a_revoked_card_is_told_so_by_the_record_and_little_by_the_page(site: Works, chromium: Browser) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    card = site.issuing.card(subject=name("rob"), key=key, names=[upn("rob@riverside.ot")])
    site.revoked.append(card)
    site.publish()
    context = with_card(chromium, site, card, key)
    page = context.new_page()
    page.goto(f"{site.gate.url}/sign-in")
    page.get_by_role("link", name="Sign in with Smart card").click()
    assert page.get_by_text("This card was not accepted").is_visible()
    page.get_by_role("link", name="Back to the sign-in").click()
    page.wait_for_url(f"{site.gate.url}/sign-in")
    assert page.get_by_label("Password").is_visible()
    context.close()
    row = site.wait_for("sign_in.refused", certificate="CN=rob")
    assert "it was revoked on" in row["detail"]["why"]


def test_a_card_that_is_revoked_while_its_holder_is_signed_in_ends_everything(site: Works) -> None:
    token, card = site.token("rita")
    done, rita = site.login(token, "rita")
    assert done.status == 0, done.said
    tunnel = site.gate.connect(rita, "plc-dosing", site.machine)
    assert tunnel.stdout is not None
    assert tunnel.stdout.readline(), tunnel.stderr.read() if tunnel.stderr else ""
    site.revoked.append(card)
    site.publish()
    site.wait_for("grant.closed", subject="rita@riverside.ot@cards", reason="source_refused")
    site.wait_for("signed_out", subject="rita@riverside.ot@cards")
    assert tunnel.wait(30) == 1
    later, _ = site.login(token, "rita")
    assert later.status == 3
    assert "not accepted" in later.said


def test_a_silent_responder_bars_the_zones_that_refuse_and_no_others(site: Works) -> None:
    known = site.responder.known
    token, card = site.token("vic", issuing=site.guests, responder=site.responder.url)
    known[card.serial_number] = card, ocsp.OCSPCertStatus.GOOD
    site.responder.is_silent = True
    done, vic = site.login(token, "vic")
    assert done.status == 0, done.said

    def reach() -> dict[str, Any]:
        listed = site.gate.command("ls", "--json", station=site.machine, person=vic)
        return {row["asset"]: row for row in json.loads(listed.printed)}

    rows = reach()
    assert rows["plc-dosing"]["is_allowed"], "its zone accepts"
    assert [miss["criterion"] for miss in rows["plc-gate"]["misses"]] == ["confirmed"]
    row = site.wait_for("signed_in", subject="vic@riverside.ot@visitors")
    assert row["detail"]["evidence"]["revocation"] == "never confirmed"
    assert row["detail"]["evidence"]["barred_zones"] == "yard"
    site.responder.is_silent = False
    site.gate.wait(lambda: bool(reach()["plc-gate"]["is_allowed"]), "the responder's word to count", 40)
    known[card.serial_number] = card, ocsp.OCSPCertStatus.REVOKED
    site.wait_for("signed_out", subject="vic@riverside.ot@visitors")
