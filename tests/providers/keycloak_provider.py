"""Keycloak, as scripts/test-providers unpacked it, with the realm of docs/guides/keycloak.md and people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Page, expect
from provider import (
    FETCHED,
    PASSWORD,
    ROOT,
    TOTP,
    Codes,
    Missing,
    Program,
    address,
    indented,
    new_secret,
    web,
)
from trust import Trust

from penstock.lab.machine import free_port

REALM = ROOT / "docs" / "guides" / "keycloak-realm.json"
PEOPLE = Path(__file__).with_name("keycloak-people.json")
ADMIN = "plant-admin"
#: A few seconds of start are worth more here than the speed of a server that runs for months.
JAVA = (
    "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx640m", "-Dfile.encoding=UTF-8",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
)  # fmt: skip


class Keycloak:
    """One server with one realm in memory."""

    name, title = "plant", "Plant account"

    def __init__(self, folder: Path, trust: Trust) -> None:
        found = sorted(FETCHED.glob("keycloak-*/built"))
        if not found:
            raise Missing("Keycloak")
        self._server, self._folder, self._trust = found[-1].parent, folder, trust
        self._port, self._program, self.codes = free_port(), Program(folder / "keycloak.log"), Codes()
        self.secret, self._admin_password = new_secret(), new_secret()
        self.issuer = f"{address(self._port)}/realms/plant"

    def start(self, gate_url: str, gate_authority: Path) -> None:
        """Start it; the realm is imported from its file."""
        home = self._folder / "keycloak"
        if not home.exists():
            (home / "data" / "import").mkdir(parents=True)
            for part in ("lib", "providers", "themes", "conf"):
                (home / part).symlink_to(self._server / part)
            realm, more = json.loads(REALM.read_text()), json.loads(PEOPLE.read_text())
            realm["groups"] += more["groups"]
            realm["users"] = more["users"]
            (home / "data" / "import" / "plant-realm.json").write_text(json.dumps(realm))
        environment = {
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._admin_password,
            "PLANT_PASSWORD": PASSWORD,
            "PLANT_TOTP": TOTP,
            "PLANT_CLIENT_SECRET": self.secret,
            "PLANT_GATE": gate_url,
        }
        options = {
            "cache": "local",
            "hostname": address(self._port),
            "http-host": "127.0.0.1",
            "https-port": self._port,
            "https-certificate-file": self._trust.certificate,
            "https-certificate-key-file": self._trust.key,
            "truststore-paths": gate_authority,
        }
        words = [*JAVA, f"-Dkc.home.dir={home}", "-cp", str(home / "lib" / "quarkus-run.jar")]
        words += ["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized", "--import-realm"]
        self._program.start([*words, *(f"--{name}={value}" for name, value in options.items())], environment)
        self._program.wait_for(f"{self.issuer}/.well-known/openid-configuration", self._trust)

    def stop(self) -> None:
        """What it knew is gone with it."""
        self._program.stop()

    def plan(self) -> str:
        """As docs/guides/keycloak.md has it."""
        return f"""
    plant:
      kind: oidc
      title: Plant account
      issuer: {self.issuer}
      client: penstock
      secret: plant
      authorities: |
{indented(self._trust.authority.read_text(), 8)}
      groups: {{operators: operators, vendor-acme: vendor-acme}}
      refresh: 5s
      factors:
        two: [{{acr: two}}]
        phishing-resistant: [{{acr: phishing-resistant}}, {{amr: [hwk]}}]
      ask: {{two: two, phishing-resistant: phishing-resistant}}
