"""The pages of passkeys, recovery codes and one's own factors."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from browser import ORIGIN, Browser, Client, hidden_fields
from control_world import PASSWORD, World, play

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from soft_authenticator import SoftAuthenticator

from penstock.model import FactorStrength, Record, RecordKind

CODE = re.compile(r"<code>([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})</code>")


async def options(browser: Browser, path: str, action: str, act: str) -> httpx2.Response:
    token = hidden_fields((await browser.get(path)).text, action)["form_token"]
    fields = {"form_token": token, "act": act}
    return await browser.http.post("/passkey/options", data=fields, headers={"origin": ORIGIN})


async def enter(browser: Browser, key: SoftAuthenticator) -> httpx2.Response:
    """What the script does on the sign-in page."""
    asked = await options(browser, "/sign-in", "/passkey/sign-in", "sign-in")
    page = await browser.get("/sign-in")
    return await browser.submit(page, "/passkey/sign-in", answer=key.sign_in(asked.text))


async def add(browser: Browser, key: SoftAuthenticator, title: str = "blue key") -> httpx2.Response:
    """What the script does on the page of factors."""
    asked = await options(browser, "/me", "/me/passkeys", "add")
    assert asked.status_code == 200
    page = await browser.get("/me")
    return await browser.submit(page, "/me/passkeys", answer=key.register(asked.text), title=title)


async def signed_in(world: World, name: str = "ada") -> Browser:
    await world.enrol(name)
    browser = Browser(world)
    await browser.sign_in(name)
    return browser


def strength(world: World) -> list[FactorStrength]:
    return [each.subject.strength for each in world.gate.state.now.sign_ins.values()]


def test_a_passkey_is_added_used_without_a_name_renamed_and_removed(world: World) -> None:
    async def scenario(world: World) -> None:
        browser, key = await signed_in(world), SoftAuthenticator(origin=ORIGIN)
        added = await add(browser, key)
        assert (added.status_code, added.headers["location"]) == (303, "/me?done=passkey")
        shown = (await browser.get("/me?done=passkey")).text
        assert "The passkey was added." in shown
        assert "bound to one device" in shown
        assert "passkey “blue key” added" in html.unescape(shown)
        other = Browser(world)
        entered = await enter(other, key)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert "Signed in as" in (await other.get("/")).text
        assert FactorStrength.PHISHING_RESISTANT in strength(world)
        page = await other.get("/me")
        assert "last used on" in page.text
        await other.submit(page, "/me/passkeys/rename", title="<b>red</b>")
        page = await other.get("/me")
        assert "&lt;b&gt;red&lt;/b&gt;" in page.text
        gone = await other.submit(page, "/me/passkeys/remove")
        assert gone.headers["location"] == "/me?done=removed"
        assert "You have none." in (await other.get("/me")).text
        refused = await enter(Browser(world), key)
        assert refused.status_code == 401
        assert "This passkey was not accepted." in refused.text

    play(world, scenario)


def test_the_script_runs_only_where_a_passkey_can_be_used(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        for path in ("/sign-in", "/me", "/prove"):
            visitor = Browser(world) if path == "/sign-in" else browser
            answer = await visitor.get(path)
            policies = answer.headers.get_list("content-security-policy")
            assert len(policies) == 1
            assert policies[0].endswith("script-src 'self'; connect-src 'self'")
            assert answer.text.count("<script") == 1
        for path in ("/", "/enrol", "/sign-ins", "/nowhere"):
            answer = await browser.get(path)
            assert "script-src" not in answer.headers["content-security-policy"]
            assert "<script" not in answer.text
        script = await browser.get("/static/passkey.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert not re.search(r"https?://|innerHTML|eval\(", script.text)

    play(world, scenario)


def test_where_the_portal_is_visited_by_its_address_passkeys_are_explained_and_not_offered(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        page = await browser.http.get("/sign-in", headers={"host": "10.20.0.2:8443"})
        assert "script-src" not in page.headers["content-security-policy"]
        assert "<script" not in page.text
        assert "an address is none" in page.text
        assert "gate.riverside.ot" in page.text
        token = hidden_fields(page.text, "/sign-in")["form_token"]
        headers = {"host": "10.20.0.2:8443", "origin": "https://10.20.0.2:8443"}
        for path in ("/passkey/options", "/passkey/sign-in"):
            fields = {"form_token": token, "act": "sign-in", "answer": "{}"}
            assert (await browser.http.post(path, data=fields, headers=headers)).status_code == 404

    play(world, scenario)


@pytest.mark.parametrize("act", ["prove", "add", "", "sign-in; add"])
def test_a_stranger_is_asked_for_nothing_but_to_sign_in(world: World, act: str) -> None:
    async def scenario(world: World) -> None:
        asked = await options(Browser(world), "/sign-in", "/passkey/sign-in", act)
        assert (asked.status_code, asked.text) == (401, "")

    play(world, scenario)


def test_options_tell_a_stranger_nothing_about_anybody(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        await add(browser, SoftAuthenticator(origin=ORIGIN))
        asked = json.loads((await options(Browser(world), "/sign-in", "/passkey/sign-in", "sign-in")).text)
        assert (asked["allowCredentials"], asked["rpId"]) == ([], "gate.riverside.ot")

    play(world, scenario)


def test_another_browser_cannot_use_an_answer_that_it_got_hold_of(world: World) -> None:
    async def scenario(world: World) -> None:
        key = SoftAuthenticator(origin=ORIGIN)
        await add(await signed_in(world), key)
        mine, thief = Browser(world), Browser(world)
        answer = key.sign_in((await options(mine, "/sign-in", "/passkey/sign-in", "sign-in")).text)
        stolen = await thief.submit(await thief.get("/sign-in"), "/passkey/sign-in", answer=answer)
        assert stolen.status_code == 401
        assert "longer than two minutes" in stolen.text
        mine_too = await mine.submit(await mine.get("/sign-in"), "/passkey/sign-in", answer=answer)
        assert mine_too.status_code == 303

    play(world, scenario)


@pytest.mark.parametrize("answer", ["", "{}", "null", "x" * 30000, '{"id":"AA","rawId":"AA","type":"public-key"}'])
def test_a_garbage_answer_is_a_refusal_with_the_same_words(world: World, answer: str) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        refused = await browser.submit(await browser.get("/sign-in"), "/passkey/sign-in", answer=answer)
        assert refused.status_code == 401
        assert "This passkey was not accepted." in refused.text
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1].detail["why"] == "unreadable"

    play(world, scenario)


def test_a_change_with_an_old_proof_asks_for_a_new_one_and_comes_back(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        page = await browser.get("/me")
        world.clock.pass_s(400)
        late = await browser.submit(page, "/me/recovery-codes")
        assert late.headers["location"] == "/prove?to=me"
        assert 'action="/me/recovery-codes"' not in (await browser.get("/me")).text
        asks = await browser.get("/prove?to=me")
        wrong = await browser.submit(asks, "/prove", password=PASSWORD, code="000000")
        assert wrong.status_code == 401
        assert "That is not right" in wrong.text
        proved = await browser.submit(asks, "/prove", password=PASSWORD, code=world.code())
        assert proved.headers["location"] == "/me"
        assert world.recorder.of(RecordKind.PROVED_AGAIN)[-1].subject == "ada"
        made = await browser.submit(await browser.get("/me"), "/me/recovery-codes")
        assert len(set(CODE.findall(made.text))) == 10

    play(world, scenario)


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/grants", "", "javascript:alert(1)"])
def test_after_a_proof_one_goes_to_a_page_of_ours_whatever_the_address_says(world: World, to: str) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        page = await browser.http.get("/prove", params={"to": to})
        token = hidden_fields(page.text, "/prove")["form_token"]
        fields = {"form_token": token, "to": to, "password": PASSWORD, "code": world.code()}
        proved = await browser.http.post("/prove", data=fields, headers={"origin": ORIGIN})
        assert (proved.status_code, proved.headers["location"]) == (303, "/")

    play(world, scenario)


def test_a_passkey_steps_up_a_sign_in_and_another_subjects_does_not(world: World) -> None:
    async def scenario(world: World) -> None:
        key, other = SoftAuthenticator(origin=ORIGIN), SoftAuthenticator(origin=ORIGIN)
        ada, eve = await signed_in(world), await signed_in(world, "eve")
        await add(ada, key)
        await add(eve, other)
        asked = await options(ada, "/prove?to=home", "/passkey/prove", "prove")
        (kept,) = await world.gate.passkeys.of("ada")
        assert [each["id"] for each in json.loads(asked.text)["allowCredentials"]] == [kept.credential_id]
        page = await ada.get("/prove?to=home")
        foreign = await ada.submit(page, "/passkey/prove", answer=other.sign_in(asked.text))
        assert foreign.status_code == 401
        assert "not yours" in foreign.text
        asked = await options(ada, "/prove?to=home", "/passkey/prove", "prove")
        proved = await ada.submit(page, "/passkey/prove", answer=key.sign_in(asked.text))
        assert proved.headers["location"] == "/"
        assert sorted(strength(world)) == [FactorStrength.PHISHING_RESISTANT, FactorStrength.TWO]

    play(world, scenario)


def test_somebody_elses_passkey_is_answered_like_one_that_does_not_exist(world: World) -> None:
    async def scenario(world: World) -> None:
        key = SoftAuthenticator(origin=ORIGIN)
        ada, eve = await signed_in(world), await signed_in(world, "eve")
        await add(ada, key)
        token = hidden_fields((await eve.get("/me")).text, "/sign-out")["form_token"]
        (kept,) = await world.gate.passkeys.of("ada")
        for action in ("rename", "remove"):
            texts = []
            for which in (kept.credential_id, "nobodys"):
                fields = {"form_token": token, "passkey": which, "title": "mine now"}
                answer = await eve.http.post(f"/me/passkeys/{action}", data=fields, headers={"origin": ORIGIN})
                assert answer.status_code == 422
                texts.append(answer.text)
            assert texts[0] == texts[1]
        assert [each.title for each in await world.gate.passkeys.of("ada")] == ["blue key"]

    play(world, scenario)


def test_a_lost_phone_ends_well(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        codes = CODE.findall((await browser.submit(await browser.get("/me"), "/me/recovery-codes")).text)
        other = Browser(world)
        page = await other.get("/sign-in")
        entered = await other.submit(page, "/sign-in", subject="ada", password=PASSWORD, code=codes[0])
        assert entered.headers["location"] == "/me"
        page = await other.get("/me")
        assert "You signed in with a recovery code; 9 are left." in page.text
        shown = await other.submit(page, "/me/authenticator")
        secret = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', shown.text)
        assert secret is not None
        wrong = await other.submit(shown, "/me/authenticator/confirm", totp="000000")
        assert (wrong.status_code, secret[0] in wrong.text) == (422, True)
        world.secrets["ada"] = secret[1].replace(" ", "")
        done = await other.submit(wrong, "/me/authenticator/confirm", totp=world.code())
        assert done.headers["location"] == "/me?done=authenticator"
        world.clock.pass_s(30)
        assert (await Browser(world).sign_in()).status_code == 303
        again = Browser(world)
        used = await again.submit(
            await again.get("/sign-in"), "/sign-in", subject="ada", password=PASSWORD, code=codes[0]
        )
        assert used.status_code == 401

    play(world, scenario)


def test_the_password_is_changed_and_mistakes_are_told(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        page = await browser.get("/me")
        uneven = await browser.submit(page, "/me/password", password="several quiet turbines", repeated="x")
        assert (uneven.status_code, "not the same in both fields" in uneven.text) == (422, True)
        short = await browser.submit(page, "/me/password", password="short", repeated="short")
        assert (short.status_code, "shorter than 12" in short.text) == (422, True)
        good = "several quiet turbines"
        elsewhere = Browser(world)
        assert (await elsewhere.sign_in()).status_code == 303
        changed = await browser.submit(page, "/me/password", password=good, repeated=good)
        assert changed.status_code == 303
        assert "end what may not be yours" in (await browser.get(changed.headers["location"])).text
        await browser.submit(await browser.get("/sign-ins"), "/sign-ins/others/end")
        assert "end what may not be yours" not in (await browser.get(changed.headers["location"])).text
        assert (await elsewhere.get("/me")).headers["location"] == "/sign-in"
        assert (await Browser(world).sign_in()).status_code == 401

    play(world, scenario)


PAGES = [
    "/me/passkeys",
    "/me/passkeys/rename",
    "/me/passkeys/remove",
    "/me/password",
    "/me/authenticator",
    "/me/authenticator/confirm",
    "/me/recovery-codes",
    "/passkey/prove",
    "/prove",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_change_wants_a_form_of_ours_and_somebody_who_is_signed_in(world: World, path: str) -> None:
    async def scenario(world: World) -> None:
        browser = await signed_in(world)
        unsigned: dict[str, Any] = {"headers": {"origin": ORIGIN}}
        assert (await browser.http.post(path, data={"form_token": "x"}, **unsigned)).status_code == 403
        token = hidden_fields((await browser.get("/me")).text, "/sign-out")["form_token"]
        elsewhere = {"headers": {"origin": "https://evil.example"}}
        assert (await browser.http.post(path, data={"form_token": token}, **elsewhere)).status_code == 403
        stranger = Browser(world)
        token = hidden_fields((await stranger.get("/sign-in")).text, "/sign-in")["form_token"]
        answer = await stranger.http.post(path, data={"form_token": token}, **unsigned)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")

    play(world, scenario)


def test_the_command_line_enrols_with_codes_and_signs_in_with_one(world: World) -> None:
    async def scenario(world: World) -> None:
        code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        client = Client(world)
        uri = (await client.ask("POST", "/api/enrolments", {"code": code})).json()["otpauth_uri"]
        world.secrets["ada"] = re.findall(r"secret=([A-Z2-7]+)", uri)[0]
        body = {"code": code, "password": PASSWORD, "totp": world.code()}
        codes = (await client.ask("POST", "/api/enrolments/confirm", body)).json()["recovery_codes"]
        assert len(codes) == 10
        signed = await client.sign_in(totp=codes[0])
        assert (signed.status_code, signed.json()["recovery_codes_left"]) == (200, 9)
        assert signed.json()["strength"] == "two"
        assert "recovery_codes_left" not in (await client.sign_in()).json()
        assert (await client.sign_in(totp=codes[0])).status_code == 401

    play(world, scenario)


def test_an_enrolment_holds_when_its_recovery_codes_cannot_be_recorded(world: World) -> None:
    async def scenario(world: World) -> None:
        code = (await world.gate.subjects.add("ada", ("operators",), "uid 0")).code
        browser = Browser(world)
        page = await browser.submit(await browser.get("/enrol"), "/enrol", code=code)
        world.secrets["ada"] = re.findall(r'class="secret">([A-Z2-7 ]+)<', page.text)[0].replace(" ", "")
        world.recorder.is_healthy = False
        fields = {"password": PASSWORD, "repeated": PASSWORD, "totp": world.code()}
        assert (await browser.submit(page, "/enrol/confirm", **fields)).status_code == 503
        account = await world.gate.store.account("ada")
        assert account is not None
        assert account.password_hash is None, "no factor without its record; the code is worth as much as before"
        world.recorder.is_healthy, write = True, world.recorder.write

        async def failing(records: Sequence[Record], *, urgent: bool = False) -> range:
            done = await write(records, urgent=urgent)
            world.recorder.is_healthy = False
            return done

        world.recorder.write = failing  # type: ignore[method-assign]
        done = await browser.submit(page, "/enrol/confirm", **fields)
        assert done.headers["location"] == "/sign-in?enrolled"

    play(world, scenario)
