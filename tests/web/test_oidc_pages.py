"""To an identity provider and back, through the portal as it is: the provider is a forger in memory."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from browser import CSR, ORIGIN, Browser, Client
from control_world import SITE, STATION, World, play
from oidc_forge import ISSUER, PLAN, Forge, S

from penstock.control import Arrival, SignedIn, SignInKind, Trouble
from penstock.model import FactorStrength, OidcPlan, RecordKind
from penstock.web.pages.oidc import FLOW_COOKIE
from penstock.web.pages.oidc_words import WORDS

CALLBACK = "/sign-in/oidc/keycloak/callback"
PROVIDER = f"""\
    keycloak:
      kind: oidc
      title: Plant sign-in
      issuer: {ISSUER}
      client: penstock
      groups: {{/operators: operators, /safety: safety}}
      factors: {{two: [{{acr: mfa}}], phishing-resistant: [{{acr: hardware}}]}}
      ask: {{two: mfa, phishing-resistant: hardware}}
"""
DOCUMENT = SITE + "identity:\n  sources:\n" + PROVIDER
TWO = DOCUMENT + PROVIDER.replace("keycloak:", "other:").replace("Plant sign-in", "Other sign-in")
BANNER = "  banner: {title: Notice, text: Only for those who may.}\n"
REAUTHENTICATE = DOCUMENT.replace("require: {factors: two}", "require: {factors: two, reauthenticate: 1h}")


def forge_of(world: World) -> Forge:
    """The provider, on the gate's clocks; `world.gate` makes its sources through it."""
    forge = Forge(clock=lambda: world.clock.wall_us)
    world.makers[OidcPlan] = forge.source
    return forge


async def gone(browser: Browser, path: str = "/sign-in/oidc/keycloak") -> str:
    """Begin: where the browser is sent."""
    answer = await browser.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def back(browser: Browser, query: str, path: str = CALLBACK) -> httpx2.Response:
    """The navigation that comes back from another site: it carries no cookie that is SameSite=Strict."""
    names = (FLOW_COOKIE, "__Host-penstock-notice")
    kept = {each.name: each.value or "" for each in browser.http.cookies.jar if each.name in names}
    async with httpx2.AsyncClient(base_url=ORIGIN, transport=browser.http._transport, cookies=kept) as crossing:
        answer = await crossing.get(f"{path}?{query}")
    browser.http.cookies.extract_cookies(answer)
    return answer


async def signed_in(world: World, forge: Forge, browser: Browser | None = None) -> Browser:
    """Somebody signs in at the portal through the provider."""
    browser = browser or Browser(world)
    answer = await back(browser, forge.send_back(await gone(browser), f"code-{forge.random()}"))
    assert answer.status_code == 200, answer.text
    return browser


def refusals(world: World) -> list[tuple[str | None, Any]]:
    kept = [record for record in world.recorder.records if record.kind is RecordKind.SIGN_IN_REFUSED]
    return [(record.reason, record.detail.get("why")) for record in kept]


def run(world: World, scenario: Any, document: str = DOCUMENT) -> None:
    """Run a scenario on a gate with this document."""

    async def started(world: World) -> None:
        await world.start({"site.yaml": document})
        await scenario(world)

    play(world, started, is_started=False)


