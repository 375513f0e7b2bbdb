from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from oidc_forge import CALLBACK, ISSUER, NOW_US, OTHER_RSA, PLAN, RSA, SECRET, Forge, S, b64, begun, with_plan

from penstock.identity import Flaw, NotProved, Proof, state_of
from penstock.identity.oidc.discovery import is_safe_address
from penstock.model import Factor, FactorStrength, Unavailable


async def signed_in(forge: Forge, want: FactorStrength = FactorStrength.NONE, *, is_fresh: bool = False) -> Proof:
    source = forge.source()
    address, pending = await begun(source, want, is_fresh=is_fresh)
    return await source.finish(forge.send_back(address), pending, NOW_US)


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(scenario)


def refused(forge: Forge, want: FactorStrength = FactorStrength.NONE, *, is_fresh: bool = False) -> NotProved:
    with pytest.raises(NotProved) as caught:
        run(signed_in(forge, want, is_fresh=is_fresh))
    return caught.value


def test_a_sign_in_proves_who_with_what_and_when() -> None:
    forge = Forge()
    forge.auth_time_s = NOW_US // S - 20
    proof = run(signed_in(forge))
    assert (proof.source, proof.key, proof.name, proof.session) == ("keycloak", "u-1", "ada", "s-1")
    assert proof.groups == {"operators"}
    assert proof.graded is FactorStrength.TWO
    assert proof.factors == {Factor.FEDERATED, Factor.PASSWORD, Factor.TOTP}
    assert proof.proved_at_us == NOW_US - 20 * S
    assert proof.detail == {"acr": "mfa", "amr": "otp pwd"}
    assert proof.ends_at_us is None
    assert forge.asked["userinfo"] == 0, "the token said everything"


def test_the_request_asks_for_a_code_with_pkce_and_for_the_wanted_strength_as_essential() -> None:
    address, pending = run(begun(Forge().source(), FactorStrength.TWO))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{ISSUER}/auth?")
    claims = json.loads(asked.pop("claims"))
    assert claims == {"id_token": {"acr": {"essential": True, "values": ["mfa"]}}}
    assert len(asked.pop("code_challenge")) == 43
    assert asked == {
        "response_type": "code",
        "client_id": "penstock",
        "redirect_uri": CALLBACK,
        "scope": "openid profile",
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge_method": "S256",
        "max_age": "300",
    }
    assert len({pending.state, pending.nonce, pending.verifier}) == 3
    for secret in (pending.state, pending.nonce, pending.verifier):
        assert secret not in repr(pending)
    assert pending.verifier not in address


def test_a_provider_without_the_claims_parameter_is_asked_by_acr_values() -> None:
    forge = Forge()
    forge.discovery = {"claims_parameter_supported": False}
    address, _ = run(begun(forge.source(), FactorStrength.PHISHING_RESISTANT, is_fresh=True))
    asked = parse_qs(urlsplit(address).query)
    assert asked["acr_values"] == ["hardware"]
    assert asked["prompt"] == ["login"]
    assert "claims" not in asked


def test_a_provider_whose_times_cannot_be_trusted_always_asks_for_a_new_proof_and_our_clock_counts() -> None:
    forge = with_plan(trusts_auth_time=False)
    forge.auth_time_s = 0
    address, _ = run(begun(forge.source()))
    assert "prompt=login" in address
    assert run(signed_in(forge)).proved_at_us == NOW_US


def test_where_the_provider_takes_pushed_requests_the_browser_sees_none_of_it() -> None:
    forge = Forge()
    forge.discovery = {"pushed_authorization_request_endpoint": f"{ISSUER}/par"}

    async def scenario() -> None:
        source = forge.source()
        address, pending = await begun(source, FactorStrength.TWO)
        assert set(parse_qs(urlsplit(address).query)) == {"client_id", "request_uri"}
        assert forge.codes["pushed"]["state"] == pending.state
        assert (await source.finish(forge.send_back(address), pending, NOW_US)).name == "ada"

    run(scenario())


def test_a_pushed_request_that_is_refused_sends_nobody_anywhere() -> None:
    forge = Forge()
    forge.discovery = {"pushed_authorization_request_endpoint": f"{ISSUER}/par"}
    forge.bend["par"] = lambda _: httpx2.Response(401, json={"error": "invalid_client"})
    with pytest.raises(Unavailable, match="invalid_client"):
        run(begun(forge.source()))


