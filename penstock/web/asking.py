"""Reading requests: bodies as typed values, who asks, and from where."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TypeVar

import msgspec
from starlette.requests import Request

from penstock.control import ActiveSignIn, Gate, SignInKind
from penstock.model import Invalid, Problem, Unauthenticated

T = TypeVar("T")

#: Of a grant number: 24 bits.
_MAX_DIGITS = 8


def gate_of(request: Request) -> Gate:
    """The gate that this application serves."""
    gate: Gate = request.app.state.gate
    return gate


async def body_of(request: Request, kind: type[T]) -> T:
    """The JSON body as a value.  Raises `Invalid`, never quoting the body: it may hold a password."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(Problem(where="body", why=str(error), hint="see the reference of the API")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested thousands deep
        raise Invalid(Problem(where="body", why="it is not JSON", hint="send application/json")) from None


def source_of(request: Request) -> str:
    """The address that this request came from."""
    return request.client.host if request.client else "unknown"


def actor_of(request: Request) -> str:
    """Who does this, for the evidence: a subject with a role, or the Unix user on the admin socket."""
    actor: str = getattr(request.state, "actor", "") or source_of(request)
    return actor


def grant_number_of(request: Request) -> int:
    """The grant number in the path; 0, which no grant has, where it is none."""
    return number_of(request, _MAX_DIGITS)


def number_of(request: Request, most_digits: int) -> int:
    """The number in the path; 0, which nothing has, where it is none or too long."""
    text: str = request.path_params["number"]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= most_digits else 0


def client_sign_in(request: Request) -> ActiveSignIn:
    """Who asks, by the bearer token (RFC 6750).  Raises `Unauthenticated`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    sign_in = None
    if scheme.lower() == "bearer" and token:
        sign_in = gate_of(request).sign_ins.current(token.strip(), SignInKind.CLIENT)
    if sign_in is None:
        raise Unauthenticated("sign in first")
    return sign_in


def sign_in_id(sign_in: ActiveSignIn) -> str:
    """What a sign-in is called towards its owner: part of a hash of a hash, so that nothing of its token is in it."""
    return hashlib.sha256(sign_in.token_hash.encode()).hexdigest()[:16]


def end_text(at_us: int | None) -> str | None:
    """The same, rounded up: whoever waits for an end must not come before it."""
    return None if at_us is None else moment_text(at_us + 999_999)


def moment_text(at_us: int | None) -> str | None:
    """ISO 8601 with the gate's own offset, to the second."""
    if at_us is None:
        return None
    return datetime.fromtimestamp(at_us // 1_000_000).astimezone().isoformat()
