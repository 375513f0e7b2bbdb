"""What the gate knows of revocations now: lists out of files, fetched lists, and answers of responders.

Logic only, on the narrow `Rim`.  One for a gate, over all revisions: what was once heard is not forgotten because a
site document changed.  Everything is in memory: after a restart only files are known.  It must never wait for a silent
responder longer than the rim does, nor ask it again for each of a thousand sign-ins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from penstock.identity.card import crl, ocsp
from penstock.identity.card.checks import Chain
from penstock.identity.card.crl import RevocationList
from penstock.identity.card.standing import UNKNOWN, Standing, joined
from penstock.identity.card.unfit import plain, subject_text
from penstock.model import OCSP_OF_CERTIFICATE, CardPlan, Malformed, Unavailable

T = TypeVar("T")

#: After a failure the same address is left alone for so long, or every sign-in would wait for its silence.
PAUSE_US = 10 * 1_000_000
_MAX_KEPT = 4096


class Rim(Protocol):
    """What this asks of the outside.  Every method raises `Unavailable`, with words for a record."""

    def stamp(self, name: str) -> int:
        """Changes when the file of that name below ``keys/sources`` does."""
        ...

    async def file(self, name: str, max_bytes: int) -> bytes:
        """Its content."""
        ...

    async def get(self, url: str, max_bytes: int) -> bytes:
        """The body of a GET."""
        ...

    async def ask(self, url: str, question: bytes, max_bytes: int) -> bytes:
        """The body of the answer to an OCSP question."""
        ...

    async def aside(self, work: Callable[[], T]) -> T:
        """Do work that takes long without holding everybody else up."""
        ...

    def nonce(self) -> bytes:
        """32 random bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _List:
    stamp: int
    found: RevocationList | None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    asked_us: int
    standing: Standing


