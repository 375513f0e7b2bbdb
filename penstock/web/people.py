"""People as administrators handle them: subjects of every kind, roles of the gate, break-glass."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.control import Gate, Glass, StoredSubject
from penstock.identity import Invitation
from penstock.model import Invalid, Json, LdapPlan, Problem, Role
from penstock.web.asking import actor_of, body_of, gate_of, moment_text, number_of

_MAX_DIGITS = 12


class NewSubject(msgspec.Struct):
    """A subject to add; `until` is the last day of a vendor's account (ISO 8601)."""

    name: str
    groups: list[str] = []
    kind: Literal["person", "vendor", "break-glass"] = "person"
    sponsor: str = ""
    until: str = ""


class Extension(msgspec.Struct):
    """The new last day, and who answers from now on."""

    until: str
    sponsor: str = ""


class Groups(msgspec.Struct):
    """Groups to add and to remove."""

    add: list[str] = []
    remove: list[str] = []


class Wish(msgspec.Struct):
    """Which break-glass account, why, and for how long."""

    subject: str
    reason: str
    hours: int = 4


class Named(msgspec.Struct):
    """An account by its name."""

    subject: str


async def add_subject(request: Request) -> JSONResponse:
    """POST: the answer holds the code to enrol with, once."""
    asked, gate, by = await body_of(request, NewSubject), gate_of(request), actor_of(request)
    groups = tuple(asked.groups)
    if asked.kind != "vendor" and (asked.sponsor or asked.until):
        raise Invalid(Problem(where="kind", why="only a vendor's account has a sponsor and an end", hint="--vendor"))
    match asked.kind:
        case "person":
            invited = await gate.subjects.add(asked.name, groups, by)
        case "vendor":
            until_us = _end_of_day_us(asked.until)
            invited = await gate.roster.add_vendor(asked.name, groups, asked.sponsor, until_us, by)
        case "break-glass":
            invited = await gate.roster.add_break_glass(asked.name, groups, by)
    return _invited(invited, 201)


async def show_subjects(request: Request) -> JSONResponse:
    """GET: everybody, and which roles they have."""
    gate = gate_of(request)
    now_us = gate.clock().wall_us
    return JSONResponse({"subjects": [_subject(each, gate, now_us) for each in await gate.store.subjects()]})


async def switch_subject(request: Request) -> Response:
    """POST: ``suspend``, ``resume``, ``invite`` or ``remove``."""
    name, verb, gate, by = request.path_params["name"], request.path_params["verb"], gate_of(request), actor_of(request)
    match verb:
        case "suspend":
            ended = await gate.subjects.suspend(name, by)
        case "remove":
            ended = await gate.roster.remove(name, by)
        case "resume":
            await gate.subjects.resume(name, by)
            return Response(status_code=204)
        case "invite":
            return _invited(await _invite(gate, name, by), 201)
        case _:
            raise HTTPException(404)
    return JSONResponse({"grants_closed": ended, "not_yet": [*gate.emergencies.not_cut]})


async def _invite(gate: Gate, name: str, by: str) -> Invitation:
    """A code for new factors of our own; for somebody of a directory, for an authenticator beside its password."""
    if isinstance(gate.identities.plan(name.rpartition("@")[2]), LdapPlan):
        return await gate.inviting.invite(name, by)
    return await gate.roster.invite(name, by)


async def extend_subject(request: Request) -> Response:
    """POST: move the end of a vendor's account."""
    asked = await body_of(request, Extension)
    until_us = _end_of_day_us(asked.until)
    await gate_of(request).roster.extend(
        request.path_params["name"], until_us, actor_of(request), asked.sponsor or None
    )
    return JSONResponse({"until": moment_text(until_us)})


async def change_groups(request: Request) -> Response:
    """POST: what a removed group allowed has ended before the answer."""
    asked, gate = await body_of(request, Groups), gate_of(request)
    ended, groups = await gate.roster.change(
        request.path_params["name"], frozenset(asked.add), frozenset(asked.remove), actor_of(request)
    )
    return JSONResponse({"groups": [*groups], "grants_closed": ended, "not_yet": [*gate.emergencies.not_cut]})


async def show_roles(request: Request) -> JSONResponse:
    """GET: who may do what to the gate."""
    rows: list[Json] = [
        {"subject": name, "roles": [role.value for role in sorted(roles)]}
        for name, roles in sorted(gate_of(request).roles.all.items())
    ]
    return JSONResponse({"roles": rows})


async def give_role(request: Request) -> Response:
    """POST: somebody has this role."""
    await gate_of(request).roles.give(request.path_params["name"], _role(request), actor_of(request))
    return Response(status_code=204)


async def take_role(request: Request) -> Response:
    """DELETE: somebody has this role no more."""
    await gate_of(request).roles.take(request.path_params["name"], _role(request), actor_of(request))
    return Response(status_code=204)


async def show_break_glass(request: Request) -> JSONResponse:
    """GET: the accounts, and the last requests with their reasons."""
    gate = gate_of(request)
    accounts: list[Json] = [
        {"name": each.name, "groups": [*sorted(each.groups)], "state": state_of(each, gate.clock().wall_us)}
        for each in await gate.break_glass.accounts()
    ]
    requests: list[Json] = [glass_row(each) for each in await gate.break_glass.history()]
    return JSONResponse({"accounts": accounts, "requests": requests})


