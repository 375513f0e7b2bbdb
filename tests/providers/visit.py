"""One person at one browser: through the portal, the provider's pages, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, expect
from provider import Provider

from bench import Bench
from penstock.lab.gate import Person

#: Chromium on a slow machine, and a provider that has just started.
PATIENCE_MS = 30_000


class Visit:
    """A browser without history."""

    def __init__(self, browser: Browser, bench: Bench) -> None:
        self.context = browser.new_context(ignore_https_errors=True)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.bench, self.url = bench, bench.gate.url
        self._let_in: list[Person] = []

    def go(self, path: str = "/") -> None:
        """To a page of the gate."""
        self.page.goto(self.url + path)

    def leave_for(self, provider: Provider) -> None:
        """By the button on the sign-in page."""
        self.go("/sign-in")
        self.page.locator(f'a[href="/sign-in/oidc/{provider.name}"]').click()

    def sign_in(self, provider: Provider, person: str, *, with_code: bool = False) -> None:
        """The whole way, up to the page of assets."""
        self.leave_for(provider)
        provider.pass_pages(self.page, person, with_code=with_code)
        self.is_home()

    def take_answer(self, provider: Provider, person: str) -> dict[str, str]:
        """What the provider sends along on the way back, taken off before the gate sees it."""
        taken: list[str] = []
        devtools = self.context.new_cdp_session(self.page)
        devtools.send("Fetch.enable", {"patterns": [{"urlPattern": "*/callback?*"}]})

        def take(event: dict[str, Any]) -> None:
            taken.append(event["request"]["url"])
            devtools.send("Fetch.failRequest", {"requestId": event["requestId"], "errorReason": "Aborted"})

        devtools.on("Fetch.requestPaused", take)
        self.leave_for(provider)
        provider.pass_pages(self.page, person)
        for _ in range(PATIENCE_MS // 100):
            if taken:
                break
            self.page.wait_for_timeout(100)
        devtools.detach()
        return {name: values[0] for name, values in parse_qs(urlsplit(taken[0]).query).items()}

    def is_home(self) -> None:
        """Signed in: the page that goes on by itself has gone on."""
        self.page.wait_for_url(self.url + "/", timeout=PATIENCE_MS)
        expect(self.page.get_by_role("heading", level=1)).to_have_text("My assets")

    def reach(self) -> set[str]:
        """What may be reached now, says the page of assets."""
        self.go()
        cards = self.page.locator('section[aria-labelledby="may"] h3')
        return set(cards.all_inner_texts())

    def is_signed_in(self) -> bool:
        """Whether the portal still knows this browser."""
        self.go()
        return self.page.url == self.url + "/"

    def trouble(self) -> str:
        """The heading of a page of trouble."""
        expect(self.page.get_by_role("alert")).to_be_visible()
        return self.page.get_by_role("heading", level=1).inner_text()

    def let_in(self, name: str) -> Person:
        """``penstock login``, confirmed in this browser, which is signed in."""
        person, bench = self.bench.person(name), self.bench
        words = ["login", "--browser", "--gate", self.url, "--ca", str(bench.gate.state_dir / "keys" / "ca.pem")]
        program: subprocess.Popen[Any] = bench.machine.popen(
            [sys.executable, "-m", "penstock", *words],
            environment={**os.environ, **bench.gate.environment(person), "BROWSER": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stderr is not None
        address = next(line.strip() for line in program.stderr if line.strip().startswith(self.url))
        self.page.goto(address)
        self.page.get_by_role("button", name="Yes, sign it in").click()
        said = program.stderr.read()
        assert program.wait(30) == 0, said
        self._let_in.append(person)
        return person

    def close(self) -> None:
        """What was begun here ends, so that no journey meets another one's sign-ins."""
        for person in self._let_in:
            self.bench.gate.command("logout", station=self.bench.machine, person=person)
        if self.is_signed_in():
            self.page.get_by_role("button", name="Sign out").click()
            self.page.wait_for_url("**/sign-in*")
        self.context.close()
