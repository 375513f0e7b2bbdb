"""The one place that knows which error is which HTTP status, and what a stranger may read of it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.model import Invalid, Json, Malformed, PenstockError, Problem, Tampered, Unauthenticated, Unavailable

_PHRASES = {
    400: "the request cannot be read",
    403: "not allowed",
    404: "there is nothing here",
    405: "this cannot be done here",
    408: "the request took too long",
    413: "the request is too large",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it is answered: `text` in a sentence, `problems` one by one."""

    status: int
    text: str
    problems: tuple[Problem, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


_PLAIN: tuple[tuple[type[Exception], Failure], ...] = (
    (Tampered, Failure(status=503, text="the gate does not trust its own state and grants nothing")),
    (Malformed, Failure(status=400, text=_PHRASES[400])),
)
_MISTAKE = Failure(status=500, text="the gate made a mistake; it is in its log")


class TooManyAttempts(Unauthenticated):
    """Nobody is looked at for another `retry_after_s` seconds: neither this subject nor this source."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many failed attempts; wait before the next one")
        self.retry_after_s = retry_after_s


def failure_of(error: Exception) -> Failure:
    """The status and the words for any exception; what is not ours is a bug and says nothing."""
    match error:
        case HTTPException():
            return Failure(status=error.status_code, text=_PHRASES.get(error.status_code, "the request was refused"))
        case Unavailable():
            return Failure(status=503, text=str(error))
        case TooManyAttempts():
            retry = (("retry-after", str(error.retry_after_s)),)
            return Failure(status=429, text=str(error), headers=retry)
        case Invalid():
            return Failure(status=422, text="the request cannot be accepted", problems=error.problems)
        case Unauthenticated():
            return Failure(status=401, text=str(error), headers=(("www-authenticate", "Bearer"),))
        case _:
            return next((failure for kind, failure in _PLAIN if isinstance(error, kind)), _MISTAKE)


def as_json(failure: Failure) -> JSONResponse:
    """``{"error": …, "problems": [{"where", "why", "hint"}]}``."""
    problems: list[Json] = [{"where": p.where, "why": p.why, "hint": p.hint} for p in failure.problems]
    return JSONResponse(
        {"error": failure.text, "problems": problems}, status_code=failure.status, headers=dict(failure.headers)
    )


async def json_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer an exception of the API."""
    return as_json(failure_of(error))


#: `Exception` alone would let Starlette's test client raise, and log, what is an ordinary answer.
ON_ERROR = dict.fromkeys((PenstockError, HTTPException, Exception), json_error)
