"""A directory's password, the gate's own second factor, and limits on guessing, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pyotp
import pytest
from sansldap import FilterExtensibleMatch

from penstock.identity import (
    Account,
    Attempts,
    Credentials,
    DirectorySource,
    LimitedSource,
    Membership,
    NotAsked,
    Proof,
    Refused,
    Seal,
    SignIn,
    Turns,
    Turnstile,
)
from penstock.identity import directory as directory_module
from penstock.identity.ldap import membership
from penstock.identity.ldap.session import Entry, Question
from penstock.model import Factor, FactorStrength, GroupMap, GroupWay, LdapPlan, Unavailable, strength_of

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NOW_US = 1_760_000_000_000_000
ADA = Proof(source="plant", key="k-ada", name="ada", proved_at_us=NOW_US, factors=frozenset({Factor.PASSWORD}))


@dataclass
class Answers:
    """A directory that answers what it was told to."""

    answer: Proof | Refused | Unavailable = ADA
    asked: list[str] = field(default_factory=list)

    async def check(self, name: str, password: str, now_us: int) -> Proof | Refused:  # noqa: ARG002
        self.asked.append(name)
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:  # noqa: ARG002
        return None


@dataclass
class Kept:
    """Authenticators by the source's key, and counters."""

    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    counters: dict[str, Attempts] = field(default_factory=dict)

    async def account_of(self, source: str, key: str) -> Account | None:
        return self.accounts.get((source, key))

    async def accept_step(self, name: str, step: int) -> bool:
        for place, account in self.accounts.items():
            if account.name == name and account.last_step < step:
                self.accounts[place] = replace(account, last_step=step)
                return True
        return False

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        before = self.counters.get(key, Attempts())
        after = change(before)
        if after is None:
            self.counters.pop(key, None)
        else:
            self.counters[key] = after
        return before, after

    async def stations(self) -> Iterable[tuple[str, str, int]]:
        return ()

    async def put_station(self, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
        pass

    async def drop_stations(self, name: str) -> None:
        pass


SEAL = Seal(bytes(range(32)), bytes)


def enrolled() -> Kept:
    account = Account(name="ada@plant", groups=frozenset(), totp_sealed=SEAL.close(SECRET, "ada@plant"))
    return Kept(accounts={("plant", "k-ada"): account})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "REFUSAL_STEP_S", 0.001)


def typed(code: str = "", name: str = "ada") -> Credentials:
    return Credentials(subject=name, password="right", code=code, source="192.0.2.7", realm="plant")


def sign_in(answers: Answers, kept: Kept, credentials: Credentials) -> SignIn:
    return asyncio.run(DirectorySource("plant", answers, kept, SEAL).sign_in(credentials, NOW_US))


