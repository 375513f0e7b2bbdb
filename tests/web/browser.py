"""A browser without a window for tests: cookies, forms and redirects over ASGI, no network."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx2
from control_world import PASSWORD, STATION, World
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from penstock.web import admin_app, portal_app

ORIGIN = "https://gate.riverside.ot"


def request_pem() -> str:
    """A certificate request for a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return built.public_bytes(Encoding.PEM).decode()


CSR = request_pem()


class Browser:
    """One browser on one station."""

    def __init__(self, world: World, station: str = STATION) -> None:
        self.world = world
        # One application per gate: its key ties the forms.
        if not hasattr(world, "portal"):
            world.portal = portal_app(world.gate)  # type: ignore[attr-defined]
        transport = httpx2.ASGITransport(app=world.portal, client=(station, 50000))  # type: ignore[attr-defined]
        self.http = httpx2.AsyncClient(base_url=ORIGIN, transport=transport)

    async def get(self, path: str) -> httpx2.Response:
        """Look at a page."""
        return await self.http.get(path)

    async def submit(
        self, page: httpx2.Response, action: str, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx2.Response:
        """Send the form of this page that goes to `action`, its hidden fields with it."""
        hidden = hidden_fields(page.text, action)
        return await self.http.post(action, data={**hidden, **fields}, headers={"origin": ORIGIN, **(headers or {})})

    async def sign_in(self, name: str = "ada") -> httpx2.Response:
        """Sign in through the page; the next code is a new one."""
        page = await self.get("/sign-in")
        answer = await self.submit(page, "/sign-in", subject=name, password=PASSWORD, code=self.world.code(name))
        self.world.clock.pass_s(30)
        return answer


def hidden_fields(text: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with that action."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', text, re.DOTALL)
    assert form is not None, f"no form goes to {action}"
    inputs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    return {name: html.unescape(value) for name, value in inputs}


class Client:
    """The command line's side of the API."""

    def __init__(self, world: World, station: str = STATION) -> None:
        self.world, self.token = world, ""
        transport = httpx2.ASGITransport(app=portal_app(world.gate), client=(station, 50000))
        self.http = httpx2.AsyncClient(base_url=ORIGIN, transport=transport)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """One request, with the token where there is one."""
        if self.token:
            headers.setdefault("authorization", f"Bearer {self.token}")
        return await self.http.request(method, path, json=body, headers=headers)

    async def sign_in(self, name: str = "ada", **changed: str) -> httpx2.Response:
        """Sign in; the next code is a new one."""
        proof = {"subject": name, "password": PASSWORD, "totp": self.world.code(name), "csr_pem": CSR, **changed}
        answer = await self.ask("POST", "/api/sign-ins", proof)
        if answer.status_code == 200:
            self.token = answer.json()["token"]
            self.world.clock.pass_s(30)
        return answer


def admin(world: World) -> httpx2.AsyncClient:
    """The administrator's side, as Unix user 0."""
    transport = httpx2.ASGITransport(app=admin_app(world.gate), client=("uid 0", 1))
    return httpx2.AsyncClient(base_url="http://gate", transport=transport)
