"""Held operations over HTTP: who sees them, who decides, and what is answered to everybody else."""

from __future__ import annotations

from browser import Client, admin
from control_world import SITE, World, play
from held_operations import CONTROL_ROOM, WRITE, HoldingWorker, asking

from penstock.model import HoldEnding, OperationClass, RecordKind, Role, ShownBefore, Target

WHY = {"why": "work order 4711"}
APPROVE, REFUSE = "/api/held/1042.1/approve", "/api/held/1042.1/refuse"


async def second(world: World, *roles: Role, name: str = "bob") -> Client:
    """Somebody at another station."""
    await world.enrol(name)
    for role in roles:
        await world.gate.roles.give(name, role, "uid 0")
    client = Client(world, station=CONTROL_ROOM)
    await client.sign_in(name)
    return client


async def requester(world: World) -> tuple[Client, HoldingWorker]:
    """Somebody with a grant whose write is held."""
    worker, grant = await asking(world)
    client = Client(world, station=CONTROL_ROOM)
    await client.sign_in("ada")
    worker.hold(grant, behind=2, for_s=600)
    return client, worker


def test_an_approver_sees_what_is_asked_and_lets_it_pass(world: World) -> None:
    async def scenario(world: World) -> None:
        _, worker = await requester(world)
        bob = await second(world, Role.APPROVER)
        listed = (await bob.ask("GET", "/api/held")).json()
        (row,) = listed["waiting"]
        assert (listed["waits_for_you"], listed["ended"]) == (1, [])
        assert row["what"] == "write holding_registers 10 = 250"
        assert (row["hold"], row["state"], row["behind"], row["may_decide"]) == ("1042.1", "waiting", 2, True)
        assert (row["subject"], row["source"], row["asset"]) == ("ada", "10.20.0.50:40000", "plc-filter-1")
        assert 500 < row["left_s"] <= 600
        whole = (await bob.ask("GET", "/api/held/1042.1")).json()
        assert whole["objects"] == [
            {"class": "write", "object": "holding_registers 10", "value": "250", "was": None, "was_age_s": None}
        ]
        assert (whole["data"], whole["conduit_allows"]) == (WRITE.hex(), [])
        answer = await bob.ask("POST", APPROVE, WHY)
        assert (answer.status_code, answer.json()["state"]) == (200, "forwarded")
        assert answer.json()["outcome"].startswith("Forwarded")
        assert [each.decided_by for each in worker.decisions] == ["bob@local"]
        (ended,) = (await bob.ask("GET", "/api/held")).json()["ended"]
        assert (ended["decided_by"], ended["why"]) == ("bob@local", "work order 4711")
        again = await bob.ask("POST", REFUSE, WHY)
        assert (again.status_code, again.json()["problems"][0]["why"]) == (
            422,
            "it waits no longer: it was forwarded to the asset",
        )

    play(world, scenario)


def test_what_is_forbidden_looks_like_what_does_not_exist_and_an_attempt_is_recorded(world: World) -> None:
    async def scenario(world: World) -> None:
        await requester(world)
        eve = await second(world, name="eve")
        assert (await eve.ask("GET", "/api/held")).json() == {"waiting": [], "ended": [], "waits_for_you": 0}
        for method, there, nowhere in (
            ("GET", "/api/held/1042.1", "/api/held/7.7"),
            ("POST", APPROVE, "/api/held/7.7/approve"),
            ("POST", REFUSE, "/api/held/nothing/refuse"),
            ("POST", "/api/held/1042.1/eat", "/api/held/7.7/eat"),
        ):
            found, missing = await eve.ask(method, there, WHY), await eve.ask(method, nowhere, WHY)
            assert (found.status_code, found.json()) == (missing.status_code, missing.json()) == (404, found.json())
        refused = world.recorder.of(RecordKind.ROLE_REFUSED)
        assert len(refused) == 6
        assert {each.subject for each in refused} == {"eve"}

    play(world, scenario)


