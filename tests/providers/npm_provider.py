"""The npm package `oidc-provider` with the pages of node/provider.js, run by the Node that Playwright brings along."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import playwright
from playwright.sync_api import Page, expect
from provider import PASSWORD, TOTP, Codes, Missing, Program, address, indented, new_secret
from trust import Trust

from penstock.lab.machine import free_port

PROGRAM = Path(__file__).with_name("node") / "provider.js"


def people() -> dict[str, Any]:
    """Everybody by what the provider calls them."""
    return {
        "4f1c": {"name": "ada", "password": PASSWORD, "groups": ["operators", "canteen"]},
        "83d0": {"name": "tom", "password": PASSWORD, "groups": ["operators"], "totp": TOTP},
    }


class NpmProvider:
    """One server; it forgets everything at its end."""

    name, title = "second", "Second provider"

    def __init__(self, folder: Path, trust: Trust) -> None:
        if not (PROGRAM.parent / "node_modules" / "oidc-provider").is_dir():
            raise Missing("the npm package oidc-provider")
        own = Path(playwright.__file__).with_name("driver") / "node"
        self._node = str(own) if own.exists() else (shutil.which("node") or "node")
        self._trust, self._folder, self._port = trust, folder, free_port()
        self._program, self.codes, self._people = Program(folder / "npm.log"), Codes(), people()
        self.secret, self.issuer = new_secret(), address(self._port)

    def start(self, gate_url: str, gate_authority: Path) -> None:
        """Start it; it says when it is ready."""
        settings = self._folder / "npm.json"
        client = {
            "client_id": "penstock",
            "client_secret": self.secret,
            "redirect_uris": [f"{gate_url}/sign-in/oidc/{self.name}/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "id_token_signed_response_alg": "ES256",
            "backchannel_logout_uri": f"{gate_url}/oidc/{self.name}/back-channel-logout",
            "backchannel_logout_session_required": True,
        }
        files = {"key": str(self._trust.key), "certificate": str(self._trust.certificate)}
        settings.write_text(
            json.dumps({"port": self._port, "issuer": self.issuer, "client": client, "accounts": self._people, **files})
        )
        self._program.start(
            [self._node, str(PROGRAM), str(settings)],
            {"NODE_EXTRA_CA_CERTS": str(gate_authority)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert json.loads(self._answer()) == {"ready": self.issuer}, self._program.tail()

    def stop(self) -> None:
        """What it knew is gone with it."""
        self._program.stop()

    def plan(self) -> str:
        """Its table of the site document."""
        return f"""
    {self.name}:
      kind: oidc
      title: Second provider
      issuer: {self.issuer}
      client: penstock
      secret: {self.name}
      authorities: |
{indented(self._trust.authority.read_text(), 8)}
      groups: {{operators: operators}}
      refresh: 5s
      factors:
        two: [{{acr: two}}]
      ask: {{two: two}}
"""

    def pass_pages(self, page: Page, person: str, *, with_code: bool = False) -> None:
        """One page for all."""
        page.get_by_label("Name").fill(person)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Code").fill(self.codes.next() if with_code else "")
        page.get_by_role("button", name="Go on").click()

    @property
    def authorization(self) -> str:
        """Where browsers are sent to."""
        return f"{self.issuer}/auth"

    def step_up(self, page: Page, person: str) -> None:
        """It asks for everything again."""
        self.pass_pages(page, person, with_code=True)

    def fail_to_step_up(self, page: Page, person: str) -> None:
        """It goes on asking."""
        self.pass_pages(page, person)
        expect(page.get_by_role("alert")).to_have_text("A code is needed.")

    def sign_out(self, page: Page, person: str) -> int:
        """By the person, at the provider's own page.  Answers when the button was pressed, in microseconds."""
        del person
        page.goto(f"{self.issuer}/session/end")
        button = page.get_by_role("button", name="Yes, sign me out")
        button.wait_for()
        asked_us = time.time_ns() // 1000
        button.click()
        expect(page.locator("body")).to_contain_text("sign-out was successful")
        return asked_us

    def paused(self) -> AbstractContextManager[None]:
        """Silent for a while."""
        return self._program.paused()

    def put_in_groups(self, person: str, *groups: str) -> None:
        """From now on."""
        next(each for each in self._people.values() if each["name"] == person)["groups"] = list(groups)
        self._tell(accounts=self._people)

    def disable(self, person: str) -> None:
        """Not known any more."""
        self._people = {key: each for key, each in self._people.items() if each["name"] != person}
        self._tell(accounts=self._people)

    def enable(self, person: str) -> None:
        """Known again, under the same key."""
        self._people |= {key: each for key, each in people().items() if each["name"] == person}
        self._tell(accounts=self._people)

    def roll_keys(self) -> None:
        """At once, and without an overlap: the hardest case."""
        self._tell(keys="new")

    def set_clock(self, ahead_s: int) -> None:
        """Its clock, from now on."""
        self._tell(clock_s=ahead_s)

    def _tell(self, **wish: Any) -> None:
        process = self._program.process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps(wish) + "\n")
        process.stdin.flush()
        assert json.loads(self._answer()) == {"done": wish}, self._program.tail()

    def _answer(self) -> str:
        process = self._program.process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):  # the package itself remarks on this and that
                return line
        raise AssertionError(f"it ended:\n{self._program.tail()}")