def test_the_client_s_secret_goes_in_the_header_encoded_and_nowhere_else() -> None:
    forge = Forge()
    run(signed_in(forge))
    (request,) = [each for each in forge.requests if each.url.path.endswith("/token")]
    pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "penstock:a+client%27s+secret%3A+%25+and+%2B"
    assert b"secret" not in request.content
    assert all(SECRET not in str(each.url) for each in forge.requests)


def test_a_private_key_as_secret_signs_an_assertion_for_this_provider_alone() -> None:
    forge, key = Forge(), ECKey.generate_key("P-256")

    async def scenario() -> None:
        source = forge.source(secret=key.as_pem(private=True).decode())
        address, pending = await begun(source)
        await source.finish(forge.send_back(address), pending, NOW_US)

    run(scenario())
    (request,) = [each for each in forge.requests if each.url.path.endswith("/token")]
    form = parse_qs(request.content.decode())
    assertion = jwt.decode(form["client_assertion"][0], key, algorithms=["ES256"]).claims
    assert (assertion["iss"], assertion["sub"], assertion["aud"]) == ("penstock", "penstock", ISSUER)
    assert assertion["exp"] - assertion["iat"] == 60
    assert "authorization" not in request.headers


def test_a_public_client_names_itself_and_sends_no_secret() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source(secret=None)
        address, pending = await begun(source)
        await source.finish(forge.send_back(address), pending, NOW_US)

    run(scenario())
    (request,) = [each for each in forge.requests if each.url.path.endswith("/token")]
    assert parse_qs(request.content.decode())["client_id"] == ["penstock"]
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (RSAKey.generate_key(2048, {"kid": "k1"}), "PS256"),
        (ECKey.generate_key("P-256", {"kid": "k1"}), "ES256"),
        (OKPKey.generate_key("Ed25519", {"kid": "k1"}), "EdDSA"),
    ],
    ids=["RS256", "PS256", "ES256", "EdDSA"],
)
def test_every_safe_algorithm_that_the_provider_announces_is_taken(key: Any, algorithm: str) -> None:
    forge = Forge()
    forge.keys, forge.signing, forge.algorithm, forge.missing = [key], key, algorithm, {"at_hash"}
    assert run(signed_in(forge)).name == "ada"


def test_an_algorithm_that_the_provider_does_not_announce_is_refused() -> None:
    forge = Forge()
    forge.discovery = {"id_token_signing_alg_values_supported": ["ES256"]}
    assert refused(forge).flaw is Flaw.ALGORITHM


