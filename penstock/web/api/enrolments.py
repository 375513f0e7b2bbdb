"""``/api/enrolments``: a single-use code becomes a password and an authenticator."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.model import Json, Unavailable
from penstock.web.asking import body_of, gate_of, source_of


class Code(msgspec.Struct):
    """What an administrator handed over."""

    code: str


class Confirmation(msgspec.Struct):
    """The code again, the first code of the new authenticator, and the new password where one is asked for."""

    code: str
    totp: str
    password: str = ""


async def begin(request: Request) -> JSONResponse:
    """POST: a fresh secret for the authenticator; one that was shown before is void."""
    asked = await body_of(request, Code)
    prepared = await gate_of(request).subjects.prepare(asked.code, source_of(request))
    body = {"subject": prepared.subject, "otpauth_uri": prepared.otpauth_uri, "asks_password": prepared.asks_password}
    return JSONResponse(body)


async def confirm(request: Request) -> JSONResponse:
    """POST: the password is set, the authenticator is proved, the code is spent; the answer has recovery codes."""
    asked, gate, source = await body_of(request, Confirmation), gate_of(request), source_of(request)
    name = await gate.subjects.confirm(asked.code, asked.password, asked.totp, source)
    codes: list[Json] = []
    with suppress(Unavailable):  # enrolled all the same: codes can be made later
        codes += await gate.factors.first_codes(name, source)
    return JSONResponse({"recovery_codes": codes})
