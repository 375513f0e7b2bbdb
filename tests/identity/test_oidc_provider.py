"""What is known of a provider, and how it may misbehave without the gate coming to harm."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oidc_forge import ISSUER, NOW_US, RSA, Bend, Forge, authority, b64, begun

from penstock.identity import Flaw, NotProved
from penstock.identity.oidc.discovery import SAFE_ALGORITHMS, read_provider
from penstock.identity.oidc.http import Http
from penstock.identity.oidc.keys import read_keys
from penstock.identity.oidc.known import AGAIN_AFTER_S, ALIVE_S, FAILED_FOR_S, LIFETIME_S
from penstock.identity.oidc.source import OidcSource
from penstock.model import Malformed, Unavailable

NEW_RSA = RSAKey.generate_key(2048, {"kid": "k2", "alg": "RS256", "use": "sig"})


class Endless(httpx2.AsyncByteStream):
    """A body of 10 MB, and a count of how much of it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < 10 << 20:
            self.taken += 64 << 10
            yield b" " * (64 << 10)


class Broken(httpx2.AsyncByteStream):
    """A body that ends in the middle."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"issuer": '
        raise httpx2.RemoteProtocolError("closed")


async def _slow() -> httpx2.Response:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits for this")


def _closes(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")


def _is_not_there(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("Connection refused")


def _waits(_: httpx2.Request) -> Awaitable[httpx2.Response]:
    return _slow()


MISBEHAVIOUR: dict[str, Bend] = {
    "slow": _waits,
    "closes": _closes,
    "not there": _is_not_there,
    "closes in the middle": lambda _: httpx2.Response(200, stream=Broken()),
    "redirects": lambda _: httpx2.Response(302, headers={"location": "https://evil.example/"}),
    "redirects to itself": lambda r: httpx2.Response(307, headers={"location": str(r.url)}),
    "fails": lambda _: httpx2.Response(500, text="oops"),
    "10 MB": lambda _: httpx2.Response(200, stream=Endless()),
    "no JSON": lambda _: httpx2.Response(200, text="<html>"),
    "no table": lambda _: httpx2.Response(200, json=[1, 2]),
    "a text": lambda _: httpx2.Response(200, json="x"),
    "empty": lambda _: httpx2.Response(200),
    "an empty table": lambda _: httpx2.Response(200, json={}),
    "deep": lambda _: httpx2.Response(200, content=b"[" * 100_000),
    "no UTF-8": lambda _: httpx2.Response(200, content=b'{"issuer": "\xff"}'),
    "compressed": lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=Endless()),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
@pytest.mark.parametrize("path", ["configuration", "certs", "token"])
def test_a_provider_that_misbehaves_is_silent_and_nobody_is_signed_in(what: str, path: str) -> None:
    forge = Forge()
    forge.bend[path] = MISBEHAVIOUR[what]

    async def scenario() -> None:
        source = forge.source(timeout_s=0.5 if what == "slow" else 5.0)
        with pytest.raises(Unavailable) as caught:
            await sign_in(forge, source)
        assert "evil" not in str(caught.value)

    asyncio.run(scenario())
    assert all(request.url.host == "idp.plant.example" for request in forge.requests), "no redirect is followed"
    assert forge.asked[path] == 1, "and none is asked twice"


def test_of_ten_megabytes_no_more_is_taken_than_the_limit() -> None:
    forge, body = Forge(), Endless()
    forge.bend["configuration"] = lambda _: httpx2.Response(200, stream=body)
    with pytest.raises(Unavailable, match="more than 262144 bytes"):
        asyncio.run(begun(forge.source()))
    assert body.taken <= (256 + 64) << 10


def test_whoever_waits_for_a_silent_provider_waits_once_and_not_in_turn() -> None:
    forge = Forge()
    forge.bend["configuration"] = _is_not_there

    async def scenario() -> None:
        source = forge.source()
        outcomes = await asyncio.gather(*(begun(source) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert forge.asked["configuration"] == 1
        forge.bend.clear()
        forge.steady_s += FAILED_FOR_S
        assert await begun(source)

    asyncio.run(scenario())


def test_a_provider_is_asked_who_it_is_once_and_not_for_every_sign_in() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        for number in range(5):
            await sign_in(forge, source, f"code-{number}")
        assert (forge.asked["configuration"], forge.asked["certs"]) == (1, 1)
        forge.steady_s += LIFETIME_S
        await sign_in(forge, source, "later")
        assert (forge.asked["configuration"], forge.asked["certs"]) == (2, 2)

    asyncio.run(scenario())


def test_nobody_is_sent_to_a_provider_that_has_stopped_answering() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        await sign_in(forge, source)
        forge.bend["configuration"] = _closes
        await begun(source)
        forge.steady_s += ALIVE_S
        with pytest.raises(Unavailable):
            await begun(source)

    asyncio.run(scenario())


async def sign_in(forge: Forge, source: OidcSource, code: str = "code-1") -> None:
    address, pending = await begun(source)
    await source.finish(forge.send_back(address, code), pending, NOW_US)


def test_a_key_that_rolled_over_is_found_at_once_and_the_old_one_forgotten() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        await sign_in(forge, source)
        forge.keys, forge.signing, forge.header = [NEW_RSA], NEW_RSA, {"kid": "k2"}
        await sign_in(forge, source, "code-2")
        assert forge.asked["certs"] == 2
        forge.signing, forge.header = RSA, {"kid": "k1"}
        with pytest.raises(NotProved) as caught:
            await sign_in(forge, source, "code-3")
        assert caught.value.flaw is Flaw.KEY_UNKNOWN

    asyncio.run(scenario())


def test_tokens_without_the_name_of_their_key_follow_a_roll_over_too() -> None:
    forge = Forge()
    forge.header = {"kid": None}

    async def scenario() -> None:
        source = forge.source()
        await sign_in(forge, source)
        forge.keys = [NEW_RSA]
        forge.signing = NEW_RSA
        await sign_in(forge, source, "code-2")
        assert forge.asked["certs"] == 2

    asyncio.run(scenario())


def test_a_withdrawn_key_is_forgotten_after_its_time_even_where_nobody_uses_an_unknown_one() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        await sign_in(forge, source)
        forge.keys = [NEW_RSA]
        forge.steady_s += LIFETIME_S
        with pytest.raises(NotProved) as caught:
            await sign_in(forge, source, "code-2")
        assert caught.value.flaw is Flaw.KEY_UNKNOWN

    asyncio.run(scenario())


def test_a_storm_of_unknown_keys_does_not_make_the_gate_hammer_its_provider_nor_keep_people_out() -> None:
    forge = Forge()

    async def storm(source: OidcSource) -> None:
        for number in range(200):
            with pytest.raises(NotProved):
                await source.logout_token(forge.logout({"kid": f"never-{number}"}), NOW_US)

    async def scenario() -> None:
        source = forge.source()
        await storm(source)
        assert forge.asked["certs"] == 2, "once to know them, once again in ten seconds"
        forge.keys, forge.signing, forge.header = [NEW_RSA], NEW_RSA, {"kid": "k2"}
        await sign_in(forge, source)
        assert forge.asked["certs"] == 3, "sign-ins have an allowance of their own"
        forge.steady_s += AGAIN_AFTER_S
        await storm(source)
        assert forge.asked["certs"] == 4

    asyncio.run(scenario())


def document(**changes: Any) -> bytes:
    said = {**Forge().document(), **changes}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


DOCUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"issuer": "https://evil.example"}, "another issuer"),
    ({"issuer": f"{ISSUER}/"}, "another issuer"),
    ({"issuer": None}, "another issuer"),
    ({"issuer": [ISSUER]}, "no text"),
    ({"authorization_endpoint": None}, "no 'authorization_endpoint'"),
    ({"authorization_endpoint": "javascript:alert(1)"}, "no https address"),
    ({"authorization_endpoint": "http://idp.plant.example/auth"}, "no https address"),
    ({"token_endpoint": "http://127.0.0.1/token"}, "no https address"),
    ({"token_endpoint": "file:///etc/passwd"}, "no https address"),
    ({"jwks_uri": "https://user:secret@idp.plant.example"}, "no https address"),
    ({"jwks_uri": 7}, "no text"),
    ({"userinfo_endpoint": "ftp://idp.plant.example"}, "no https address"),
    ({"pushed_authorization_request_endpoint": "https://x y"}, "no https address"),
    ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "no algorithm that is safe"),
    ({"id_token_signing_alg_values_supported": []}, "no algorithm that is safe"),
    ({"id_token_signing_alg_values_supported": {"RS256": 1}}, "no list"),
]


@pytest.mark.parametrize(("changes", "why"), DOCUMENTS)
def test_a_discovery_document_that_cannot_be_trusted_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_provider(document(**changes), ISSUER)


def test_algorithms_that_are_not_safe_are_never_allowed_whatever_is_announced() -> None:
    announced = [*SAFE_ALGORITHMS, "none", "None", "HS256", "HS512", "RS1", "ES256K", "dir"]
    found = read_provider(document(id_token_signing_alg_values_supported=announced), ISSUER)
    assert found.algorithms == SAFE_ALGORITHMS
    assert read_provider(document(id_token_signing_alg_values_supported=None), ISSUER).algorithms == SAFE_ALGORITHMS


def test_a_provider_on_the_loopback_interface_may_stay_there() -> None:
    issuer = "http://127.0.0.1:8180"
    body = json.dumps(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/a",
            "token_endpoint": f"{issuer}/t",
            "jwks_uri": f"{issuer}/k",
        }
    )
    assert read_provider(body.encode(), issuer).token == f"{issuer}/t"
    with pytest.raises(Malformed):
        read_provider(body.replace(f"{issuer}/t", "http://idp.plant.example/t").encode(), issuer)


GOOD = RSA.as_dict(private=False)
USELESS: dict[str, Any] = {
    "secret": OctKey.generate_key(256).as_dict(),
    "for encryption": {**GOOD, "use": "enc"},
    "not for verifying": {**GOOD, "key_ops": ["encrypt"]},
    "of 1024 bits": {**GOOD, "n": b64((1 << 1023 | 1).to_bytes(128))},
    "of 16384 bits": {**GOOD, "n": b64((1 << 16383 | 1).to_bytes(2048))},
    "for a MAC": {**GOOD, "alg": "HS256"},
    "of an unknown kind": {"kty": "ML-DSA", "pub": "AAAA"},
    "without its numbers": {"kty": "RSA"},
    "with numbers that are none": {"kty": "RSA", "n": "é", "e": "AQAB"},
    "off its curve": {**ECKey.generate_key("P-256").as_dict(private=False), "x": b64(bytes(32)), "y": b64(bytes(32))},
    "on secp256k1": ECKey.generate_key("secp256k1").as_dict(private=False),
    "Ed448": OKPKey.generate_key("Ed448").as_dict(private=False),
    "X25519": OKPKey.generate_key("X25519").as_dict(private=False),
    "no table": 7,
}


@pytest.mark.parametrize("what", USELESS)
def test_a_key_that_is_not_fit_does_not_count_and_spoils_no_other(what: str) -> None:
    with pytest.raises(Malformed, match="none of its keys is fit"):
        read_keys(json.dumps({"keys": [USELESS[what]]}).encode())
    found = read_keys(json.dumps({"keys": [USELESS[what], GOOD]}).encode())
    assert [key.kid for key in found.keys] == ["k1"]


def test_the_private_part_of_a_key_that_a_provider_published_by_mistake_is_not_kept() -> None:
    (found,) = read_keys(json.dumps({"keys": [RSA.as_dict(private=True)]}).encode()).keys
    assert not found.key.is_private


def test_too_many_keys_are_no_key_set() -> None:
    with pytest.raises(Malformed, match="at most 64"):
        read_keys(json.dumps({"keys": [GOOD] * 65}).encode())
    for body in ({"keys": {}}, {"keys": None}, {}):
        with pytest.raises(Malformed):
            read_keys(json.dumps(body).encode())


def test_an_rsa_key_verifies_no_ecdsa_token_and_the_other_way_round() -> None:
    keys = read_keys(json.dumps({"keys": [GOOD, ECKey.generate_key("P-256").as_dict(private=False)]}).encode())
    assert len(keys.fitting(None, "RS256")) == len(keys.fitting(None, "ES256")) == 1
    assert keys.fitting("k1", "ES256") == keys.fitting(None, "ES384") == keys.fitting("k1", "PS256") == ()


def test_the_authorities_of_the_plan_are_the_only_ones_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "")
    made: list[ssl.SSLContext] = []
    original = ssl.create_default_context

    def watched(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(original(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", watched)
    http = Http(authority("plant CA"), httpx2.MockTransport(lambda _: httpx2.Response(200)))
    asyncio.run(http.get("https://idp.plant.example/"))
    context = made[0]
    assert [dict(part[0] for part in each["subject"])["commonName"] for each in context.get_ca_certs()] == ["plant CA"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_authorities_that_are_no_certificates_make_this_source_silent() -> None:
    http = Http("-----BEGIN CERTIFICATE-----\nnonsense", httpx2.MockTransport(lambda _: httpx2.Response(200)))
    with pytest.raises(Unavailable, match="no certificates"):
        asyncio.run(http.get("https://idp.plant.example/"))


def test_no_proxy_of_the_environment_sees_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request through such a proxy would fail here: nothing listens there."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    http = Http(None, httpx2.MockTransport(lambda _: httpx2.Response(200, text="here")))
    assert asyncio.run(http.get("https://idp.plant.example/")).body == b"here"
    assert not http._client()._mounts, "no proxy is mounted"


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([ISSUER, "RS256"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted([*Forge().document(), "pushed_authorization_request_endpoint", "token_endpoint_auth_methods_supported"])


@settings(deadline=None)
@given(st.binary(max_size=400) | st.dictionaries(st.sampled_from(FIELDS), JSONS).map(lambda d: document(**d)))
def test_whatever_a_discovery_document_says_it_is_read_or_refused(body: bytes) -> None:
    try:
        found = read_provider(body, ISSUER)
    except Malformed:
        return
    assert found.issuer == ISSUER
    for address in (found.authorization, found.token, found.keys, found.userinfo, found.pushed):
        assert address is None or address.startswith("https://")
    assert found.algorithms <= SAFE_ALGORITHMS


@settings(deadline=None)
@given(
    st.binary(max_size=400)
    | st.lists(st.dictionaries(st.sampled_from([*GOOD, "crv", "x", "y", "key_ops"]), JSONS), max_size=4).map(
        lambda keys: json.dumps({"keys": [{**GOOD, **key} for key in keys]}).encode()
    )
)
def test_whatever_a_key_set_says_it_is_read_or_refused(body: bytes) -> None:
    try:
        found = read_keys(body)
    except Malformed:
        return
    assert all(key.algorithms <= SAFE_ALGORITHMS for key in found.keys)