CLAIMS: list[tuple[str, dict[str, Any], set[str], Flaw]] = [
    ("another issuer", {"iss": "https://evil.example"}, set(), Flaw.ISSUER),
    ("an issuer with a slash more", {"iss": ISSUER + "/"}, set(), Flaw.ISSUER),
    ("no issuer", {}, {"iss"}, Flaw.ISSUER),
    ("an issuer that is a list", {"iss": [ISSUER]}, set(), Flaw.TOKEN),
    ("another audience", {"aud": "another"}, set(), Flaw.AUDIENCE),
    ("no audience", {}, {"aud"}, Flaw.AUDIENCE),
    ("an audience that is a number", {"aud": 7}, set(), Flaw.AUDIENCE),
    ("several audiences and nobody named", {"aud": ["penstock", "another"]}, set(), Flaw.PARTY),
    ("asked for by another client", {"azp": "another"}, set(), Flaw.PARTY),
    ("asked for by another of two", {"aud": ["penstock", "another"], "azp": "another"}, set(), Flaw.PARTY),
    ("expired", {"exp": NOW_US // S - 61}, set(), Flaw.EXPIRED),
    ("expired at the edge of the skew", {"exp": NOW_US // S - 60}, set(), Flaw.EXPIRED),
    ("never expires", {}, {"exp"}, Flaw.EXPIRED),
    ("expires at a text", {"exp": "tomorrow"}, set(), Flaw.TOKEN),
    ("expires at true", {"exp": True}, set(), Flaw.TOKEN),
    ("expires beyond all numbers", {"exp": 10**400}, set(), Flaw.TOKEN),
    ("issued in the future", {"iat": NOW_US // S + 61}, set(), Flaw.NOT_YET),
    ("not yet valid", {"nbf": NOW_US // S + 61}, set(), Flaw.NOT_YET),
    ("issued before it was asked for", {"iat": NOW_US // S - 61}, set(), Flaw.TOO_OLD),
    ("never issued", {}, {"iat"}, Flaw.TOKEN),
    ("another nonce", {"nonce": "replayed"}, set(), Flaw.NONCE),
    ("no nonce", {}, {"nonce"}, Flaw.NONCE),
    ("another access token", {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, set(), Flaw.HASH),
    ("an at_hash that is not ASCII", {"at_hash": "é"}, set(), Flaw.HASH),
    ("no time of the factors", {}, {"auth_time"}, Flaw.PROOF_AGE),
    ("factors of long ago", {"auth_time": NOW_US // S - 361}, set(), Flaw.PROOF_AGE),
    ("factors of 1970", {"auth_time": 0}, set(), Flaw.PROOF_AGE),
    ("factors in the future", {"auth_time": NOW_US // S + 61}, set(), Flaw.NOT_YET),
    ("nobody", {}, {"sub"}, Flaw.SUBJECT),
    ("an empty subject", {"sub": ""}, set(), Flaw.TOKEN),
    ("a subject of 256 signs", {"sub": "x" * 256}, set(), Flaw.TOKEN),
    ("a subject with a null byte", {"sub": "u-1\0"}, set(), Flaw.SUBJECT),
    ("a subject that looks like another", {"sub": "u\u20111"}, set(), Flaw.SUBJECT),
    ("a name with a space", {"preferred_username": "ada root"}, set(), Flaw.NAME),
    ("a name with a line end", {"preferred_username": "ada\n"}, set(), Flaw.NAME),
    ("a name in Cyrillic that looks Latin", {"preferred_username": "\u0430d\u0430"}, set(), Flaw.NAME),
    ("a name that is a list", {"preferred_username": ["ada"]}, set(), Flaw.NAME),
    ("a name of 65 signs", {"preferred_username": "a" * 65}, set(), Flaw.NAME),
    ("groups that are a table", {"groups": {"/operators": True}}, set(), Flaw.GROUPS),
    ("groups that are numbers", {"groups": ["/operators", 7]}, set(), Flaw.GROUPS),
    ("more groups than anybody has", {"groups": ["g"] * 4097}, set(), Flaw.GROUPS),
    ("evidence that is a table", {"amr": {"otp": 1}}, set(), Flaw.TOKEN),
    ("a level that is a number", {"acr": 2}, set(), Flaw.TOKEN),
]


@pytest.mark.parametrize(("claims", "missing", "flaw"), [case[1:] for case in CLAIMS], ids=[c[0] for c in CLAIMS])
def test_a_token_that_claims_something_wrong_proves_nobody(
    claims: dict[str, Any], missing: set[str], flaw: Flaw
) -> None:
    forge = Forge()
    forge.claims, forge.missing = claims, missing
    caught = refused(forge)
    assert caught.flaw is flaw
    assert str(caught) == "the identity provider's answer proves nobody"


@pytest.mark.parametrize("seconds", [-59, 59])
def test_clocks_may_differ_within_the_skew_both_ways(seconds: int) -> None:
    forge = Forge()
    at_s = NOW_US // S + seconds
    forge.claims = {"iat": at_s, "nbf": at_s, "auth_time": at_s, "exp": at_s + 1}
    proof = run(signed_in(forge))
    assert proof.proved_at_us == min(NOW_US, at_s * S)


def test_a_proof_that_must_be_fresh_is_newer_than_the_question() -> None:
    forge = Forge()
    forge.auth_time_s = NOW_US // S - 61
    assert run(signed_in(forge)).proved_at_us == NOW_US - 61 * S
    assert refused(forge, is_fresh=True).flaw is Flaw.PROOF_AGE


def test_a_strength_that_was_asked_for_and_not_given_is_refused_with_the_reason() -> None:
    forge = Forge()
    forge.acr, forge.amr = "pwd", ["pwd"]
    caught = refused(forge, FactorStrength.TWO)
    assert (caught.flaw, caught.detail) == (Flaw.FACTORS, "wanted two, got one (acr pwd, amr pwd)")
    assert run(signed_in(forge)).graded is FactorStrength.ONE


def _none(forge: Forge) -> str:
    claims = forge.id_claims({})
    return f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."


def _hs256(forge: Forge) -> str:
    """The classic: the public key as the secret of a MAC."""
    text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "k1"}, forge.id_claims({})))
    return f"{text}.{b64(hmac.digest(RSA.as_pem(private=False), text.encode(), 'sha256'))}"


def _foreign(forge: Forge) -> str:
    forge.signing = OTHER_RSA
    return forge.token({})


def _embedded(forge: Forge) -> str:
    """The forger's own key in the header."""
    forge.signing, forge.header = OTHER_RSA, {"jwk": OTHER_RSA.as_dict(private=False), "jku": "https://evil.example"}
    return forge.token({})


def _critical(forge: Forge) -> str:
    forge.header = {"crit": ["b64"], "b64": False}
    return forge.token({})


def _long(forge: Forge) -> str:
    forge.header = {"x": "x" * 4096}
    return forge.token({})


def _changed(forge: Forge) -> str:
    head, _, signature = forge.token({}).split(".")
    return f"{head}.{b64(json.dumps(forge.id_claims({'sub': 'root'})).encode())}.{signature}"


TOKENS = {
    "alg none": (_none, Flaw.ALGORITHM),
    "alg none with a signature": (lambda f: _none(f) + "AA", Flaw.ALGORITHM),
    "HS256 with the public key": (_hs256, Flaw.ALGORITHM),
    "signed by somebody else": (_foreign, Flaw.SIGNATURE),
    "signed with a key of its own header": (_embedded, Flaw.SIGNATURE),
    "a critical extension": (_critical, Flaw.TOKEN),
    "changed after it was signed": (_changed, Flaw.SIGNATURE),
    "no signature": (lambda f: f.token({}).rpartition(".")[0] + ".", Flaw.TOKEN),
    "encrypted, five parts": (lambda _: "e30.e30.e30.e30.e30", Flaw.TOKEN),
    "no base64": (lambda f: f.token({}).rpartition(".")[0] + ".é", Flaw.TOKEN),
    "padded base64": (lambda f: f.token({}).replace(".", "=.", 1), Flaw.TOKEN),
    "a header that is a list": (lambda _: f"{b64(b'[]')}.e30.e30", Flaw.TOKEN),
    "a header as deep as a well": (lambda _: f"{b64(b'[' * 2000)}.e30.e30", Flaw.TOKEN),
    "a header too long": (_long, Flaw.TOKEN),
    "an algorithm that is a number": (lambda _: b64(json.dumps({"alg": 1}).encode()) + ".e30.e30", Flaw.TOKEN),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_forged_token_proves_nobody(name: str) -> None:
    forge, (make, flaw) = Forge(), TOKENS[name]
    text = make(forge)
    forge.bend["token"] = lambda _: httpx2.Response(
        200, json={"id_token": text, "access_token": "access-1", "token_type": "Bearer"}
    )
    assert refused(forge).flaw is flaw


def test_claims_that_are_no_table_prove_nobody() -> None:
    forge = Forge()
    forge.id_claims = lambda _: [1]  # type: ignore[method-assign,assignment,return-value]
    assert refused(forge).flaw is Flaw.TOKEN


async def answered(forge: Forge, change: dict[str, str], drop: str = "") -> Proof:
    source = forge.source()
    address, pending = await begun(source)
    fields = dict(pair.split("=", 1) for pair in forge.send_back(address).split("&"))
    fields = {name: value for name, value in {**fields, **change}.items() if name != drop}
    return await source.finish("&".join(f"{name}={value}" for name, value in fields.items()), pending, NOW_US)


ANSWERS = [
    ({"state": "another"}, "", Flaw.STATE),
    ({}, "state", Flaw.STATE),
    ({"state": "%C3%A9"}, "", Flaw.STATE),
    ({"iss": "https%3A%2F%2Fother.plant.example"}, "", Flaw.OTHER_PROVIDER),
    ({}, "iss", Flaw.OTHER_PROVIDER),
    ({"error": "access_denied"}, "", Flaw.PROVIDER_REFUSED),
    ({"error": "%3Cscript%3E"}, "", Flaw.PROVIDER_REFUSED),
    ({}, "code", Flaw.ANSWER),
    ({"code": ""}, "", Flaw.ANSWER),
    ({"code": "%ff"}, "", Flaw.ANSWER),
    ({"code": "x&code=y"}, "", Flaw.ANSWER),
    ({"code": "x" * 9000}, "", Flaw.ANSWER),
    ({f"p{number}": "" for number in range(30)}, "", Flaw.ANSWER),
    ({"code": "never-given"}, "", Flaw.CODE),
]


@pytest.mark.parametrize(("change", "drop", "flaw"), ANSWERS)
def test_an_answer_that_does_not_belong_here_is_refused(change: dict[str, str], drop: str, flaw: Flaw) -> None:
    forge = Forge()
    with pytest.raises(NotProved) as caught:
        run(answered(forge, change, drop))
    assert caught.value.flaw is flaw
    assert "script" not in caught.value.detail
    assert forge.asked["token"] == (1 if flaw is Flaw.CODE else 0), "no code is spent on a wrong answer"


def test_a_code_works_once() -> None:
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        address, pending = await begun(source)
        query = forge.send_back(address)
        await source.finish(query, pending, NOW_US)
        with pytest.raises(NotProved) as caught:
            await source.finish(query, pending, NOW_US)
        assert caught.value.flaw is Flaw.CODE

    run(scenario())


def test_a_code_of_another_detour_does_not_fit_this_one() -> None:
    """PKCE: a code that was stolen, or planted, is worth nothing without the verifier it was asked for with."""
    forge = Forge()

    async def scenario() -> None:
        source = forge.source()
        theirs, _ = await begun(source)
        mine, pending = await begun(source)
        forge.send_back(theirs, "stolen")
        query = forge.send_back(mine, "mine").replace("code=mine", "code=stolen")
        with pytest.raises(NotProved) as caught:
            await source.finish(query, pending, NOW_US)
        assert caught.value.flaw is Flaw.CODE

    run(scenario())


def test_a_provider_that_cannot_now_is_silent_and_not_wrong() -> None:
    with pytest.raises(Unavailable):
        run(answered(Forge(), {"error": "temporarily_unavailable"}))


def test_the_state_is_readable_before_anything_else_and_only_where_it_stands_once() -> None:
    assert state_of("code=1&state=abc") == "abc"
    assert state_of("code=1") is None
    assert state_of("state=a&state=b") is None
    assert state_of("state=%ff") is None


def test_name_and_groups_come_from_userinfo_where_the_token_is_silent() -> None:
    forge = Forge()
    forge.missing = {"preferred_username", "groups"}
    proof = run(signed_in(forge))
    assert (proof.name, proof.groups) == ("ada", {"operators"})


def test_userinfo_adds_but_never_changes_what_was_signed() -> None:
    forge = Forge()
    forge.missing, forge.userinfo = {"groups"}, {"sub": "u-1", "preferred_username": "root", "acr": "hardware"}
    proof = run(signed_in(forge))
    assert (proof.name, proof.graded) == ("ada", FactorStrength.TWO)


def test_userinfo_about_somebody_else_is_refused() -> None:
    forge = Forge()
    forge.missing, forge.userinfo = {"groups"}, {"sub": "u-2"}
    assert refused(forge).flaw is Flaw.SUBJECT


def test_somebody_in_no_group_has_none() -> None:
    forge = Forge()
    forge.groups = None
    assert run(signed_in(forge)).groups == frozenset()


def test_without_a_refresh_token_the_sign_in_ends_with_what_the_provider_can_be_asked_with() -> None:
    forge = Forge()
    forge.gives_refresh = False
    assert run(signed_in(forge)).ends_at_us == NOW_US + 300 * S


@pytest.mark.parametrize(
    ("address", "is_safe"),
    [
        ("https://idp.plant.example/realms/plant", True),
        ("http://127.0.0.1:8180/realms/plant", True),
        ("http://[::1]:8180/", True),
        ("http://idp.plant.example/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("https://user@idp.plant.example/", False),
        ("https://", False),
        ("https://idp.plant.example:99999/", False),
        ("https://idp.plant.example/#part", False),
        ("https://idp.plant.example/ x", False),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("https://[::1", False),
    ],
)
def test_only_tls_or_the_loopback_interface_is_an_address(address: str, is_safe: bool) -> None:  # noqa: FBT001
    assert is_safe_address(address, may_be_loopback=True) is is_safe
    assert is_safe_address(address, may_be_loopback=False) is (is_safe and address.startswith("https"))


def test_no_value_shows_a_secret_when_it_is_printed() -> None:
    forge = Forge()
    proof = run(signed_in(forge))
    assert "refresh-" in proof.memory
    assert "refresh-" not in repr(proof)
    assert PLAN.name in repr(proof)
