"""The administrator's API over HTTPS: who has which role may do what; all others see nothing."""

from __future__ import annotations

import re

import pytest
from browser import ORIGIN, Browser, Client, admin, hidden_fields
from control_world import World, play

from penstock.model import Reason, RecordKind, Role
from penstock.web.api.admin import ROLES, admin_routes

REASON = "the provider is down and filter 1 must be drained"
PARTS = {"name": "bob", "verb": "resume", "kind": "asset", "number": "1", "role": "operator", "conduit:path": "x"}


def address(path: str) -> str:
    parts = PARTS | ({"verb": "approve"} if "break-glass" in path else {})
    return re.sub(r"\{([^}]+)\}", lambda match: parts[match[1]], path)


async def signed_in(world: World, *roles: Role, name: str = "ada") -> Client:
    await world.enrol(name)
    for role in roles:
        await world.gate.roles.give(name, role, "uid 0")
    client = Client(world)
    client.token = (await client.sign_in(name)).json()["token"]
    world.clock.pass_s(30)
    return client


def test_every_route_of_the_administrator_has_its_roles_and_no_other_has() -> None:
    known = {(method, route.path) for route in admin_routes() for method in (route.methods or set()) - {"HEAD"}}
    assert known == set(ROLES)


def test_looking_needs_any_role_and_an_auditor_changes_nothing() -> None:
    for (method, path), roles in ROLES.items():
        assert (method == "GET") == (roles == frozenset(Role)), path
        assert method == "GET" or Role.AUDITOR not in roles


@pytest.mark.parametrize("role", [None, *Role])
def test_each_route_is_there_for_those_who_have_its_role_and_for_nobody_else(world: World, role: Role | None) -> None:
    async def scenario(world: World) -> None:
        client = await signed_in(world, *([role] if role else []))
        nowhere = await client.ask("GET", "/api/admin/nothing-of-that-name")
        for (method, path), roles in ROLES.items():
            answer = await client.ask(method, f"/api{address(path)}")
            if role in roles:
                assert answer.status_code in {200, 204, 404, 422, 503}, (method, path)
                is_missing = answer.status_code == 404 and "drills" not in path and "grants" not in path
                assert not is_missing, (method, path)
            else:
                assert (answer.status_code, answer.json()) == (404, nowhere.json()), (method, path)
        refused = [each for each in world.recorder.of(RecordKind.ROLE_REFUSED) if each.reason]
        expected = [what for what, roles in ROLES.items() if role not in roles]
        assert [each.reason for each in refused] == [Reason.ROLE_MISSING.value] * len(expected)
        assert {each.subject for each in refused} <= {"ada"}

    play(world, scenario)


def test_without_a_sign_in_nothing_is_answered(world: World) -> None:
    async def scenario(world: World) -> None:
        for method, path in ROLES:
            answer = await Client(world).ask(method, f"/api{address(path)}")
            assert answer.status_code == 401

    play(world, scenario)


