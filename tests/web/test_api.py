from datetime import datetime

import httpx2
import pytest
from browser import CSR, Client
from control_world import PASSWORD, SITE, STATION, World, play
from cryptography import x509

from penstock.model import Reason, RecordKind


def test_whoever_meets_the_gate_learns_its_authority_and_nothing_else(world: World) -> None:
    async def scenario(world: World) -> None:
        about = (await Client(world).ask("GET", "/api/gate")).json()
        assert about.keys() == {"gate", "site", "tunnel_port", "ca_pem", "notice", "sources"}
        assert (about["gate"], about["site"], about["tunnel_port"]) == ("gate.riverside.ot", "riverside-water", 8444)
        assert x509.load_pem_x509_certificate(about["ca_pem"].encode())

    play(world, scenario)


def test_enrolment_by_api(world: World) -> None:
    async def scenario(world: World) -> None:
        client = Client(world)
        code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        answer = (await client.ask("POST", "/api/enrolments", {"code": code})).json()
        assert answer["subject"] == "ada"
        world.secrets["ada"] = httpx2.URL(answer["otpauth_uri"]).params["secret"]
        weak = await client.ask(
            "POST", "/api/enrolments/confirm", {"code": code, "password": "short", "totp": "000000"}
        )
        assert weak.status_code == 422
        assert [problem["where"] for problem in weak.json()["problems"]] == ["password", "totp"]
        proof = {"code": code, "password": "correct horse battery", "totp": world.code()}
        assert (await client.ask("POST", "/api/enrolments/confirm", proof)).status_code == 200
        assert (await client.ask("POST", "/api/enrolments/confirm", proof)).status_code == 401
        world.clock.pass_s(30)
        assert (await client.sign_in()).status_code == 200

    play(world, scenario)


def test_a_sign_in_gives_a_token_and_a_certificate_in_the_subjects_name(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        answer = (await Client(world).sign_in()).json()
        assert (answer["subject"], answer["groups"]) == ("ada", ["operators"])
        certificate = x509.load_pem_x509_certificate(answer["certificate_pem"].encode())
        assert certificate.subject.rfc4514_string() == "CN=ada"
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(answer["ca_pem"].encode()))
        assert answer["token"] not in str(world.recorder.records)
        assert answer["token"] not in str(await world.gate.store.sign_ins())
        kinds = [record.kind for record in world.recorder.records[-2:]]
        assert kinds == [RecordKind.SIGNED_IN, RecordKind.CERTIFICATE_ISSUED]

    play(world, scenario)


