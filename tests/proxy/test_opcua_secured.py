"""Chunks of a secured channel: sealed here, opened there, by asyncua or by the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua.crypto import uacrypto
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from opcua_plant import make_identity

from penstock.model import Malformed
from penstock.proxy.opcua import chunks, suites
from penstock.proxy.opcua.chunks import Opened
from penstock.proxy.opcua.effort import AT_ONCE, PER_SECOND, Effort
from penstock.proxy.opcua.end import ENCRYPT, MIN_CHUNK_BYTES, NONE, SIGN, SecuredEnd, Whole
from penstock.proxy.opcua.notary import ChannelNotary
from penstock.proxy.opcua.suites import SUITES, Identity, Keys, Suite
from penstock.wire import opcua_transport as t

SECOND = 1_000_000
ALL = list(SUITES.values())


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Identity]:
    """One of each length of key that a policy takes."""
    folder = tmp_path_factory.mktemp("keys")
    return {bits: make_identity(folder, str(bits), f"urn:{bits}", bits) for bits in (2048, 3072)}


@pytest.mark.parametrize("suite", ALL, ids=lambda suite: suite.name)
@pytest.mark.parametrize("sizes", [(2048, 2048), (2048, 3072), (3072, 2048), (3072, 3072)])
def test_an_opening_is_read_by_whom_it_is_for(
    identities: dict[int, Identity], suite: Suite, sizes: tuple[int, int]
) -> None:
    sender, receiver = (identities[bits] for bits in sizes)
    for length in (0, 1, 100, 132, 213, 214, 400):
        told = Opened(5, 9, bytes(range(256))[:length] * (length <= 256) or b"x" * length)
        chunk = chunks.seal_open(7, suite, sender, receiver, told)
        head = t.read_asymmetric(chunk)
        assert (head.channel, head.policy, head.certificate) == (7, suite.uri, sender.der)
        assert t.chunk_size(chunk[:8]) == len(chunk)
        who, opened = chunks.unseal_open(chunk, suite, receiver, head.end)
        assert (who.der, opened) == (sender.der, told)


@pytest.mark.parametrize("suite", ALL, ids=lambda suite: suite.name)
def test_an_opening_that_was_touched_is_not_read(identities: dict[int, Identity], suite: Suite) -> None:
    own, other = identities[2048], identities[3072]
    chunk = chunks.seal_open(7, suite, other, own, Opened(1, 1, b"body"))
    end = t.read_asymmetric(chunk).end
    for at in (9, end, end + 100, len(chunk) - 1):
        broken = chunk[:at] + bytes((chunk[at] ^ 1,)) + chunk[at + 1 :]
        with pytest.raises(Malformed, match="security checks failed"):
            chunks.unseal_open(broken, suite, own, end)
    with pytest.raises(Malformed, match="another certificate"):
        chunks.unseal_open(chunk, suite, other, end)
    with pytest.raises(Malformed):
        chunks.unseal_open(chunk + chunk[end:] * 8, suite, own, end)


def test_keys_are_those_that_others_derive() -> None:
    """What asyncua derives is the oracle."""
    for suite in ALL:
        keys = Keys.derive(suite, b"secret" * 6, b"seed" * 8)
        wanted = uacrypto.p_sha256(b"secret" * 6, b"seed" * 8, (32, suite.encryption_bytes, 16))
        assert [keys.signing, keys.encryption, keys.vector] == list(wanted)


def ends(mode: int, max_bytes: int = 1 << 20) -> tuple[SecuredEnd, SecuredEnd]:
    """Two ends of one channel."""
    one, other = SecuredEnd(max_bytes), SecuredEnd(max_bytes)
    mine, theirs = (Keys.derive(ALL[0], seed * 32, b"s" * 32) for seed in (b"a", b"b"))
    for end, keys in ((one, (mine, theirs)), (other, (theirs, mine))):
        end.number, end.token, end.mode = 4, 6, mode
        end.install(6, *((None, None) if mode == NONE else keys))
    return one, other


def taken(end: SecuredEnd, data: bytes) -> list[Whole]:
    return [whole for chunk in end.chunks(data) if (whole := end.take(chunk)) is not None]


@pytest.mark.parametrize("mode", [NONE, SIGN, ENCRYPT])
@given(body=st.binary(max_size=64), times=st.integers(1, 1500))
def test_a_message_comes_out_as_it_went_in_in_however_many_chunks(mode: int, body: bytes, times: int) -> None:
    one, other = ends(mode)
    sent = one.send(b"MSGF", 11, body * times)
    assert max(map(len, other.chunks(sent)), default=0) <= MIN_CHUNK_BYTES
    one, other = ends(mode)
    (whole,) = taken(other, one.send(b"MSGF", 11, body * times))
    assert (whole.kind, whole.request, whole.token, whole.body) == (b"MSGF", 11, 6, body * times)
    assert other.held == 0


@pytest.mark.parametrize("mode", [SIGN, ENCRYPT])
@given(data=st.data())
def test_no_changed_byte_is_read(mode: int, data: st.DataObject) -> None:
    one, other = ends(mode)
    sent = one.send(b"MSGF", 11, b"a forbidden write")
    at = data.draw(st.integers(0, len(sent) - 1))
    broken = sent[:at] + bytes((sent[at] ^ data.draw(st.integers(1, 255)),)) + sent[at + 1 :]
    try:
        found = taken(other, broken)
    except Malformed:
        return
    assert found == [], "only a size that says more than there is leaves it open"
    assert 4 <= at < 8


def test_tokens_before_the_last_two_are_forgotten() -> None:
    one, other = ends(SIGN)
    old = one.send(b"MSGF", 1, b"old")
    keys = Keys.derive(ALL[0], b"c" * 32, b"s" * 32)
    for token in (7, 8):
        other.install(token, keys, keys)
    with pytest.raises(Malformed, match="no token 6"):
        taken(other, old)
    assert t.read_secured(other.send(b"MSGF", 1, b"an answer")).token == 7, "there is always one to answer with"


def test_a_message_that_is_too_long_is_not_kept() -> None:
    one, other = ends(ENCRYPT, 100_000)
    sent = one.send(b"MSGF", 1, bytes(200_000))
    with pytest.raises(Malformed, match="more than 100000"):
        taken(other, sent)


def test_chunks_of_two_messages_are_not_mixed() -> None:
    one, other = ends(SIGN)
    first = one.send(b"MSGF", 1, bytes(10_000))
    head = t.said_size(first, 0)
    with pytest.raises(Malformed, match="mixed"):
        taken(other, first[:head] + ends_after(one, first))


def ends_after(one: SecuredEnd, _first: bytes) -> bytes:
    """Another message where the rest of the first one should come: its number follows."""
    one._sequence_out = 1
    return one.send(b"MSGF", 2, b"other")


def test_a_secret_is_sealed_for_the_server_only_with_its_last_nonce(identities: dict[int, Identity]) -> None:
    own, server = identities[2048], identities[3072]
    notary = ChannelNotary(own, Identity(der=server.der, public=server.public), SecuredEnd(1 << 20))
    nonce, secret = b"n" * 32, b"correct horse"
    for uri, hashing in suites.SECRETS.items():
        held = (len(secret) + 32).to_bytes(4, "little") + secret + nonce
        sealed = notary.seal_again(suites.encrypt(own.public, hashing, held), uri, nonce)
        assert server.private is not None
        assert suites.decrypt(server.private, hashing, sealed, 4) == held
        with pytest.raises(Malformed):
            notary.seal_again(suites.encrypt(own.public, hashing, held), uri, b"m" * 32)
        with pytest.raises(Malformed):
            notary.seal_again(suites.encrypt(server.public, hashing, held), uri, nonce)
    with pytest.raises(Malformed):
        notary.seal_again(b"", "http://www.w3.org/2001/04/xmlenc#rsa-1_5", nonce)


def test_a_certificate_without_a_usable_key_is_none(tmp_path: Path) -> None:
    short = make_identity_der(tmp_path)
    for der in (b"", b"0\x82\x00\x01x", short):
        with pytest.raises(Malformed):
            suites.read_identity(der)


def make_identity_der(folder: Path) -> bytes:
    """A certificate with a key that no policy takes: `make_identity` itself refuses it, behind writing it."""
    with pytest.raises(Malformed):
        make_identity(folder, "short", "urn:short", 1024)
    return (folder / "short.der").read_bytes()


def test_uses_of_the_key_are_bounded_in_a_second_and_at_once() -> None:
    effort = Effort()
    assert effort.spend(AT_ONCE, 0)
    assert not effort.spend(1, 0)
    assert not effort.spend(PER_SECOND + 1, SECOND)
    assert effort.spend(PER_SECOND, SECOND)
    assert not effort.spend(1, SECOND - 5), "a clock that was set back gives nothing"
    assert effort.spend(AT_ONCE, 100 * SECOND)


def test_one_subject_gets_half_of_it_whatever_flows_he_has() -> None:
    effort = Effort()
    greedy = effort.of("mallory")
    assert greedy.spend(AT_ONCE // 2, 0)
    assert not effort.of("mallory").spend(1, 0)
    assert effort.of("alice").spend(AT_ONCE // 2, 0)
    assert not effort.of("carol").spend(1, 0), "together they have no more than there is"
    assert greedy.spend(PER_SECOND // 2, SECOND)
    assert not greedy.spend(1, SECOND)


def test_a_key_with_an_exponent_that_takes_a_hundred_times_as_long_is_none(identities: dict[int, Identity]) -> None:
    der = identities[2048].der
    usual = bytes.fromhex("0203010001")
    assert der.count(usual) == 1
    longer = bytes.fromhex("02090100000000000001")[:2] + bytes.fromhex("01ffffffffffffff01")
    grown = der.replace(usual, longer)
    with pytest.raises(Malformed, match="exponent"):
        suites.read_identity(lengthened(grown, der.index(usual), len(longer) - len(usual)))


def lengthened(data: bytes, inside: int, more: int) -> bytes:
    """A DER structure in which something at `inside` has grown by `more` bytes: whatever holds it says so."""
    found, at = bytearray(data), 0
    while at < inside:
        tag, count = found[at], found[at + 1] - 0x80
        if count < 0:
            start, size = at + 2, found[at + 1]
        else:
            start, size = at + 2 + count, int.from_bytes(found[at + 2 : at + 2 + count], "big")
        if not start <= inside < start + size:
            at = start + size
            continue
        if count < 0:
            found[at + 1] += more
        else:
            found[at + 2 : start] = (size + more).to_bytes(count, "big")
        at = start + (tag == 3)  # a bit string begins with how many bits are unused
    return bytes(found)


def test_what_encrypts_a_policys_openings_is_what_the_policy_says() -> None:
    assert [(suite.name, suite.oaep) for suite in ALL] == [
        ("Basic256Sha256", hashes.SHA1),
        ("Aes128_Sha256_RsaOaep", hashes.SHA1),
        ("Aes256_Sha256_RsaPss", hashes.SHA256),
    ]
