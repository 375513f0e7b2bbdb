"""``/api/clients``: a command line that somebody confirmed at the portal gets its own sign-in.

The errors are the words of RFC 6749 section 5.2 and RFC 8628 section 3.5, in the shape of every error of this API.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.control import ActiveSignIn, Arrival, ClientError, Gate, LetIn, NotSignedIn, SignInKind, TooMany
from penstock.model import Invalid, Json, Problem
from penstock.web.api.sign_ins import signed_in_row
from penstock.web.asking import body_of, client_sign_in, gate_of, moment_text, source_of
from penstock.web.errors import TooManyAttempts
from penstock.web.visitors import host_of

OFF = "this site does not let computers in by a code that is typed elsewhere"
_OFF_HINT = "penstock login on a computer with a browser, or penstock login --local"


class Waiting(msgspec.Struct):
    """What the computer is called."""

    host: str = ""


class Codes(msgspec.Struct):
    """What the browser brought, with the verifier that only this program has; or the code of a device."""

    code: str = ""
    verifier: str = ""
    device_code: str = ""
    csr_pem: str = ""


async def begin_device(request: Request) -> JSONResponse:
    """POST: codes for a computer without a browser; 422 where the site does not want that."""
    asked, gate = await body_of(request, Waiting), gate_of(request)
    if not has_device_way(gate):
        raise Invalid(Problem(where="--device", why=OFF, hint=_OFF_HINT))
    begun = gate.client_logins.begin_device(host_of(asked.host), source_of(request))
    if isinstance(begun, TooMany):
        raise TooManyAttempts(begun.retry_after_s)
    return JSONResponse(
        {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_path": "/device",
            "expires_in": begun.length_s,
            "interval": begun.interval_s,
        }
    )


async def sign_in(request: Request) -> JSONResponse:
    """POST: a code becomes a sign-in with a certificate for the key of `csr_pem`, which never leaves its computer."""
    asked, gate = await body_of(request, Codes), gate_of(request)
    gate.authority.check(asked.csr_pem)  # before the code is spent
    found = _redeemed(request, asked)
    if not isinstance(found, LetIn):
        return _error(found)
    arrival = Arrival(
        kind=SignInKind.CLIENT, source=source_of(request), csr_pem=asked.csr_pem, agent=found.visitor.host
    )
    outcome = await gate.sign_ins.begin_client(found.portal, arrival)
    if isinstance(outcome, NotSignedIn):
        return _error(ClientError.INVALID)
    return JSONResponse(signed_in_row(outcome, gate))


async def prove_again(request: Request) -> JSONResponse:
    """POST: a code renews the proof of the sign-in that asks; its grants, token and certificate stay as they are."""
    client, gate = client_sign_in(request), gate_of(request)
    found = _redeemed(request, await body_of(request, Codes))
    if not isinstance(found, LetIn):
        return _error(found)
    if found.portal.subject.name != client.subject.name:
        why = f"the browser is signed in as {found.portal.subject.name}, this computer as {client.subject.name}"
        raise Invalid(Problem(where="subject", why=why, hint="sign in at the portal as the same person, or log out"))
    if not await gate.client_proofs.renew(client, found.portal):
        why = "the portal's own proof is no newer than this one"
        raise Invalid(Problem(where="proof", why=why, hint="prove who you are at the portal first, then try again"))
    return JSONResponse(proof_row(client_sign_in(request)))


def proof_row(sign_in: ActiveSignIn) -> dict[str, Json]:
    """What a sign-in proves now."""
    factors: list[Json] = [*sorted(factor.value for factor in sign_in.subject.factors)]
    return {
        "subject": sign_in.subject.name,
        "factors": factors,
        "strength": sign_in.subject.strength.value,
        "proved_at": moment_text(sign_in.subject.proved_at_us),
        "expires_at": moment_text(sign_in.expires_at_us),
    }


def has_device_way(gate: Gate) -> bool:
    """Whether this site lets computers in by a code that is typed on another one."""
    policy = gate.state.now.policy
    return policy is not None and policy.site.identity.limits.has_device_way


def _redeemed(request: Request, asked: Codes) -> LetIn | ClientError:
    logins, source = gate_of(request).client_logins, source_of(request)
    if asked.device_code:
        found = logins.poll(asked.device_code, source)
    else:
        found = logins.redeem(asked.code, asked.verifier, source)
    if isinstance(found, TooMany):
        raise TooManyAttempts(found.retry_after_s)
    return found


def _error(error: ClientError) -> JSONResponse:
    return JSONResponse({"error": error.value, "problems": []}, status_code=400)