def test_without_evidence_nobody_signs_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        world.recorder.is_healthy = False
        assert (await Client(world).sign_in()).status_code == 503
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_every_wrong_proof_gets_the_same_401(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        answers = [
            await client.sign_in(password="wrong password here"),
            await client.sign_in(totp="000000"),
            await client.ask(
                "POST", "/api/sign-ins", {"subject": "nobody", "password": "x", "totp": "1", "csr_pem": CSR}
            ),
        ]
        assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
        assert answers[0].json() == {"error": "name, password or code is not right", "problems": []}

    play(world, scenario)


def test_a_replayed_code_is_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client, code = Client(world), world.code()
        assert (await client.sign_in(totp=code)).status_code == 200
        assert (await Client(world).sign_in(totp=code)).status_code == 401

    play(world, scenario)


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_the_sixth_failure_is_429_with_a_time_also_for_unknown_subjects(world: World, name: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        world.secrets["nobody"] = world.secrets["ada"]
        client = Client(world)
        codes = [(await client.sign_in(name, password="wrong password here")).status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]
        last = await client.sign_in(name)
        assert (last.status_code, last.headers["retry-after"]) == (429, "30")
        locked = world.recorder.of(RecordKind.SUBJECT_LOCKED)
        assert [record.subject for record in locked] == [name]

    play(world, scenario)


def test_a_bad_certificate_request_is_refused_before_the_code_is_used_up(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        refused = await client.sign_in(csr_pem="garbage")
        assert (refused.status_code, refused.json()["problems"][0]["where"]) == (422, "csr_pem")
        assert (await client.sign_in()).status_code == 200

    play(world, scenario)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/reach"),
        ("POST", "/api/grants"),
        ("DELETE", "/api/grants/1"),
        ("GET", "/api/sessions"),
        ("DELETE", "/api/sign-ins/current"),
    ],
)
@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer wrong", "Basic YTpi"])
def test_without_a_token_there_is_nothing(world: World, method: str, path: str, authorization: str) -> None:
    async def scenario(world: World) -> None:
        answer = await Client(world).ask(method, path, {"asset": "plc-filter-1"}, authorization=authorization)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json() == {"error": "sign in first", "problems": []}

    play(world, scenario)


def test_an_expired_sign_in_is_no_sign_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        world.clock.pass_s(10 * 3600 - 31)
        assert (await client.ask("GET", "/api/sessions")).status_code == 200
        world.clock.pass_s(1)
        assert (await client.ask("GET", "/api/sessions")).status_code == 401

    play(world, scenario)


def test_reach_shows_what_conduits_lead_to_and_hides_the_rest_of_the_inventory(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada", "operators")
        await world.enrol("sam", "safety")
        ada, sam = Client(world), Client(world)
        await ada.sign_in("ada")
        await sam.sign_in("sam")
        rows = (await ada.ask("GET", "/api/reach")).json()["reach"]
        assert [(row["asset"], row["is_allowed"]) for row in rows] == [("plc-dosing", True), ("plc-filter-1", True)]
        assert rows[0]["conduit"] == "Operators set the dosing rate"
        assert rows[0]["port"] == 502
        (row,) = (await sam.ask("GET", "/api/reach")).json()["reach"]
        assert (row["asset"], row["is_allowed"]) == ("plc-secret", False)
        assert row["misses"][0].keys() == {"criterion", "wanted", "found", "remedy"}
        assert "phishing-resistant" in row["misses"][0]["wanted"]

    play(world, scenario)


def test_a_grant_by_certificate_is_bound_to_the_certificate_of_the_sign_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        answer = await client.ask("POST", "/api/grants", {"asset": "plc-dosing"})
        assert answer.status_code == 201
        body = answer.json()
        assert body.keys() == {
            "grant",
            "asset",
            "service",
            "protocol",
            "expires_at",
            "tunnel_port",
            "overlay",
            "transport",
            "port",
            "last_port",
            "overlay_port",
        }
        grant = world.workers.grants[body["grant"]]
        (sign_in,) = world.gate.state.now.sign_ins.values()
        assert (grant.certificate, grant.source) == (sign_in.certificate, None)
        (row,) = (await client.ask("GET", "/api/sessions")).json()["sessions"]
        assert (row["grant"], row["binding"]) == (body["grant"], "certificate")
        assert row["proof_left_s"] is None, "no conduit asks for a new proof"
        await world.gate.grants.close(body["grant"], Reason.ISOLATED)
        after = (await client.ask("GET", "/api/sessions")).json()
        assert after == {"sessions": [], "ended": [{"grant": body["grant"], "reason": "isolated"}]}

    play(world, scenario)


def test_whoever_asks_learns_when_a_grant_ends_for_want_of_a_new_proof(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.start(
            {"site.yaml": SITE.replace("require: {factors: two}", "require: {factors: two, reauthenticate: 30m}")}
        )
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        await client.ask("POST", "/api/grants", {"asset": "plc-filter-1"})
        world.clock.pass_s(60)
        (row,) = (await client.ask("GET", "/api/sessions")).json()["sessions"]
        (sign_in,) = world.gate.state.now.sign_ins.values()
        too_old_us = sign_in.subject.proved_at_us + 30 * 60 * 1_000_000
        assert row["proof_left_s"] == (too_old_us - world.clock.wall_us) // 1_000_000
        assert 28 * 60 <= row["proof_left_s"] <= 29 * 60

    play(world, scenario, is_started=False)


def test_a_grant_by_address_belongs_to_the_address_the_request_came_from(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world, station="10.20.0.77")
        await client.sign_in()
        body = (await client.ask("POST", "/api/grants", {"asset": "plc-filter-1", "binding": "address"})).json()
        assert world.workers.grants[body["grant"]].source == "10.20.0.77"
        refused = await client.ask("POST", "/api/grants", {"asset": "plc-dosing", "binding": "address"})
        assert (refused.status_code, refused.json()["reason"]) == (403, "tls_required")

    play(world, scenario)


def test_a_forbidden_asset_looks_exactly_like_one_that_does_not_exist(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        answers = [await client.ask("POST", "/api/grants", {"asset": name}) for name in ("plc-secret", "no-such-plc")]
        assert (answers[0].status_code, answers[0].text) == (answers[1].status_code, answers[1].text)
        assert answers[0].status_code == 403
        assert answers[0].json()["error"] == "not allowed"
        assert answers[0].json()["misses"] == []

    play(world, scenario)


def test_somebody_elses_grant_looks_like_one_that_does_not_exist(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada")
        await world.enrol("bob")
        ada, bob = Client(world), Client(world)
        await ada.sign_in("ada")
        await bob.sign_in("bob")
        number = (await ada.ask("POST", "/api/grants", {"asset": "plc-dosing"})).json()["grant"]
        foreign = await bob.ask("DELETE", f"/api/grants/{number}")
        unknown = await bob.ask("DELETE", "/api/grants/999999")
        absurd = await bob.ask("DELETE", "/api/grants/²")
        assert {(a.status_code, a.text) for a in (foreign, unknown, absurd)} == {(404, foreign.text)}
        assert number in world.workers.grants
        machine = world.machine("scada-1").number
        assert (await bob.ask("DELETE", f"/api/grants/{machine}")).status_code == 404
        assert (await ada.ask("DELETE", f"/api/grants/{number}")).status_code == 204
        assert number not in world.workers.grants

    play(world, scenario)


def test_signing_out_ends_every_grant_of_the_sign_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        number = (await client.ask("POST", "/api/grants", {"asset": "plc-dosing"})).json()["grant"]
        assert (await client.ask("DELETE", "/api/sign-ins/current")).status_code == 204
        assert number not in world.enforcer.open
        assert (await client.ask("GET", "/api/reach")).status_code == 401

    play(world, scenario)


@pytest.mark.parametrize("broken", ["evidence", "enforcer", "workers"])
def test_what_cannot_be_granted_now_is_503(world: World, broken: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        if broken == "evidence":
            world.recorder.is_healthy = False
        elif broken == "enforcer":
            world.enforcer.failing = {"OpenGrant"}
        else:
            world.workers.is_alive = False
        answer = await client.ask("POST", "/api/grants", {"asset": "plc-dosing"})
        assert answer.status_code == 503
        assert answer.json().keys() == {"error", "problems"}

    play(world, scenario)


NOT_A_WISH = [
    b"",
    b"{",
    b"[]",
    b'{"asset": 7}',
    b'{"asset": "a", "binding": "browser"}',
    b'{"asset": "\\ud800"}',
    b"\xff",
    b'{"asset": "a", "no": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
]


@pytest.mark.parametrize("content", NOT_A_WISH)
def test_a_body_that_is_not_what_is_asked_for_is_422_and_is_not_quoted(world: World, content: bytes) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        headers = {"authorization": f"Bearer {client.token}"}
        answer = await client.http.post("/api/grants", content=content, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["error"]

    play(world, scenario)


def test_errors_of_the_api_have_one_form(world: World) -> None:
    async def scenario(world: World) -> None:
        client = Client(world)
        for answer in (
            await client.ask("GET", "/api/nothing"),
            await client.ask("PUT", "/api/grants"),
            await client.http.post("/api/sign-ins", content=b"x" * 70_000),
        ):
            assert answer.json().keys() == {"error", "problems"}
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")

    play(world, scenario)


def test_a_failure_that_is_a_bug_says_nothing_about_itself(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        transport = httpx2.ASGITransport(app=Client(world).http._transport.app, raise_app_exceptions=False)
        world.gate.sign_ins.sign_in_from = None  # type: ignore[method-assign, assignment]
        async with httpx2.AsyncClient(base_url="https://gate.riverside.ot", transport=transport) as http:
            proof = {"subject": "ada", "password": "x", "totp": "1", "csr_pem": CSR}
            answer = await http.post("/api/sign-ins", json=proof)
        assert answer.status_code == 500
        assert answer.json() == {"error": "the gate made a mistake; it is in its log", "problems": []}

    play(world, scenario)


def test_the_source_of_a_failed_sign_in_is_in_the_evidence(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await Client(world).sign_in(password="wrong password here")
        record = world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1]
        assert (record.subject, record.detail["source"]) == ("ada", STATION)
        assert "wrong password here" not in str(world.recorder.records)

    play(world, scenario)


def test_whoever_waits_for_the_end_of_a_grant_does_not_come_before_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        world.clock.pass_s(0.25)
        row = (await client.ask("POST", "/api/grants", {"asset": "plc-dosing"})).json()
        told_s = datetime.fromisoformat(row["expires_at"]).timestamp()
        ends_us = world.gate.state.now.grants[row["grant"]].grant.expires_at_us or 0
        assert 0 <= told_s - ends_us / 1_000_000 < 1

    play(world, scenario)


def test_a_recovery_code_that_a_command_line_proves_with_is_told_like_any_other(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        await client.sign_in()
        code, *_ = await world.gate.factors.first_codes("ada", STATION)
        proof = {"subject": "ada", "password": PASSWORD, "totp": code}
        assert (await client.ask("POST", "/api/sign-ins/current/proofs", proof)).status_code == 200
        used = world.recorder.of(RecordKind.FACTOR_REMOVED)[-1]
        assert (used.subject, used.detail["left"], used.detail["source"]) == ("ada", 9, STATION)
        sign_in = await world.sign_in()
        assert "recovery code" in (await world.gate.factors.of(sign_in)).changes[0].what

    play(world, scenario)
