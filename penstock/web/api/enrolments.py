"""``/api/enrolments``: a single-use code becomes a password and an authenticator."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.web.asking import body_of, gate_of, source_of


class Code(msgspec.Struct):
    """What an administrator handed over."""

    code: str


class Confirmation(msgspec.Struct):
    """The code again, the new password, and the first code of the new authenticator."""

    code: str
    password: str
    totp: str


async def begin(request: Request) -> JSONResponse:
    """POST: a fresh secret for the authenticator; one that was shown before is void."""
    asked = await body_of(request, Code)
    prepared = await gate_of(request).subjects.prepare(asked.code, source_of(request))
    return JSONResponse({"subject": prepared.subject, "otpauth_uri": prepared.otpauth_uri})


async def confirm(request: Request) -> Response:
    """POST: the password is set, the authenticator is proved, the code is spent."""
    asked = await body_of(request, Confirmation)
    await gate_of(request).subjects.confirm(asked.code, asked.password, asked.totp, source_of(request))
    return Response(status_code=204)
