"""How I sign in: people's own factors, and changing them.  What may be changed is `OwnFactors`' to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import MAX_PASSKEYS, ActiveSignIn, Gate, ProofNeeded, TooWeak
from penstock.identity import PasskeyRefused, Preparation
from penstock.model import Factor, Invalid, Problem
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.passkeys import party_of, words_of
from penstock.web.pages.render import page, see

_GROUP = 4
_LABELS = {"password": "The password", "totp": "The code", "title": "The name"}
_DONE = {
    "passkey": "The passkey was added.",
    "renamed": "The passkey was renamed.",
    "removed": "The passkey was removed.",
    "password": "The password was changed.",
    "authenticator": "The new authenticator counts from now on.",
}
#: After these, whoever has the old factor may still be signed in with it.
_REPLACING = frozenset(("password", "authenticator", "removed"))
Change = Callable[[Gate, ActiveSignIn, Mapping[str, str]], Awaitable[Response]]


async def show(request: Request) -> Response:
    """GET: everything."""
    signed = portal_sign_in(request)
    return see("/sign-in") if signed is None else await _page(request, signed)


async def add_passkey(request: Request) -> Response:
    """POST: the browser's answer, and what the passkey is called."""

    async def change(gate: Gate, signed: ActiveSignIn, fields: Mapping[str, str]) -> Response:
        title, answer = fields.get("title", ""), fields.get("answer", "")
        await gate.factors.add_passkey(party_of(request), signed, answer, title, source_of(request))
        return see("/me?done=passkey")

    return await _changed(request, change)


async def rename_passkey(request: Request) -> Response:
    """POST: call one of mine something else."""

    async def change(gate: Gate, signed: ActiveSignIn, fields: Mapping[str, str]) -> Response:
        title, which = fields.get("title", ""), fields.get("passkey", "")
        await gate.factors.rename_passkey(signed, which, title, source_of(request))
        return see("/me?done=renamed")

    return await _changed(request, change)


async def remove_passkey(request: Request) -> Response:
    """POST: take one of mine away."""

    async def change(gate: Gate, signed: ActiveSignIn, fields: Mapping[str, str]) -> Response:
        await gate.factors.remove_passkey(signed, fields.get("passkey", ""), source_of(request))
        return see("/me?done=removed")

    return await _changed(request, change)


async def change_password(request: Request) -> Response:
    """POST: another password."""

    async def change(gate: Gate, signed: ActiveSignIn, fields: Mapping[str, str]) -> Response:
        password = fields.get("password", "")
        if password != fields.get("repeated", ""):
            raise Invalid(Problem(where="password", why="is not the same in both fields"))
        await gate.factors.change_password(signed, password, source_of(request))
        return see("/me?done=password")

    return await _changed(request, change)


async def begin_authenticator(request: Request) -> Response:
    """POST: show a fresh secret."""

    async def change(gate: Gate, signed: ActiveSignIn, _: Mapping[str, str]) -> Response:
        return _authenticator(request, await gate.factors.prepare_authenticator(signed), ())

    return await _changed(request, change)


async def confirm_authenticator(request: Request) -> Response:
    """POST: the first code of the new one; a mistake shows the same secret again."""

    async def change(gate: Gate, signed: ActiveSignIn, fields: Mapping[str, str]) -> Response:
        try:
            await gate.factors.replace_authenticator(signed, fields.get("totp", ""), source_of(request))
        except Invalid as invalid:
            said = tuple(sentence(problem) for problem in invalid.problems)
            return _authenticator(request, gate.factors.prepared_authenticator(signed), said)
        return see("/me?done=authenticator")

    return await _changed(request, change)


async def make_codes(request: Request) -> Response:
    """POST: ten new recovery codes, shown this once."""

    async def change(gate: Gate, signed: ActiveSignIn, _: Mapping[str, str]) -> Response:
        codes = await gate.factors.make_codes(signed, source_of(request))
        return codes_page(request, signed.subject.name, codes, is_first=False)

    return await _changed(request, change)


def codes_page(request: Request, subject: str, codes: tuple[str, ...], *, is_first: bool) -> Response:
    """The page that shows recovery codes, and wants to hear that they are kept."""
    return page(
        request,
        "recovery_codes.html",
        subject=subject,
        codes=codes,
        is_first=is_first,
        onward="/sign-in" if is_first else "/me",
        made_at_us=gate_of(request).clock().wall_us,
    )


def sentence(problem: Problem) -> str:
    """A problem as a sentence."""
    label = _LABELS.get(problem.where, f"The {problem.where}")
    why = problem.why.removeprefix("it ").removeprefix("the code ")
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{label} {why}{hint}." if problem.where in _LABELS else f"{problem.why[:1].upper()}{problem.why[1:]}{hint}."


async def _changed(request: Request, change: Change) -> Response:
    fields, signed = await form_of(request), portal_sign_in(request)
    if signed is None:
        return see("/sign-in")
    try:
        return await change(gate_of(request), signed, fields)
    except ProofNeeded:
        return see("/prove?to=me")
    except TooWeak as weak:
        return await _page(request, signed, (f"{str(weak)[:1].upper()}{str(weak)[1:]}.",), status=403)
    except PasskeyRefused as refused:
        return await _page(request, signed, (words_of(refused),), status=422)
    except Invalid as invalid:
        return await _page(request, signed, tuple(sentence(problem) for problem in invalid.problems), status=422)


async def _page(
    request: Request, signed: ActiveSignIn, trouble: tuple[str, ...] = (), *, status: int = 200
) -> Response:
    gate, needs_proof, why_not = gate_of(request), False, ""
    done = request.query_params.get("done", "")
    try:
        await gate.factors.require(signed)
    except ProofNeeded:
        needs_proof = True
    except TooWeak as weak:
        why_not = f"{str(weak)[:1].upper()}{str(weak)[1:]}."
    return page(
        request,
        "me.html",
        status=status,
        factors=await gate.factors.of(signed),
        may=not needs_proof and not why_not,
        needs_proof=needs_proof,
        why_not=why_not,
        trouble=trouble,
        done="" if trouble else _DONE.get(done, ""),
        others_go_on=done in _REPLACING and len(gate.sign_ins.of_subject(signed.subject.name)) > 1,
        is_recovered=Factor.RECOVERY_CODE in signed.subject.factors,
        most=MAX_PASSKEYS,
    )


def _authenticator(request: Request, prepared: Preparation, trouble: tuple[str, ...]) -> Response:
    secret = prepared.secret
    return page(
        request,
        "authenticator.html",
        status=422 if trouble else 200,
        trouble=trouble,
        picture=picture_of(prepared),
        secret=" ".join(secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP)),
    )


def picture_of(prepared: Preparation) -> Markup:
    """The secret as a QR picture."""
    picture = segno.make(prepared.otpauth_uri, error="m", micro=False).svg_inline(
        scale=5, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return Markup(picture)  # noqa: S704  our own picture of our own address; segno writes no text into it
