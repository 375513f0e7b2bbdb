"""Passkeys in the browser: what it is asked, and its answers.  The answers come with forms, as everything does here."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import Gate, NotSignedIn
from penstock.identity import Party, PasskeyFault, PasskeyRefused
from penstock.model import Unauthenticated
from penstock.web.asking import gate_of, source_of
from penstock.web.pages import prove, sign_in
from penstock.web.pages.arriving import arrival_of, must_accept, welcome
from penstock.web.pages.forms import cookie_of, form_of, portal_sign_in
from penstock.web.pages.render import see

_COPIED = "Somebody has a copy of this passkey, so it is not taken any more. Tell your gate administrator."
#: What somebody can do something about; everything else gets the same words.
_WORDS = {
    PasskeyFault.CHALLENGE: "That took longer than two minutes, or was sent twice. Try again.",
    PasskeyFault.UNVERIFIED: "Your device did not check that it is you, with a PIN, a finger or a face.",
    PasskeyFault.CLONED: _COPIED,
    PasskeyFault.BARRED: _COPIED,
    PasskeyFault.SYNCED: "This site takes no passkeys that are copied between devices.",
    PasskeyFault.MODEL: "This site does not take this kind of passkey.",
    PasskeyFault.ATTESTATION: "This device does not prove what it is, and this site asks for that.",
    PasskeyFault.FOREIGN: "This passkey is not yours.",
    PasskeyFault.KNOWN: "This passkey was added before.",
    PasskeyFault.TOO_MANY: "You have as many passkeys as one person may have. Remove one first.",
}
_REFUSED = "This passkey was not accepted."
_ELSEWHERE = (
    "This passkey does not sign anybody in by itself. Where another source knows you, sign in there first; "
    "then it is your second factor."
)


def words_of(refused: PasskeyRefused) -> str:
    """What is told of a refusal; the evidence has the truth."""
    return _WORDS.get(refused.fault, _REFUSED)


async def options(request: Request) -> Response:
    """POST: what the browser shall ask its user, as JSON.  401 where somebody must sign in or prove it first."""
    fields, gate = await form_of(request), gate_of(request)
    party, signed = party_of(request), portal_sign_in(request)
    match fields.get("act"):
        case "sign-in":
            text = gate.passkeys.ask_to_sign_in(party, cookie_of(request) or "")
        case "prove" if signed is not None:
            text = await gate.passkeys.ask_to_prove(party, signed)
        case "add" if signed is not None:
            try:
                await gate.factors.require(signed)
            except Unauthenticated:
                return Response(status_code=401)
            text = await gate.passkeys.ask_to_add(party, signed)
        case _:
            return Response(status_code=401)
    return Response(text, media_type="application/json")


async def begin(request: Request) -> Response:
    """POST: sign in."""
    fields, gate, browser = await form_of(request), gate_of(request), cookie_of(request) or ""
    before = portal_sign_in(request)
    if must_accept(request):
        return see("/notice")
    try:
        answer = fields.get("answer", "")
        outcome = await gate.passkeys.sign_in(party_of(request), browser, answer, arrival_of(request))
    except PasskeyRefused as refused:
        return sign_in.refused(request, "", 0, words_of(refused))
    if isinstance(outcome, NotSignedIn):
        return sign_in.refused(request, "", outcome.retry_after_s, _ELSEWHERE)
    if before is not None:
        await gate.sign_ins.sign_out(before, "signed in again")
    return welcome(see("/"), outcome)


async def prove_again(request: Request) -> Response:
    """POST: prove it again in the sign-in that runs."""
    fields, gate, signed = await form_of(request), gate_of(request), portal_sign_in(request)
    if signed is None:
        return see("/sign-in")
    to, answer = fields.get("to", ""), fields.get("answer", "")
    try:
        is_proved = await gate.passkeys.prove(party_of(request), signed, answer, source_of(request))
    except PasskeyRefused as refused:
        return await prove.ask(request, signed, to, words_of(refused))
    return see(prove.path_of(to)) if is_proved else await prove.ask(request, signed, to, _REFUSED)


def party_of(request: Request) -> Party:
    """The relying party that this request was sent to.  Raises 404 where there can be none."""
    gate: Gate = gate_of(request)
    party = gate.passkeys.party(request.headers.get("host", ""))
    if party is None:
        raise HTTPException(404)
    return party
