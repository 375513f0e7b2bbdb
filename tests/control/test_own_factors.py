"""Passkeys, recovery codes and the changes that people make to their own factors, on a gate in memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pyotp
import pytest
from control_world import PASSWORD, SITE, STATION, S, World, play

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from soft_authenticator import BACKED_UP, ELIGIBLE, SoftAuthenticator

from penstock.control import ActiveSignIn, Arrival, NotSignedIn, ProofNeeded, SignedIn, SignInKind, TooWeak
from penstock.identity import Credentials, Party, PasskeyFault, PasskeyRefused, Proof
from penstock.model import Factor, FactorStrength, Invalid, RecordKind

PARTY = Party(rp_id="gate.riverside.ot", origin="https://gate.riverside.ot")
PORTAL = Arrival(kind=SignInKind.PORTAL, source=STATION)
BROWSER = "one browser's cookie"


def device(**lies: Any) -> SoftAuthenticator:
    return SoftAuthenticator(**{"origin": PARTY.origin, **lies})


async def add(world: World, sign_in: ActiveSignIn, key: SoftAuthenticator, title: str = "blue key") -> None:
    options = await world.gate.passkeys.ask_to_add(PARTY, sign_in)
    await world.gate.factors.add_passkey(PARTY, sign_in, key.register(options), title, STATION)


async def enter(world: World, key: SoftAuthenticator, browser: str = BROWSER) -> SignedIn | NotSignedIn:
    options = world.gate.passkeys.ask_to_sign_in(PARTY, BROWSER)
    return await world.gate.passkeys.sign_in(PARTY, browser, key.sign_in(options), PORTAL)


async def owner(world: World, name: str = "ada") -> tuple[ActiveSignIn, SoftAuthenticator]:
    """Somebody who is signed in with a passkey, and its device."""
    sign_in, key = await world.signed_in(name), device()
    await add(world, sign_in, key)
    entered = await enter(world, key)
    assert isinstance(entered, SignedIn)
    return entered.sign_in, key


async def fault_of(work: Coroutine[Any, Any, object]) -> PasskeyFault:
    with pytest.raises(PasskeyRefused) as refused:
        await work
    return refused.value.fault


def recover(world: World, code: str, name: str = "ada", password: str = PASSWORD) -> Coroutine[Any, Any, Any]:
    credentials = Credentials(subject=name, password=password, code=code, source=STATION)
    return world.gate.sign_ins.sign_in(credentials, SignInKind.PORTAL)


def test_a_passkey_signs_in_without_a_name_and_opens_what_wants_a_phishing_resistant_factor(world: World) -> None:
    async def scenario(world: World) -> None:
        weak, key = await world.signed_in("ada", "safety"), device()
        refused = await world.ask(weak, "plc-secret")
        assert [miss.criterion for miss in refused.misses] == ["factors"]
        await add(world, weak, key)
        entered = await enter(world, key)
        assert isinstance(entered, SignedIn)
        assert entered.sign_in.subject.name == "ada"
        assert entered.sign_in.subject.strength is FactorStrength.PHISHING_RESISTANT
        assert (await world.open(entered.sign_in, "plc-secret")).subject.factors == {Factor.PASSKEY}
        (kept,) = await world.gate.passkeys.usable("ada", PARTY)
        assert (kept.sign_count, kept.title) == (2, "blue key")
        (added,) = [r for r in world.recorder.of(RecordKind.FACTOR_ADDED) if r.detail["factor"] == "passkey"]
        assert (added.subject, added.detail["synced"], added.detail["attestation"]) == ("ada", False, "none")
        signed = world.recorder.of(RecordKind.SIGNED_IN)[-1]
        assert (signed.detail["factors"], signed.detail["evidence"]["synced"]) == (["passkey"], "no")

    play(world, scenario)


def test_a_challenge_answers_once_in_the_browser_that_asked_and_within_two_minutes(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        passkeys = world.gate.passkeys
        options = passkeys.ask_to_sign_in(PARTY, BROWSER)
        answer = key.sign_in(options)
        assert isinstance(await passkeys.sign_in(PARTY, BROWSER, answer, PORTAL), SignedIn)
        assert await fault_of(passkeys.sign_in(PARTY, BROWSER, answer, PORTAL)) is PasskeyFault.CHALLENGE
        assert await fault_of(enter(world, key, "another browser's cookie")) is PasskeyFault.CHALLENGE
        late = key.sign_in(passkeys.ask_to_sign_in(PARTY, BROWSER))
        world.clock.pass_s(121)
        assert await fault_of(passkeys.sign_in(PARTY, BROWSER, late, PORTAL)) is PasskeyFault.CHALLENGE
        refused = world.recorder.of(RecordKind.SIGN_IN_REFUSED)
        assert [each.detail["why"] for each in refused] == ["challenge_not_valid"] * 3

    play(world, scenario)


def test_a_challenge_for_one_act_does_nothing_else(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        passkeys = world.gate.passkeys
        to_prove = key.sign_in(await passkeys.ask_to_prove(PARTY, sign_in))
        assert await fault_of(passkeys.sign_in(PARTY, BROWSER, to_prove, PORTAL)) is PasskeyFault.CHALLENGE
        to_enter = key.sign_in(passkeys.ask_to_sign_in(PARTY, BROWSER))
        assert await fault_of(passkeys.prove(PARTY, sign_in, to_enter, STATION)) is PasskeyFault.CHALLENGE

    play(world, scenario)


def test_unknown_removed_and_foreign_passkeys_are_refused_and_recorded(world: World) -> None:
    async def scenario(world: World) -> None:
        ada, key = await owner(world)
        eve, other = await owner(world, "eve")
        stranger = device(user_handle=b"x" * 32)
        assert await fault_of(enter(world, stranger)) is PasskeyFault.UNKNOWN
        await world.gate.factors.remove_passkey(
            ada, (await world.gate.passkeys.usable("ada", PARTY))[0].credential_id, "x"
        )
        assert await fault_of(enter(world, key)) is PasskeyFault.UNKNOWN
        answer = other.sign_in(await world.gate.passkeys.ask_to_prove(PARTY, ada))
        assert await fault_of(world.gate.passkeys.prove(PARTY, ada, answer, STATION)) is PasskeyFault.FOREIGN
        record = world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1]
        assert (record.subject, record.detail["passkey_of"], record.detail["why"]) == (
            "ada",
            "eve",
            "passkey_of_another_subject",
        )
        assert eve.subject.name == "eve"

    play(world, scenario)


def test_somebody_elses_user_handle_gets_nobody_in(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        _, other = await owner(world, "eve")
        key.user_handle = other.user_handle
        assert await fault_of(enter(world, key)) is PasskeyFault.FOREIGN
        key.user_handle = None
        assert await fault_of(enter(world, key)) is PasskeyFault.UNREADABLE

    play(world, scenario)


def test_a_copy_of_a_passkey_bars_it_for_both_until_its_owner_takes_it_away(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        copy = device(key=key.key, credential_id=key.credential_id, user_handle=key.user_handle, counter=0)
        assert await fault_of(enter(world, copy)) is PasskeyFault.CLONED
        assert await fault_of(enter(world, key)) is PasskeyFault.BARRED
        record = world.recorder.of(RecordKind.SIGN_IN_REFUSED)[0]
        assert (record.subject, record.detail["why"]) == ("ada", "sign_counter_went_back")
        (kept,) = (await world.gate.factors.of(sign_in)).passkeys
        assert kept.barred_at_us is not None
        await world.gate.factors.remove_passkey(sign_in, kept.credential_id, STATION)
        assert (await world.gate.factors.of(sign_in)).passkeys == ()

    play(world, scenario)


def test_the_sites_rules_for_passkeys_hold_from_the_revision_on(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await world.signed_in(), device(flags=0x05 | ELIGIBLE | BACKED_UP)
        await add(world, sign_in, key)
        assert isinstance(await enter(world, key), SignedIn)
        rules = "identity: {sources: {local: {kind: local, passkeys: {allow_synced: false}}}}\n"
        await world.gate.revisions.apply({"site.yaml": SITE + rules}, "uid 0")
        assert await fault_of(enter(world, key)) is PasskeyFault.SYNCED
        assert await fault_of(add(world, sign_in, device(flags=key.flags))) is PasskeyFault.SYNCED

    play(world, scenario)


def test_a_suspended_subjects_passkey_helps_nobody(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        await world.gate.subjects.suspend("ada", "uid 0")
        assert await enter(world, key) == NotSignedIn()

    play(world, scenario)


def test_a_passkey_of_a_directorys_subject_adds_to_its_sign_in_and_never_begins_one(world: World) -> None:
    async def scenario(world: World) -> None:
        proof = Proof(
            source="plant",
            key="uuid-1",
            name="mia",
            proved_at_us=world.clock.wall_us,
            groups=frozenset({"operators"}),
            factors=frozenset({Factor.PASSWORD}),
            graded=FactorStrength.TWO,
        )
        entered = await world.gate.sign_ins.admit(proof, PORTAL)
        assert isinstance(entered, SignedIn)
        key = device()
        await add(world, entered.sign_in, key)
        assert await enter(world, key) == NotSignedIn()
        answer = key.sign_in(await world.gate.passkeys.ask_to_prove(PARTY, entered.sign_in))
        assert await world.gate.passkeys.prove(PARTY, entered.sign_in, answer, STATION)
        now = world.gate.state.now.sign_ins[entered.sign_in.token_hash]
        assert (now.subject.strength, now.subject.groups) == (FactorStrength.PHISHING_RESISTANT, {"operators"})
        (kept,) = (await world.gate.factors.of(now)).passkeys
        with pytest.raises(Invalid, match="only second factor"):
            await world.gate.factors.remove_passkey(now, kept.credential_id, STATION)
        with pytest.raises(Invalid, match="belong to the identity source"):
            await world.gate.factors.change_password(now, "several quiet turbines", STATION)
        assert await world.gate.factors.first_codes("mia@plant", STATION) == (), "the directory has the password"

    play(world, scenario)


def test_a_passkey_beside_a_card_lifts_no_zone_in_which_the_card_does_not_count(world: World) -> None:
    async def scenario(world: World) -> None:
        proof = Proof(
            source="plant",
            key="card-1",
            name="mia",
            proved_at_us=world.clock.wall_us,
            factors=frozenset({Factor.SMART_CARD}),
            barred_zones=frozenset({"control"}),
        )
        entered = await world.gate.sign_ins.admit(proof, PORTAL)
        assert isinstance(entered, SignedIn)
        key = device()
        await add(world, entered.sign_in, key)
        answer = key.sign_in(await world.gate.passkeys.ask_to_prove(PARTY, entered.sign_in))
        assert await world.gate.passkeys.prove(PARTY, entered.sign_in, answer, STATION)
        (now,) = world.gate.state.now.sign_ins.values()
        assert (now.subject.factors, now.subject.barred_zones) == ({Factor.PASSKEY}, {"control"})

    play(world, scenario)


def test_a_group_that_is_taken_away_while_a_passkey_is_looked_at_stays_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        gate = world.gate
        proof = Proof(
            source="plant",
            key="uuid-1",
            name="mia",
            proved_at_us=world.clock.wall_us,
            groups=frozenset({"operators"}),
            factors=frozenset({Factor.PASSWORD}),
            graded=FactorStrength.TWO,
        )
        entered = await gate.sign_ins.admit(proof, PORTAL)
        assert isinstance(entered, SignedIn)
        key, looked_up = device(), gate.sign_ins.key_of
        await add(world, entered.sign_in, key)

        async def taken_meanwhile(name: str) -> str:
            await gate.following.regroup(name, frozenset(), "identity source plant")
            return await looked_up(name)

        monkeypatch.setattr(gate.sign_ins, "key_of", taken_meanwhile)
        answer = key.sign_in(await gate.passkeys.ask_to_prove(PARTY, entered.sign_in))
        assert await gate.passkeys.prove(PARTY, entered.sign_in, answer, STATION)
        now = gate.state.now.sign_ins[entered.sign_in.token_hash]
        assert (now.subject.factors, now.subject.groups) == ({Factor.PASSKEY}, frozenset())

    play(world, scenario)


def test_a_flood_of_strangers_passwords_keeps_nobody_with_a_passkey_out(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        async with AsyncExitStack() as flood:
            for line in range(2):
                await flood.enter_async_context(world.gate.turnstile._turns.of(f"10.9.0.{line}", is_known=line == 0))
            assert isinstance(await asyncio.wait_for(enter(world, key), 10), SignedIn)

    play(world, scenario)


def test_a_sign_in_of_one_factor_adds_no_passkey(world: World) -> None:
    async def scenario(world: World) -> None:
        factors = frozenset({Factor.PASSWORD})
        proof = Proof(source="plant", key="uuid-1", name="mia", proved_at_us=world.clock.wall_us, factors=factors)
        entered = await world.gate.sign_ins.admit(proof, PORTAL)
        assert isinstance(entered, SignedIn)
        with pytest.raises(TooWeak):
            await add(world, entered.sign_in, device())

    play(world, scenario)


def test_ten_passkeys_are_enough_and_one_device_has_one(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        assert await fault_of(add(world, sign_in, key)) is PasskeyFault.KNOWN
        for _ in range(9):
            await add(world, sign_in, device())
        assert await fault_of(add(world, sign_in, device())) is PasskeyFault.TOO_MANY
        assert len((await world.gate.factors.of(sign_in)).passkeys) == 10

    play(world, scenario)


def test_many_wrong_answers_from_one_address_wait_and_are_recorded_as_a_lock_out(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        for _ in range(20):
            await fault_of(enter(world, device(user_handle=b"x" * 32)))
        assert await enter(world, key) == NotSignedIn(retry_after_s=30)
        assert world.recorder.of(RecordKind.SUBJECT_LOCKED)[-1].detail["counted_by"] == "source"

    play(world, scenario)


def test_whoever_has_a_passkey_changes_factors_with_it_and_not_with_what_can_be_phished(world: World) -> None:
    async def scenario(world: World) -> None:
        await owner(world)
        phished, factors = await world.sign_in(), world.gate.factors
        assert phished.subject.strength is FactorStrength.TWO
        for change in (
            add(world, phished, device()),
            factors.make_codes(phished, STATION),
            factors.change_password(phished, "several quiet turbines", STATION),
            factors.prepare_authenticator(phished),
        ):
            with pytest.raises(TooWeak):
                await change

    play(world, scenario)


def test_a_change_wants_a_proof_of_the_last_five_minutes(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        world.clock.pass_s(301)
        with pytest.raises(ProofNeeded):
            await world.gate.factors.make_codes(sign_in, STATION)
        answer = key.sign_in(await world.gate.passkeys.ask_to_prove(PARTY, sign_in))
        assert await world.gate.passkeys.prove(PARTY, sign_in, answer, STATION)
        renewed = world.gate.state.now.sign_ins[sign_in.token_hash]
        assert len(await world.gate.factors.make_codes(renewed, STATION)) == 10
        world.clock.set_wall_s(-3600)
        assert not world.gate.factors.is_fresh(renewed), "a clock that was set back makes no proof fresh"

    play(world, scenario)


def test_a_recovery_code_stands_in_for_the_authenticator_once(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        first, second, *_ = await world.gate.factors.first_codes("ada", STATION)
        assert await recover(world, first, password="wrong password here") == NotSignedIn()
        assert await recover(world, first, name="nobody") == NotSignedIn()
        entered = await recover(world, first.lower().replace("-", " "))
        assert isinstance(entered, SignedIn)
        assert entered.sign_in.subject.factors == {Factor.PASSWORD, Factor.RECOVERY_CODE}
        assert entered.sign_in.subject.strength is FactorStrength.TWO
        assert await recover(world, first) == NotSignedIn()
        assert await world.gate.factors.recovered(entered.sign_in.subject, STATION) == 9
        used = world.recorder.of(RecordKind.FACTOR_REMOVED)[-1]
        assert (used.detail["factor"], used.detail["left"]) == ("recovery_code", 9)
        assert first not in str(world.recorder.records)
        await world.gate.factors.make_codes(entered.sign_in, STATION)
        assert await recover(world, second) == NotSignedIn()

    play(world, scenario)


def test_a_recovery_code_that_is_spent_on_a_proof_worth_less_is_told_all_the_same(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        code, *_ = await world.gate.factors.first_codes("ada", STATION)
        answer = key.sign_in(await world.gate.passkeys.ask_to_prove(PARTY, sign_in))
        assert await world.gate.passkeys.prove(PARTY, sign_in, answer, STATION)
        strong = world.gate.state.now.sign_ins[sign_in.token_hash]
        assert not (await world.gate.factors.prove(strong, PASSWORD, code, STATION)).is_proved
        assert world.recorder.of(RecordKind.FACTOR_REMOVED)[-1].detail["left"] == 9

    play(world, scenario)


def test_wrong_recovery_codes_count_like_wrong_codes(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        codes = await world.gate.factors.first_codes("ada", STATION)
        for _ in range(5):
            assert await recover(world, "AAAA-BBBB-CCCC-DDDD") == NotSignedIn()
        assert await recover(world, codes[0]) == NotSignedIn(retry_after_s=30)

    play(world, scenario)


def test_a_lost_phone_a_recovery_code_brings_a_new_authenticator_and_the_old_one_is_void(world: World) -> None:
    async def scenario(world: World) -> None:
        _, key = await owner(world)
        codes = await world.gate.factors.first_codes("ada", STATION)
        entered = await recover(world, codes[0])
        assert isinstance(entered, SignedIn)
        factors, old = world.gate.factors, world.secrets["ada"]
        prepared = await factors.prepare_authenticator(entered.sign_in)
        with pytest.raises(Invalid, match="moment"):
            await factors.replace_authenticator(entered.sign_in, "000000", STATION)
        assert factors.prepared_authenticator(entered.sign_in) == prepared
        code = pyotp.TOTP(prepared.secret).at(world.clock.wall_us // S)
        await factors.replace_authenticator(entered.sign_in, code, STATION)
        with pytest.raises(ProofNeeded):
            await factors.replace_authenticator(entered.sign_in, code, STATION)
        world.clock.pass_s(30)
        assert await recover(world, pyotp.TOTP(old).at(world.clock.wall_us // S)) == NotSignedIn()
        assert isinstance(await recover(world, pyotp.TOTP(prepared.secret).at(world.clock.wall_us // S)), SignedIn)
        changes = [change.what for change in (await factors.of(entered.sign_in)).changes]
        assert changes == ["authenticator replaced", "new recovery codes made", "passkey “blue key” added"]
        assert key.counter == 2

    play(world, scenario)


def test_a_new_password_is_held_to_the_rules_and_the_old_one_is_void(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        with pytest.raises(Invalid, match="shorter"):
            await world.gate.factors.change_password(sign_in, "short", STATION)
        await world.gate.factors.change_password(sign_in, "several quiet turbines", STATION)
        assert await recover(world, world.code()) == NotSignedIn()
        assert isinstance(await recover(world, world.code(), password="several quiet turbines"), SignedIn)

    play(world, scenario)


def test_nothing_changes_when_the_evidence_cannot_be_written(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, key = await owner(world)
        world.recorder.is_healthy = False
        factors = world.gate.factors
        (kept,) = await world.gate.passkeys.usable("ada", PARTY)
        attempts: tuple[Callable[[], Coroutine[Any, Any, object]], ...] = (
            lambda: add(world, sign_in, device()),
            lambda: factors.make_codes(sign_in, STATION),
            lambda: factors.change_password(sign_in, "several quiet turbines", STATION),
            lambda: factors.remove_passkey(sign_in, kept.credential_id, STATION),
        )
        for attempt in attempts:
            with pytest.raises(Exception, match="no space left"):
                await attempt()
        now = await factors.of(sign_in)
        assert ([each.credential_id for each in now.passkeys], now.codes_left) == ([kept.credential_id], 0)
        assert key.counter == 2

    play(world, scenario)


def test_only_the_last_changes_are_kept_for_the_page(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in, _ = await owner(world)
        (kept,) = await world.gate.passkeys.usable("ada", PARTY)
        for number in range(25):
            await world.gate.factors.rename_passkey(sign_in, kept.credential_id, f"key {number}", STATION)
        changes = (await world.gate.factors.of(sign_in)).changes
        assert len(changes) == 20
        assert changes[0].what == "passkey “key 23” is called “key 24”"
        for title in ("", " \n ", "x" * 41, "a\x00b"):
            with pytest.raises(Invalid, match="printable"):
                await world.gate.factors.rename_passkey(sign_in, kept.credential_id, title, STATION)

    play(world, scenario)
