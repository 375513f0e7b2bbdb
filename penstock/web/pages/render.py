"""Pages out of templates.  Every value is escaped; a template that misses a value fails instead of showing nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from penstock.web import held
from penstock.web.addresses import card_ways
from penstock.web.asking import gate_of
from penstock.web.guard import SCRIPT_POLICY
from penstock.web.pages.forms import (
    FORM_COOKIE,
    cookie_of,
    form_token,
    new_form_cookie,
    portal_sign_in,
    set_cookie,
)

#: Pages that load the script for passkeys, where these can be used: no other page may run any.
_WITH_PASSKEYS = frozenset(("me.html", "prove.html", "sign_in.html"))
#: Pages for people who are signed in that lead to the card's own site.
_TO_CARDS = frozenset(("prove.html",))
_HOUR_S, _MINUTE_S = 3600, 60


def clock_text(at_us: int) -> str:
    """The time of day, in the gate's own time zone."""
    return _local(at_us).strftime("%H:%M")


def seconds_text(at_us: int) -> str:
    """The same to the second, for what is over soon."""
    return _local(at_us).strftime("%H:%M:%S")


def day_text(at_us: int) -> str:
    """The day, in the gate's own time zone: ``Sat 28 Nov``."""
    return _local(at_us).strftime("%a %d %b")


def iso_text(at_us: int) -> str:
    """The same for machines: with date and offset."""
    return _local(at_us).isoformat()


def span_text(left_us: int) -> str:
    """``1 h 52 min`` or ``8 min``."""
    left_s = max(0, left_us // 1_000_000)
    hours, minutes = left_s // _HOUR_S, left_s % _HOUR_S // _MINUTE_S
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _local(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000).astimezone()


_TEMPLATES = Environment(
    loader=PackageLoader("penstock.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    clock=clock_text,
    day=day_text,
    iso=iso_text,
    seconds=seconds_text,
    span=span_text,
    seconds_left=held.seconds_text,
    what=held.sentence,
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page.  A browser that forms cannot be tied to yet gets a cookie for that.

    One that may go to the card's own site gets it as well: what is proved there is tied to it.
    """
    sign_in, cookie = portal_sign_in(request), cookie_of(request)
    is_tied = cookie is not None and (template not in _TO_CARDS or FORM_COOKIE in request.cookies)
    fresh = None if is_tied else new_form_cookie()
    here = gate_of(request).passkeys.party(request.headers.get("host", ""))
    token = form_token(request, cookie or fresh or "")
    text = _TEMPLATES.get_template(template).render(
        gate=gate_of(request), sign_in=sign_in, form_token=token, here=here, card_ways=card_ways(request), **values
    )
    response = HTMLResponse(text, status_code=status)
    if here is not None and template in _WITH_PASSKEYS:
        response.headers["content-security-policy"] = SCRIPT_POLICY
    if fresh is not None:
        set_cookie(response, FORM_COOKIE, fresh)
    return response


def bare_page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page without forms, for a site that signs nobody in: it sets no cookie."""
    text = _TEMPLATES.get_template(template).render(gate=gate_of(request), sign_in=None, form_token="", **values)
    return HTMLResponse(text, status_code=status)


def see(path: str) -> RedirectResponse:
    """Go on with a GET of this path, so that reloading sends no form again."""
    return RedirectResponse(path, status_code=303)
