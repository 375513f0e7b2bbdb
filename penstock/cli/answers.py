"""What a gate answers over HTTP, as values; the field names are those of the JSON API.

Pure.  Unknown fields are ignored, so that a newer gate can say more; missing ones are an error of the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from penstock.model import Unavailable


class NotNow(Unavailable):
    """The gate answers, and cannot do it at this moment: an inspecting worker starts anew, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutGate:
    """``GET /api/gate``: which gate this is, and the authority that its certificate is issued by."""

    gate: str
    site: str
    tunnel_port: int
    ca_pem: str
    notice: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a site wants everybody to accept before signing in; `sha256` is what an acceptance refers to."""

    title: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """``POST /api/enrolments``: what an authenticator app needs."""

    subject: str
    otpauth_uri: str
    asks_password: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """``POST /api/enrolments/confirm``: codes on paper, for the day on which the authenticator is lost."""

    recovery_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """``POST /api/sign-ins``: a bearer token and a short-lived certificate for the key that never left."""

    token: str
    certificate_pem: str
    ca_pem: str
    subject: str
    groups: tuple[str, ...]
    expires_at: str
    recovery_codes_left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedProof:
    """What somebody typed to sign in; `source` names a directory, empty: the first that takes a password."""

    subject: str
    password: str = field(repr=False)
    code: str = field(repr=False)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """What stands for a confirmation at the portal: the browser's code with its verifier, or a device's code."""

    code: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    device_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBegun:
    """``POST /api/clients/devices``: what to show and what to ask with; `interval` and `expires_in` in seconds."""

    device_code: str = field(repr=False)
    user_code: str
    verification_path: str
    expires_in: int
    interval: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """``POST /api/clients/proofs``: what the sign-in proves now."""

    subject: str
    factors: tuple[str, ...]
    strength: str
    proved_at: str | None
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPiece:
    """One criterion that failed: what it wanted, what it found, and what or who can help."""

    criterion: str
    wanted: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.criterion}: wanted {self.wanted or 'nothing'}, found {self.found or 'nothing'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """One row of ``GET /api/reach``: a service of an asset, and whether this subject may open a session to it."""

    asset: str
    service: str
    protocol: str
    zone: str
    port: int
    is_allowed: bool
    overlay: str = ""
    conduit: str | None = None
    allows: tuple[str, ...] = ()
    misses: tuple[MissingPiece, ...] = ()
    transport: str = "tcp"
    last_port: int | None = None
    overlay_port: int | None = None

    @property
    def size(self) -> int:
        """How many ports it has."""
        return 1 if self.last_port is None else self.last_port - self.port + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachAnswer:
    """``GET /api/reach``: every row, and what this gate does not enforce, a sentence each.

    `gateway` is the gate's address on the plant network, the next hop to overlay addresses; empty where it has none.
    """

    reach: tuple[Reachable, ...]
    gateway: str = ""
    not_enforced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedGrant:
    """``POST /api/grants``, allowed."""

    grant: int
    asset: str
    service: str
    protocol: str
    expires_at: str | None
    tunnel_port: int
    overlay: str
    port: int
    transport: str = "tcp"
    last_port: int | None = None
    overlay_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsSeen:
    """``GET /api/sessions``: the numbers of the subject's live grants, and why others ended lately, by number.

    `proof_left_s`: in how many seconds a grant ends unless who opened it proves again who they are; not of those that a
    proof has no part in.  `held`: what waits for a second person under a grant, in words, by its name (``1042.1``).
    """

    live: frozenset[int]
    ended: Mapping[int, str]
    proof_left_s: Mapping[int, int] = field(default_factory=dict)
    held: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Mapping[str, list[dict[str, Any]]]) -> Self:
        """Out of the answer; what is not as it should be counts as not there."""
        rows = {row["grant"]: row for row in answer.get("sessions", []) if isinstance(row.get("grant"), int)}
        ended = {row.get("grant"): row.get("reason") for row in answer.get("ended", [])}
        left = {number: row.get("proof_left_s") for number, row in rows.items()}
        return cls(
            live=frozenset(rows),
            ended={key: why for key, why in ended.items() if isinstance(key, int) and isinstance(why, str)},
            proof_left_s={number: each for number, each in left.items() if isinstance(each, int)},
            held={number: _held(row.get("held")) for number, row in rows.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """``POST /api/grants``, denied: a value, not an error."""

    error: str = ""
    reason: str = ""
    conduit: str | None = None
    misses: tuple[MissingPiece, ...] = ()

    @property
    def words(self) -> str:
        """The error, and its reason where there is one."""
        return f"{self.error or 'not allowed'}{f' ({self.reason})' if self.reason else ''}"

    @property
    def way_back(self) -> str:
        """What to do where nothing is missing but a stronger or a fresher proof; empty otherwise."""
        if self.misses and {miss.criterion for miss in self.misses} <= {"factors", "freshness"}:
            return "penstock login --again takes such a proof; what is open goes on"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSeen:
    """One problem of an error answer (HTTP 4xx)."""

    why: str
    where: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """The body of every answer that is an error."""

    error: str = ""
    problems: tuple[ProblemSeen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedSubject:
    """``POST /admin/subjects``: the code with which the person enrols, once."""

    code: str
    expires_at: str | None = None


def _held(rows: object) -> dict[str, str]:
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {
        str(row.get("hold")): f"{row.get('what')}; refused in {row.get('left_s')} s if nobody decides" for row in known
    }


def moment(text: str) -> datetime:
    """The instant that an ISO 8601 text names; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def clock(text: str | None) -> str:
    """The instant in this computer's own time, for people: ``2026-11-23 18:05``; empty for ``None``."""
    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M") if text else ""
