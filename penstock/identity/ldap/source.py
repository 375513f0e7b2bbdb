"""I/O: a directory over TLS is asked.  LDAP or Active Directory as an identity source.

Whoever signs in is looked up by the gate's own account, must be exactly one entry, and proves the password by a bind.
It must never bind with an empty password (RFC 4513 section 5.1.2: that succeeds for anybody), never put a name into the
text of a filter, never follow a referral, nor tell by words or by time whether a name exists.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sansldap import FilterAnd, FilterEquality, LDAPFilter

from penstock.identity.ldap import account, keys, membership
from penstock.identity.ldap.connection import Connection, connect, context_of, failures
from penstock.identity.ldap.servers import Server, Servers
from penstock.identity.ldap.session import Entry, Question
from penstock.identity.source import Membership, NotAsked, Proof, Refused
from penstock.model import Factor, LdapPlan, Malformed, Unavailable

#: So many questions at a time; the others wait within their own deadline.
AT_ONCE = 8
MAX_PASSWORD_BYTES = 1024
#: Of the time for a question, what finding a server that answers may take: enough is left to say which one did not.
_SHARE_TO_OPEN = 0.8
#: Folding, spaces and other alphabets would let one person be counted under many names: nothing of it is asked for.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_INVALID_DN = "cn=nobody"


class LdapSource:
    """One directory of the site document.  `secret` is the password of the gate's own account there."""

    def __init__(self, plan: LdapPlan, secret: str) -> None:
        self._plan, self._secret = plan, secret
        self._servers = Servers(plan.urls)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._context: ssl.SSLContext | None = None
        self._matching = LDAPFilter.from_string(plan.people_filter)

    async def check(self, name: str, password: str, now_us: int) -> Proof | Refused:
        """The proof of one factor, the password; or why not.  Raises `NotAsked` and `Unavailable`."""
        if not password:
            return Refused(reason="an empty password")
        if not _NAME.fullmatch(name) or not _can_be_password(password):
            return Refused(reason="a name or a password that nobody can have")
        async with self._asked() as connection:
            person = await self._one(connection, self._plan.name_attribute, name.encode())
            dn = f"{_INVALID_DN},{self._plan.people}" if person is None else person.dn
            outcome = await connection.bind(dn, password)
            if person is None:
                return Refused(reason=account.NOBODY)
            if account.is_unable(outcome):
                raise Unavailable(f"the directory {self._plan.name} cannot check a password: result {outcome.code}")
            if why := account.refusal(outcome):
                return Refused(reason=why, name=name)
            await self._bind(connection)
            return await self._proof(connection, person, name, now_us)

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:  # noqa: ARG002
        """What the directory says now; ``None`` where the account is gone, disabled or expired.

        Found by its key, so a person who was renamed or moved is still the same.  Raises `Unavailable`.
        """
        raw = keys.raw(self._plan.key_attribute, key)
        if raw is None:
            return None
        async with self._asked() as connection:
            entry = await self._one(connection, self._plan.key_attribute, raw)
            if entry is None or account.ended(entry, now_us) is not None:
                return None
            return Membership(groups=await membership.read(connection, self._plan, entry))

    async def _proof(self, connection: Connection, person: Entry, name: str, now_us: int) -> Proof | Refused:
        plan, key = self._plan, keys.text(self._plan.key_attribute, person)
        raw = None if key is None else keys.raw(plan.key_attribute, key)
        if key is None or raw is None:
            return Refused(reason=f"its entry has no {plan.key_attribute} that can be used", name=name)
        entry = await self._one(connection, plan.key_attribute, raw)
        theirs = None if entry is None else _spelled(entry, plan.name_attribute, name)
        if entry is None or entry.dn != person.dn or theirs is None:
            return Refused(reason="its entry changed meanwhile", name=name)
        if why := account.closed(entry, now_us):
            return Refused(reason=why, name=name)
        return Proof(
            source=plan.name,
            key=key,
            name=theirs.lower(),  # case makes no other person, there or here
            proved_at_us=now_us,
            groups=await membership.read(connection, plan, entry),
            factors=frozenset({Factor.PASSWORD}),
            detail={"dn": entry.dn[:300]},
        )

    async def _one(self, connection: Connection, attribute: str, value: bytes) -> Entry | None:
        """The only person with this value; nobody where there are several.

        The value goes into the question as a value (RFC 4511 section 4.5.1.7), never as text of a filter.
        """
        plan = self._plan
        wanted = (plan.name_attribute, plan.key_attribute, "memberOf", *account.ATTRIBUTES)
        matching = FilterAnd(filters=[self._matching, FilterEquality(attribute=attribute, value=value)])
        question = Question(dn=plan.people, matching=matching, attributes=wanted, limit=2)
        found = await connection.search(question)
        return found[0] if len(found) == 1 and found[0].dn else None

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[Connection]:
        """A connection that is bound as the gate, for one question.  Raises `Unavailable`."""
        name, server = self._plan.name, None
        try:
            async with asyncio.timeout(self._plan.timeout_s), self._turns:
                connection, server = await self._open()
                try:
                    with failures(server):
                        yield connection
                finally:
                    connection.close()
        except TimeoutError as error:
            if server is not None:
                self._servers.failed(server, asyncio.get_running_loop().time())
            why = f"the directory {name} did not answer within {self._plan.timeout_s} s"
            raise (NotAsked if server is None else Unavailable)(why) from error
        except Malformed as error:
            raise Unavailable(f"the directory {name} answers what cannot be read: {error}") from error

    async def _open(self) -> tuple[Connection, Server]:
        """The first server that answers; each gets its share of most of the time."""
        loop, reasons = asyncio.get_running_loop(), []
        if self._context is None:
            self._context = context_of(self._plan.authorities)
        due = self._servers.due(loop.time())
        for server in due:
            share_s = self._plan.timeout_s * _SHARE_TO_OPEN / len(due)
            try:
                async with asyncio.timeout(share_s):
                    return await self._bound(server, self._context), server
            except TimeoutError:
                reasons.append(f"{server.host}:{server.port} is silent")
            except (Unavailable, Malformed) as error:
                reasons.append(str(error))
            self._servers.failed(server, loop.time())
        rest_s = self._servers.rest_s(loop.time())
        why = "; ".join(reasons) or f"it did not answer before, and is asked again in {rest_s:.0f} s"
        raise NotAsked(f"the directory {self._plan.name} cannot be asked: {why}")

    async def _bound(self, server: Server, context: ssl.SSLContext) -> Connection:
        connection = await connect(server, context, self._plan.timeout_s)
        try:
            with failures(server):
                await self._bind(connection)
        except BaseException:
            connection.abort()
            raise
        self._servers.answered(server)
        return connection

    async def _bind(self, connection: Connection) -> None:
        outcome = await connection.bind(self._plan.bind_name, self._secret)
        if outcome.code:
            raise Unavailable(f"it does not take the gate's own account {self._plan.bind_name!r} ({outcome.code})")


def _can_be_password(password: str) -> bool:
    try:
        return len(password.encode()) <= MAX_PASSWORD_BYTES and "\0" not in password
    except UnicodeEncodeError:
        return False


def _spelled(entry: Entry, attribute: str, name: str) -> str | None:
    """The name as the directory spells it."""
    return next((each for each in entry.texts(attribute) if each.lower() == name.lower()), None)
