"""What cryptography this gate uses, over the administrator's socket: the inventory, and the check of FIPS mode.

Asked of contexts and libraries in the gate's own process: a shell's settings (``OPENSSL_CONF``) may be others.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from penstock.control import Gate
from penstock.identity import ListenerCrypto, check_fips, listener_crypto, module_crypto
from penstock.model import Json, Listener, Record, RecordKind
from penstock.tls import key_files, served
from penstock.web.asking import actor_of, gate_of
from penstock.web.card_door import card_context


async def show(request: Request) -> JSONResponse:
    """GET: listeners and modules."""
    gate = gate_of(request)
    rows: list[Json] = [_row(each) for each in _listeners(gate)]
    modules: dict[str, Json] = {**asdict(module_crypto())}
    return JSONResponse({"listeners": rows, "modules": modules})


async def check(request: Request) -> JSONResponse:
    """POST: try what FIPS mode must refuse; the result is recorded."""
    gate, found = gate_of(request), check_fips()
    findings: list[Json] = [{**asdict(each), "is_right": each.is_right} for each in found.findings]
    wrong: list[Json] = [each.what for each in found.findings if not each.is_right]
    detail: dict[str, Json] = {"is_on": found.is_on, "module": found.module, "wrong": wrong, "by": actor_of(request)}
    at_us = gate.clock().wall_us
    await gate.recorder.write([Record(kind=RecordKind.CRYPTO_CHECKED, at_us=at_us, detail=detail)])
    return JSONResponse({"is_on": found.is_on, "module": found.module, "findings": findings})


def _listeners(gate: Gate) -> list[ListenerCrypto]:
    settings, certificate = gate.settings, key_files(gate.settings).certificate
    portal = served(settings, ("http/1.1",), may_be_old=True).context
    tunnel = served(settings, ("penstock/1",), Path(settings.state_dir) / "keys" / "ca.pem").context
    cards = served(settings, ("http/1.1",), may_be_old=True).context
    if gate.cards.authorities:
        card_context(cards, gate.cards.authorities)
    return [
        *(listener_crypto("portal", _address(each), portal, certificate) for each in settings.portal),
        *(listener_crypto("cards", _address(each), cards, certificate) for each in settings.cards),
        *(listener_crypto("tunnel", _address(each), tunnel, certificate) for each in settings.tunnel),
    ]


def _address(listener: Listener) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{host}:{listener.port}"


def _row(each: ListenerCrypto) -> dict[str, Json]:
    return {
        "name": each.name,
        "address": each.address,
        "versions": [*each.versions],
        "suites": [*each.suites],
        "asks_for_certificate": each.asks_for_certificate,
        "certificate": each.certificate,
    }


routes = [
    Route("/admin/crypto", show, methods=["GET"]),
    Route("/admin/crypto/fips-check", check, methods=["POST"]),
]