async def ask_break_glass(request: Request) -> JSONResponse:
    """POST: a second person has to approve."""
    asked = await body_of(request, Wish)
    glass = await gate_of(request).break_glass.ask(asked.subject, asked.reason, actor_of(request), asked.hours * 3600)
    return JSONResponse(glass_row(glass), status_code=201)


async def switch_break_glass(request: Request) -> JSONResponse:
    """POST: ``approve``, ``refuse`` or ``close`` a request."""
    return JSONResponse(glass_row(await decide_break_glass(request, actor_of(request))))


async def decide_break_glass(request: Request, by: str) -> Glass:
    """Do what the path says to the request that it names.  Raises `Invalid`, and 404 for another verb."""
    number, break_glass = number_of(request, _MAX_DIGITS), gate_of(request).break_glass
    match request.path_params["verb"]:
        case "approve":
            return await break_glass.approve(number, by)
        case "refuse":
            return await break_glass.refuse(number, by)
        case "close":
            return await break_glass.close(number, by)
    raise HTTPException(404)


async def seal(request: Request) -> JSONResponse:
    """POST: two new halves of the code for the envelopes, once."""
    asked = await body_of(request, Named)
    halves = await gate_of(request).break_glass.seal(asked.subject, actor_of(request))
    return JSONResponse({"halves": [*halves]}, status_code=201)


def open_texts(gate: Gate) -> list[Json]:
    """What is open now, a sentence each: the alarm."""
    return [
        f"{each.subject} open until {moment_text(each.ends_at_us)} (request {each.number} of {each.by}: {each.reason})"
        for each in gate.break_glass.open
    ]


def waiting_texts(gate: Gate) -> list[Json]:
    """What waits for a second person, a sentence each."""
    return [f"request {each.number} of {each.by} for {each.subject}: {each.reason}" for each in gate.break_glass.asked]


def ending_texts(gate: Gate, sponsor: str | None = None) -> list[Json]:
    """The vendors whose time is over within a week, a sentence each."""
    return [f"{each.name} ends {moment_text(each.ends_at_us)}" for each in gate.roster.ending(sponsor)]


def state_of(each: StoredSubject, now_us: int) -> str:
    """What has become of a subject, in a word."""
    if each.kind == "removed":
        return "removed"
    if each.is_suspended:
        return "suspended"
    if each.ends_at_us is not None and each.ends_at_us <= now_us:
        return "ended"
    return "enrolled" if each.enrolled_at_us or each.source_key else "invited"


def glass_row(each: Glass) -> dict[str, Json]:
    """A request, as administrators read it."""
    return {
        "number": each.number,
        "subject": each.subject,
        "state": each.state.value,
        "reason": each.reason,
        "asked_by": each.by,
        "asked_at": moment_text(each.asked_at_us),
        "opened_by": each.opened_by,
        "opened_at": moment_text(each.opened_at_us),
        "until": moment_text(each.ends_at_us or None),
        "ended_by": each.ended_by,
        "ended_at": moment_text(each.ended_at_us),
        "why": each.why,
    }


def _subject(each: StoredSubject, gate: Gate, now_us: int) -> dict[str, Json]:
    row: dict[str, Json] = {
        "name": each.name,
        "kind": each.kind,
        "groups": [*sorted(each.groups)],
        "state": state_of(each, now_us),
        "source": each.source,
        "roles": [role.value for role in sorted(gate.roles.of(each.name))],
        "added_at": moment_text(each.added_at_us),
        "enrolled_at": moment_text(each.enrolled_at_us),
        "seen_at": moment_text(each.seen_at_us),
    }
    if each.kind == "vendor":
        row |= {"sponsor": each.sponsor, "until": moment_text(each.ends_at_us or None)}
    return row


def _invited(invited: Invitation, status: int) -> JSONResponse:
    body = {"name": invited.subject, "code": invited.code, "expires_at": moment_text(invited.expires_at_us)}
    return JSONResponse(body, status_code=status)


def _role(request: Request) -> Role:
    text = request.path_params["role"]
    try:
        return Role(text)
    except ValueError:
        hint = ", ".join(role.value for role in Role)
        raise Invalid(Problem(where="role", why=f"{text[:40]!r} is no role", hint=hint)) from None


def _end_of_day_us(text: str) -> int:
    """The last microsecond of this day in the gate's own time zone."""
    try:
        day = date.fromisoformat(text)
        end = datetime.combine(day + timedelta(days=1), time()).astimezone()
        return int(end.timestamp() * 1_000_000) - 1
    except (ValueError, OverflowError):
        raise Invalid(Problem(where="until", why=f"{text[:40]!r} is no date", hint="--until 2026-12-31")) from None


routes = [
    Route("/admin/subjects", add_subject, methods=["POST"]),
    Route("/admin/subjects", show_subjects, methods=["GET"]),
    Route("/admin/subjects/{name}/extend", extend_subject, methods=["POST"]),
    Route("/admin/subjects/{name}/groups", change_groups, methods=["POST"]),
    Route("/admin/subjects/{name}/{verb}", switch_subject, methods=["POST"]),
    Route("/admin/roles", show_roles, methods=["GET"]),
    Route("/admin/roles/{name}/{role}", give_role, methods=["POST"]),
    Route("/admin/roles/{name}/{role}", take_role, methods=["DELETE"]),
    Route("/admin/break-glass", show_break_glass, methods=["GET"]),
    Route("/admin/break-glass", ask_break_glass, methods=["POST"]),
    Route("/admin/break-glass/seals", seal, methods=["POST"]),
    Route("/admin/break-glass/{number}/{verb}", switch_break_glass, methods=["POST"]),
]