def code_now() -> str:
    return pyotp.TOTP(SECRET).at(NOW_US // 1_000_000)


def test_without_an_authenticator_the_password_is_one_factor_whatever_code_was_typed() -> None:
    for code in ("", "123456"):
        found = sign_in(Answers(), Kept(), typed(code))
        assert found.proof is not None
        assert strength_of(found.proof.factors) is FactorStrength.ONE


def test_with_an_authenticator_both_are_needed_and_make_two() -> None:
    kept = enrolled()
    for code in ("", "000000", "garbage"):
        found = sign_in(Answers(), kept, typed(code))
        assert (found.proof, found.why) == (None, directory_module.CODE_REFUSED)
    found = sign_in(Answers(), kept, typed(code_now()))
    assert found.proof is not None
    assert found.proof.factors == {Factor.PASSWORD, Factor.TOTP}
    assert sign_in(Answers(), kept, typed(code_now())).proof is None, "a code works once"


def test_an_authenticator_counts_for_its_owners_key_and_for_nobody_else() -> None:
    stranger = Answers(answer=replace(ADA, key="k-other"))
    found = sign_in(stranger, enrolled(), typed(code_now()))
    assert found.proof is not None
    assert found.proof.factors == {Factor.PASSWORD}
    other = DirectorySource("office", Answers(), enrolled(), SEAL)
    elsewhere = asyncio.run(other.sign_in(typed(code_now()), NOW_US))
    assert elsewhere.proof is not None
    assert elsewhere.proof.factors == {Factor.PASSWORD}


def test_a_refusal_keeps_the_reason_for_the_evidence() -> None:
    found = sign_in(Answers(answer=Refused(reason="the account is locked")), Kept(), typed())
    assert (found.proof, found.subject, found.why) == (None, None, "the account is locked")


@pytest.mark.parametrize("answer", [Refused(reason="wrong password"), ADA])
def test_every_refusal_takes_a_whole_number_of_steps(monkeypatch: pytest.MonkeyPatch, answer: Proof | Refused) -> None:
    """A wrong password and, with a right one, a missing code."""
    monkeypatch.setattr(directory_module, "REFUSAL_STEP_S", 0.5)
    slept: list[float] = []
    clock = iter([100.0, 101.2])

    class Loop:
        def time(self) -> float:
            return next(clock)

    async def sleep(length_s: float) -> None:
        slept.append(length_s)

    async def refused() -> None:
        monkeypatch.setattr(directory_module.asyncio, "get_running_loop", Loop)
        monkeypatch.setattr(directory_module.asyncio, "sleep", sleep)
        try:
            await DirectorySource("plant", Answers(answer=answer), enrolled(), SEAL).sign_in(typed(), NOW_US)
        finally:
            monkeypatch.undo()

    asyncio.run(refused())
    assert slept == [pytest.approx(0.3)]


def limited(answers: Answers, kept: Kept) -> LimitedSource:
    return LimitedSource(DirectorySource("plant", answers, kept, SEAL), Turnstile(kept, Turns(8)), "plant")


def test_the_directory_is_not_asked_more_often_than_the_gates_limit_however_the_name_is_spelled() -> None:
    answers = Answers(answer=Refused(reason="wrong password"))

    async def guess() -> list[int]:
        source = limited(answers, Kept())
        names = ("ada", "ADA", "Ada", "aDa", "adA", "AdA", "aDA", "ADa")
        return [(await source.sign_in(typed(name=name), NOW_US)).retry_after_s for name in names]

    waits = asyncio.run(guess())
    assert len(answers.asked) == 5, "four are free, the fifth begins the wait"
    assert waits[:5] == [0] * 5
    assert all(waits[5:])


def test_while_the_directory_cannot_be_asked_nobody_collects_failures() -> None:
    async def ask(error: Unavailable) -> int:
        kept = Kept()
        source = limited(Answers(answer=error), kept)
        for _ in range(4):
            with pytest.raises(Unavailable):
                await source.sign_in(typed(), NOW_US)
        return sum(each.failures for each in kept.counters.values())

    assert asyncio.run(ask(NotAsked("down"))) == 0
    assert asyncio.run(ask(Unavailable("tried, and no answer"))) > 0, "a password may have been tried"


def test_active_directory_is_asked_to_follow_groups_itself() -> None:
    questions: list[Question] = []

    class Asked:
        async def search(self, question: Question) -> tuple[Entry, ...]:
            questions.append(question)
            return (Entry(dn="CN=OT Operators,OU=Groups,DC=plant", values={"cn": (b"OT Operators",)}),)

    plan = LdapPlan(
        name="plant",
        title="",
        urls=(),
        authorities="",
        bind_name="",
        secret="",
        people="DC=plant",
        group_base="OU=Groups,DC=plant",
        group_way=GroupWay.IN_CHAIN,
        groups=GroupMap(taken=(("OT Operators", "operators"),)),
    )
    person = Entry(dn="CN=Ada (ops)*,OU=People,DC=plant", values={})
    assert asyncio.run(membership.read(Asked(), plan, person)) == {"operators"}
    (asked,) = questions
    assert asked.dn == "OU=Groups,DC=plant"
    assert asked.matching == FilterExtensibleMatch(
        rule="1.2.840.113556.1.4.1941", attribute="member", value=person.dn.encode(), dn_attributes=False
    )