def test_without_a_sign_in_nothing_is_answered(world: World) -> None:
    async def scenario(world: World) -> None:
        for method, path in (("GET", "/api/held"), ("GET", "/api/held/1042.1"), ("POST", APPROVE)):
            assert (await Client(world).ask(method, path, WHY)).status_code == 401

    play(world, scenario)


def test_whoever_asked_sees_their_own_and_does_not_decide_it(world: World) -> None:
    async def scenario(world: World) -> None:
        ada, worker = await requester(world)
        (row,) = (await ada.ask("GET", "/api/held")).json()["waiting"]
        assert row["may_decide"] is False
        answer = await ada.ask("POST", APPROVE, WHY)
        assert answer.status_code == 422
        assert worker.decisions == []

    play(world, scenario)


def test_the_command_line_of_whoever_asked_hears_of_it_and_so_does_the_status_of_the_gate(world: World) -> None:
    async def scenario(world: World) -> None:
        ada, worker = await requester(world)
        (session,) = (await ada.ask("GET", "/api/sessions")).json()["sessions"]
        (row,) = session["held"]
        assert (row["hold"], row["what"]) == ("1042.1", "write holding_registers 10 = 250")
        async with admin(world) as http:
            assert (await http.get("/admin/status")).json()["held"] == "1 waits for a second person"
            assert "penstock_held_operations 1\n" in (await http.get("/admin/metrics")).text
            worker.end(1, HoldEnding.TIMED_OUT)
            assert "held" not in (await http.get("/admin/status")).json()
            metrics = (await http.get("/admin/metrics")).text
        assert 'penstock_held_ended_total{ending="timed_out"} 1\n' in metrics
        assert (await ada.ask("GET", "/api/sessions")).json()["sessions"][0]["held"] == []

    play(world, scenario)


