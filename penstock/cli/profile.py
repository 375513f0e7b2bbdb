"""What a sign-in left on this computer: one private folder, for one person and one gate.

Stands between the verbs and the disk.  Folder 0700, files 0600, each replaced in one step; a file that others can
read is refused, as ssh does.  The private key is made here and never leaves; it and the token are in the system's key
store where there is one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.cli import key_store, station
from penstock.cli.answers import moment
from penstock.cli.key_store import Safe
from penstock.model import Invalid, Problem, Unauthenticated, Unavailable

T = TypeVar("T")

#: Local ports of assets: above the services that people run, below the kernel's range for outgoing flows (32768).
FIRST_PORT, LAST_PORT = 20_000, 29_999
_SECRET_FILES = ("sign-in.json", "key.pem", "certificate.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGate:
    """The gate that this profile belongs to."""

    url: str
    gate: str
    site: str
    tunnel_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Who is signed in here, until when (ISO 8601); the token is as good as the person.

    `kept_in` is what the key store that has token and key is called; empty: they are files of this profile.
    """

    subject: str
    groups: tuple[str, ...]
    token: str
    expires_at: str
    kept_in: str = ""

    def __repr__(self) -> str:
        """Without the token."""
        return f"SignIn(subject={self.subject!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a key store holds."""

    token: str
    key_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A `connect` that holds a local port now."""

    pid: int
    asset: str
    service: str


class Profile:
    """The folder of one profile.  Reading raises `Invalid` where somebody else could have read or written it."""

    def __init__(self, folder: Path, safe: Callable[[], Safe | None] = lambda: None) -> None:
        """`safe` finds the system's key store; it is asked only when there is something to keep or to fetch."""
        self.folder = folder
        self._find_safe = safe
        self.key_path = folder / "key.pem"
        self.certificate_path = folder / "certificate.pem"

    # --- the gate

    def remember_gate(self, gate: KnownGate, ca_pem: str) -> None:
        """From now on this profile believes this authority; a sign-in at another gate is forgotten."""
        if not self._is_at(gate.url, ca_pem):
            self.forget_sign_in()
        self._write("ca.pem", ca_pem.encode())
        self._write("gate.json", msgspec.json.encode(gate))

    def gate(self) -> KnownGate | None:
        """The gate of this profile; ``None`` before the first contact."""
        return self._load("gate.json", KnownGate)

    def ca_pem(self) -> str | None:
        """The authority that this profile believes."""
        found = self._read("ca.pem")
        return found.decode() if found is not None else None

    def known_gate(self) -> tuple[KnownGate, str]:
        """The gate and its authority.  Raises `Unauthenticated` before the first contact."""
        gate, ca_pem = self.gate(), self.ca_pem()
        if gate is None or ca_pem is None:
            raise _not_signed_in("this computer does not know a gate yet")
        return gate, ca_pem

    def _is_at(self, url: str, ca_pem: str) -> bool:
        """Whether what is kept here is for this gate: a token must never be shown to another."""
        try:
            known = self.gate()
        except Invalid:
            return False
        return known is not None and (known.url, self.ca_pem()) == (url, ca_pem)

    # --- the sign-in

    def remember_sign_in(self, sign_in: SignIn, key_pem: bytes, certificate_pem: str) -> SignIn:
        """Keep what a sign-in gave; answers it with where it is kept."""
        safe = self._find_safe()
        kept = msgspec.json.encode(_Kept(token=sign_in.token, key_pem=key_pem.decode("ascii"))).decode()
        if safe is not None and safe.keep(self._name_in_safe, kept):
            sign_in = replace(sign_in, kept_in=safe.title)
            self._write("sign-in.json", msgspec.json.encode(replace(sign_in, token="")))
            self.key_path.unlink(missing_ok=True)
        else:
            if safe is not None:
                safe.forget(self._name_in_safe)  # what an earlier sign-in left there
            self._write("key.pem", key_pem)
            self._write("sign-in.json", msgspec.json.encode(sign_in))
        self._write("certificate.pem", certificate_pem.encode())
        return sign_in

    def sign_in(self) -> SignIn | None:
        """Who is signed in, whether or not it has expired.  Raises `Unauthenticated` where the key store is shut."""
        found = self._load("sign-in.json", SignIn)
        return found if found is None or not found.kept_in else replace(found, token=self._kept(found).token)

    def last_subject(self) -> str:
        """Who signed in here last; empty where nobody has."""
        found = self._load("sign-in.json", SignIn)
        return "" if found is None else found.subject

    def ends_at(self) -> str:
        """When the sign-in of this profile ends (ISO 8601); empty where there is none."""
        found = self._load("sign-in.json", SignIn)
        return "" if found is None else found.expires_at

    def live_sign_in(self, now: datetime | None = None) -> SignIn:
        """Who is signed in.  Raises `Unauthenticated` where nobody is, or it has expired."""
        found = self._load("sign-in.json", SignIn)
        if found is None:
            raise _not_signed_in("nobody is signed in")
        if moment(found.expires_at) <= (now or datetime.now(UTC)):
            raise _not_signed_in("the sign-in has expired")
        return found if not found.kept_in else replace(found, token=self._kept(found).token)

    @contextlib.contextmanager
    def credential(self) -> Iterator[str]:
        """The path of one file with certificate and key, for as long as it takes to load it.

        Raises `Invalid` where others could have read the key, `Unauthenticated` where there is none.
        """
        certificate, sign_in = self._read("certificate.pem"), self._load("sign-in.json", SignIn)
        if sign_in is not None and sign_in.kept_in:
            key: bytes | None = self._kept(sign_in).key_pem.encode()
        else:
            key = self._read("key.pem")
        if key is None or certificate is None:
            raise _not_signed_in("the sign-in has no certificate")
        with station.private_file(certificate.rstrip() + b"\n" + key) as path:
            yield path

    def forget_sign_in(self) -> None:
        """Remove token, key and certificate, wherever they are."""
        with contextlib.suppress(Invalid):
            found = self._load("sign-in.json", SignIn)
            safe = self._find_safe() if found is not None and found.kept_in else None
            if safe is not None:
                safe.forget(self._name_in_safe)
        for name in _SECRET_FILES:
            (self.folder / name).unlink(missing_ok=True)

    @property
    def _name_in_safe(self) -> str:
        """One entry for each profile: whoever has two keeps them apart."""
        return hashlib.sha256(str(self.folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:16]

    def _kept(self, sign_in: SignIn) -> _Kept:
        safe = self._find_safe()
        found = safe.read(self._name_in_safe) if safe is not None else None
        try:
            if found is not None:
                return msgspec.json.decode(found, type=_Kept)
        except msgspec.MsgspecError:
            pass
        raise _not_signed_in(f"{sign_in.kept_in} does not give the sign-in back: it is locked, or forgot it")

    # --- local ports

    def port_of(self, asset: str, service: str, is_free: Callable[[int], bool]) -> int:
        """The local port of this service: assigned the first time, and the same ever after."""
        key = f"{asset}/{service}"
        with self._locked():
            ports = self._load("ports.json", dict[str, int]) or {}
            if key not in ports:
                ports[key] = stable_port(key, ports, is_free)
                self._write("ports.json", msgspec.json.encode(ports))
        return ports[key]

    def listening(self, port: int) -> Listening | None:
        """Which live `connect` of this profile holds the port."""
        found = self._load(f"port-{port}.json", Listening)
        return found if found is not None and station.is_alive(found.pid) else None

    @contextlib.contextmanager
    def announced(self, port: int, asset: str, service: str) -> Iterator[None]:
        """While the block runs, `listening` tells others what holds the port."""
        name = f"port-{port}.json"
        self._write(name, msgspec.json.encode(Listening(pid=os.getpid(), asset=asset, service=service)))
        try:
            yield
        finally:
            (self.folder / name).unlink(missing_ok=True)

    # --- grants

    @contextlib.contextmanager
    def grant_users(self) -> Iterator[dict[int, frozenset[int]]]:
        """Which live processes of this profile use which grant, by number; what the block changes is kept.

        Nobody else reads or changes it meanwhile.
        """
        self._make_folder()
        with station.locked(self.folder / ".grants.lock"):
            kept = self._load("grants.json", dict[int, frozenset[int]]) or {}
            users = {
                number: frozenset(pid for pid in pids if pid == os.getpid() or station.is_alive(pid))
                for number, pids in kept.items()
            }
            try:
                yield users
            finally:
                self._write("grants.json", msgspec.json.encode({n: sorted(pids) for n, pids in users.items() if pids}))

    # --- the disk

    def _load(self, name: str, kind: type[T]) -> T | None:
        found = self._read(name)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found, type=kind)
        except msgspec.MsgspecError as error:
            broken = Problem(
                where=str(self.folder / name), why=f"cannot be read: {error}", hint="remove it, then penstock login"
            )
            raise Invalid(broken) from error

    def _read(self, name: str) -> bytes | None:
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | station.NO_LINK | station.CLOSE_ON_EXEC | station.BINARY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Invalid(Problem(where=str(path), why=f"cannot be opened: {error.strerror}")) from error
        with os.fdopen(descriptor, "rb") as file:
            station.require_private(self.folder, self.folder.stat(), "700")
            station.require_private(path, os.fstat(descriptor), "600")
            return file.read()

    def _write(self, name: str, content: bytes) -> None:
        self._make_folder()
        path = self.folder / name
        draft = self.folder / f".{name}.{secrets.token_hex(8)}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | station.CLOSE_ON_EXEC | station.BINARY
            descriptor = os.open(draft, flags, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise Unavailable(f"{path} cannot be written: {error.strerror}") from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self.folder} cannot be made: {error.strerror}") from error
        station.require_private(self.folder, self.folder.stat(), "700")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One `penstock` at a time, for what is read, changed and written."""
        self._make_folder()
        with station.locked(self.folder / ".lock"):
            yield


def of_this_person(environment: Mapping[str, str] | None = None) -> Profile:
    """The profile of whoever runs this; see `station.state_folder`."""
    given = os.environ if environment is None else environment
    return Profile(station.state_folder(given), lambda: key_store.of_this_system(given))


def stable_port(key: str, taken: Mapping[str, int], is_free: Callable[[int], bool]) -> int:
    """The first port after the hash of `key` that is neither promised to another nor in use.

    Pure but for `is_free`.  Raises `Unavailable` where every port of the range is gone.
    """
    count = LAST_PORT - FIRST_PORT + 1
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % count
    promised = set(taken.values())
    for step in range(count):
        port = FIRST_PORT + (start + step) % count
        if port not in promised and is_free(port):
            return port
    raise Unavailable(f"no local port from {FIRST_PORT} to {LAST_PORT} is free")


def _not_signed_in(text: str) -> Unauthenticated:
    error = Unauthenticated(text)
    error.add_note("penstock login")
    return error
