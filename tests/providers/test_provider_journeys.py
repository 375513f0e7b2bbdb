"""Real people's ways through a real gate and real identity providers, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlencode

from glewlwyd_provider import Glewlwyd
from keycloak_provider import Keycloak
from npm_provider import NpmProvider
from playwright.sync_api import expect
from provider import Provider
from visit import Visit

from bench import REFRESH_S, SET_POINT, Bench, at_us

NewVisit = Callable[[], Visit]
US = 1_000_000


def test_who_signs_in_there_has_the_groups_that_the_site_names_and_no_others(
    bench: Bench, provider: Provider, visit: NewVisit
) -> None:
    since, ada = bench.mark(), visit()
    ada.sign_in(provider, "ada")
    assert ada.reach() == {"plc-dosing"}
    record = bench.wait_for("signed_in", since=since)
    assert record["subject"] == f"ada@{provider.name}"
    told = record["detail"]
    assert (told["groups"], told["identity"], told["strength"]) == (["operators"], provider.name, "one")
    assert told["evidence"] == {"acr": "one", "amr": "pwd"}


def test_a_provider_without_levels_is_believed_by_the_factors_that_it_names(
    bench: Bench, third: Glewlwyd, visit: NewVisit
) -> None:
    """Its words are not the registered ones, it knows no `acr`, and `auth_time` is 0.  Its groups follow as well."""
    since, tom = bench.mark(), visit()
    tom.sign_in(third, "tom", with_code=True)
    told = bench.wait_for("signed_in", since=since)["detail"]
    assert (told["groups"], told["strength"], told["evidence"]["amr"]) == (["operators"], "two", "otp pwd")
    assert tom.reach() == {"plc-dosing", "plc-filter"}
    third.put_in_groups("tom", "canteen")
    until(lambda: tom.reach() == set())
    third.put_in_groups("tom", "operators")
    until(lambda: tom.reach() == {"plc-dosing", "plc-filter"})


def test_a_conduit_that_asks_for_two_factors_sends_the_subject_back_for_the_second_one(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    since, tom = bench.mark(), visit()
    tom.sign_in(provider, "tom")
    assert tom.reach() == {"plc-dosing"}
    person = tom.let_in("tom")
    assert bench.refused(person, "plc-filter")["reason"] == "factors_too_weak"
    tom.go()
    tom.page.get_by_role("link", name="Sign in again with a second factor").first.click()
    provider.step_up(tom.page, "tom")
    tom.is_home()
    assert tom.reach() == {"plc-dosing", "plc-filter"}
    proved = bench.wait_for("proved_again", since=since)
    assert proved["subject"] == f"tom@{provider.name}"
    assert proved["detail"]["strength"] == "two"


def test_whoever_has_no_second_factor_there_does_not_get_by_the_question_for_one(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    since, ada = bench.mark(), visit()
    ada.sign_in(provider, "ada")
    ada.page.get_by_role("link", name="Sign in again with a second factor").first.click()
    provider.fail_to_step_up(ada.page, "ada")
    assert ada.reach() == {"plc-dosing"}, "what she had goes on"
    assert bench.records("proved_again", since=since) == []


def test_a_passkey_at_the_provider_is_worth_what_it_is(bench: Bench, keycloak: Keycloak, visit: NewVisit) -> None:
    since, kim = bench.mark(), visit()
    keycloak.give_authenticator(kim.page)
    kim.leave_for(keycloak)
    keycloak.pass_pages(kim.page, "kim")
    keycloak.register_passkey(kim.page)
    kim.is_home()
    assert kim.reach() == {"plc-dosing"}, "registering a passkey proves a password only"
    kim.page.get_by_role("link", name="Sign in again with a passkey or a smart card").click()
    keycloak.use_passkey(kim.page)
    kim.is_home()
    assert kim.reach() == {"plc-dosing", "plc-filter", "plc-chlorine"}
    assert bench.wait_for("proved_again", since=since)["detail"]["strength"] == "phishing-resistant"
    kim.context.clear_cookies()
    since = bench.mark()
    kim.leave_for(keycloak)
    keycloak.choose_passkey(kim.page)
    kim.is_home()
    assert bench.wait_for("signed_in", since=since)["detail"]["strength"] == "phishing-resistant"


def test_signing_out_there_ends_sign_ins_and_a_live_flow_within_a_second(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    ada, since = visit(), bench.mark()
    ada.sign_in(provider, "ada")
    person = ada.let_in("ada")
    with bench.connected(person, "plc-dosing") as talk:
        (grant,) = [each["number"] for each in bench.grants()]
        asked_us = provider.sign_out(visit().page if isinstance(provider, Keycloak) else ada.page, "ada")
        assert talk.poll_until_cut(SET_POINT, 30.0) is not None
    closed = bench.wait_for("grant.closed", since=since, fits=lambda one: one["grant"] == grant)
    assert closed["reason"] == "signed_out_at_source"
    ended = bench.wait_for("session.closed", since=since, fits=lambda one: one.get("grant") == grant)
    out = [one for one in bench.records("signed_out", since=since) if one["subject"] == f"ada@{provider.name}"]
    assert len(out) == 2, "the portal's sign-in and the command line's"
    for record in (closed, ended, *out):
        assert 0 <= at_us(record) - asked_us <= US, record
    assert not ada.is_signed_in()


def test_a_removed_group_ends_what_it_allowed_within_the_stated_time_and_an_added_one_opens_it(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    ada, since = visit(), bench.mark()
    ada.sign_in(provider, "ada")
    person = ada.let_in("ada")
    try:
        with bench.connected(person, "plc-dosing") as talk:
            removed_us = bench.mark()
            provider.put_in_groups("ada", "canteen")
            done_us = bench.mark()
            assert talk.poll_until_cut(SET_POINT, 60.0) is not None
        closed = bench.wait_for("grant.closed", since=since)
        assert closed["reason"] == "membership_ended"
        assert removed_us <= at_us(closed) <= done_us + (REFRESH_S + 2) * US, "its refresh, and a second to begin it"
        assert ada.is_signed_in(), "she is still somebody there"
        assert ada.reach() == set()
    finally:
        provider.put_in_groups("ada", "operators", "canteen")
    until(lambda: ada.reach() == {"plc-dosing"})
    with bench.connected(person, "plc-dosing") as talk:
        assert talk.read(SET_POINT) >= 0


def test_an_account_that_is_disabled_there_ends_here(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    ada, since = visit(), bench.mark()
    ada.sign_in(provider, "ada")
    provider.disable("ada")
    try:
        done_us = bench.mark()
        out = bench.wait_for("signed_out", since=since)
        assert out["subject"] == f"ada@{provider.name}"
        assert at_us(out) <= done_us + (REFRESH_S + 2) * US
        assert not ada.is_signed_in()
    finally:
        provider.enable("ada")


def test_while_a_provider_is_silent_what_is_open_goes_on_and_nothing_new_comes_from_it(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    ada, since = visit(), bench.mark()
    ada.sign_in(provider, "ada")
    person = ada.let_in("ada")
    tom = visit()
    with bench.connected(person, "plc-dosing") as talk, provider.paused():
        tom.leave_for(provider)  # his browser waits while the gate finds out
        lost = bench.wait_for("source.lost", since=since)
        assert lost["detail"]["identity"] == provider.name
        assert talk.read(SET_POINT) >= 0, "what was open goes on"
        again = bench.refused(person, "plc-dosing")
        assert again["reason"] == "source_unavailable", "nothing new is opened for its people"
        assert tom.trouble() == f"{provider.title} does not answer"
        local = bench.local_person(f"maria-{provider.name}")
        done = bench.gate.login(local, bench.machine)
        assert done.status == 0, done.said
        assert talk.read(SET_POINT) >= 0
    bench.wait_for("source.restored", since=since)
    assert ada.is_signed_in(), "silence is not a removal"


def test_a_provider_that_is_not_there_is_told_apart_from_a_refusal(third: Glewlwyd, visit: NewVisit) -> None:
    third.stop()
    try:
        tom = visit()
        tom.leave_for(third)
        assert tom.trouble() == "Third provider does not answer"
        tom.page.get_by_role("link", name="Other ways to sign in").click()
        expect(tom.page.get_by_label("Password")).to_be_visible()
    finally:
        third.start_again()


def test_new_signing_keys_need_no_restart_of_the_gate(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    before = bench.gate.pid("control")
    visit().sign_in(provider, "ada")
    provider.roll_keys()
    since = bench.mark()

    def signs_in() -> bool:
        ada = visit()
        ada.leave_for(provider)
        provider.pass_pages(ada.page, "ada")
        home = ada.page.get_by_role("heading", level=1, name="My assets")
        home.or_(ada.page.get_by_role("alert")).first.wait_for()
        return home.is_visible()

    until(signs_in)  # a provider's keys are not asked for more often than every ten seconds
    assert bench.wait_for("signed_in", since=since)["subject"] == f"ada@{provider.name}"
    assert bench.gate.pid("control") == before


def test_a_clock_that_is_off_by_less_than_the_skew_is_forgiven_and_more_is_not(
    bench: Bench, second: NpmProvider, visit: NewVisit
) -> None:
    since = bench.mark()
    try:
        second.set_clock(40)
        visit().sign_in(second, "ada")
        second.set_clock(150)
        late = visit()
        late.leave_for(second)
        second.pass_pages(late.page, "ada")
        assert late.trouble() == "The sign-in is out of time"
        refused = bench.wait_for("sign_in.refused", since=since)
        assert refused["detail"]["identity"] == second.name
        assert "clock" in refused["detail"]["why"]
        assert not late.is_signed_in()
    finally:
        second.set_clock(0)


def test_a_provider_sends_nobody_to_an_address_that_is_not_registered(
    provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    ada = visit()
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    query = {"response_type": "code", "client_id": "penstock", "scope": "openid", "state": "s", "nonce": "n"}
    query |= {"code_challenge": "c" * 43, "code_challenge_method": "S256"}
    query["redirect_uri"] = ada.url + "/sign-in/oidc/another/callback"
    ada.page.goto(f"{provider.authorization}?{urlencode(query)}")
    expect(ada.page.locator("body")).to_contain_text("redirect_uri")
    assert [url for url in asked if url.startswith(ada.url)] == []


def test_an_answer_counts_in_the_browser_that_asked_and_once(
    bench: Bench, provider: Keycloak | NpmProvider, visit: NewVisit
) -> None:
    since, ada, other = bench.mark(), visit(), visit()
    answers: list[str] = []
    ada.page.on("request", lambda request: answers.append(request.url) if "/callback?" in request.url else None)
    ada.sign_in(provider, "ada")
    other.page.goto(answers[0])
    assert other.trouble() == "This sign-in was not begun here"
    assert not other.is_signed_in()
    other.page.goto(answers[0].replace("state=", "state=x"))
    assert other.trouble() == "This sign-in was not begun here"
    assert ada.is_signed_in(), "nobody ends her sign-in by that"
    assert len(bench.records("signed_in", since=since)) == 1
    assert len(bench.records("sign_in.refused", since=since)) == 2


def test_the_answer_of_one_provider_is_worth_nothing_on_the_way_of_another(
    bench: Bench, keycloak: Keycloak, second: NpmProvider, visit: NewVisit
) -> None:
    """Mix-up (RFC 9700 section 4.4): the code of the second one, on the way and with the state of the first one."""
    since, ada = bench.mark(), visit()
    state = ada.take_answer(keycloak, "ada")["state"]
    code = ada.take_answer(second, "ada")
    way = f"/sign-in/oidc/{keycloak.name}/callback?"
    ada.go(way + urlencode(code))
    assert ada.trouble() == "The answer of Plant account cannot be believed"
    ada.go(way + urlencode({**code, "state": state}))
    assert ada.trouble() == "The answer of Plant account cannot be believed"
    assert not ada.is_signed_in()
    whys = [one["detail"]["why"] for one in bench.records("sign_in.refused", since=since)]
    assert len(whys) == 2
    assert "another provider" in whys[0]
    assert bench.records("signed_in", since=since) == []


def until(is_true: Callable[[], bool], within_s: float = 60.0) -> None:
    """Poll for a condition."""
    end = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.3)
