"""Enrolling: the administrator's code, then password and authenticator on one page.

The code is never in an address.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from penstock.identity import Preparation
from penstock.model import Invalid, Problem, Unauthenticated, Unavailable
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.forms import form_of
from penstock.web.pages.me import codes_page, picture_of
from penstock.web.pages.render import page, see

_GROUP = 4
_LABELS = {"password": "The password", "totp": "The code"}


async def show(request: Request) -> Response:
    """GET: ask for the code."""
    return page(request, "enrol.html", prepared=None, code="", trouble=())


async def begin(request: Request) -> Response:
    """POST: show a fresh secret."""
    fields = await form_of(request)
    code = fields.get("code", "").strip()
    try:
        prepared = await gate_of(request).subjects.prepare(code, source_of(request))
    except Unauthenticated as error:
        return page(request, "enrol.html", status=401, prepared=None, code=code, trouble=(_sentence(str(error)),))
    return _second_step(request, prepared, code, ())


async def confirm(request: Request) -> Response:
    """POST: set the password and prove the authenticator; a mistake shows the same secret again."""
    fields, subjects = await form_of(request), gate_of(request).subjects
    code, password = fields.get("code", ""), fields.get("password", "")
    try:
        _check_repeated(password, fields.get("repeated", ""))
        name = await subjects.confirm(code, password, fields.get("totp", ""), source_of(request))
    except Unauthenticated as error:
        return page(request, "enrol.html", status=401, prepared=None, code="", trouble=(_sentence(str(error)),))
    except Invalid as invalid:
        try:
            prepared = await subjects.prepared(code, source_of(request))
        except Unauthenticated as error:
            return page(request, "enrol.html", status=401, prepared=None, code="", trouble=(_sentence(str(error)),))
        return _second_step(request, prepared, code, tuple(_said(problem) for problem in invalid.problems))
    try:
        codes = await gate_of(request).factors.first_codes(name, source_of(request))
    except Unavailable:  # enrolled all the same: codes can be made later, on the page for that
        codes = ()
    if not codes:
        return see("/sign-in?enrolled")
    return codes_page(request, name, codes, is_first=True)


def _second_step(request: Request, prepared: Preparation, code: str, trouble: tuple[str, ...]) -> Response:
    secret = prepared.secret
    grouped = " ".join(secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP))
    return page(
        request,
        "enrol.html",
        status=422 if trouble else 200,
        prepared=prepared,
        code=code,
        trouble=trouble,
        picture=picture_of(prepared),
        secret=grouped,
    )


def _check_repeated(password: str, repeated: str) -> None:
    if password != repeated:
        raise Invalid(Problem(where="password", why="is not the same in both fields"))


def _said(problem: Problem) -> str:
    label = _LABELS.get(problem.where, problem.where)
    why = problem.why.removeprefix("it ").removeprefix("the code ")
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{label} {why}{hint}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
