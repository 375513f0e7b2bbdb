"""The state of an account, by everything that directories of several kinds say about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.identity.ldap import account
from penstock.identity.ldap.session import PASSWORD_POLICY, Entry, Outcome
from penstock.model import Malformed

DAY_US = 86_400 * 1_000_000
#: 2025-10-09, 20,370 days after the epoch of Unix.
NOW_US = 20_370 * DAY_US + 5
EPOCH_1601_US = 11_644_473_600 * 1_000_000


def entry(**values: str | int) -> Entry:
    """``userAccountControl=514`` as an entry; ``_`` in a name stands for ``-``."""
    found = {name.replace("_", "-").lower(): (str(value).encode(),) for name, value in values.items()}
    return Entry(dn="cn=x", values=found)


def file_time(at_us: int) -> int:
    return (at_us + EPOCH_1601_US) * 10


OPEN = [
    entry(),
    entry(userAccountControl=512, accountExpires=0, pwdLastSet=file_time(NOW_US), lockoutTime=0),
    entry(userAccountControl=512, accountExpires=0x7FFF_FFFF_FFFF_FFFF),
    entry(accountExpires=file_time(NOW_US + DAY_US)),
    entry(userAccountControl=0x10200, pwdLastSet=0),
    entry(lockoutTime=file_time(NOW_US), msDS_User_Account_Control_Computed=0),
    entry(pwdReset="FALSE", nsAccountLock="false"),
    entry(pwdStartTime="20250101000000Z", pwdEndTime="20260101000000Z"),
    entry(shadowExpire=-1, shadowLastChange=20_000, shadowMax=99_999),
    entry(shadowLastChange=20_300, shadowMax=90),
    entry(shadowLastChange=20_300),
    entry(shadowMax=90),
]
ENDED = [
    (entry(userAccountControl=514), account.DISABLED),
    (entry(nsAccountLock="TRUE"), account.DISABLED),
    (entry(nsAccountLock="yes"), account.DISABLED),
    (entry(pwdAccountLockedTime="000001010000Z"), account.DISABLED),
    (entry(accountExpires=file_time(NOW_US)), account.EXPIRED),
    (entry(accountExpires=1), account.EXPIRED),
    (entry(pwdEndTime="20251008000000Z"), account.EXPIRED),
    (entry(shadowExpire=20_370), account.EXPIRED),
    (entry(shadowExpire=0), account.EXPIRED),
    (entry(userAccountControl="disabled"), "cannot be read"),
    (entry(accountExpires="9" * 40), "cannot be read"),
    (entry(pwdEndTime="tomorrow"), "cannot be read"),
    (entry(pwdEndTime="20251399000000Z"), "cannot be read"),
    (Entry(dn="cn=x", values={"useraccountcontrol": (b"512", b"514")}), "cannot be read"),
    (Entry(dn="cn=x", values={"nsaccountlock": (b"\xff",)}), "cannot be read"),
]
CLOSED = [
    (entry(lockoutTime=file_time(NOW_US)), account.LOCKED),
    (entry(msDS_User_Account_Control_Computed=0x10), account.LOCKED),
    (entry(msDS_User_Account_Control_Computed=0x800000), account.PASSWORD_EXPIRED),
    (entry(pwdLastSet=0), account.MUST_CHANGE),
    (entry(pwdLastSet=0, userAccountControl=512), account.MUST_CHANGE),
    (entry(pwdReset="TRUE"), account.MUST_CHANGE),
    (entry(pwdStartTime="20251010000000Z"), account.NOT_YET),
    (entry(shadowLastChange=0, shadowMax=90), account.MUST_CHANGE),
    (entry(shadowLastChange=20_280, shadowMax=90), account.PASSWORD_EXPIRED),
    (entry(lockoutTime="x"), "cannot be read"),
    (entry(shadowMax="x", shadowLastChange=1), "cannot be read"),
]


@pytest.mark.parametrize("found", OPEN, ids=lambda found: str(dict(found.values)))
def test_an_account_in_order_is_open(found: Entry) -> None:
    assert account.ended(found, NOW_US) is None
    assert account.closed(found, NOW_US) is None


@pytest.mark.parametrize(("found", "why"), ENDED, ids=lambda item: str(getattr(item, "values", item)))
def test_an_account_that_is_over_is_over_for_who_is_signed_in_too(found: Entry, why: str) -> None:
    assert why in (account.ended(found, NOW_US) or "")
    assert why in (account.closed(found, NOW_US) or "")


@pytest.mark.parametrize(("found", "why"), CLOSED, ids=lambda item: str(getattr(item, "values", item)))
def test_a_lock_or_an_old_password_closes_the_door_and_ends_nothing(found: Entry, why: str) -> None:
    assert why in (account.closed(found, NOW_US) or "")
    assert account.ended(found, NOW_US) is None


AD = "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {}, v3839"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("525", "nobody of that name"),
        ("52e", "wrong password"),
        ("530", "not at this time"),
        ("531", "not from this workstation"),
        ("532", "the password has expired"),
        ("533", "the account is disabled"),
        ("701", "the account has expired"),
        ("773", "the password must be changed first"),
        ("775", "the account is locked"),
        ("99999999", "wrong password"),
        ("zz", "wrong password"),
    ],
)
def test_active_directory_tells_the_reason_in_its_words(code: str, why: str) -> None:
    assert account.refusal(Outcome(code=49, text=AD.format(code))) == why


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\x30\x03\x81\x01\x00", account.PASSWORD_EXPIRED),
        (b"\x30\x03\x81\x01\x01", account.LOCKED),
        (b"\x30\x03\x81\x01\x02", account.MUST_CHANGE),
        (b"\x30\x05\xa0\x03\x81\x01\x02", account.PASSWORD_EXPIRED),
        (b"\x30\x05\xa0\x03\x80\x01\x02", None),
        (b"\x30\x00", None),
        (b"", None),
    ],
)
def test_a_password_policy_counts_also_where_the_bind_succeeded(value: bytes, why: str | None) -> None:
    assert account.refusal(Outcome(code=0, controls={PASSWORD_POLICY: value})) == why
    refused = account.refusal(Outcome(code=49, controls={PASSWORD_POLICY: value}))
    assert refused == (why or "wrong password")


@given(st.binary(max_size=40))
def test_a_password_policy_of_garbage_is_never_more_than_malformed(value: bytes) -> None:
    try:
        account.refusal(Outcome(code=0, controls={PASSWORD_POLICY: value}))
    except Malformed:
        return


def test_every_result_but_success_refuses_or_says_that_the_directory_is_unable() -> None:
    for code in range(1, 130):
        outcome = Outcome(code=code)
        assert account.is_unable(outcome) or account.refusal(outcome)
    assert account.refusal(Outcome(code=0)) is None
    assert not account.is_unable(Outcome(code=0))
    assert account.is_unable(Outcome(code=10)), "a referral is not followed, and refuses nobody"