def test_what_the_objects_held_is_told_with_its_age_as_far_as_traffic_has_shown_it(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await second(world, Role.APPROVER)
        three = Target(operation_class=OperationClass.WRITE, table="coils", first=3, count=3, values=(1, 0, 1))
        tag = Target(operation_class=OperationClass.WRITE, table="tags", name="speed", values=(90,))
        raw = Target(operation_class=OperationClass.WRITE, table="DB10", first=4, count=2, memory=b"\x01\x02")
        before = (
            ShownBefore(target=0, first=4, values=(1, 0), age_us=61_900_000),
            ShownBefore(target=1, first=0, values=(85,), age_us=2_000_000),
            ShownBefore(target=2, first=5, values=(7,), age_us=0),
        )
        worker.hold(grant, targets=(three, tag, raw), before=before, for_s=600)
        whole = (await bob.ask("GET", "/api/held/1042.1")).json()
        assert [(each["object"], each["was"], each["was_age_s"]) for each in whole["objects"]] == [
            ("coils 3", None, None),
            ("coils 4", "1", 61),
            ("coils 5", "0", 61),
            ("tags speed", "85", 2),
            ("DB10 4-5", "DB10 5: 7", 0),
        ]
        assert whole["what"] == (
            "write coils 3-5 = 1, 0, 1, was coils 4-5: 1, 0; write tags speed = 90, was 85; "
            "write DB10 4-5 = 0x0102, was DB10 5: 7"
        )
        await bob.ask("POST", APPROVE, WHY)
        (record,) = world.recorder.of(RecordKind.OPERATION_APPROVED)
        assert record.detail["before"] == [
            {"target": 0, "first": 4, "values": [1, 0], "old_seen_us": 61_900_000},
            {"target": 1, "first": 0, "values": [85], "old_seen_us": 2_000_000},
            {"target": 2, "first": 5, "values": [7], "old_seen_us": 0},
        ]

    play(world, scenario)


def test_a_gate_that_holds_and_has_no_approver_says_so(world: World) -> None:
    async def scenario(world: World) -> None:
        holding = SITE.replace("{holding_registers: 10-12}}]}\n", "{holding_registers: 10-12}}]}\n    hold: [write]\n")
        async with admin(world) as http:
            assert "held" not in (await http.get("/admin/status")).json()
            await world.gate.revisions.apply({"site.yaml": holding}, "uid 0")
            assert (await http.get("/admin/status")).json()["held"].startswith("nobody is approver")
            await world.enrol("bob")
            await world.gate.roles.give("bob", Role.APPROVER, "uid 0")
            assert "held" not in (await http.get("/admin/status")).json()

    play(world, scenario)


def test_an_auditor_looks_and_changes_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        _, worker = await requester(world)
        eve = await second(world, Role.AUDITOR, name="eve")
        assert len((await eve.ask("GET", "/api/held")).json()["waiting"]) == 1
        assert (await eve.ask("POST", REFUSE, WHY)).status_code == 422
        assert worker.decisions == []

    play(world, scenario)


def test_an_old_proof_is_asked_for_again_in_the_words_of_rfc_9470(world: World) -> None:
    async def scenario(world: World) -> None:
        _, worker = await requester(world)
        bob = await second(world, Role.APPROVER)
        world.clock.pass_s(15 * 60)
        (live,) = [each for each in world.gate.state.now.grants.values() if each.grant.subject.name == "ada"]
        worker.hold(live.grant, 2)
        answer = await bob.ask("POST", "/api/held/1042.2/approve", WHY)
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert challenge == 'Bearer error="insufficient_user_authentication", max_age="900"'
        assert worker.decisions == []

    play(world, scenario)


def test_a_body_that_is_none_and_a_reason_that_is_too_long_decide_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        _, worker = await requester(world)
        bob = await second(world, Role.APPROVER)
        for body in (None, {}, {"why": 1}, {"why": ""}, {"why": "x" * 201}, {"why": "x" * 100_000}):
            assert (await bob.ask("POST", APPROVE, body)).status_code in {413, 422}, body
        assert worker.decisions == []

    play(world, scenario)


def test_objects_are_told_one_by_one_and_what_does_not_fit_is_counted(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await second(world, Role.APPROVER)
        coils = Target(operation_class=OperationClass.WRITE, table="coils", first=3, count=2, values=(True, False))
        many = Target(
            operation_class=OperationClass.WRITE, table="holding_registers", count=200, values=tuple(range(200))
        )
        raw = Target(operation_class=OperationClass.WRITE, table="DB10", first=4, memory=b"\x01\x02")
        masked = Target(operation_class=OperationClass.WRITE, table="holding_registers", first=9)
        read = Target(operation_class=OperationClass.READ, table="holding_registers", first=5)
        worker.hold(grant, 1, targets=(coils, raw, masked, read), operation="modbus.read+write")
        words = Target(operation_class=OperationClass.WRITE, table="tags", name="a", values=("on", "5; write b = 6"))
        worker.hold(grant, 4, targets=(words,))
        assert (await bob.ask("GET", "/api/held/1042.4")).json()["what"] == "write tags a = on, “5; write b = 6”"
        worker.hold(grant, 2, targets=(many,))
        worker.hold(grant, 3, targets=(), operation="modbus.program_to_device", name="Download")
        whole = (await bob.ask("GET", "/api/held/1042.1")).json()
        assert [(each["class"], each["object"], each["value"]) for each in whole["objects"]] == [
            ("write", "coils 3", "on"),
            ("write", "coils 4", "off"),
            ("write", "DB10 4", "0x0102"),
            ("write", "holding_registers 9", "a value that the message does not say as one: see its bytes"),
            ("read", "holding_registers 5", None),
        ]
        assert whole["what"] == (
            "write coils 3-4 = on, off; write DB10 4 = 0x0102; write holding_registers 9 = a value that the message "
            "does not say as one: see its bytes; read holding_registers 5"
        )
        large = (await bob.ask("GET", "/api/held/1042.2")).json()
        assert (len(large["objects"]), large["more_objects"]) == (128, 72)
        assert large["what"] == "write holding_registers 0-199 = 0, 1, 2, 3 and 196 more"
        bare = (await bob.ask("GET", "/api/held/1042.3")).json()
        assert (bare["what"], bare["objects"]) == ("program to device (Download)", [])

    play(world, scenario)