"""

    def pass_pages(self, page: Page, person: str, *, with_code: bool = False) -> None:
        """Name and password; then the code, where one is asked for."""
        page.locator("#password").fill(PASSWORD)
        if page.locator("#username").is_visible():  # whoever is known there need only prove it again
            page.locator("#username").fill(person)
        page.locator("#kc-login").click()
        if with_code:
            self.give_code(page)

    def give_code(self, page: Page) -> None:
        """The page of the second factor."""
        page.locator("#otp").fill(self.codes.next())
        page.locator("#kc-login").click()

    @property
    def authorization(self) -> str:
        """Where browsers are sent to."""
        return f"{self.issuer}/protocol/openid-connect/auth"

    def step_up(self, page: Page, person: str) -> None:
        """It knows the session: only the second factor is asked for."""
        del person
        self.give_code(page)

    def fail_to_step_up(self, page: Page, person: str) -> None:
        """Without a second factor Keycloak ends the way with a page of its own."""
        del person
        expect(page.locator("body")).to_contain_text("We are sorry")

    def give_authenticator(self, page: Page) -> None:
        """A virtual one, with user verification and room for passkeys."""
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    def register_passkey(self, page: Page) -> None:
        """The page that a required action shows after the password."""
        page.once("dialog", lambda dialog: dialog.accept("passkey of this test"))
        _press(page, "#registerWebAuthn")

    def use_passkey(self, page: Page) -> None:
        """The page that asks for it."""
        _press(page, "#authenticateWebAuthnButton")

    def choose_passkey(self, page: Page) -> None:
        """In the place of name and password."""
        page.locator("#try-another-way").click()
        page.get_by_text("Passkey").first.click()
        self.use_passkey(page)

    def sign_out(self, page: Page, person: str) -> int:
        """By the administrator, at this person's sessions.  Answers when that was asked for, in microseconds."""
        del page
        key = self.key(person)
        with self._as_admin() as http:
            asked_us = time.time_ns() // 1000
            http.post(f"/users/{key}/logout").raise_for_status()
        return asked_us

    def paused(self) -> AbstractContextManager[None]:
        """Silent for a while."""
        return self._program.paused()

    def put_in_groups(self, person: str, *groups: str) -> None:
        """By the administrator."""
        key = self.key(person)
        ids = {group["name"]: group["id"] for group in self.call("GET", "/groups")}
        for group in self.call("GET", f"/users/{key}/groups"):
            if group["name"] not in groups:
                self.call("DELETE", f"/users/{key}/groups/{group['id']}")
        for name in groups:
            self.call("PUT", f"/users/{key}/groups/{ids[name]}")

    def disable(self, person: str) -> None:
        """By the administrator: 'Enabled' off."""
        self.enable(person, is_enabled=False)

    def enable(self, person: str, *, is_enabled: bool = True) -> None:
        """By the administrator."""
        found = self.call("GET", f"/users/{self.key(person)}")
        self.call("PUT", f"/users/{found['id']}", {**found, "enabled": is_enabled})

    def roll_keys(self) -> None:
        """A new key provider with a higher priority, and the old ones away."""
        old = [
            one
            for one in self.call("GET", "/components?type=org.keycloak.keys.KeyProvider")
            if "rsa" in one["providerId"]
        ]
        config = {"priority": ["900"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
        kind = {"providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
        self.call("POST", "/components", {"name": new_secret(), **kind, "config": config})
        for one in old:
            if one["config"].get("algorithm", ["RS256"]) == ["RS256"]:
                self.call("DELETE", f"/components/{one['id']}")

    def key(self, person: str) -> str:
        """What Keycloak calls this person: the `sub` of its tokens."""
        (found,) = self.call("GET", f"/users?exact=true&username={person}")
        return str(found["id"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The administrator's REST interface of the realm."""
        with self._as_admin() as http:
            answer = http.request(method, path, json=body)
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
            return answer.json() if answer.content else None

    @contextmanager
    def _as_admin(self) -> Iterator[httpx2.Client]:
        with web(self._trust, address(self._port)) as http:
            form = {"grant_type": "password", "client_id": "admin-cli"}
            form |= {"username": ADMIN, "password": self._admin_password}
            token = http.post("/realms/master/protocol/openid-connect/token", data=form).raise_for_status().json()
        with web(self._trust, f"{address(self._port)}/admin/realms/plant") as http:
            http.headers["authorization"] = f"Bearer {token['access_token']}"
            yield http


def _press(page: Page, button: str) -> None:
    """A button that does nothing before the page's script has run."""
    page.locator(button).wait_for()
    page.wait_for_load_state("load")
    page.locator(button).click()
