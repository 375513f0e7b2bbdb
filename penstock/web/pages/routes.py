"""Every page of the portal, in one visible list."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.web.errors import failure_of
from penstock.web.pages import (
    arriving,
    break_glass,
    card,
    clients,
    enrol,
    failures,
    held,
    home,
    me,
    my_sign_ins,
    oidc,
    passkeys,
    prove,
    sign_in,
    static,
)
from penstock.web.pages.render import bare_page, page

routes = [
    Route("/", home.show, methods=["GET"]),
    Route("/grants", home.open_grant, methods=["POST"]),
    Route("/grants/{number}/end", home.end_grant, methods=["POST"]),
    Route("/failures", failures.show, methods=["GET"]),
    Route("/sign-in", sign_in.show, methods=["GET"]),
    Route("/sign-in", sign_in.begin, methods=["POST"]),
    Route("/sign-in/oidc/{source}", oidc.begin, methods=["GET"]),
    Route("/sign-in/oidc/{source}/callback", oidc.callback, methods=["GET"]),
    Route("/oidc/{source}/back-channel-logout", oidc.back_channel_logout, methods=["POST"]),
    Route("/sign-in/card", card.finish, methods=["GET"]),
    Route("/notice", arriving.show, methods=["GET"]),
    Route("/notice", arriving.accept, methods=["POST"]),
    Route("/sign-ins", my_sign_ins.show, methods=["GET"]),
    Route("/sign-ins/{id}/end", my_sign_ins.end, methods=["POST"]),
    Route("/sign-out", sign_in.end, methods=["POST"]),
    Route("/enrol", enrol.show, methods=["GET"]),
    Route("/enrol", enrol.begin, methods=["POST"]),
    Route("/enrol/confirm", enrol.confirm, methods=["POST"]),
    Route("/client", clients.show, methods=["GET"]),
    Route("/client", clients.confirm, methods=["POST"]),
    Route("/client/refuse", clients.refuse, methods=["POST"]),
    Route("/client/prove", clients.prove_first, methods=["POST"]),
    Route("/device", clients.ask_code, methods=["GET"]),
    Route("/device", clients.show_device, methods=["POST"]),
    Route("/device/confirm", clients.confirm_device, methods=["POST"]),
    Route("/device/refuse", clients.refuse_device, methods=["POST"]),
    Route("/passkey/options", passkeys.options, methods=["POST"]),
    Route("/passkey/sign-in", passkeys.begin, methods=["POST"]),
    Route("/passkey/prove", passkeys.prove_again, methods=["POST"]),
    Route("/prove", prove.show, methods=["GET"]),
    Route("/prove", prove.check, methods=["POST"]),
    Route("/me", me.show, methods=["GET"]),
    Route("/me/passkeys", me.add_passkey, methods=["POST"]),
    Route("/me/passkeys/rename", me.rename_passkey, methods=["POST"]),
    Route("/me/passkeys/remove", me.remove_passkey, methods=["POST"]),
    Route("/me/password", me.change_password, methods=["POST"]),
    Route("/me/authenticator", me.begin_authenticator, methods=["POST"]),
    Route("/me/authenticator/confirm", me.confirm_authenticator, methods=["POST"]),
    Route("/me/recovery-codes", me.make_codes, methods=["POST"]),
    Route("/break-glass", break_glass.show, methods=["GET"]),
    Route("/break-glass", break_glass.ask, methods=["POST"]),
    Route("/break-glass/envelopes", break_glass.show_envelopes, methods=["GET"]),
    Route("/break-glass/envelopes", break_glass.open_envelopes, methods=["POST"]),
    Route("/break-glass/{number}/{verb}", break_glass.decide, methods=["POST"]),
    Route("/held", held.show, methods=["GET"]),
    Route("/held/{hold}", held.show_one, methods=["GET"]),
    Route("/held/{hold}/state", held.show_state, methods=["GET"]),
    Route("/held/{hold}/{verb}", held.decide, methods=["POST"]),
    Route("/static/{name}", static.show, methods=["GET"]),
]

_TITLES = {
    403: "Not allowed",
    404: "Not found",
    405: "Not here",
    413: "Too large",
    422: "Not accepted",
    429: "Too many attempts",
    503: "Not now",
}


async def html_failure(request: Request, error: Exception) -> Response:
    """The same for a site that signs nobody in."""
    failure = failure_of(error)
    title = _TITLES.get(failure.status, "Something went wrong")
    return bare_page(request, "failure.html", status=failure.status, title=title, failure=failure)


async def html_error(request: Request, error: Exception) -> Response:
    """Answer an exception of a page with a page."""
    failure = failure_of(error)
    title = _TITLES.get(failure.status, "Something went wrong")
    response = page(request, "failure.html", status=failure.status, title=title, failure=failure)
    response.headers.update(dict(failure.headers))
    return response
