"""Letting a command line in: the confirmation pages, and what a code is worth afterwards."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browser import CSR, ORIGIN, Browser, Client, hidden_fields
from control_world import PASSWORD, SITE, STATION, World, play

from penstock.control import SignInKind
from penstock.model import RecordKind

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STATE = "s" * 22
CALL = {"challenge": CHALLENGE, "state": STATE, "port": "43210", "host": "eng-7"}
OFF = SITE.replace("conduits:", "identity:\n  sign_in: {device: false}\nconduits:", 1)


def address(**changed: str) -> str:
    return f"/client?{urlencode({**CALL, **changed})}"


async def confirmed(browser: Browser, **changed: str) -> str:
    """Confirm, and return the code that the browser carries back."""
    done = await browser.submit(await browser.get(address(**changed)), "/client")
    assert done.status_code == 200
    target = urlsplit(done.headers["refresh"].removeprefix("0; url="))
    assert (target.scheme, target.hostname, target.path) == ("http", "127.0.0.1", "/")
    given = parse_qs(target.query)
    assert given["state"] == [STATE]
    return given["code"][0]


async def redeem(client: Client, code: str, verifier: str = VERIFIER) -> Any:
    return await client.ask("POST", "/api/clients/tokens", {"code": code, "verifier": verifier, "csr_pem": CSR})


def refusals(world: World) -> list[str | None]:
    return [record.reason for record in world.recorder.of(RecordKind.CLIENT_REFUSED)]


def test_whoever_is_signed_in_confirms_and_the_program_gets_a_sign_in_of_its_own(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        page = await browser.get(address())
        for word in ("eng-7", STATION, "ada", "two"):
            assert word in page.text
        assert "its own word" in page.text
        answer = await redeem(client, await confirmed(browser))
        assert answer.status_code == 200
        client.token = answer.json()["token"]
        assert (await client.ask("GET", "/api/reach")).status_code == 200
        kinds = {each.kind: each for each in world.gate.state.now.sign_ins.values()}
        portal, command = kinds[SignInKind.PORTAL], kinds[SignInKind.CLIENT]
        assert command.subject == portal.subject, "the same proof: factors, grade, and when it was given"
        assert command.expires_at_us == portal.expires_at_us, "never longer than what it comes from"
        assert (command.agent, command.certificate is None) == ("eng-7", False)
        (record,) = world.recorder.of(RecordKind.CLIENT_CONFIRMED)
        assert (record.subject, record.detail["host"], record.detail["way"]) == ("ada", "eng-7", "browser")

    play(world, scenario)


def test_the_sign_in_of_the_program_outlives_the_sign_out_of_the_browser(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        client.token = (await redeem(client, await confirmed(browser))).json()["token"]
        await browser.submit(await browser.get("/"), "/sign-out")
        assert (await client.ask("GET", "/api/reach")).status_code == 200

    play(world, scenario)


def test_whoever_is_not_signed_in_signs_in_first_and_then_comes_back_once(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        sent = await browser.get(address())
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in")
        await browser.sign_in()
        back = await browser.get("/")
        assert back.headers["location"] == address()
        assert "eng-7" in (await browser.get(back.headers["location"])).text
        assert (await browser.get("/")).status_code == 200

    play(world, scenario)


@pytest.mark.parametrize(
    "changed",
    [
        {"port": "80"}, {"port": "70000"}, {"port": "43210@evil.example"}, {"port": "evil.example:443"}, {"port": ""},
        {"port": "\uff11\uff12\uff13\uff14"}, {"challenge": "plain"}, {"challenge": ""}, {"state": "short"},
        {"state": "s" * 22 + "&x=1"}, {"state": "s" * 200},
    ],
)  # fmt: skip
def test_the_browser_is_sent_to_loopback_only_whatever_the_call_says(world: World, changed: dict[str, str]) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        page = await browser.get(address())
        assert (await browser.get(address(**changed))).status_code == 422
        fields = {**hidden_fields(page.text, "/client"), **changed}
        for path in ("/client", "/client/refuse"):
            answer = await browser.http.post(path, data=fields, headers={"origin": ORIGIN})
            assert answer.status_code == 422
            assert "refresh" not in answer.headers
        assert world.recorder.of(RecordKind.CLIENT_CONFIRMED) == []

    play(world, scenario)


def test_a_kept_call_that_somebody_tampered_with_leads_nowhere(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        evil = [b"https://evil.example", b"client?port=1", b"//evil.example/device", b"\xff\xfe", b"device/../x"]
        for each in (*(base64.urlsafe_b64encode(text).decode() for text in evil), "%%%", "A" * 5000):
            browser.http.cookies.set("__Host-penstock-next", each, domain="gate.riverside.ot", path="/")
            assert (await browser.get("/")).status_code == 200

    play(world, scenario)


def test_the_name_of_the_computer_is_shown_as_text_and_cut(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        text = (await browser.get(address(host="<script>x</script>\u202e" + "h" * 500))).text
        assert "<script" not in text
        assert "\u202e" not in text
        assert "h" * 65 not in text

    play(world, scenario)


def test_a_form_without_the_token_of_this_browser_lets_nothing_in(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, other = Browser(world), Browser(world)
        await browser.sign_in()
        await other.get("/sign-in")
        fields = hidden_fields((await browser.get(address())).text, "/client")
        stolen = await other.http.post("/client", data=fields, headers={"origin": ORIGIN})
        foreign = await browser.http.post("/client", data=fields, headers={"origin": "https://evil.example"})
        bare = await browser.http.post("/client", data=CALL, headers={"origin": ORIGIN})
        device = await browser.http.post("/device/confirm", data={"code": "BCDFGHJK"}, headers={"origin": ORIGIN})
        assert [each.status_code for each in (stolen, foreign, bare, device)] == [403] * 4
        assert (await browser.http.get("/client/refuse")).status_code == 405
        assert world.recorder.of(RecordKind.CLIENT_CONFIRMED) == []

    play(world, scenario)


def test_a_refusal_goes_back_to_the_program_and_is_on_record(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        done = await browser.submit(await browser.get(address()), "/client/refuse")
        assert done.headers["refresh"] == f"0; url=http://127.0.0.1:43210/?error=access_denied&state={STATE}"
        assert refusals(world) == ["refused by the person"]

    play(world, scenario)


def test_a_code_works_once_and_its_second_use_is_on_record(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        code = await confirmed(browser)
        assert (await redeem(client, code)).status_code == 200
        again = await redeem(client, code)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert refusals(world) == ["code used twice"]
        assert code not in str(world.recorder.records)

    play(world, scenario)


@pytest.mark.parametrize("verifier", ["w" * 43, "", "v" * 42, "v" * 129, CHALLENGE, "é" * 43])
def test_a_code_without_its_verifier_is_worth_nothing_and_is_spent(world: World, verifier: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        code = await confirmed(browser)
        assert (await redeem(client, code, verifier)).json()["error"] == "invalid_grant"
        assert (await redeem(client, code)).json()["error"] == "invalid_grant"
        assert refusals(world) == ["wrong verifier", "code used twice"]
        assert all(each.kind is SignInKind.PORTAL for each in world.gate.state.now.sign_ins.values())

    play(world, scenario)


def test_a_code_is_good_for_a_minute_and_not_after_a_sign_out(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        late = await confirmed(browser)
        world.clock.pass_s(60)
        assert (await redeem(client, late)).json()["error"] == "invalid_grant"
        signed_out = await confirmed(browser)
        await browser.submit(await browser.get("/"), "/sign-out")
        assert (await redeem(client, signed_out)).json()["error"] == "invalid_grant"
        assert refusals(world) == ["whoever confirmed it is not signed in any more"]

    play(world, scenario)


def test_a_bad_request_for_a_certificate_does_not_spend_the_code(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        code = await confirmed(browser)
        body = {"code": code, "verifier": VERIFIER, "csr_pem": "nonsense"}
        assert (await client.ask("POST", "/api/clients/tokens", body)).status_code == 422
        assert (await redeem(client, code)).status_code == 200

    play(world, scenario)


def test_whoever_guesses_keeps_nobody_out_who_comes_from_the_same_address_with_a_code(world: World) -> None:
    """A whole site may share one address (NAT); and what is right was not guessed: 256 bits."""

    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        begun = await begin_device(client)
        page = await browser.submit(await browser.get("/device"), "/device", code=begun["user_code"])
        await browser.submit(page, "/device/confirm")
        code = await confirmed(browser)
        guessed = [(await redeem(client, f"no-code-{at}")).status_code for at in range(21)]
        assert guessed[-1] == 429
        assert (await redeem(client, code)).status_code == 200
        assert (await poll(client, begun)).status_code == 200
        assert (await redeem(client, code)).status_code == 429, "spent: a guess like any other"

    play(world, scenario)


def test_guessing_codes_is_slowed_down_by_source(world: World) -> None:
    async def scenario(world: World) -> None:
        client, other = Client(world), Client(world, station="10.20.0.99")
        answers = [(await redeem(client, f"guess-{number}")).status_code for number in range(21)]
        assert answers == [400] * 20 + [429]
        assert (await redeem(other, "guess")).status_code == 400

    play(world, scenario)


async def begin_device(client: Client, host: str = "eng-7") -> dict[str, Any]:
    answer = await client.ask("POST", "/api/clients/devices", {"host": host})
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


async def poll(client: Client, begun: dict[str, Any]) -> Any:
    return await client.ask("POST", "/api/clients/tokens", {"device_code": begun["device_code"], "csr_pem": CSR})


def test_a_computer_without_a_browser_is_let_in_by_its_code(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world, station="10.20.0.44")
        begun = await begin_device(client)
        assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{8}", begun["user_code"])
        assert (begun["expires_in"], begun["interval"]) == (600, 5)
        assert (await browser.get("/device")).headers["location"] == "/sign-in"
        await browser.sign_in()
        assert (await browser.get("/")).headers["location"] == "/device"
        assert (await poll(client, begun)).json()["error"] == "authorization_pending"
        typed = f" {begun['user_code'][:4].lower()}-{begun['user_code'][4:]} "
        page = await browser.submit(await browser.get("/device"), "/device", code=typed)
        assert "10.20.0.44" in page.text
        assert "started <code>penstock login</code> on that computer yourself" in page.text
        done = await browser.submit(page, "/device/confirm")
        assert "eng-7 is let in" in done.text
        world.clock.pass_s(5)
        answer = await poll(client, begun)
        assert (answer.status_code, answer.json()["subject"]) == (200, "ada")
        world.clock.pass_s(5)
        assert (await poll(client, begun)).json()["error"] == "expired_token"
        again = await browser.submit(await browser.get("/device"), "/device", code=begun["user_code"])
        assert again.status_code == 422

    play(world, scenario)


def test_a_program_that_asks_too_often_is_told_to_slow_down_each_time_more(world: World) -> None:
    async def scenario(world: World) -> None:
        client = Client(world)
        begun = await begin_device(client)
        said = []
        for pause_s in (0, 1, 9, 14, 19, 25):
            world.clock.pass_s(pause_s)
            said.append((await poll(client, begun)).json()["error"])
        assert said == ["authorization_pending", *(["slow_down"] * 4), "authorization_pending"]

    play(world, scenario)


def test_a_code_of_a_device_ends_after_ten_minutes_or_with_a_no(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        refused = await begin_device(client)
        page = await browser.submit(await browser.get("/device"), "/device", code=refused["user_code"])
        assert "eng-7 is refused" in (await browser.submit(page, "/device/refuse")).text
        assert (await poll(client, refused)).json()["error"] == "access_denied"
        late = await begin_device(client)
        world.clock.pass_s(600)
        assert (await poll(client, late)).json()["error"] == "expired_token"
        answer = await browser.submit(await browser.get("/device"), "/device", code=late["user_code"])
        assert answer.status_code == 422
        assert refusals(world) == ["refused by the person"]

    play(world, scenario)


def test_guessing_what_other_computers_show_is_slowed_down_by_subject(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        begun = await begin_device(client)
        await browser.sign_in()
        page = await browser.get("/device")
        typed = ["BBBBBBBB", "short", "AEIOU000", "C" * 20, "CCCC-CCCC"]
        answers = [(await browser.submit(page, "/device", code=each)).status_code for each in typed]
        assert answers == [422] * 5
        locked = await browser.submit(page, "/device", code=begun["user_code"])
        assert (locked.status_code, locked.headers["retry-after"]) == (429, "60")
        world.clock.pass_s(60)
        assert (await browser.submit(page, "/device", code=begun["user_code"])).status_code == 200

    play(world, scenario)


def test_pending_computers_are_bounded_for_each_source(world: World) -> None:
    async def scenario(world: World) -> None:
        client, other = Client(world), Client(world, station="10.20.0.99")
        answers = [(await client.ask("POST", "/api/clients/devices", {})).status_code for _ in range(11)]
        assert answers == [200] * 10 + [429]
        assert (await other.ask("POST", "/api/clients/devices", {})).status_code == 200
        world.clock.pass_s(600)
        assert (await client.ask("POST", "/api/clients/devices", {})).status_code == 200

    play(world, scenario)


def test_one_subject_cannot_have_many_codes_at_once_and_takes_no_others_place(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.enrol("eve")
        browser, other = Browser(world), Browser(world)
        await browser.sign_in()
        await other.sign_in("eve")
        page = await browser.get(address())
        answers = [(await browser.submit(page, "/client")).status_code for _ in range(11)]
        assert answers == [200] * 10 + [503]
        assert await confirmed(other)
        world.clock.pass_s(60)
        assert await confirmed(browser)

    play(world, scenario)


def test_a_site_can_do_without_codes_that_are_typed_elsewhere(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.gate.revisions.apply({"site.yaml": OFF}, "uid 0")
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        assert (await browser.get("/device")).status_code == 404
        answer = await client.ask("POST", "/api/clients/devices", {"host": "eng-7"})
        assert answer.status_code == 422
        assert "penstock login --local" in answer.json()["problems"][0]["hint"]
        assert (await redeem(client, await confirmed(browser))).status_code == 200

    play(world, scenario)


def test_nothing_is_let_in_where_the_evidence_cannot_be_written(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await browser.sign_in()
        begun = await begin_device(client)
        page, device = await browser.get(address()), await browser.get("/device")
        device = await browser.submit(device, "/device", code=begun["user_code"])
        world.recorder.is_healthy = False
        assert (await browser.submit(page, "/client")).status_code == 503
        assert (await browser.submit(device, "/device/confirm")).status_code == 503
        world.recorder.is_healthy = True
        assert (await poll(client, begun)).json()["error"] == "authorization_pending"

    play(world, scenario)


async def prove(client: Client, code: str) -> Any:
    return await client.ask("POST", "/api/clients/proofs", {"code": code, "verifier": VERIFIER})


def test_a_fresh_proof_at_the_portal_renews_the_programs_and_leaves_its_grants(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, client = Browser(world), Client(world)
        await client.sign_in()
        number = (await client.ask("POST", "/api/grants", {"asset": "plc-filter-1"})).json()["grant"]
        await browser.sign_in()
        world.clock.pass_s(600)
        page = await browser.get(address(again="1"))
        assert "Prove again who you are" in page.text
        assert (await browser.submit(page, "/client/prove")).headers["location"] == "/prove"
        proof = {"password": PASSWORD, "code": world.code()}
        proved = await browser.submit(await browser.get("/prove"), "/prove", **proof)
        assert proved.headers["location"] == "/"
        assert (await browser.get("/")).headers["location"] == address(again="1")
        answer = await prove(client, await confirmed(browser, again="1"))
        assert (answer.status_code, answer.json()["subject"]) == (200, "ada")
        assert number in world.enforcer.open or number in world.workers.grants
        (renewed,) = [each for each in world.gate.state.now.sign_ins.values() if each.kind is SignInKind.CLIENT]
        assert world.clock.wall_us - renewed.subject.proved_at_us <= 60 * 1_000_000
        kinds = [record.detail["kind"] for record in world.recorder.of(RecordKind.PROVED_AGAIN)]
        assert kinds == ["portal", "client"]

    play(world, scenario)


def test_an_old_proof_does_not_become_new_and_a_foreign_one_does_not_count(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.enrol("eve")
        browser, client, stranger = Browser(world), Client(world), Browser(world)
        await browser.sign_in()
        await client.sign_in()
        old = await prove(client, await confirmed(browser))
        assert (old.status_code, old.json()["problems"][0]["where"]) == (422, "proof")
        await stranger.sign_in("eve")
        foreign = await prove(client, await confirmed(stranger))
        assert (foreign.status_code, foreign.json()["problems"][0]["where"]) == (422, "subject")
        assert world.recorder.of(RecordKind.PROVED_AGAIN) == []

    play(world, scenario)


def test_a_proof_is_renewed_only_for_whoever_has_the_token(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        code = await confirmed(browser)
        assert (await prove(Client(world), code)).status_code == 401
        assert (await redeem(Client(world), code)).status_code == 200, "the code was not spent"

    play(world, scenario)
