import secrets

from penstock.identity.factors.challenge import LIFE_US, Challenges

KEY = bytes(32)
NOW = 5_000_000


def made(challenges: Challenges, purpose: str = "sign-in:browser", now_us: int = NOW) -> bytes:
    return challenges.make(secrets.token_bytes(16), purpose, now_us)


def test_a_challenge_is_accepted_once() -> None:
    challenges = Challenges(KEY)
    challenge = made(challenges)
    assert challenges.spend(challenge, "sign-in:browser", NOW + 1)
    assert not challenges.spend(challenge, "sign-in:browser", NOW + 2)


def test_a_challenge_ends_after_two_minutes_and_is_not_of_the_future() -> None:
    challenges = Challenges(KEY)
    assert not challenges.spend(made(challenges), "sign-in:browser", NOW + LIFE_US + 1)
    assert not challenges.spend(made(challenges), "sign-in:browser", NOW - 1)
    assert challenges.spend(made(challenges), "sign-in:browser", NOW + LIFE_US)


def test_a_challenge_is_of_one_browser_one_purpose_and_one_gate() -> None:
    challenges = Challenges(KEY)
    challenge = made(challenges)
    assert not challenges.spend(challenge, "sign-in:other", NOW)
    assert not challenges.spend(challenge, "add:browser", NOW)
    assert not Challenges(bytes(31) + b"1").spend(challenge, "sign-in:browser", NOW)
    assert challenges.spend(challenge, "sign-in:browser", NOW), "a wrong try does not use it up"


def test_no_changed_byte_passes() -> None:
    challenges = Challenges(KEY)
    challenge = made(challenges)
    for at in range(len(challenge)):
        changed = challenge[:at] + bytes([challenge[at] ^ 1]) + challenge[at + 1 :]
        assert not challenges.spend(changed, "sign-in:browser", NOW)
    assert not challenges.spend(b"", "sign-in:browser", NOW)
    assert not challenges.spend(challenge + b"x", "sign-in:browser", NOW)


def test_what_was_spent_is_forgotten_only_when_it_is_too_old() -> None:
    challenges = Challenges(KEY)
    first = made(challenges)
    assert challenges.spend(first, "sign-in:browser", NOW)
    for second in range(1, 5):
        now_us = NOW + second * LIFE_US
        assert challenges.spend(made(challenges, now_us=now_us), "sign-in:browser", now_us)
        assert not challenges.spend(first, "sign-in:browser", now_us)
    assert len(challenges._spent) <= 2
