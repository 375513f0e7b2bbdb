import pyotp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.identity.factors import totp
from penstock.model import Invalid

SECRET = totp.make_secret()
NOW_US = 1_800_000_000_000_000


def code_at(offset_s: int) -> str:
    return pyotp.TOTP(SECRET).at(NOW_US // 1_000_000 + offset_s)


@pytest.mark.parametrize("offset_s", [-30, 0, 30])
def test_a_code_is_accepted_one_step_either_way(offset_s: int) -> None:
    step = totp.accepted_step(SECRET, code_at(offset_s), NOW_US, -1)
    assert step == (NOW_US // 1_000_000 + offset_s) // 30


@pytest.mark.parametrize("offset_s", [-90, -60, 60, 90])
def test_a_code_two_steps_away_is_refused(offset_s: int) -> None:
    assert totp.accepted_step(SECRET, code_at(offset_s), NOW_US, -1) is None


@pytest.mark.parametrize("offset_s", [-30, 0])
def test_a_step_that_was_accepted_before_is_refused_and_so_is_every_earlier_one(offset_s: int) -> None:
    used = totp.accepted_step(SECRET, code_at(0), NOW_US, -1)
    assert used is not None
    assert totp.accepted_step(SECRET, code_at(offset_s), NOW_US, used) is None


def test_the_codes_are_those_of_rfc_6238_appendix_b() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert totp.accepted_step(secret, "081804", 1_111_111_109_000_000, -1) == 0x023523EC


@given(st.text(max_size=12))
@settings(max_examples=60)
def test_whatever_is_typed_never_raises(code: str) -> None:
    """A form takes any text."""
    totp.accepted_step(SECRET, code, NOW_US, -1)


def test_a_short_secret_is_refused_without_being_quoted() -> None:
    with pytest.raises(Invalid) as refused:
        totp.otpauth_uri("JBSWY3DPEHPK3PXP", "ada", "gate")
    assert "JBSWY3DPEHPK3PXP" not in str(refused.value)


def test_new_secrets_have_160_bits_and_differ() -> None:
    assert len({totp.make_secret() for _ in range(20)}) == 20
    totp.check_secret(SECRET)


def test_the_address_names_gate_and_subject() -> None:
    uri = totp.otpauth_uri(SECRET, "ada", "riverside water")
    assert uri.startswith("otpauth://totp/riverside%20water:ada?")
    assert f"secret={SECRET}" in uri
