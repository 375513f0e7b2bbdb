"""``/api/sign-ins``: two factors become a token and a short-lived certificate."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.control import NotSignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import Unauthenticated
from penstock.web.asking import body_of, client_sign_in, gate_of, moment_text, source_of
from penstock.web.errors import TooManyAttempts

#: The same words whatever was wrong, also for a subject that does not exist.
REFUSED = "name, password or code is not right"


class Proof(msgspec.Struct):
    """Both factors, and a request for a certificate for a key that stays where it is."""

    subject: str
    password: str
    totp: str
    csr_pem: str


async def begin(request: Request) -> JSONResponse:
    """POST: sign in."""
    asked, gate = await body_of(request, Proof), gate_of(request)
    credentials = Credentials(
        subject=asked.subject, password=asked.password, code=asked.totp, source=source_of(request)
    )
    outcome = await gate.sign_ins.sign_in(credentials, SignInKind.CLIENT, asked.csr_pem)
    if isinstance(outcome, NotSignedIn):
        if outcome.retry_after_s:
            raise TooManyAttempts(outcome.retry_after_s)
        raise Unauthenticated(REFUSED)
    sign_in, certificate = outcome.sign_in, outcome.certificate
    return JSONResponse(
        {
            "token": outcome.token,
            "certificate_pem": certificate.pem if certificate else "",
            "ca_pem": gate.authority.pem,
            "subject": sign_in.subject.name,
            "groups": sorted(sign_in.subject.groups),
            "expires_at": moment_text(sign_in.expires_at_us),
        }
    )


async def end(request: Request) -> Response:
    """DELETE: sign out; every grant of this sign-in ends."""
    sign_in = client_sign_in(request)
    await gate_of(request).sign_ins.sign_out(sign_in)
    return Response(status_code=204)