class Revocations:
    """The revocation knowledge of one gate."""

    def __init__(self, rim: Rim) -> None:
        self._rim = rim
        self._files: dict[str, _List] = {}
        self._fetched: dict[str, _List] = {}
        self._heard: dict[str, dict[bytes, RevocationList]] = {}
        """Of each address every issuer's newest list that the issuer really signed."""
        self._issuers: dict[bytes, x509.Certificate] = {}
        """Authorities on paths that were checked."""
        self._answers: dict[tuple[bytes, int], _Answer] = {}
        self._silent: dict[str, tuple[int, str]] = {}
        self._signed: dict[tuple[int, bytes], tuple[RevocationList, bool]] = {}

    async def standing(self, plan: CardPlan, chain: Chain, now_us: int) -> Standing:
        """What is known of the card at the head of this checked path, asking whoever the plan names where it is due.

        An intermediate authority that a list names takes everything under it away; that nothing is known of one does
        not.
        """
        self._meet(chain[1:])
        lists, troubles = await self._lists(plan, now_us)
        for place, certificate in enumerate(chain[1:-1], start=1):
            found = await self._by_lists(lists, certificate, chain[place + 1], now_us)
            if found.is_revoked:
                return Standing(is_revoked=True, why=f"its issuer {subject_text(certificate)}: {found.why}")
        if len(chain) == 1:
            return UNKNOWN
        known = [await self._by_lists(lists, chain[0], chain[1], now_us)]
        url = ocsp.responder_of(chain[0]) if plan.ocsp == OCSP_OF_CERTIFICATE else plan.ocsp
        if url is not None:
            answered, trouble = await self._by_responder(plan, url, chain, now_us)
            known.append(answered)
            troubles += [trouble] if trouble else []
        whole = joined(known)
        if troubles and not whole.is_revoked and not whole.is_confirmed(now_us):
            return Standing(good_until_us=whole.good_until_us, why="; ".join(troubles))
        return whole

    async def warnings(self, plan: CardPlan, now_us: int) -> tuple[str, ...]:
        """What an administrator should see to before it bars anybody: lists that cannot be had, or end soon.

        Soon: less than a quarter of a list's own time is left.
        """
        lists, troubles = await self._lists(plan, now_us)
        ending = [_ending(each) for each in lists if now_us < each.next_update_us <= now_us + _last_part_us(each)]
        return (*troubles, *ending)

    async def _lists(self, plan: CardPlan, now_us: int) -> tuple[list[RevocationList], list[str]]:
        found = [await self._file(name) for name in plan.crls]
        lists = [each.found for each in found if each.found is not None]
        if plan.crl is not None:
            fetched = await self._fetch(plan.crl, plan.refresh_s, now_us)
            lists += await self._standing_of(plan.crl, fetched.found)
            found.append(fetched)
        troubles = [each.trouble for each in found if each.trouble]
        return lists, troubles + [_stale(each) for each in lists if each.next_update_us <= now_us]

    async def _file(self, name: str) -> _List:
        before = self._files.get(name)
        try:
            stamp = self._rim.stamp(name)
            if before is not None and before.stamp == stamp:
                return before
            content = await self._rim.file(name, crl.MAX_LIST_BYTES)
            kept = _List(stamp=stamp, found=await self._rim.aside(lambda: crl.read_list(content)))
        except (Unavailable, Malformed) as error:  # what was read before goes on: a list only ends by its own time
            return _List(stamp=0, found=before.found if before else None, trouble=f"list {name}: {error}")
        self._files[name] = kept
        return kept

    async def _fetch(self, url: str, refresh_s: int, now_us: int) -> _List:
        before = self._fetched.get(url)
        if before is not None and now_us < before.stamp + refresh_s * 1_000_000:
            return before

        async def fetch() -> RevocationList:
            content = await self._rim.get(url, crl.MAX_LIST_BYTES)
            return await self._rim.aside(lambda: crl.read_list(content))

        fresh, trouble = await self._unless_silent(url, fetch, now_us)
        if fresh is None:
            return _List(stamp=0, found=before.found if before else None, trouble=trouble)
        self._fetched[url] = kept = _List(stamp=now_us, found=fresh)
        return kept

    async def _standing_of(self, url: str, fetched: RevocationList | None) -> list[RevocationList]:
        """The lists from there that count: of each issuer the newest that it signed.

        They come without TLS, so anybody on the way may put another in their place: an older one, one of another
        issuer, or one that nobody signed.  None of these takes the place of what was heard before.
        """
        heard = self._heard.setdefault(url, {})
        if fetched is None:
            return list(heard.values())
        issuer = fetched.issuer.public_bytes()
        known = heard.get(issuer)
        is_older = known is not None and fetched.this_update_us < known.this_update_us
        if not is_older and await self._is_ours(fetched):
            heard[issuer] = fetched
        return list(heard.values()) if issuer in heard else [*heard.values(), fetched]

    async def _is_ours(self, found: RevocationList) -> bool:
        """Whether an authority under which cards were seen signed it."""
        for each in tuple(self._issuers.values()):
            if each.subject == found.issuer and await self._is_signed(found, each):
                return True
        return False

    def _meet(self, authorities: Chain) -> None:
        for each in authorities:
            if len(self._issuers) < _MAX_KEPT:
                self._issuers.setdefault(each.fingerprint(hashes.SHA256()), each)

    async def _by_lists(
        self, lists: list[RevocationList], certificate: x509.Certificate, issuer: x509.Certificate, now_us: int
    ) -> Standing:
        known = []
        for found in lists:
            if found.issuer == certificate.issuer and await self._is_signed(found, issuer):
                said = crl.standing_by(found, certificate, now_us)
                known += [said] if said is not None else []
        return joined(known)

    async def _is_signed(self, found: RevocationList, issuer: x509.Certificate) -> bool:
        key = (id(found), issuer.fingerprint(hashes.SHA256()))
        if key not in self._signed:
            if len(self._signed) >= _MAX_KEPT:
                self._signed.clear()
            is_signed = await self._rim.aside(lambda: crl.is_signed_by(found, issuer))
            self._signed[key] = found, is_signed  # with the list itself, so that its id is not given to another
        return self._signed[key][1]

    async def _by_responder(self, plan: CardPlan, url: str, chain: Chain, now_us: int) -> tuple[Standing, str]:
        key = chain[1].fingerprint(hashes.SHA256()), chain[0].serial_number
        before = self._answers.get(key)
        if before is not None and now_us < before.asked_us + plan.refresh_s * 1_000_000:
            return before.standing, ""
        question = ocsp.Question(
            certificate=chain[0], issuer=chain[1], nonce=self._rim.nonce(), needs_nonce=plan.needs_nonce
        )

        async def ask() -> Standing:
            content = await self._rim.ask(url, question.der(), ocsp.MAX_ANSWER_BYTES)
            return ocsp.read_answer(content, question, now_us)

        standing, trouble = await self._unless_silent(url, ask, now_us)
        before = self._answers.get(key)  # of now: somebody else may have asked meanwhile
        if standing is None:
            return before.standing if before else UNKNOWN, trouble
        if before is not None and standing.said_us < before.standing.said_us:
            standing = before.standing  # an answer from before the last one, said again or come late
        if len(self._answers) >= _MAX_KEPT:
            del self._answers[min(self._answers, key=lambda each: self._answers[each].asked_us)]
        self._answers[key] = _Answer(asked_us=now_us, standing=standing)
        return standing, ""

    async def _unless_silent(self, url: str, ask: Callable[[], Awaitable[T]], now_us: int) -> tuple[T | None, str]:
        """What it says; ``None`` and why where it says nothing, or said nothing a moment ago."""
        silent_us, trouble = self._silent.get(url, (0, ""))
        if silent_us <= now_us < silent_us + PAUSE_US:
            return None, trouble
        try:
            answer = await ask()
        except (Unavailable, Malformed) as error:
            trouble = f"{url}: {error}"
            if isinstance(error, Unavailable):
                self._silent[url] = now_us, trouble
            return None, trouble
        self._silent.pop(url, None)
        return answer, ""


def _last_part_us(found: RevocationList) -> int:
    return (found.next_update_us - found.this_update_us) // 4


def _ending(found: RevocationList) -> str:
    at = datetime.fromtimestamp(found.next_update_us // 1_000_000, UTC)
    return f"the list of {plain(found.issuer.rfc4514_string())} ends on {at:%Y-%m-%d %H:%M} UTC"


def _stale(found: RevocationList) -> str:
    return f"the list of {plain(found.issuer.rfc4514_string())} is older than it says it may be"
