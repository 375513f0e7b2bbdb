"""Sessions of the portal: the notice before them, cookies that change, and the list of where one is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browser import CSR, Browser, Client
from control_world import PASSWORD, SITE, World, play

from penstock.control.portal_tokens import TOKEN_GRACE_US, TOKEN_LIFE_US
from penstock.model import RecordKind

BANNER = """
identity:
  banner:
    title: Notice and consent
    text: |
      You are entering the control network of Riverside Water.

      Everything is <recorded>.
"""
COOKIE = "__Host-penstock"


def with_banner(world: World, scenario: Callable[[World], Any]) -> None:
    async def run(world: World) -> None:
        await world.start({"site.yaml": SITE + BANNER})
        await scenario(world)

    play(world, run, is_started=False)


def test_nobody_sees_the_sign_in_form_before_the_notice_is_accepted(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.subjects.add("ada", ("operators",), "uid 0")
        browser = Browser(world)
        assert (await browser.get("/sign-in")).headers["location"] == "/notice"
        notice = await browser.get("/notice")
        assert "control network of Riverside Water" in notice.text
        assert "&lt;recorded&gt;" in notice.text
        accepted = await browser.submit(notice, "/notice")
        assert accepted.headers["location"] == "/sign-in"
        assert "samesite=lax" in accepted.headers["set-cookie"].lower()
        assert "Password" in (await browser.get("/sign-in")).text

    with_banner(world, scenario)


def test_a_form_that_was_kept_from_before_does_not_get_around_the_notice(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        form = await browser.submit(await browser.get("/notice"), "/notice")
        form = await browser.get("/sign-in")
        browser.http.cookies.delete("__Host-penstock-notice")
        fields = {"subject": "ada", "password": PASSWORD, "code": world.code()}
        assert (await browser.submit(form, "/sign-in", **fields)).headers["location"] == "/notice"
        browser.http.cookies.set("__Host-penstock-notice", "0" * 64)
        assert (await browser.submit(form, "/sign-in", **fields)).headers["location"] == "/notice"
        assert not world.recorder.of(RecordKind.SIGNED_IN)

    with_banner(world, scenario)


def test_the_acceptance_is_recorded_with_the_sign_in_and_counts_for_one_only(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.submit(await browser.get("/notice"), "/notice")
        assert (await browser.sign_in()).headers["location"] == "/"
        policy = world.gate.state.now.policy
        assert policy is not None
        assert policy.site.identity.banner is not None
        (record,) = world.recorder.of(RecordKind.NOTICE_ACCEPTED)
        assert record.subject == "ada"
        assert record.detail["sha256"] == policy.site.identity.banner.digest
        await browser.submit(await browser.get("/"), "/sign-out")
        assert (await browser.get("/sign-in")).headers["location"] == "/notice"

    with_banner(world, scenario)


def test_the_command_line_must_accept_the_very_notice_that_the_gate_shows(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client = Client(world)
        shown = (await client.ask("GET", "/api/gate")).json()["notice"]
        assert shown["title"] == "Notice and consent"
        proof = {"subject": "ada", "password": PASSWORD, "totp": world.code(), "csr_pem": CSR}
        for wrong in (None, "", "0" * 64):
            refused = await client.ask("POST", "/api/sign-ins", {**proof, "notice": wrong})
            assert refused.status_code == 422
            assert refused.json()["problems"][0]["where"] == "notice"
        assert not world.recorder.of(RecordKind.SIGN_IN_REFUSED), "no proof was looked at"
        accepted = await client.ask("POST", "/api/sign-ins", {**proof, "notice": shown["sha256"]})
        assert accepted.status_code == 200

    with_banner(world, scenario)


def test_the_cookie_of_a_portal_changes_now_and_then_and_forms_from_before_go_on(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        browser = Browser(world)
        await browser.sign_in()
        first = browser.http.cookies[COOKIE]
        home = await browser.get("/")
        assert browser.http.cookies[COOKIE] == first
        for _ in range(2):
            world.clock.pass_s(TOKEN_LIFE_US / 2_000_000)
            page = await browser.get("/sign-ins")
        assert browser.http.cookies[COOKIE] != first
        assert page.status_code == 200
        opened = await browser.submit(home, "/grants")
        assert opened.headers["location"] == "/"
        world.clock.pass_s(TOKEN_GRACE_US / 1_000_000)
        thief = Browser(world, "10.20.0.99")
        thief.http.cookies.set(COOKIE, first)
        assert (await thief.get("/")).headers["location"] == "/sign-in"
        assert (await browser.get("/")).headers["location"] == "/sign-in", "copied: nobody has it any more"
        assert "was used again" in str(world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason)

    play(world, scenario)


def test_everybody_sees_where_they_are_signed_in_and_can_end_each_of_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.enrol("bob")
        here, there, bobs = Browser(world), Browser(world, "10.20.0.77"), Browser(world, "10.20.0.78")
        there.http.headers["user-agent"] = "Firefox <b>on</b> the laptop"
        for browser, name in ((here, "ada"), (there, "ada"), (bobs, "bob")):
            await browser.sign_in(name)
        page = await here.get("/sign-ins")
        assert "10.20.0.77" in page.text
        assert "Firefox &lt;b&gt;on&lt;/b&gt;" in page.text
        assert "10.20.0.78" not in page.text
        bobs_page = await bobs.get("/sign-ins")
        (bobs_id,) = {part.split("/")[2] for part in bobs_page.text.split(chr(34)) if part.startswith("/sign-ins/")}
        stolen = await here.submit(page, "/sign-ins/others/end")
        assert stolen.headers["location"] == "/sign-ins"
        token = {"form_token": page.text.split('name="form_token" value="')[1].split(chr(34))[0]}
        foreign = await here.http.post(
            f"/sign-ins/{bobs_id}/end", data=token, headers={"origin": "https://gate.riverside.ot"}
        )
        assert foreign.status_code == 404
        assert (await there.get("/")).headers["location"] == "/sign-in"
        assert (await bobs.get("/")).status_code == 200
        assert world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason == "ended by its owner"

    play(world, scenario)


def test_the_command_line_sees_and_ends_its_own_sign_ins_and_no_others(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        await world.enrol("bob")
        client, bob = Client(world), Client(world)
        await client.sign_in()
        await bob.sign_in("bob")
        (mine,) = (await client.ask("GET", "/api/sign-ins")).json()["sign_ins"]
        (bobs,) = (await bob.ask("GET", "/api/sign-ins")).json()["sign_ins"]
        assert mine["is_this"]
        assert mine["strength"] == "two"
        assert (await client.ask("DELETE", f"/api/sign-ins/{bobs['id']}")).status_code == 404
        assert (await client.ask("DELETE", f"/api/sign-ins/{mine['id']}")).status_code == 204
        assert (await client.ask("GET", "/api/sign-ins")).status_code == 401

    play(world, scenario)
