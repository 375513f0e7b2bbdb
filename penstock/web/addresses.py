"""The portal and the card's own site: one host name, two ports.  Pure."""

from __future__ import annotations

from starlette.requests import Request

from penstock.web.asking import gate_of

_HTTPS = 443


def card_ways(request: Request) -> tuple[tuple[str, str], ...]:
    """What the sign-in page offers: the title and the address of the card's own site; empty without cards."""
    gate = gate_of(request)
    if not gate.settings.cards or not gate.cards.titles:
        return ()
    return ((gate.cards.titles[0], _address(request, gate.settings.cards[0].port, "/card")),)


def portal_address(request: Request, path: str) -> str:
    """The same host on the portal's port."""
    return _address(request, gate_of(request).settings.portal[0].port, path)


def _address(request: Request, port: int, path: str) -> str:
    """This host, as the browser calls it, where that is a name of the gate: cookies belong to a name."""
    names = gate_of(request).settings.names
    host = request.url.hostname or ""
    name = host if host in names else names[0]
    shown = f"[{name}]" if ":" in name else name
    return f"https://{shown}{path}" if port == _HTTPS else f"https://{shown}:{port}{path}"
