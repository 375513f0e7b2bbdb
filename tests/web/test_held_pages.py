"""Held operations at the portal: what an approver sees, decides and hears; what whoever asked sees."""

from __future__ import annotations

import re

import pytest
from browser import ORIGIN, Browser, hidden_fields
from control_world import STATION, World, play
from held_operations import CONTROL_ROOM, FLOW, HoldingWorker, asking

from penstock.model import HoldEnding, OperationClass, RecordKind, Role, ShownBefore, Target

WHY = "work order 4711"
ONE = "/held/1042.1"


async def browser(world: World, name: str, *roles: Role, station: str = CONTROL_ROOM) -> Browser:
    """Somebody signed in at the portal."""
    if name not in world.secrets:
        await world.enrol(name)
    for role in roles:
        await world.gate.roles.give(name, role, "uid 0")
    found = Browser(world, station)
    await found.sign_in(name)
    return found


async def held(world: World) -> HoldingWorker:
    """Ada's write waits."""
    worker, grant = await asking(world)
    worker.hold(grant, behind=2, for_s=600)
    return worker


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.partition("<main")[2]))


def test_an_approver_is_told_on_every_page_reads_what_is_asked_and_approves_it(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        for path in ("/", "/me", "/failures"):
            assert "1 operation waits for you" in (await bob.get(path)).text, path
        listed = await bob.get("/held")
        assert f'href="{ONE}"' in listed.text
        assert "write holding_registers 10 = 250" in listed.text
        assert "<title>(1) Held operations" in listed.text
        page = await bob.get(ONE)
        words = plain(page.text)
        for text in (
            "ada asks on plc-filter-1: write holding_registers 10 = 250",
            "ada (operators) from 10.20.0.50:40000",
            "plc-filter-1 (plc, zone filtration), modbus, tcp/502, unit 1",
            "Conduit Operators look at the filters",
            "modbus.write: Write Multiple Registers (code 16)",
            "2 requests wait behind it",
            "0000 00 01 00 00 00 09 01 10",
        ):
            assert text in words, text
        done = await bob.submit(page, f"{ONE}/refuse", why=WHY)
        assert (done.status_code, done.headers["location"]) == (303, ONE)
        assert [each.is_approved for each in worker.decisions] == [False]
        over = await bob.get(ONE)
        assert "Refused: the asset never saw it" in over.text
        assert "bob@local refused it at" in over.text
        assert WHY in over.text
        assert "<form" not in over.text.partition("<main")[2]
        assert "waits for you" not in (await bob.get("/")).text

    play(world, scenario)


def test_approving_takes_its_own_button_and_enter_refuses(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        page = await bob.get(ONE)
        buttons = re.findall(r"<button[^>]*>([^<]+)</button>", page.text.partition("<main")[2])
        assert buttons == ["Refuse", "Approve: forward exactly this"]
        assert f'formaction="{ONE}/approve"' in page.text
        token = hidden_fields(page.text, f"{ONE}/refuse")
        done = await bob.http.post(f"{ONE}/approve", data={**token, "why": WHY}, headers={"origin": ORIGIN})
        assert done.status_code == 303
        assert [each.is_approved for each in worker.decisions] == [True]
        assert "Forwarded: the asset has it" in (await bob.get(ONE)).text

    play(world, scenario)


def test_what_it_held_stands_beside_the_new_value_where_it_is_known(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        assert "It held" not in (await bob.get(ONE)).text
        grant = world.gate.holds.waiting[0].grant
        worker.hold(grant, 2, for_s=600, before=(ShownBefore(target=0, first=10, values=(240,), age_us=75_000_000),))
        words = plain((await bob.get("/held/1042.2")).text)
        assert "Class Object It held New value write holding_registers 10 240 1 min 15 s before 250" in words
        assert "write holding_registers 10 = 250, was 240" in (await bob.get("/held")).text

    play(world, scenario)


def test_a_form_from_elsewhere_or_without_its_token_decides_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        token = hidden_fields((await bob.get(ONE)).text, f"{ONE}/refuse")
        for data, origin in (
            ({**token, "why": WHY}, "https://evil.example"),
            ({"why": WHY}, ORIGIN),
            ({"form_token": "0" * 64, "why": WHY}, ORIGIN),
        ):
            answer = await bob.http.post(f"{ONE}/approve", data=data, headers={"origin": origin})
            assert answer.status_code == 403
        assert worker.decisions == []

    play(world, scenario)


def test_a_reason_is_asked_for_and_what_was_typed_is_kept(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        page = await bob.get(ONE)
        empty = await bob.submit(page, f"{ONE}/refuse", why=" ")
        assert empty.status_code == 422
        assert "A reason of 1 to 200 signs must be given." in empty.text
        long = await bob.submit(page, f"{ONE}/refuse", why="<b>" * 80)
        assert (long.status_code, "&lt;b&gt;&lt;b&gt;" in long.text) == (422, True)
        assert worker.decisions == []

    play(world, scenario)


def test_what_is_forbidden_looks_like_what_does_not_exist(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        eve = await browser(world, "eve")
        home = await eve.get("/")
        assert "waits for you" not in home.text
        listed = await eve.get("/held")
        assert "No operation waits." in listed.text
        assert "1042" not in listed.text
        for path in ("/held/{}", "/held/{}/state"):
            there, nowhere = await eve.get(path.format("1042.1")), await eve.get(path.format("7.7"))
            assert (there.status_code, there.text) == (nowhere.status_code, nowhere.text) == (404, nowhere.text)
        token = hidden_fields(home.text, "/sign-out")
        for hold in ("1042.1", "7.7", "x"):
            answer = await eve.http.post(f"/held/{hold}/approve", data=token | {"why": WHY}, headers={"origin": ORIGIN})
            assert answer.status_code == 404
        assert len(world.recorder.of(RecordKind.ROLE_REFUSED)) == 3
        assert worker.decisions == []
        assert (await Browser(world).get(ONE)).headers["location"] == "/sign-in"

    play(world, scenario)


def test_whoever_asked_sees_that_it_waits_and_cannot_decide_it(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        ada = await browser(world, "ada", Role.APPROVER, station=STATION)
        home = plain((await ada.get("/")).text)
        assert "Waits for a second person: write holding_registers 10 = 250" in home
        assert "operation waits for you" not in (await ada.get("/")).text
        page = await ada.get(ONE)
        assert "It is yours: a second person decides." in page.text
        assert "/approve" not in page.text
        token = hidden_fields(page.text, "/sign-out")
        answer = await ada.http.post(f"{ONE}/approve", data=token | {"why": WHY}, headers={"origin": ORIGIN})
        assert answer.status_code == 422
        assert "whoever asks does not decide" in answer.text.lower()
        assert worker.decisions == []

    play(world, scenario)


def test_an_old_proof_leads_to_a_fresh_one_and_back_to_the_same_operation(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await browser(world, "bob", Role.APPROVER)
        world.clock.pass_s(14 * 60)
        worker.hold(grant, for_s=600)
        await bob.get("/")
        world.clock.pass_s(60)
        page = await bob.get(ONE)
        assert "Prove again who you are, to approve" in page.text
        assert "formaction" not in page.text
        token = hidden_fields(page.text, f"{ONE}/refuse")
        sent = await bob.http.post(f"{ONE}/approve", data=token | {"why": WHY}, headers={"origin": ORIGIN})
        assert (sent.status_code, sent.headers["location"]) == (303, "/prove?to=held-1042.1")
        assert worker.decisions == []
        prove = await bob.get("/prove?to=held-1042.1")
        assert "last quarter of an hour" in prove.text
        back = await bob.submit(prove, "/prove", password="correct horse battery", code=world.code("bob"))
        assert back.headers["location"] == ONE
        assert "formaction" in (await bob.get(ONE)).text

    play(world, scenario)


@pytest.mark.parametrize("to", ["held-1042.1/../../x", "held-//evil.example", "held-1.1\n", "held-", "https://evil"])
def test_a_proof_leads_nowhere_else(world: World, to: str) -> None:
    async def scenario(world: World) -> None:
        bob = await browser(world, "bob")
        page = await bob.http.get("/prove", params={"to": to})
        hidden = hidden_fields(page.text, "/prove")
        assert hidden["to"] == "home"
        fields = {**hidden, "to": to, "password": "correct horse battery", "code": world.code("bob")}
        back = await bob.http.post("/prove", data=fields, headers={"origin": ORIGIN})
        assert back.headers["location"] == "/"

    play(world, scenario)


def test_looking_on_keeps_nobody_signed_in(world: World) -> None:
    async def scenario(world: World) -> None:
        bob = await browser(world, "bob", Role.APPROVER)
        for _ in range(40):
            world.clock.pass_s(60)
            followed = await bob.get("/held?again")
            if followed.status_code != 200:
                break
        assert (followed.status_code, followed.headers["location"]) == (303, "/sign-in")
        awake = await browser(world, "cyd", Role.APPROVER)
        for _ in range(40):
            world.clock.pass_s(60)
            assert (await awake.get("/held")).status_code == 200

    play(world, scenario)


def test_the_state_stands_by_itself_for_a_frame_of_our_own_page_and_ends_by_itself(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        page = await bob.get(ONE)
        assert f'<noscript><iframe class="state-frame" src="{ONE}/state?again"' in page.text
        assert "frame-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"
        state = await bob.get(f"{ONE}/state?again")
        assert "frame-ancestors 'self'" in state.headers["content-security-policy"]
        assert state.headers["x-frame-options"] == "SAMEORIGIN"
        assert f'content="2; url={ONE}/state?again"' in state.text
        assert 'data-state="waiting"' in state.text
        assert re.search(r"\d min \d+ s</span> left", state.text)
        assert "<form" not in state.text
        worker.end(1, HoldEnding.TIMED_OUT)
        over = await bob.get(f"{ONE}/state?again")
        assert 'data-state="timed_out"' in over.text
        assert "http-equiv" not in over.text

    play(world, scenario)


def test_a_decision_that_comes_too_late_is_told_so(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob, cyd = await browser(world, "bob", Role.APPROVER), await browser(world, "cyd", Role.APPROVER)
        page = await cyd.get(ONE)
        await bob.submit(await bob.get(ONE), f"{ONE}/refuse", why=WHY)
        second = await cyd.submit(page, f"{ONE}/refuse", why="me too")
        assert second.status_code == 422
        assert "It waits no longer: it was refused." in second.text
        worker.hold(world.gate.holds.ended[0].grant, 2, for_s=600)
        other = await cyd.get("/held/1042.2")
        world.recorder.is_healthy = False
        token = hidden_fields(other.text, "/held/1042.2/refuse")
        unwritten = await cyd.http.post("/held/1042.2/approve", data=token | {"why": WHY}, headers={"origin": ORIGIN})
        assert unwritten.status_code == 503
        assert "Nothing was approved" in unwritten.text
        assert f'value="{WHY}"' in unwritten.text

    play(world, scenario)


def test_what_the_policy_holds_no_longer_was_forwarded_without_anybody(world: World) -> None:
    async def scenario(world: World) -> None:
        worker = await held(world)
        bob = await browser(world, "bob", Role.APPROVER)
        worker.end(1, HoldEnding.FORWARDED)
        page = (await bob.get(ONE)).text
        assert "Forwarded: the asset has it" in page
        assert "Nobody approved it: the policy holds it no longer." in page

    play(world, scenario)


def test_names_and_values_from_the_wire_are_text_and_nothing_else(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await browser(world, "bob", Role.APPROVER)
        script = "<script>alert(1)</script>"
        target = Target(operation_class=OperationClass.WRITE, table="tags", name=script, values=(script,))
        worker.hold(grant, targets=(target,), name=script, for_s=600)
        for path in ("/held", ONE, f"{ONE}/state", "/"):
            text = (await bob.get(path)).text
            assert script not in text, path
            assert "<script>" not in text
        assert world.gate.holds.of((FLOW, 1)) is not None

    play(world, scenario)
