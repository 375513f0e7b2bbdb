import asyncio

import pytest
from argon2 import PasswordHasher

from penstock.identity.password import Passwords, problems

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
    ],
)
def test_short_common_and_personal_passwords_are_refused(password: str) -> None:
    assert problems(password, "grace.hopper")


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
