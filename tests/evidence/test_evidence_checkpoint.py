"""Checkpoints and signed notes."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence.checkpoint import Checkpoint, VerifyingKey, open_note, sign, sign_note, verify
from penstock.model import Malformed, Tampered

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "penstock.example/gate-1"
PUBLIC = VerifyingKey.of(KEY, ORIGIN)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=1234, root=bytes(range(32)))
NOTE = sign(CHECKPOINT, KEY)

# The example of the Go package golang.org/x/mod/sumdb/note, from which C2SP signed-note was written down.
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT + "\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_note_of_another_implementation_is_opened() -> None:
    key = VerifyingKey.parse(GO_PUBLIC)
    assert open_note(GO_NOTE.encode(), key) == GO_TEXT.encode()
    assert str(key) == GO_PUBLIC


def test_note_is_signed_as_another_implementation_signs_it() -> None:
    """Ed25519 has one signature for one text, so the notes are equal byte for byte."""
    key = Ed25519PrivateKey.from_private_bytes(b64decode(GO_PRIVATE)[1:])
    assert sign_note(GO_TEXT.encode(), key, "PeterNeumann") == GO_NOTE.encode()


def test_checkpoint_is_three_lines_and_a_signature() -> None:
    lines = NOTE.decode().split("\n")
    assert lines[:4] == [ORIGIN, "1234", b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith(f"\u2014 {ORIGIN} ")
    assert lines[5:] == [""]


def test_signed_checkpoint_is_verified() -> None:
    assert verify(NOTE, PUBLIC) == CHECKPOINT


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(NOTE) * 8 - 1))
def test_no_altered_bit_of_a_checkpoint_passes(bit: int) -> None:
    altered = bytearray(NOTE)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Malformed, Tampered)):
        verify(bytes(altered), PUBLIC)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_note_are_malformed(data: bytes) -> None:
    with pytest.raises((Malformed, Tampered)):
        verify(data, PUBLIC)


def test_signatures_of_others_are_passed_over() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    cosignature = sign_note(CHECKPOINT.body(), other, "witness.example").rpartition(b"\n\n")[2]
    assert verify(NOTE + cosignature, PUBLIC) == CHECKPOINT


def test_checkpoint_of_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(Tampered, match="no signature by the key"):
        verify(sign(CHECKPOINT, other), PUBLIC)


def test_checkpoint_of_another_log_is_refused_though_the_key_signed_it() -> None:
    other = Checkpoint(origin="penstock.example/gate-2", size=1, root=bytes(32))
    with pytest.raises(Tampered, match="of the log"):
        verify(sign_note(other.body(), KEY, ORIGIN), PUBLIC)


@pytest.mark.parametrize(
    ("size", "root"),
    [
        ("01", b64encode(bytes(32)).decode()),
        ("-1", b64encode(bytes(32)).decode()),
        ("+1", b64encode(bytes(32)).decode()),
        ("\u0661", b64encode(bytes(32)).decode()),
        ("1", b64encode(bytes(31)).decode()),
        ("1", "no base64!"),
        ("1", b64encode(bytes(32)).decode()[:-2] + "B="),
    ],
)
def test_signed_text_that_is_no_strict_checkpoint_is_malformed(size: str, root: str) -> None:
    note = sign_note(f"{ORIGIN}\n{size}\n{root}\n".encode(), KEY, ORIGIN)
    with pytest.raises(Malformed):
        verify(note, PUBLIC)


def test_extension_lines_are_allowed() -> None:
    note = sign_note(CHECKPOINT.body() + b"an extension\n", KEY, ORIGIN)
    assert verify(note, PUBLIC) == CHECKPOINT


def test_public_key_reads_back_from_its_text() -> None:
    assert VerifyingKey.parse(f"{PUBLIC}\n") == PUBLIC


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak"])
def test_name_that_breaks_the_format_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        VerifyingKey.of(KEY, name)


@pytest.mark.parametrize(
    "text", ["", "name", "name+00000000+", f"{ORIGIN}+00000000+{str(PUBLIC).rpartition('+')[2]}", str(PUBLIC)[:-4]]
)
def test_mistyped_public_key_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        VerifyingKey.parse(text)