def test_from_the_sign_in_page_to_the_provider_and_back_to_the_assets(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        page = await browser.get("/sign-in")
        assert '<a class="button" href="/sign-in/oidc/keycloak">Sign in with Plant sign-in</a>' in page.text
        location = await gone(browser)
        assert location.startswith(f"{ISSUER}/auth?")
        assert "gate.riverside.ot%2Fsign-in%2Foidc%2Fkeycloak%2Fcallback" in location
        answer = await back(browser, forge.send_back(location))
        assert answer.status_code == 200, "no redirect: what follows must begin at our own page"
        assert answer.headers["refresh"] == "0; url=/"
        assert '<a href="/">Go on</a>' in answer.text
        home = await browser.get("/")
        assert "<strong>ada@keycloak</strong>" in home.text
        assert "penstock connect plc-dosing" in home.text
        (signed,) = [r for r in world.recorder.records if r.kind is RecordKind.SIGNED_IN]
        assert signed.subject == "ada@keycloak"
        assert signed.detail["strength"] == "two"
        assert signed.detail["evidence"] == {"acr": "mfa", "amr": "otp pwd"}
        for secret in ("access-", "refresh-", "code-1"):
            assert secret not in str(world.recorder.records)

    forge = forge_of(world)
    run(world, scenario)


def test_the_cookie_of_a_detour_is_lax_and_only_it_is(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        begun = await browser.get("/sign-in/oidc/keycloak")
        (cookie,) = begun.headers.get_list("set-cookie")
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert cookie.startswith("__Host-penstock-flow=")
        assert attributes == {"path=/", "secure", "httponly", "samesite=lax", "max-age=600"}
        answer = await back(browser, forge.send_back(begun.headers["location"]))
        kept = [each for each in answer.headers.get_list("set-cookie") if each.startswith("__Host-penstock=")]
        assert "samesite=strict" in kept[0].lower()
        dropped = [each for each in answer.headers.get_list("set-cookie") if each.startswith(FLOW_COOKIE)]
        assert "max-age=0" in dropped[0].lower()

    forge = forge_of(world)
    run(world, scenario)


def test_an_answer_in_another_browser_signs_nobody_in(world: World) -> None:
    """Login CSRF: an attacker begins and lets the victim finish, who would then work under the attacker's name."""

    async def scenario(world: World) -> None:
        attacker, victim = Browser(world), Browser(world, "10.20.0.51")
        query = forge.send_back(await gone(attacker))
        for browser in (victim, attacker):
            answer = await back(browser, query)
            assert answer.status_code == 400
            assert "was not begun here" in answer.text
        assert world.gate.state.now.sign_ins == {}
        assert forge.asked["token"] == 0, "the code was not even spent"
        assert [why for _, why in refusals(world)] == [
            "state_wrong: it was begun in another browser",
            "state_wrong: no detour is pending that it answers",
        ]

    forge = forge_of(world)
    run(world, scenario)


def test_an_answer_works_once_and_for_ten_minutes(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        query = forge.send_back(await gone(browser))
        assert (await back(browser, query)).status_code == 200
        assert (await back(browser, query)).status_code == 400
        other = Browser(world)
        query = forge.send_back(await gone(other))
        world.clock.pass_s(600)
        assert (await back(other, query)).status_code == 400

    forge = forge_of(world)
    run(world, scenario)


def test_two_tabs_of_one_browser_do_not_disturb_each_other(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        first, second = await gone(browser), await gone(browser)
        queries = [forge.send_back(first, "first"), forge.send_back(second, "second")]
        for query in queries:
            assert (await back(browser, query)).status_code == 200

    forge = forge_of(world)
    run(world, scenario)


def test_an_answer_that_comes_back_on_another_provider_s_way_is_refused(world: World) -> None:
    """Mix-up: two providers, and the answer of one is brought to the address of the other."""

    async def scenario(world: World) -> None:
        browser = Browser(world)
        query = forge.send_back(await gone(browser))
        answer = await back(browser, query, "/sign-in/oidc/other/callback")
        assert answer.status_code == 401
        assert "cannot be believed" in answer.text
        assert refusals(world)[-1][1] == "answer_of_another_provider: it came back on the way of another provider"

    forge = forge_of(world)
    run(world, scenario, TWO)


@pytest.mark.parametrize(
    "wish",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/nowhere",
        "",
        "/sign-ins\r\n",
    ],
)
def test_nobody_is_sent_on_to_anywhere_but_a_page_of_the_list(world: World, wish: str) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        location = await gone(browser, str(httpx2.URL("/sign-in/oidc/keycloak", params={"next": wish})))
        answer = await back(browser, forge.send_back(location))
        assert answer.headers["refresh"] == "0; url=/"
        assert "evil" not in answer.text
        again = await browser.get(str(httpx2.URL("/sign-in/oidc/keycloak", params={"next": wish})))
        assert again.headers["location"] == "/"

    forge = forge_of(world)
    run(world, scenario)


def test_a_page_of_the_list_is_gone_on_to(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        answer = await back(browser, forge.send_back(await gone(browser, "/sign-in/oidc/keycloak?next=/sign-ins")))
        assert answer.headers["refresh"] == "0; url=/sign-ins"

    forge = forge_of(world)
    run(world, scenario)


def step_up_link(text: str) -> tuple[str, str]:
    found = re.search(r'<a class="button" href="([^"]+)"[^>]*>([^<]+)</a>', text)
    assert found, text
    return html.unescape(found[1]), found[2]


def test_whoever_needs_a_second_factor_is_sent_back_for_it_and_keeps_the_sign_in(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.acr, forge.amr = "pwd", ["pwd"]
        browser = await signed_in(world, forge)
        (before,) = world.gate.state.now.sign_ins.values()
        assert before.subject.strength is FactorStrength.ONE
        path, title = step_up_link((await browser.get("/")).text)
        assert (path, title) == ("/sign-in/oidc/keycloak?want=two", "Sign in again with a second factor")
        location = await gone(browser, path)
        assert "claims=%7B%22id_token%22" in location
        assert "login_hint=ada&" in location + "&"
        world.clock.pass_s(30)
        forge.acr, forge.amr = "mfa", ["pwd", "otp"]
        answer = await back(browser, forge.send_back(location, "code-2"))
        assert answer.status_code == 200
        (after,) = world.gate.state.now.sign_ins.values()
        assert after.token_hash == before.token_hash
        assert after.subject.strength is FactorStrength.TWO
        assert after.subject.proved_at_us == before.subject.proved_at_us + 30 * S
        opened = await browser.submit(await browser.get("/"), "/grants")
        assert opened.status_code == 303
        assert RecordKind.PROVED_AGAIN in {record.kind for record in world.recorder.records}

    forge = forge_of(world)
    run(world, scenario)


def test_the_portal_s_cookie_changes_with_what_it_is_worth(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.acr = "pwd"
        browser = await signed_in(world, forge)
        name = "__Host-penstock"
        before = {each.value for each in browser.http.cookies.jar if each.name == name}
        await browser.get("/")
        assert {each.value for each in browser.http.cookies.jar if each.name == name} == before
        forge.acr = "mfa"
        await back(browser, forge.send_back(await gone(browser, "/sign-in/oidc/keycloak?want=two"), "code-2"))
        await browser.get("/")
        after = {each.value for each in browser.http.cookies.jar if each.name == name}
        assert len(after) == 1
        assert not after & before

    forge = forge_of(world)
    run(world, scenario)


def test_a_step_up_that_brings_no_more_is_refused_in_plain_words(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.acr, forge.amr = "pwd", ["pwd"]
        browser = await signed_in(world, forge)
        location = await gone(browser, "/sign-in/oidc/keycloak?want=two")
        answer = await back(browser, forge.send_back(location, "code-2"))
        assert answer.status_code == 403
        assert "Register a second factor or a passkey with Plant sign-in" in answer.text
        assert refusals(world) == [
            ("source_refused", "factors_too_weak: wanted two, got one (acr pwd, amr pwd)"),
        ]

    forge = forge_of(world)
    run(world, scenario)


def test_a_factor_of_somebody_else_does_not_count(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.acr, forge.amr = "pwd", ["pwd"]
        browser = await signed_in(world, forge)
        location = await gone(browser, "/sign-in/oidc/keycloak?want=two")
        forge.acr, forge.subject, forge.name = "mfa", "u-2", "bob"
        answer = await back(browser, forge.send_back(location, "code-2"))
        assert (answer.status_code, "somebody else&#39;s" in answer.text) == (403, True)
        (sign_in,) = world.gate.state.now.sign_ins.values()
        assert (sign_in.subject.name, sign_in.subject.strength) == ("ada@keycloak", FactorStrength.ONE)
        assert refusals(world)[-1][1] == "it is the proof of bob@keycloak"

    forge = forge_of(world)
    run(world, scenario)


def test_a_proof_that_became_old_is_renewed_with_a_fresh_one(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world, forge)
        for _ in range(5):
            world.clock.pass_s(13 * 60)
            home = await browser.get("/")
        path, title = step_up_link(home.text)
        assert (path, title) == ("/sign-in/oidc/keycloak?again=1", "Prove again who you are")
        location = await gone(browser, path)
        assert "prompt=login" in location
        forge.auth_time_s = world.clock.wall_us // S - 200
        stale = await back(browser, forge.send_back(location, "code-2"))
        assert "too old" in stale.text
        forge.auth_time_s = None
        answer = await back(browser, forge.send_back(await gone(browser, path), "code-3"))
        assert answer.status_code == 200
        opened = await browser.submit(await browser.get("/"), "/grants")
        assert opened.status_code == 303

    forge = forge_of(world)
    run(world, scenario, REAUTHENTICATE)


async def client_of(world: World) -> Client:
    """A command line that was let in at the portal."""
    (portal,) = world.gate.state.now.sign_ins.values()
    arrival = Arrival(kind=SignInKind.CLIENT, source=STATION, csr_pem=CSR)
    signed = await world.gate.sign_ins.begin_client(portal, arrival)
    assert isinstance(signed, SignedIn)
    client = Client(world)
    client.token = signed.token
    return client


def test_the_api_says_what_proof_would_be_enough(world: World) -> None:
    """RFC 9470, section 3."""

    async def scenario(world: World) -> None:
        forge.acr, forge.groups = "pwd", ["/operators", "/safety"]
        await signed_in(world, forge)
        client = await client_of(world)
        weak = await client.ask("POST", "/api/grants", {"asset": "plc-filter-1"})
        assert weak.status_code == 403
        expected = 'Bearer error="insufficient_user_authentication", acr_values="mfa hardware"'
        assert weak.headers["www-authenticate"] == expected
        strong = await client.ask("POST", "/api/grants", {"asset": "plc-secret"})
        assert strong.headers["www-authenticate"].endswith('acr_values="hardware"')
        nowhere = await client.ask("POST", "/api/grants", {"asset": "scada-1"})
        assert (nowhere.status_code, "www-authenticate" in nowhere.headers) == (403, False)

    forge = forge_of(world)
    run(world, scenario)


async def logout(world: World, form: Any, source: str = "keycloak", station: str = "10.20.0.9") -> httpx2.Response:
    browser = Browser(world, station)
    return await browser.http.post(f"/oidc/{source}/back-channel-logout", data=form)


def test_signing_out_at_the_provider_ends_sign_ins_and_what_they_opened(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world, forge)
        await browser.submit(await browser.get("/"), "/grants")
        (number,) = [n for n, g in world.workers.grants.items() if g.subject.name == "ada@keycloak"]
        token = forge.logout()
        answer = await logout(world, {"logout_token": token})
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["cache-control"] == "no-store"
        assert world.gate.state.now.sign_ins == {}
        assert number not in world.enforcer.open
        assert (await browser.get("/")).headers["location"] == "/sign-in"
        assert (await logout(world, {"logout_token": token})).status_code == 400, "each counts once"

    forge = forge_of(world)
    run(world, scenario)


def test_another_session_s_end_is_not_mine(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        for token in (forge.logout(sid="s-2"), forge.logout(sub="u-2", sid=None)):
            assert (await logout(world, {"logout_token": token})).status_code == 200
        assert len(world.gate.state.now.sign_ins) == 1
        assert (await logout(world, {"logout_token": forge.logout(sid=None)})).status_code == 200
        assert world.gate.state.now.sign_ins == {}

    forge = forge_of(world)
    run(world, scenario)


def test_what_is_no_logout_token_ends_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        forms: list[Any] = [
            {},
            {"logout_token": ""},
            {"logout_token": "x"},
            {"logout_token": [forge.logout(), forge.logout()]},
            {"logout_token": forge.token({})},
            {"logout_token": "x" * 40_000},
        ]
        for form in forms:
            answer = await logout(world, form)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
            assert answer.headers["cache-control"] == "no-store"
        assert (await logout(world, {"logout_token": "x" * 70_000})).status_code == 413
        as_json = await Browser(world).http.post("/oidc/keycloak/back-channel-logout", json={"logout_token": "x"})
        assert as_json.status_code == 400
        assert (await logout(world, {"logout_token": forge.logout()}, "nobody")).status_code == 400
        assert len(world.gate.state.now.sign_ins) == 1

    forge = forge_of(world)
    run(world, scenario)


def test_a_provider_that_is_silent_signs_nobody_in_and_the_gate_s_own_accounts_go_on(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.bend["configuration"] = lambda _: httpx2.Response(500)
        for _ in range(5):
            answer = await Browser(world).get("/sign-in/oidc/keycloak")
        assert answer.status_code == 503
        (refusal,) = refusals(world)
        assert refusal == (
            "source_unavailable",
            "the identity provider answers 500 where it should say who it is",
        )
        world.clock.pass_s(10)
        await Browser(world).get("/sign-in/oidc/keycloak")
        assert len(refusals(world)) == 2, "now and then, however often somebody asks"
        assert "sign in with an account of this gate" in answer.text
        await world.enrol()
        assert (await Browser(world).sign_in()).status_code == 303

    forge = forge_of(world)
    run(world, scenario)


def test_silence_in_the_middle_is_on_record_and_existing_sign_ins_go_on(world: World) -> None:
    async def scenario(world: World) -> None:
        ada = await signed_in(world, forge)
        browser = Browser(world)
        query = forge.send_back(await gone(browser), "code-2")
        forge.bend["token"] = lambda _: httpx2.Response(502, text="<html>")
        answer = await back(browser, query)
        assert answer.status_code == 503
        assert refusals(world) == [
            ("source_unavailable", "the identity provider gives this gate no tokens: status 502"),
        ]
        assert "ada@keycloak" in (await ada.get("/")).text

    forge = forge_of(world)
    run(world, scenario)


def test_nobody_makes_the_gate_ask_a_provider_as_often_as_they_like(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        answers = [await browser.get("/sign-in/oidc/keycloak") for _ in range(31)]
        assert [answer.status_code for answer in answers[-2:]] == [303, 429]
        assert answers[-1].headers["retry-after"] == "600"
        assert (await Browser(world, "10.20.0.77").get("/sign-in/oidc/keycloak")).status_code == 303
        world.clock.pass_s(600)
        assert (await browser.get("/sign-in/oidc/keycloak")).status_code == 303

    forge_of(world)
    run(world, scenario)


def test_a_flood_of_forged_answers_is_soon_not_looked_at_nor_recorded(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        statuses = [(await back(browser, f"state=forged-{number}&code=x")).status_code for number in range(25)]
        assert statuses == [400] * 20 + [429] * 5
        assert len(refusals(world)) == 20
        assert (await back(Browser(world, "10.20.0.77"), "state=x&code=x")).status_code == 400

    forge_of(world)
    run(world, scenario)


def test_whoever_shares_an_address_with_the_provider_keeps_its_sign_outs_from_nobody(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        neighbour = Browser(world, "10.20.0.9")
        while (await back(neighbour, "state=forged&code=x")).status_code != 429:
            pass
        assert (await logout(world, {"logout_token": forge.logout()}, station="10.20.0.9")).status_code == 200
        assert world.gate.state.now.sign_ins == {}
        forged = [(await logout(world, {"logout_token": "x"}, station="10.20.0.10")).status_code for _ in range(22)]
        assert forged == [400] * 20 + [429] * 2
        assert (await back(Browser(world, "10.20.0.10"), "state=x&code=x")).status_code == 400

    forge = forge_of(world)
    run(world, scenario)


def test_the_notice_comes_first(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        assert (await browser.get("/sign-in/oidc/keycloak")).headers["location"] == "/notice"
        await browser.submit(await browser.get("/notice"), "/notice")
        assert (await back(browser, forge.send_back(await gone(browser)))).status_code == 200

    forge = forge_of(world)
    run(world, scenario, DOCUMENT + BANNER)


def test_whoever_is_suspended_here_is_told_to_ask_and_nothing_more(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        await world.gate.subjects.suspend("ada@keycloak", "uid 0")
        browser = Browser(world)
        answer = await back(browser, forge.send_back(await gone(browser), "code-2"))
        assert answer.status_code == 403
        assert "does not let you in now" in answer.text
        assert "suspend" not in answer.text

    forge = forge_of(world)
    run(world, scenario)


def test_a_name_that_was_given_to_somebody_else_there_is_not_theirs_here(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        forge.subject = "u-2"
        browser = Browser(world)
        assert (await back(browser, forge.send_back(await gone(browser), "code-2"))).status_code == 403
        assert refusals(world)[-1] == ("identity_conflict", "the name belongs to somebody else")

    forge = forge_of(world)
    run(world, scenario)


async def reread(world: World, forge: Forge, seconds: int = 30) -> None:
    """Time passes, and memberships are read again."""
    world.clock.pass_s(seconds)
    forge.steady_s += seconds
    await world.gate.memberships.sweep()
    await world.gate.memberships.settle()


def test_a_group_that_was_removed_there_ends_what_it_allowed_here(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world, forge)
        await browser.submit(await browser.get("/"), "/grants")
        assert world.enforcer.open
        await reread(world, forge, 0)
        await reread(world, forge)
        assert [g for g in world.workers.grants.values() if g.subject.name == "ada@keycloak"], "nothing changed"
        forge.groups = None
        await reread(world, forge)
        assert not [g for g in world.workers.grants.values() if g.subject.name == "ada@keycloak"]
        assert "penstock connect plc-dosing" not in (await browser.get("/")).text
        forge.groups = ["/operators"]
        await reread(world, forge)
        assert "penstock connect plc-dosing" in (await browser.get("/")).text

    forge = forge_of(world)
    run(world, scenario)


def test_whoever_is_nobody_there_any_more_is_nobody_here(world: World) -> None:
    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        await reread(world, forge, 0)
        forge.bend["token"] = lambda _: httpx2.Response(503)
        await reread(world, forge)
        assert len(world.gate.state.now.sign_ins) == 1, "silence is no removal"
        del forge.bend["token"]
        forge.is_gone = True
        await reread(world, forge)
        assert world.gate.state.now.sign_ins == {}

    forge = forge_of(world)
    run(world, scenario)


def test_portal_and_command_line_share_one_memory_even_where_the_provider_gives_a_new_one_each_time(
    world: World,
) -> None:
    """A second use of the old refresh token is taken for theft there, and would end both."""

    async def scenario(world: World) -> None:
        await signed_in(world, forge)
        await client_of(world)
        await reread(world, forge, 0)
        for _ in range(5):
            await reread(world, forge)
        assert len(world.gate.state.now.sign_ins) == 2

    forge = forge_of(world)
    assert forge.rotates
    run(world, scenario)


def test_every_trouble_has_its_own_words() -> None:
    assert set(WORDS) == set(Trouble)
    for words in WORDS.values():
        shown = words.about("<b>")
        assert "{" not in shown.title + shown.text
        assert 400 <= shown.status < 600


def test_the_words_of_a_provider_are_shown_as_text(world: World) -> None:
    async def scenario(world: World) -> None:
        forge.bend["configuration"] = lambda _: httpx2.Response(500)
        answer = await Browser(world).get("/sign-in/oidc/keycloak")
        assert "<i>" not in answer.text
        assert "&lt;i&gt;" in answer.text

    forge = forge_of(world)
    run(world, scenario, DOCUMENT.replace("Plant sign-in", '"<i>Plant</i>"'))


def test_an_unknown_provider_is_no_page(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        for path in ("/sign-in/oidc/nobody", "/sign-in/oidc/local", "/sign-in/oidc/nobody/callback?state=x"):
            assert (await browser.get(path)).status_code == 404

    forge_of(world)
    run(world, scenario)


def test_a_provider_behind_another_name_of_the_gate_sends_back_to_that_name_and_to_no_foreign_one(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        begun = await browser.http.get("/sign-in/oidc/keycloak", headers={"host": "evil.example"})
        assert "evil" not in begun.headers["location"]
        begun = await browser.http.get("/sign-in/oidc/keycloak", headers={"host": "gate.riverside.ot:8443"})
        assert "gate.riverside.ot%3A8443%2Fsign-in" in begun.headers["location"]

    forge_of(world)
    run(world, scenario)


def test_the_plan_of_these_tests_is_the_one_of_the_document(world: World) -> None:
    async def scenario(world: World) -> None:
        plan = world.gate.identities.plan("keycloak")
        assert isinstance(plan, OidcPlan)
        assert plan == replace(PLAN, secret=None, rules=plan.rules, amr_words=())

    forge_of(world)
    run(world, scenario)
