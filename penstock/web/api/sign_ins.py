"""``/api/sign-ins``: two factors become a token and a short-lived certificate."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.control import Arrival, Gate, NotSignedIn, SignedIn, SignInKind
from penstock.identity import Credentials
from penstock.model import Factor, Json, Unauthenticated
from penstock.web.asking import body_of, client_sign_in, gate_of, moment_text, sign_in_id, source_of
from penstock.web.errors import TooManyAttempts

#: The same words whatever was wrong, also for a subject that does not exist.
REFUSED = "name, password or code is not right"


class Proof(msgspec.Struct):
    """Both factors, and a request for a certificate for a key that stays where it is."""

    subject: str
    password: str
    totp: str
    csr_pem: str
    notice: str | None = None
    source: str = ""


async def begin(request: Request) -> JSONResponse:
    """POST: sign in."""
    asked, gate = await body_of(request, Proof), gate_of(request)
    credentials = Credentials(
        subject=asked.subject,
        password=asked.password,
        code=asked.totp,
        source=source_of(request),
        realm=asked.source,
    )
    arrival = Arrival(
        kind=SignInKind.CLIENT,
        source=credentials.source,
        csr_pem=asked.csr_pem,
        agent=request.headers.get("user-agent", ""),
        notice=asked.notice,
    )
    outcome = await gate.sign_ins.sign_in_from(credentials, arrival)
    if isinstance(outcome, NotSignedIn):
        if outcome.retry_after_s:
            raise TooManyAttempts(outcome.retry_after_s)
        raise Unauthenticated(REFUSED)
    row = signed_in_row(outcome, gate)
    if Factor.RECOVERY_CODE in outcome.sign_in.subject.factors:
        row["recovery_codes_left"] = await gate.factors.recovered(outcome.sign_in.subject, credentials.source)
    return JSONResponse(row)


async def show(request: Request) -> JSONResponse:
    """GET: where I am signed in."""
    mine, gate = client_sign_in(request), gate_of(request)
    rows: list[Json] = [
        {
            "id": sign_in_id(each),
            "kind": each.kind.value,
            "source": each.source,
            "agent": each.agent,
            "identity": each.identity,
            "strength": each.subject.strength.value,
            "opened_at": moment_text(each.opened_at_us),
            "expires_at": moment_text(each.expires_at_us),
            "seen_ago_s": gate.sign_ins.seen_ago_s(each),
            "is_this": each.token_hash == mine.token_hash,
        }
        for each in gate.sign_ins.of_subject(mine.subject.name)
    ]
    return JSONResponse({"sign_ins": rows})


async def end_one(request: Request) -> Response:
    """DELETE: end one of mine.  Somebody else's is answered as one that does not exist."""
    mine, gate = client_sign_in(request), gate_of(request)
    wanted = request.path_params["id"]
    for each in gate.sign_ins.of_subject(mine.subject.name):
        if sign_in_id(each) == wanted:
            await gate.sign_ins.sign_out(each, "ended by its owner")
            return Response(status_code=204)
    raise HTTPException(404)


async def end(request: Request) -> Response:
    """DELETE: sign out; every grant of this sign-in ends."""
    sign_in = client_sign_in(request)
    await gate_of(request).sign_ins.sign_out(sign_in)
    return Response(status_code=204)


def signed_in_row(outcome: SignedIn, gate: Gate) -> dict[str, Json]:
    """A sign-in that has just begun, as its owner needs it."""
    sign_in, certificate = outcome.sign_in, outcome.certificate
    groups: list[Json] = [*sorted(sign_in.subject.groups)]
    return {
        "token": outcome.token,
        "certificate_pem": certificate.pem if certificate else "",
        "ca_pem": gate.trusted_pem,
        "subject": sign_in.subject.name,
        "groups": groups,
        "strength": sign_in.subject.strength.value,
        "expires_at": moment_text(sign_in.expires_at_us),
    }
