"""``/api/cards``: a smart card signs in without TLS: a challenge, and its signature by the card's key.

For ``penstock login --pkcs11``.  The answer to a card that is not taken says less than the record of it.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.control import Arrival, NotSignedIn, SignInKind
from penstock.identity import Proof, SignedChallenge
from penstock.model import Invalid, Problem, Reason, Unauthenticated, Unavailable
from penstock.web.api.clients import proof_row
from penstock.web.api.sign_ins import signed_in_row
from penstock.web.asking import body_of, client_sign_in, gate_of, source_of

_MAX_CERTIFICATES = 8
_SILENT = "the gate cannot find out now whether the card still holds; sign in by another way, or later"
_REFUSED = "the card was not accepted; the gate's evidence says why"


class Answer(msgspec.Struct):
    """What the card made of the challenge; certificates and signature in base64, the card's certificate first."""

    challenge: str
    certificates: list[str]
    signature: str
    csr_pem: str = ""
    notice: str | None = None


async def challenge(request: Request) -> JSONResponse:
    """POST: something fresh to sign."""
    cards = gate_of(request).cards
    if not cards.authorities:
        raise Unavailable("this site has no smart card source")
    return JSONResponse({"challenge": cards.challenge()})


async def prove(request: Request) -> JSONResponse:
    """POST: sign in."""
    asked, gate = await body_of(request, Answer), gate_of(request)
    gate.authority.check(asked.csr_pem)
    found = await _proof(request, asked)
    arrival = Arrival(
        kind=SignInKind.CLIENT,
        source=source_of(request),
        csr_pem=asked.csr_pem,
        agent=request.headers.get("user-agent", ""),
        notice=asked.notice,
    )
    outcome = await gate.sign_ins.admit(found, arrival)
    if isinstance(outcome, NotSignedIn):
        raise Unauthenticated(_REFUSED)
    return JSONResponse(signed_in_row(outcome, gate))


async def prove_again(request: Request) -> JSONResponse:
    """POST: the proof of this sign-in is renewed, by the card of the same subject only."""
    client, gate = client_sign_in(request), gate_of(request)
    found = await _proof(request, await body_of(request, Answer))
    if not await gate.sign_ins.prove_again(client, found):
        why = f"it is not the card of {client.subject.name}"
        raise Invalid(Problem(where="proof", why=why, hint="use the card that you signed in with"))
    return JSONResponse(proof_row(client_sign_in(request)))


async def _proof(request: Request, asked: Answer) -> Proof:
    found = await gate_of(request).cards.proof_of_signature(_signed(asked), source_of(request))
    if isinstance(found, Proof):
        return found
    if found.reason in {Reason.REVOCATION_UNKNOWN, Reason.SOURCE_UNAVAILABLE}:
        raise Unavailable(_SILENT)
    raise Unauthenticated(_REFUSED)


def _signed(asked: Answer) -> SignedChallenge:
    hint = f"send base64, and one to {_MAX_CERTIFICATES} certificates"
    unread = Problem(where="body", why="certificates or signature cannot be read", hint=hint)
    if not 0 < len(asked.certificates) <= _MAX_CERTIFICATES:
        raise Invalid(unread)
    try:
        return SignedChallenge(
            challenge=asked.challenge,
            certificates=tuple(base64.b64decode(each, validate=True) for each in asked.certificates),
            signature=base64.b64decode(asked.signature, validate=True),
            csr_pem=asked.csr_pem,
        )
    except (binascii.Error, ValueError):
        raise Invalid(unread) from None
