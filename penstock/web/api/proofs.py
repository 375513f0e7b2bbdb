"""``/api/sign-ins/current/proofs``: prove again who you are with what you type, without ending what you have open."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.identity import Credentials
from penstock.model import Invalid, Problem, Unauthenticated
from penstock.web.api.clients import proof_row
from penstock.web.api.sign_ins import REFUSED
from penstock.web.asking import body_of, client_sign_in, gate_of, source_of
from penstock.web.errors import TooManyAttempts


class Typed(msgspec.Struct):
    """Both factors; `source` names a directory."""

    subject: str
    password: str
    totp: str
    source: str = ""


async def prove_again(request: Request) -> JSONResponse:
    """POST: the proof of this sign-in is renewed; only by the same subject, and by no weaker one."""
    client, gate = client_sign_in(request), gate_of(request)
    asked = await body_of(request, Typed)
    credentials = Credentials(
        subject=asked.subject,
        password=asked.password,
        code=asked.totp,
        source=source_of(request),
        realm=asked.source,
    )
    outcome = await gate.client_proofs.prove(client, credentials)
    if outcome.retry_after_s:
        raise TooManyAttempts(outcome.retry_after_s)
    if outcome.recovered is not None:
        await gate.factors.recovered(outcome.recovered, credentials.source)
    if not outcome.is_right:
        raise Unauthenticated(REFUSED)
    if not outcome.is_taken:
        why = f"it does not prove {client.subject.name} as strongly as the sign-in did"
        raise Invalid(Problem(where="proof", why=why, hint="give the same factors as when you signed in"))
    return JSONResponse(proof_row(client_sign_in(request)))
