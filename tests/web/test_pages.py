import re

import pytest
from browser import CSR, ORIGIN, Browser, admin, hidden_fields
from control_world import DOCUMENTS, PASSWORD, SITE, World, play

from penstock.model import Command, CountTraffic, RecordKind, Traffic, TrafficCounted

#: The one script of the portal, on the pages where a passkey can be used.
PASSKEY_SCRIPT = '<script src="/static/passkey.js" defer></script>'


async def enrol_by_page(world: World, browser: Browser, code: str) -> str:
    """Go through both steps; answers where it ended."""
    page = await browser.submit(await browser.get("/enrol"), "/enrol", code=code)
    secret = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', page.text)
    assert secret is not None
    world.secrets["ada"] = secret[1].replace(" ", "")
    fields = {"password": PASSWORD, "repeated": PASSWORD, "totp": world.code()}
    done = await browser.submit(page, "/enrol/confirm", **fields)
    world.clock.pass_s(30)
    assert len(set(re.findall(r"<code>([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})</code>", done.text))) == 10
    assert "required> I have kept them" in done.text
    onward = re.search(r'<form method="get" action="([^"]+)"', done.text)
    assert onward is not None
    return onward[1]


def test_from_the_enrolment_code_to_an_open_path_without_any_script(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        assert await enrol_by_page(world, browser, code) == "/sign-in"
        signed_in = await browser.sign_in()
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
        home = await browser.get("/")
        assert "penstock connect plc-dosing" in home.text
        assert "plc-secret" not in home.text
        opened = await browser.submit(home, "/grants")
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        (number,) = [n for n, g in world.workers.grants.items() if g.subject.name == "ada"]
        home = await browser.get("/")
        assert "point your tool at <code>100.64" in home.text
        ended = await browser.submit(home, f"/grants/{number}/end")
        assert ended.status_code == 303
        assert number not in world.enforcer.open
        assert "<script" not in home.text

    play(world, scenario)


def test_a_mistake_while_enrolling_shows_the_same_secret_again_and_keeps_the_code_out_of_addresses(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        page = await browser.submit(await browser.get("/enrol"), "/enrol", code=code)
        wrong = {"password": PASSWORD, "repeated": PASSWORD + "x", "totp": "000000"}
        again = await browser.submit(page, "/enrol/confirm", **wrong)
        secret = re.compile(r'class="secret">([^<]+)<')
        assert again.status_code == 422
        assert secret.findall(again.text) == secret.findall(page.text)
        assert "not the same in both fields" in again.text
        assert PASSWORD not in again.text
        assert code not in str(again.url)
        spent = await browser.submit(page, "/enrol/confirm", **{**wrong, "code": "AAAAA"})
        assert spent.status_code == 401

    play(world, scenario)


def test_cookies_are_bound_to_this_host_and_kept_from_scripts_and_other_sites(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        before = (await browser.get("/sign-in")).headers["set-cookie"]
        after = (await browser.sign_in()).headers.get_list("set-cookie")[0]
        for cookie, name in ((before, "__Host-penstock-form="), (after, "__Host-penstock=")):
            assert cookie.startswith(name)
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert attributes == {"path=/", "secure", "httponly", "samesite=strict"}

    play(world, scenario)


def test_the_sign_in_gets_a_new_cookie_even_where_one_was_planted(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        browser.http.cookies.set("__Host-penstock", "planted", domain="gate.riverside.ot")
        await browser.sign_in()
        assert browser.http.cookies.get("__Host-penstock", domain="gate.riverside.ot", path="/") != "planted"
        assert "planted" not in str(world.gate.state.now.sign_ins)

    play(world, scenario)


def test_signing_in_again_ends_the_sign_in_before(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        page = await browser.get("/sign-in")
        await browser.sign_in()
        home = await browser.get("/")
        token = hidden_fields(home.text, "/sign-out")["form_token"]
        fields = {"form_token": token, "subject": "ada", "password": PASSWORD, "code": world.code()}
        answer = await browser.http.post("/sign-in", data=fields, headers={"origin": ORIGIN})
        assert answer.status_code == 303
        assert page.status_code == 200
        assert len(world.gate.state.now.sign_ins) == 1

    play(world, scenario)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://gate.riverside.ot", ""])
def test_a_form_from_another_origin_is_refused(world: World, origin: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        page = await browser.get("/sign-in")
        fields = {"subject": "ada", "password": PASSWORD, "code": world.code()}
        answer = await browser.submit(page, "/sign-in", headers={"origin": origin}, **fields)
        assert answer.status_code == 403
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_a_form_without_its_token_or_with_another_browsers_is_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser, other = Browser(world), Browser(world)
        await browser.sign_in()
        foreign = hidden_fields((await other.get("/sign-in")).text, "/sign-in")["form_token"]
        for token in ({}, {"form_token": ""}, {"form_token": foreign}, {"form_token": "é"}):
            fields = {"asset": "plc-filter-1", **token}
            answer = await browser.http.post("/grants", data=fields, headers={"origin": ORIGIN})
            assert answer.status_code == 403
        assert not [g for g in world.workers.grants.values() if g.subject.name == "ada"]

    play(world, scenario)


@pytest.mark.parametrize("path", ["/", "/sign-in", "/enrol", "/nowhere", "/static/penstock.css"])
def test_every_answer_carries_the_security_headers(world: World, path: str) -> None:
    async def scenario(world: World) -> None:
        headers = (await Browser(world).get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert ("no-store" in headers["cache-control"]) is not path.startswith("/static")

    play(world, scenario)


def test_pages_use_nothing_that_the_content_policy_forbids(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        code = (await world.gate.subjects.add("eve", (), "uid 0")).code
        texts = [
            (await browser.submit(await browser.get("/enrol"), "/enrol", code=code)).text,
            (await browser.get("/sign-in")).text,
        ]
        await browser.sign_in()
        texts.append((await browser.get("/")).text)
        for text in (text.replace(PASSKEY_SCRIPT, "") for text in texts):
            assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?://(?!www\.w3\.org)", text)
            assert '<html lang="en">' in text
            assert 'href="#main"' in text
            for field in re.findall(r'<input id="(\w+)"', text):
                assert f'for="{field}"' in text

    play(world, scenario)


def test_what_is_not_there_is_a_plain_page(world: World) -> None:
    async def scenario(world: World) -> None:
        answer = await Browser(world).get("/nowhere")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "Not found" in answer.text
        assert (await Browser(world).get("/static/..%2fapp.py")).status_code == 404

    play(world, scenario)


def test_pages_send_whoever_is_not_signed_in_to_the_form(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        answer = await browser.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        browser.http.cookies.set("__Host-penstock", "guess", domain="gate.riverside.ot")
        assert (await browser.get("/")).status_code == 303

    play(world, scenario)


def test_a_portal_that_is_left_alone_is_signed_out_but_its_grants_go_on(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        await browser.submit(await browser.get("/"), "/grants")
        (number,) = [n for n, g in world.workers.grants.items() if g.subject.name == "ada"]
        world.clock.pass_s(15 * 60 - 1)
        assert (await browser.get("/")).status_code == 200
        world.clock.pass_s(15 * 60)
        assert (await browser.get("/")).status_code == 303
        await world.gate.sweep()
        assert number in world.enforcer.open
        assert world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason == "idle"

    play(world, scenario)


def test_signing_out_ends_the_paths_of_this_browser(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        await browser.submit(await browser.get("/"), "/grants")
        assert [g for g in world.enforcer.open.values() if g.subject.name == "ada"]
        answer = await browser.submit(await browser.get("/"), "/sign-out")
        assert answer.headers["location"] == "/sign-in"
        assert not [g for g in world.enforcer.open.values() if g.subject.name == "ada"]
        assert (await browser.get("/")).status_code == 303

    play(world, scenario)


def test_a_portal_cookie_is_no_bearer_token_and_the_other_way_round(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        token = browser.http.cookies.get("__Host-penstock", domain="gate.riverside.ot", path="/")
        answer = await browser.http.get("/api/reach", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401

    play(world, scenario)


def test_the_lock_out_counts_page_and_api_together(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        for _ in range(5):
            page = await browser.get("/sign-in")
            wrong = await browser.submit(page, "/sign-in", subject="ada", password="wrong", code="000000")
            assert wrong.status_code == 401
        api = await browser.http.post(
            "/api/sign-ins", json={"subject": "ada", "password": PASSWORD, "totp": world.code(), "csr_pem": CSR}
        )
        assert api.status_code == 429
        locked = await browser.sign_in()
        assert (locked.status_code, locked.headers["retry-after"]) == (429, "30")
        assert "Try again in 30 seconds" in locked.text

    play(world, scenario)


def test_hostile_names_are_shown_as_text(world: World) -> None:
    async def scenario(world: World) -> None:
        hostile = "<script>alert('x')</script>\" onmouseover=1 x="
        browser = Browser(world)
        page = await browser.get("/sign-in")
        answer = await browser.submit(page, "/sign-in", subject=hostile, password="x", code="000000")
        assert "<script" not in answer.text.replace(PASSKEY_SCRIPT, "")
        assert "&lt;script&gt;" in answer.text
        assert '" onmouseover' not in answer.text

    play(world, scenario)


def test_a_hostile_conduit_name_is_shown_as_text(world: World) -> None:
    async def scenario(world: World) -> None:
        documents = {"site.yaml": SITE.replace("Safety engineers only:", '"Safety <b>x</b>":')}
        await world.gate.revisions.apply(documents, "uid 0")
        await world.enrol("sam", "safety")
        browser = Browser(world)
        await browser.sign_in("sam")
        text = (await browser.get("/")).text
        assert "Safety &lt;b&gt;x&lt;/b&gt;" in text
        assert "<b>x</b>" not in text

    play(world, scenario)


def test_the_administrator_is_recorded_by_unix_user(world: World) -> None:
    async def scenario(world: World) -> None:
        http = admin(world)
        added = (await http.post("/admin/subjects", json={"name": "ada", "groups": ["operators"]})).json()
        assert added.keys() == {"name", "code", "expires_at"}
        assert world.recorder.of(RecordKind.SUBJECT_ADDED)[-1].detail["by"] == "uid 0"
        assert added["code"] not in str(world.recorder.records)
        taken = await http.post("/admin/subjects", json={"name": "ada", "groups": []})
        hostile = await http.post("/admin/subjects", json={"name": "../<x>", "groups": ["a b"]})
        assert (taken.status_code, hostile.status_code) == (422, 422)
        assert [problem["where"] for problem in hostile.json()["problems"]] == ["name", "groups"]
        rows = (await http.get("/admin/subjects")).json()["subjects"]
        assert [(row["name"], row["groups"], row["state"]) for row in rows] == [("ada", ["operators"], "invited")]

    play(world, scenario)


def test_suspending_a_subject_ends_everything_and_resuming_lets_it_sign_in_again(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        grant = await world.open(sign_in)
        http = admin(world)
        answer = await http.post("/admin/subjects/ada/suspend")
        assert answer.json() == {"grants_closed": 1, "not_yet": []}
        assert grant.number not in world.enforcer.open
        assert world.gate.state.now.sign_ins == {}
        browser = Browser(world)
        assert (await browser.sign_in()).status_code == 401
        await world.restart()
        assert (await admin(world).post("/admin/subjects/ada/resume")).status_code == 204
        del world.portal  # type: ignore[attr-defined]
        assert (await Browser(world).sign_in()).status_code == 303
        kinds = [record.kind for record in world.recorder.records]
        assert RecordKind.SUBJECT_SUSPENDED in kinds
        assert RecordKind.SUBJECT_RESUMED in kinds
        assert (await admin(world).post("/admin/subjects/nobody/suspend")).status_code == 422

    play(world, scenario)


def test_the_administrator_sees_what_a_grants_flows_have_carried_until_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())

        async def count(command: Command) -> None:
            assert isinstance(command, CountTraffic)
            running = Traffic(flows=2, packets=20, bytes=2000, packets_sent=11, bytes_sent=900)
            world.gate.events.records_of(TrafficCounted(open={grant.number: running}, is_all=True, at_us=5))

        monkeypatch.setattr(world.enforcer, "command", count)
        answer = (await admin(world).get("/admin/grants")).json()
        assert answer["traffic_is_current"]
        (row,) = [row for row in answer["grants"] if row["number"] == grant.number]
        traffic = row["traffic"]
        assert (traffic["kernel_flows_open"], traffic["packets"], traffic["bytes"]) == (2, 20, 2000)
        assert (traffic["packets_sent"], traffic["bytes_sent"]) == (11, 900)

    play(world, scenario)


def test_the_administrator_applies_revokes_and_looks(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        http = admin(world)
        rows = (await http.get("/admin/grants")).json()["grants"]
        assert {"number", "subject", "asset", "service", "binding", "expires_at"} <= rows[0].keys()
        assert (await http.delete(f"/admin/grants/{grant.number}")).status_code == 204
        assert (await http.delete(f"/admin/grants/{grant.number}")).status_code == 404
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].detail["by"] == "uid 0"
        applied = await http.post("/admin/revisions", json={"documents": DOCUMENTS})
        assert applied.json() == {"revision": 2}
        broken = await http.post("/admin/revisions", json={"documents": {"site.yaml": "site: ["}})
        assert broken.status_code == 422
        assert broken.json()["problems"][0]["where"].startswith("site.yaml:")
        listed = (await http.get("/admin/revisions")).json()["revisions"]
        assert [(row["revision"], row["by"]) for row in listed] == [(2, "uid 0"), (1, "the site document")]
        status = (await http.get("/admin/status")).json()
        assert (status["revision"], status["evidence"]["is_healthy"]) == (2, True)
        assert status["inspection"] == "alive"

    play(world, scenario)
