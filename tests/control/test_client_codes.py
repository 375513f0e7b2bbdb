import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from penstock.control.client_codes import (
    LETTERS,
    is_challenge,
    is_verifier_of,
    read_user_code,
    user_code_of,
    user_code_text,
)


def test_the_example_of_rfc_7636_appendix_b() -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert is_challenge(challenge)
    assert is_verifier_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge)
    assert not is_verifier_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", challenge)
    assert not is_verifier_of(challenge, challenge), "the method plain does not exist here"


@given(st.text(max_size=200))
def test_whatever_is_typed_is_a_code_or_none(typed: str) -> None:
    code = read_user_code(typed)
    assert code is None or (len(code) == 8 and set(code) <= set(LETTERS))


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_verifier_is_checked_without_a_fault(verifier: str, challenge: str) -> None:
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode(errors="replace")).digest()).rstrip(b"=").decode()
    if is_verifier_of(verifier, challenge):
        assert challenge == made


@given(st.text(min_size=1, max_size=50))
def test_a_code_is_read_back_as_people_type_it(secret: str) -> None:
    code = user_code_of(secret)
    assert read_user_code(user_code_text(code)) == code
    assert read_user_code(f" {code.lower()} ") == code


def test_codes_use_every_letter_about_as_often() -> None:
    letters = "".join(user_code_of(str(number)) for number in range(2000))
    counts = [letters.count(letter) for letter in LETTERS]
    assert min(counts) > 650, "800 are expected of each, give or take five standard deviations"
    assert max(counts) < 950
