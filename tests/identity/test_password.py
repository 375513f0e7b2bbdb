import asyncio
import hashlib
from base64 import b64decode
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from penstock.identity import known_bad
from penstock.identity.known_bad import known
from penstock.identity.password import PBKDF2_ROUNDS, Passwords, Pbkdf2, is_fips, problems

FAST = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


@pytest.mark.parametrize(
    "password",
    [
        "short1!",
        "eleven chars"[:11],
        "password1234",
        "P@ssw0rd2024!",
        "qwertyuiop123",
        "Administrator1",
        "aaaaaaaaaaaaaa",
        "121212121212",
        "012345678901",
        "grace.hopper2026",
        "abcdefghijkl",
        "x" * 300,
        "1qaz2wsx3edc",
        "sunshinesunshine",
        "Dragon!!!2026",
        "trustno1trustno1",
        "grace-hopper-grace-hopper",
        "Riverside2026!!",
        "riversidesunshine",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44\uff11\uff12\uff13\uff14",
    ],
)
def test_short_known_and_personal_passwords_are_refused(password: str) -> None:
    assert problems(password, "grace.hopper", "gate.riverside.ot", "riverside-water")


def test_every_listed_password_that_is_long_enough_is_refused_and_so_are_the_first_hundred_with_a_year() -> None:
    listed = [each for each in known() if len(each) >= 12]
    assert len(listed) > 200
    assert [each for each in listed if not problems(each, "grace")] == []
    text = Path(known_bad.__file__).with_name("known_bad.txt").read_text(encoding="utf-8")
    first = [line for line in text.splitlines() if line and not line.startswith("#")][:100]
    assert [each for each in first if not problems(f"{each.title()}!2026.2027", "grace")] == []


@pytest.mark.parametrize(
    "password", ["correct horse battery", "Zahnrad-Uhr-Nebel", "vier blaue Pumpen", "🔧🔩🪛 im Keller!"]
)
def test_several_words_are_accepted_in_any_script(password: str) -> None:
    assert problems(password, "grace") == ()


def test_hashes_are_argon2id_with_64_mib_three_passes_and_four_lanes() -> None:
    stored = asyncio.run(Passwords().hash("correct horse battery"))
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_hash_of_weaker_parameters_is_replaced_at_the_next_sign_in() -> None:
    async def scenario() -> None:
        old = FAST.hash("correct horse battery")
        stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1))
        checked = await stronger.check(old, "correct horse battery")
        assert checked.is_right
        assert checked.new_hash is not None
        assert checked.new_hash.startswith("$argon2id$v=19$m=1024,t=2,")
        assert (await stronger.check(checked.new_hash, "correct horse battery")).new_hash is None

    asyncio.run(scenario())


def test_without_a_stored_hash_the_same_work_is_done_and_even_nobodys_password_is_wrong() -> None:
    calls = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            calls.append(hash)
            return super().verify(hash, password)

    async def scenario() -> None:
        passwords = Passwords(Counting(time_cost=1, memory_cost=1024, parallelism=1))
        assert not (await passwords.check(None, "nobody has this password")).is_right
        assert not (await passwords.check(FAST.hash("a"), "b")).is_right

    asyncio.run(scenario())
    assert len(calls) == 2


def test_a_broken_stored_hash_is_a_wrong_password_not_a_crash() -> None:
    assert not asyncio.run(Passwords(FAST).check("garbage", "whatever it is")).is_right


def test_the_same_password_typed_on_another_keyboard_is_right() -> None:
    async def scenario() -> None:
        passwords = Passwords(FAST)
        stored = await passwords.hash("fu\u0308nf blaue Pumpen")
        assert (await passwords.check(stored, "f\u00fcnf blaue Pumpen")).is_right
        assert not (await passwords.check(stored, "f\u00fcnf blaue pumpen")).is_right

    asyncio.run(scenario())


def test_fips_mode_hashes_with_pbkdf2_and_replaces_what_argon2_made_and_the_other_way_round() -> None:
    async def scenario() -> None:
        before, fips = Passwords(FAST), Passwords(Pbkdf2(rounds=1000))
        old = await before.hash("correct horse battery")
        moved = (await fips.check(old, "correct horse battery")).new_hash
        assert moved is not None
        assert moved.startswith("$pbkdf2-sha512$i=1000$")
        assert await fips.check(moved, "correct horse batterY") == await fips.check(None, "correct horse battery")
        assert (await fips.check(moved, "correct horse battery")).new_hash is None
        stronger = (await Passwords(Pbkdf2(rounds=2000)).check(moved, "correct horse battery")).new_hash
        assert stronger is not None
        assert stronger.startswith("$pbkdf2-sha512$i=2000$")
        back = (await before.check(stronger, "correct horse battery")).new_hash
        assert back is not None
        assert back.startswith("$argon2id$")

    asyncio.run(scenario())


def test_the_scheme_of_this_machine_is_the_one_of_its_mode() -> None:
    stored = asyncio.run(Passwords().hash("correct horse battery"))
    assert stored.startswith(f"$pbkdf2-sha512$i={PBKDF2_ROUNDS}$" if is_fips() else "$argon2id$")


def test_pbkdf2_is_what_openssl_computes() -> None:
    stored = Pbkdf2(rounds=1234).hash("correct horse battery")
    _, _, rounds, salt, made = stored.split("$")
    assert rounds == "i=1234"
    assert hashlib.pbkdf2_hmac("sha512", b"correct horse battery", b64decode(salt), 1234) == b64decode(made)


@pytest.mark.parametrize(
    "text", ["$pbkdf2-sha512$", "$pbkdf2-sha512$i=x$a$b", "$pbkdf2-sha512$i=99999999999$YQ==$YQ=="]
)
def test_a_broken_pbkdf2_text_is_a_wrong_password_and_costs_no_endless_work(text: str) -> None:
    assert not asyncio.run(Passwords(Pbkdf2(rounds=10)).check(text, "whatever it is")).is_right