def test_what_a_signed_in_administrator_does_is_recorded_under_their_name(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await signed_in(world, Role.ADMINISTRATOR)
        added = await client.ask("POST", "/api/admin/subjects", {"name": "bob", "groups": ["operators"]})
        assert added.status_code == 201
        assert added.json()["code"]
        given = await client.ask("POST", "/api/admin/roles/bob/operator")
        assert given.status_code == 204
        assert world.recorder.of(RecordKind.SUBJECT_ADDED)[-1].detail["by"] == "ada"
        assert world.recorder.of(RecordKind.ROLE_GIVEN)[-1].detail == {"role": "operator", "by": "ada"}
        own = await client.ask("POST", "/api/admin/roles/ada/operator")
        assert (own.status_code, own.json()["problems"][0]["why"]) == (422, "nobody gives a role to themselves")

    play(world, scenario)


def test_whoever_signed_in_with_one_factor_administers_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        from dataclasses import replace  # noqa: PLC0415

        from penstock.model import FactorStrength  # noqa: PLC0415

        client = await signed_in(world, Role.ADMINISTRATOR)
        (sign_in,) = world.gate.state.now.sign_ins.values()
        weak = replace(sign_in, subject=replace(sign_in.subject, graded=FactorStrength.ONE))
        world.gate.state.put_sign_in(weak)
        assert (await client.ask("GET", "/api/admin/status")).status_code == 404
        assert world.recorder.of(RecordKind.ROLE_REFUSED)[-1].detail["missing"] == "a sign-in with two factors"

    play(world, scenario)


def test_a_taken_role_is_gone_at_once(world: World) -> None:
    async def scenario(world: World) -> None:
        client = await signed_in(world, Role.OPERATOR)
        assert (await client.ask("GET", "/api/admin/status")).status_code == 200
        await world.gate.roles.take("ada", Role.OPERATOR, "uid 0")
        assert (await client.ask("GET", "/api/admin/status")).status_code == 404

    play(world, scenario)


def test_vendors_and_groups_by_the_socket(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        async with admin(world) as http:
            body = {"name": "vic", "groups": ["vendor-acme"], "kind": "vendor", "sponsor": "ada", "until": "2027-02-01"}
            assert (await http.post("/admin/subjects", json=body)).status_code == 201
            for until in ("", "soon", "9999-12-31", "2027-13-01"):
                answer = await http.post("/admin/subjects/vic/extend", json={"until": until})
                assert answer.status_code == 422, until
            changed = await http.post("/admin/subjects/ada/groups", json={"add": ["safety"], "remove": ["operators"]})
            assert changed.json()["groups"] == ["safety"]
            rows = {row["name"]: row for row in (await http.get("/admin/subjects")).json()["subjects"]}
            assert (rows["vic"]["kind"], rows["vic"]["sponsor"], rows["vic"]["state"]) == ("vendor", "ada", "invited")
            assert rows["vic"]["until"].startswith("2027-02-01T23:59:59")
            bad = {"name": "eve", "kind": "person", "sponsor": "ada"}
            assert (await http.post("/admin/subjects", json=bad)).status_code == 422
            assert (await http.post("/admin/subjects/ada/remove")).json()["grants_closed"] == 0
            rows = {row["name"]: row for row in (await http.get("/admin/subjects")).json()["subjects"]}
            assert (rows["ada"]["state"], rows["vic"]["state"]) == ("removed", "suspended")

    play(world, scenario)


async def open_break_glass(world: World) -> None:
    invitation = await world.gate.roster.add_break_glass("bg-1", ("operators",), "uid 0")
    world.secrets["bg-1"] = (await world.gate.subjects.prepare(invitation.code, "10.20.0.50")).secret
    await world.gate.subjects.confirm(invitation.code, "correct horse battery", world.code("bg-1"), "10.20.0.50")
    world.clock.pass_s(30)


def test_one_asks_at_the_portal_another_approves_there_and_everybody_sees_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await open_break_glass(world)
        for name in ("ada", "bob"):
            await world.enrol(name)
        await world.gate.roles.give("bob", Role.APPROVER, "uid 0")
        asking, approving = Browser(world), Browser(world)
        await asking.sign_in("ada")
        await approving.sign_in("bob")
        page = await asking.get("/break-glass")
        assert (await asking.submit(page, "/break-glass", subject="bg-1", reason="no")).status_code == 422
        assert (await asking.submit(page, "/break-glass", subject="bg-1", reason=REASON)).status_code == 303
        own = await asking.get("/break-glass")
        assert "Waits for a second person" in own.text
        assert "/approve" not in own.text
        (request,) = world.gate.break_glass.asked
        token = hidden_fields(own.text, "/break-glass")
        path = f"/break-glass/{request.number}/approve"
        forged = await asking.http.post(path, data=token, headers={"origin": ORIGIN})
        assert forged.status_code == 404
        assert world.gate.break_glass.open == ()
        seen = await approving.get("/break-glass")
        done = await approving.submit(seen, f"/break-glass/{request.number}/approve")
        assert done.status_code == 303
        home = await asking.get("/")
        assert "Emergency: bg-1 is open" in home.text
        assert REASON in home.text
        stranger = await Browser(world).get("/sign-in")
        assert "an account of this gate was opened" in stranger.text
        assert REASON not in stranger.text
        assert "bg-1" not in stranger.text
        async with admin(world) as http:
            (line,) = (await http.get("/admin/status")).json()["break_glass"]
            assert REASON in line
            assert "penstock_break_glass_open 1\n" in (await http.get("/admin/metrics")).text
            closed = await http.post(f"/admin/break-glass/{request.number}/close")
            assert closed.json()["state"] == "closed"
            assert (await http.get("/admin/status")).json()["break_glass"] == "shut"
        assert "Emergency: bg-1" not in (await asking.get("/")).text

    play(world, scenario)


def test_the_same_user_on_the_socket_does_not_approve_what_he_asked(world: World) -> None:
    async def scenario(world: World) -> None:
        await open_break_glass(world)
        async with admin(world) as http:
            asked = await http.post("/admin/break-glass", json={"subject": "bg-1", "reason": REASON})
            number = asked.json()["number"]
            answer = await http.post(f"/admin/break-glass/{number}/approve")
            assert answer.status_code == 422
            assert "second person" in answer.json()["problems"][0]["why"]
            assert (await http.get("/admin/break-glass")).json()["requests"][0]["state"] == "asked"
        client = await signed_in(world, Role.APPROVER, name="bob")
        assert (await client.ask("POST", f"/api/admin/break-glass/{number}/approve")).json()["state"] == "open"

    play(world, scenario)


def test_sealed_envelopes_are_opened_at_the_portal_where_the_site_says_so(world: World) -> None:
    async def scenario(world: World) -> None:
        from control_world import SITE  # noqa: PLC0415

        assert (await Browser(world).get("/break-glass/envelopes")).status_code == 404
        words = "identity: {sources: {local: {kind: local, break_glass: {approval: sealed}}}}\n"
        await world.gate.revisions.apply({"site.yaml": SITE + words}, "uid 0")
        await open_break_glass(world)
        first, second = await world.gate.break_glass.seal("bg-1", "uid 0")
        browser = Browser(world)
        assert "/break-glass/envelopes" in (await browser.get("/sign-in")).text
        page = await browser.get("/break-glass/envelopes")
        fields = {"subject": "bg-1", "first": first, "reason": REASON}
        wrong = await browser.submit(page, "/break-glass/envelopes", second="AAAA-AAAA-AAAA", **fields)
        assert wrong.status_code == 401
        assert first not in wrong.text
        unknown = await browser.submit(
            page, "/break-glass/envelopes", second="AAAA-AAAA-AAAA", **fields | {"subject": "bg-9"}
        )
        assert unknown.text.replace("bg-9", "bg-1") == wrong.text
        right = await browser.submit(page, "/break-glass/envelopes", second=second, **fields)
        assert "bg-1 is open until" in right.text
        assert [each.subject for each in world.gate.break_glass.open] == ["bg-1"]

    play(world, scenario)


def test_a_sponsor_is_told_a_week_before_a_vendor_ends(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        until_us = world.clock.wall_us + 6 * 86_400 * 1_000_000
        await world.gate.roster.add_vendor("vic", ("vendor-acme",), "ada", until_us, "uid 0")
        browser = Browser(world)
        await browser.sign_in("ada")
        assert "You answer for <strong>vic</strong>" in (await browser.get("/")).text
        async with admin(world) as http:
            (line,) = (await http.get("/admin/status")).json()["vendors_ending"]
            assert line.startswith("vic ends ")

    play(world, scenario)
