"""What a directory says about an account: may it be used, and why did a bind fail?

Pure.  Entries, answers and the time come in, the true reason goes out, for the evidence alone.  What cannot be read
closes the account: it must never be open because a value was strange.

Active Directory: [MS-ADTS] sections 2.2.16 (userAccountControl), 2.2.17 and 5.1.1.5.  OpenLDAP: slapo-ppolicy(5).
shadow accounts: RFC 2307 and shadow(5).  389 Directory Server and FreeIPA: nsAccountLock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from sansldap import asn1

from penstock.identity.ldap.session import PASSWORD_POLICY, Entry, Outcome
from penstock.model import Malformed

#: The attributes that `ended` and `closed` read.
ATTRIBUTES = (
    *("userAccountControl", "msDS-User-Account-Control-Computed", "lockoutTime", "accountExpires", "pwdLastSet"),
    *("pwdAccountLockedTime", "pwdReset", "pwdStartTime", "pwdEndTime", "nsAccountLock"),
    *("shadowExpire", "shadowLastChange", "shadowMax"),
)
DISABLED, EXPIRED = "the account is disabled", "the account has expired"
LOCKED, NOT_YET = "the account is locked", "the account's time has not begun"
PASSWORD_EXPIRED, MUST_CHANGE = "the password has expired", "the password must be changed first"
WRONG, NOBODY = "wrong password", "nobody of that name"

_UF_DISABLED, _UF_LOCKED, _UF_NEVER_EXPIRES, _UF_PASSWORD_EXPIRED = 0x2, 0x10, 0x10000, 0x800000
_NEVER = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})
#: A file time counts 100 ns since 1601.
_EPOCH_1601_US = 11_644_473_600 * 1_000_000
_US_PER_DAY = 86_400 * 1_000_000
#: slapo-ppolicy(5): locked by an administrator, until an administrator ends it.
_LOCKED_FOR_GOOD = re.compile(r"0000[0-9]*Z")
_TIME = re.compile(r"([0-9]{14})(?:\.[0-9]+)?Z")

#: [MS-ADTS] section 5.1.1.1.1 and winerror.h, in hexadecimal.
_DATA = re.compile(r"\bdata ([0-9a-fA-F]{1,8})\b")
_AD_CODES: Mapping[int, str] = {
    0x525: NOBODY,
    0x52E: WRONG,
    0x530: "not at this time",
    0x531: "not from this workstation",
    0x532: PASSWORD_EXPIRED,
    0x533: DISABLED,
    0x701: EXPIRED,
    0x773: MUST_CHANGE,
    0x775: LOCKED,
}
#: draft-behera-ldap-password-policy-10 section 6.2.
_POLICY_ERRORS: Mapping[int, str] = {0: PASSWORD_EXPIRED, 1: LOCKED, 2: MUST_CHANGE}
_SUCCESS, _INVALID_CREDENTIALS = 0, 49
#: RFC 4511 appendix A: the server, not the person, is the reason.
_UNABLE = frozenset({1, 3, 10, 11, 51, 52, 54, 80})
_REFUSALS: Mapping[int, str] = {
    _INVALID_CREDENTIALS: WRONG,
    19: "the directory's password rules forbid it",
    32: NOBODY,
    34: NOBODY,
    48: "the account cannot sign in with a password",
    50: "the account may not sign in",
    53: "the directory does not allow it",
}


def is_unable(outcome: Outcome) -> bool:
    """Whether the directory could not say, so that nobody was refused."""
    return outcome.code in _UNABLE


def refusal(outcome: Outcome) -> str | None:
    """Why this bind does not count; ``None``: it does.  Raises `Malformed`."""
    policy = _policy(outcome.controls.get(PASSWORD_POLICY))
    if outcome.code == _SUCCESS:
        return policy
    data = _DATA.search(outcome.text)
    told = _AD_CODES.get(int(data[1], 16)) if data else None
    return policy or told or _REFUSALS.get(outcome.code) or f"the directory answered {outcome.code}"


def ended(entry: Entry, now_us: int) -> str | None:
    """Why this account is over, also for who is signed in already; ``None``: it is not."""
    try:
        return _ended(entry, now_us)
    except (Malformed, ValueError, OverflowError) as error:
        return f"its state cannot be read: {error}"


def closed(entry: Entry, now_us: int) -> str | None:
    """Why this account cannot sign in now; ``None``: it can.

    A lock after wrong guesses and a password that has become old close the door; they do not end what somebody began
    before.  Or whoever guesses would end the work of others.
    """
    try:
        return _ended(entry, now_us) or _closed(entry, now_us)
    except (Malformed, ValueError, OverflowError) as error:
        return f"its state cannot be read: {error}"


def _ended(entry: Entry, now_us: int) -> str | None:
    if (_number(entry, "userAccountControl") or 0) & _UF_DISABLED or _flag(entry, "nsAccountLock"):
        return DISABLED
    if any(_LOCKED_FOR_GOOD.fullmatch(text) for text in entry.texts("pwdAccountLockedTime")):
        return DISABLED
    if _is_past(_file_time(entry, "accountExpires"), now_us) or _is_past(_time(entry, "pwdEndTime"), now_us):
        return EXPIRED
    days = _number(entry, "shadowExpire")
    return EXPIRED if days is not None and days >= 0 and now_us >= days * _US_PER_DAY else None


def _closed(entry: Entry, now_us: int) -> str | None:
    computed = _number(entry, "msDS-User-Account-Control-Computed")
    is_locked = bool(_number(entry, "lockoutTime")) if computed is None else bool(computed & _UF_LOCKED)
    if is_locked:
        return LOCKED
    starts_us = _time(entry, "pwdStartTime")
    if starts_us is not None and now_us < starts_us:
        return NOT_YET
    never_expires = bool((_number(entry, "userAccountControl") or 0) & _UF_NEVER_EXPIRES)
    if _flag(entry, "pwdReset") or (_number(entry, "pwdLastSet") == 0 and not never_expires):
        return MUST_CHANGE
    if (computed or 0) & _UF_PASSWORD_EXPIRED:
        return PASSWORD_EXPIRED
    return _shadow(_number(entry, "shadowLastChange"), _number(entry, "shadowMax"), now_us)


def _shadow(changed: int | None, longest: int | None, now_us: int) -> str | None:
    if changed == 0:
        return MUST_CHANGE
    if changed is None or changed < 0 or longest is None or longest < 0:
        return None
    return PASSWORD_EXPIRED if now_us >= (changed + longest) * _US_PER_DAY else None


def _policy(value: bytes | None) -> str | None:
    """``SEQUENCE { warning [0] CHOICE { seconds left [0], graces left [1] }, error [1] ENUMERATED }``."""
    if not value:
        return None
    found = None
    try:
        fields = asn1.ASN1Reader(value).read_sequence()
        while fields:
            head = fields.peek_header()
            content = fields.read_octet_string(tag=head.tag, header=head)
            if head.tag.tag_number == 1:
                found = _POLICY_ERRORS.get(int.from_bytes(content, "big"), found)
            elif content[:1] == b"\x81":  # a grace: the password has expired, and would be used up by the gate
                found = found or PASSWORD_EXPIRED
    except Exception as error:  # what a parser raises on garbage is its own affair
        raise Malformed("a password policy that cannot be read") from error
    return found


def _is_past(at_us: int | None, now_us: int) -> bool:
    return at_us is not None and now_us >= at_us


def _number(entry: Entry, name: str) -> int | None:
    texts = entry.texts(name)
    if not texts:
        return None
    if len(texts) > 1 or not re.fullmatch(r"-?[0-9]{1,20}", texts[0], re.ASCII):
        raise Malformed(f"{name} is no number")
    return int(texts[0])


def _flag(entry: Entry, name: str) -> bool:
    return any(text.lower() != "false" for text in entry.texts(name))


def _file_time(entry: Entry, name: str) -> int | None:
    value = _number(entry, name)
    return None if value is None or value in _NEVER else value // 10 - _EPOCH_1601_US


def _time(entry: Entry, name: str) -> int | None:
    texts = entry.texts(name)
    if not texts:
        return None
    found = _TIME.fullmatch(texts[0])
    if found is None:
        raise Malformed(f"{name} is no time")
    at = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000
