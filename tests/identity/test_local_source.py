import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

import pyotp
import pytest
from argon2 import PasswordHasher

from penstock.identity import Account, Attempts, Credentials, Enrolment, LocalSource, Passwords, Seal, SignIn
from penstock.model import FactorStrength, Invalid, Tampered, Unauthenticated

NOW_US = 1_800_000_000_000_000
S = 1_000_000
PASSWORD = "correct horse battery"
HERE = "10.20.0.50"


class Accounts:
    """The account store in memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.enrolments: dict[str, Enrolment] = {}
        self.counters: dict[str, Attempts] = {}
        self.known: dict[tuple[str, str], int] = {}

    async def account(self, name: str) -> Account | None:
        return self.accounts.get(name)

    async def set_password_hash(self, name: str, password_hash: str) -> None:
        self.accounts[name] = replace(self.accounts[name], password_hash=password_hash)

    async def accept_step(self, name: str, step: int) -> bool:
        is_new = self.accounts[name].last_step < step
        if is_new:
            self.accounts[name] = replace(self.accounts[name], last_step=step)
        return is_new

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        before = self.counters.get(key, Attempts())
        after = change(before)
        self.counters.pop(key, None)
        if after is not None:
            self.counters[key] = after
        return before, after

    async def stations(self) -> list[tuple[str, str, int]]:
        return [(*key, at_us) for key, at_us in self.known.items()]

    async def put_station(self, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
        self.known[name, address] = at_us
        for each in forgotten:
            self.known.pop((name, each), None)

    async def drop_stations(self, name: str) -> None:
        self.known = {key: at_us for key, at_us in self.known.items() if key[0] != name}

    async def add_enrolment(self, enrolment: Enrolment) -> None:
        self.enrolments = {k: e for k, e in self.enrolments.items() if e.subject != enrolment.subject}
        self.enrolments[enrolment.code_hash] = enrolment

    async def enrolment(self, code_hash: str, now_us: int) -> Enrolment | None:
        found = self.enrolments.get(code_hash)
        return found if found and found.expires_at_us > now_us else None

    async def set_enrolment_secret(self, code_hash: str, totp_sealed: bytes) -> None:
        self.enrolments[code_hash] = replace(self.enrolments[code_hash], totp_sealed=totp_sealed)

    async def finish_enrolment(self, enrolment: Enrolment, password_hash: str, step: int, now_us: int) -> bool:
        assert now_us
        if self.enrolments.pop(enrolment.code_hash, None) is None:
            return False
        self.accounts[enrolment.subject] = replace(
            self.accounts[enrolment.subject],
            password_hash=password_hash,
            totp_sealed=enrolment.totp_sealed,
            last_step=step,
        )
        return True


class World:
    """A gate with one enrolled subject, ada."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
        self.source = LocalSource(self.accounts, passwords, Seal(bytes(32), secrets.token_bytes), "riverside")
        self.secret = ""

    async def enrol(self, name: str = "ada") -> None:
        self.accounts.accounts[name] = Account(name=name, groups=frozenset({"operators"}))
        invitation = await self.source.invite(name, NOW_US)
        self.secret = (await self.source.prepare(invitation.code, HERE, NOW_US)).secret
        await self.source.confirm(invitation.code, PASSWORD, self.code(), HERE, NOW_US)

    def code(self, at_us: int = NOW_US) -> str:
        return pyotp.TOTP(self.secret).at(at_us // S)

    async def sign_in(
        self, name: str = "ada", password: str = PASSWORD, code: str | None = None, at_us: int = NOW_US + 60 * S
    ) -> SignIn:
        typed = self.code(at_us) if code is None else code
        return await self.source.sign_in(Credentials(subject=name, password=password, code=typed, source=HERE), at_us)


def test_password_and_code_make_a_subject_with_two_factors() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        subject = (await world.sign_in()).subject
        assert subject is not None
        assert subject.strength is FactorStrength.TWO
        assert subject.groups == {"operators"}

    asyncio.run(scenario())


def test_every_wrong_proof_gets_the_same_answer() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        world.accounts.accounts["new"] = Account(name="new", groups=frozenset())
        world.accounts.accounts["gone"] = replace(world.accounts.accounts["ada"], name="gone", is_suspended=True)
        world.accounts.accounts["gone"] = replace(
            world.accounts.accounts["gone"],
            totp_sealed=Seal(bytes(32), secrets.token_bytes).close(world.secret, "gone"),
        )
        answers = [
            await world.sign_in(password="wrong password here"),
            await world.sign_in(code="000000"),
            await world.sign_in(name="nobody"),
            await world.sign_in(name="new"),
            await world.sign_in(name="gone"),
        ]
        assert set(answers) == {SignIn()}

    asyncio.run(scenario())


class Counting(PasswordHasher):
    """Notes each slow operation: what it is, and its cost."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.steps: list[tuple[str, str]] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.steps.append(("hash", ""))
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
        self.steps.append(("verify", str(hash).partition("p=1$")[0]))
        return super().verify(hash, password)


@pytest.mark.parametrize("source", [HERE, "10.66.0.1"])
def test_whoever_is_refused_cost_exactly_the_same_slow_work_and_the_same_transactions(source: str) -> None:
    """Times can be measured over a network; what takes no time of its own cannot."""

    async def scenario() -> None:
        world, counting = World(), Counting()
        world.source = LocalSource(
            world.accounts, Passwords(counting), Seal(bytes(32), secrets.token_bytes), "gate", None
        )
        await world.enrol()
        ada = world.accounts.accounts["ada"]
        sealed = Seal(bytes(32), secrets.token_bytes).close(world.secret, "gone")
        world.accounts.accounts |= {
            "new": Account(name="new", groups=frozenset()),
            "gone": replace(ada, name="gone", is_suspended=True, totp_sealed=sealed),
        }
        await world.sign_in(name="warm-up")
        attempts = {
            "wrong password": ("ada", "wrong password here", None),
            "wrong code": ("ada", PASSWORD, "000000"),
            "unknown": ("nobody", PASSWORD, None),
            "not enrolled": ("new", PASSWORD, None),
            "suspended": ("gone", PASSWORD, None),
            "unknown and nothing typed": ("nobody-2", "", ""),
        }
        traces, calls = {}, []
        change = world.accounts.change_attempts

        async def noted(key: str, work: Callable[[Attempts], Attempts | None]) -> tuple[Attempts, Attempts | None]:
            calls.append(key.partition(":")[0])
            return await change(key, work)

        world.accounts.change_attempts = noted  # type: ignore[method-assign]
        for case, (name, password, code) in attempts.items():
            counting.steps.clear()
            calls.clear()
            typed = world.code(NOW_US + 60 * S) if code is None else code
            credentials = Credentials(subject=name, password=password, code=typed, source=source)
            assert await world.source.sign_in(credentials, NOW_US + 60 * S) == SignIn()
            traces[case] = (tuple(counting.steps), tuple(calls))
        slow = {steps for steps, _ in traces.values()}
        assert slow == {(("verify", "$argon2id$v=19$m=1024,t=1,"),)}
        if source != HERE:
            assert {each for _, each in traces.values()} == {("source", "account_here", "account")}

    asyncio.run(scenario())


def test_a_code_is_accepted_once_even_when_two_sign_ins_race() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        both = await asyncio.gather(world.sign_in(), world.sign_in())
        assert [answer.subject is not None for answer in both].count(True) == 1
        assert (await world.sign_in()).subject is None

    asyncio.run(scenario())


def test_the_code_of_the_enrolment_does_not_sign_in() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        assert (await world.sign_in(at_us=NOW_US)).subject is None

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["ada", "nobody", "n" * 5000])
def test_the_fifth_failure_locks_and_unknown_subjects_lock_alike(name: str) -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        answers = [await world.sign_in(name=name, password="wrong password here") for _ in range(6)]
        assert answers == [*([SignIn()] * 4), SignIn(locked=("account_here",)), SignIn(retry_after_s=30)]

    asyncio.run(scenario())


def test_a_right_proof_during_the_wait_is_not_looked_at_and_after_it_resets_the_counter() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        for _ in range(5):
            await world.sign_in(password="wrong password here")
        assert (await world.sign_in()).retry_after_s == 30
        assert (await world.sign_in(at_us=NOW_US + 100 * S)).subject is not None
        assert "account:ada" not in world.accounts.counters

    asyncio.run(scenario())


def test_many_attempts_at_once_cannot_slip_past_the_limit() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        answers = []
        for _ in range(3):
            wrong = [world.sign_in(password=f"wrong password {n}") for n in range(12)]
            answers += await asyncio.gather(*wrong)
        assert sum(not answer.retry_after_s for answer in answers) == 5

    asyncio.run(scenario())


def test_a_source_that_tries_many_names_is_locked() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        answers = [await world.sign_in(name=f"guess-{n}") for n in range(21)]
        assert answers[19].locked == ("source",)
        assert answers[20].retry_after_s == 30

    asyncio.run(scenario())


def test_an_enrolment_code_works_once_for_a_day_and_only_its_hash_is_kept() -> None:
    async def scenario() -> None:
        world = World()
        world.accounts.accounts["ada"] = Account(name="ada", groups=frozenset())
        invitation = await world.source.invite("ada", NOW_US)
        assert invitation.code.replace("-", "") not in str(world.accounts.enrolments)
        with pytest.raises(Unauthenticated):
            await world.source.prepare(invitation.code, HERE, NOW_US + 24 * 3600 * S)
        prepared = await world.source.prepare(invitation.code.lower(), HERE, NOW_US)
        world.secret = prepared.secret
        assert await world.source.confirm(invitation.code, PASSWORD, world.code(), HERE, NOW_US) == "ada"
        with pytest.raises(Unauthenticated):
            await world.source.confirm(invitation.code, PASSWORD, world.code(), HERE, NOW_US)

    asyncio.run(scenario())


def test_a_new_invitation_ends_the_one_before() -> None:
    async def scenario() -> None:
        world = World()
        world.accounts.accounts["ada"] = Account(name="ada", groups=frozenset())
        first = await world.source.invite("ada", NOW_US)
        await world.source.invite("ada", NOW_US)
        with pytest.raises(Unauthenticated):
            await world.source.prepare(first.code, HERE, NOW_US)

    asyncio.run(scenario())


def test_a_secret_that_was_shown_earlier_cannot_be_confirmed() -> None:
    """Whoever saw the first picture does not know the secret that ends up in the account."""

    async def scenario() -> None:
        world = World()
        world.accounts.accounts["ada"] = Account(name="ada", groups=frozenset())
        code = (await world.source.invite("ada", NOW_US)).code
        world.secret = (await world.source.prepare(code, HERE, NOW_US)).secret
        await world.source.prepare(code, HERE, NOW_US)
        with pytest.raises(Invalid):
            await world.source.confirm(code, PASSWORD, world.code(), HERE, NOW_US)

    asyncio.run(scenario())


def test_a_refused_password_and_a_wrong_code_are_told_together_and_leave_the_enrolment_open() -> None:
    async def scenario() -> None:
        world = World()
        world.accounts.accounts["ada"] = Account(name="ada", groups=frozenset())
        code = (await world.source.invite("ada", NOW_US)).code
        shown = await world.source.prepare(code, HERE, NOW_US)
        with pytest.raises(Invalid) as refused:
            await world.source.confirm(code, "short", "000000", HERE, NOW_US)
        assert [problem.where for problem in refused.value.problems] == ["password", "totp"]
        assert await world.source.prepared(code, HERE, NOW_US) == shown

    asyncio.run(scenario())


def test_guessing_enrolment_codes_locks_the_source() -> None:
    async def scenario() -> None:
        world = World()
        world.accounts.accounts["ada"] = Account(name="ada", groups=frozenset())
        code = (await world.source.invite("ada", NOW_US)).code
        for n in range(20):
            with pytest.raises(Unauthenticated):
                await world.source.prepare(f"GUESS-{n}", HERE, NOW_US)
        with pytest.raises(Unauthenticated):
            await world.source.prepare(code, HERE, NOW_US)

    asyncio.run(scenario())


def test_a_secret_moved_to_another_account_does_not_open() -> None:
    async def scenario() -> None:
        world = World()
        await world.enrol()
        world.accounts.accounts["eve"] = replace(world.accounts.accounts["ada"], name="eve")
        with pytest.raises(Tampered):
            await world.sign_in(name="eve")

    asyncio.run(scenario())


def test_typed_secrets_never_show_in_a_traceback() -> None:
    shown = repr(Credentials(subject="ada", password=PASSWORD, code="123456", source=HERE))
    assert PASSWORD not in shown
    assert "123456" not in shown
