"""What a gate that ends channels changes in session messages, and what it refuses to carry over."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import given
from hypothesis import strategies as st
from opcua_talk import encoded, reading

from penstock.model import Malformed
from penstock.wire import opcua_terminating as messages

GATE, SERVER, CLIENT = b"0\x82\x00\x04gate", b"0\x82\x00\x04serv", b"0\x82\x00\x04clnt"
TOKEN = ua.NodeId("token-that-nobody-may-see", 1)
NONCE, CLIENT_NONCE = b"n" * 32, b"c" * 32


class Notary:
    """Signatures that can be read: who signed what."""

    gate, server, uri, client = GATE, SERVER, "urn:gate", CLIENT
    policies = frozenset({"None", "Basic256Sha256"})

    def sign(self, data: bytes) -> tuple[str, bytes]:
        return "urn:signed", b"gate:" + data

    def check(self, certificate: bytes, signature: bytes, data: bytes) -> None:
        if signature != certificate + b":" + data:
            raise Malformed("security checks failed")

    def seal_again(self, secret: bytes, algorithm: str, nonce: bytes) -> bytes:
        if algorithm != "urn:oaep" or not secret.endswith(nonce):
            raise Malformed("no secret for the gate")
        return b"again:" + secret


def signed(by: bytes, data: bytes) -> ua.SignatureData:
    found = ua.SignatureData()
    found.Algorithm, found.Signature = "urn:signed", by + b":" + data
    return found


def create(certificate: bytes = CLIENT) -> bytes:
    asked = ua.CreateSessionRequest()
    asked.Parameters.ClientDescription.ApplicationUri = "urn:client"
    asked.Parameters.ServerUri = "urn:gate"
    asked.Parameters.EndpointUrl = "opc.tcp://plc-1:4840"
    asked.Parameters.SessionName = "a session"
    asked.Parameters.ClientNonce, asked.Parameters.ClientCertificate = CLIENT_NONCE, certificate
    return encoded(asked)


def endpoint(policy: str, certificate: bytes | None = SERVER) -> ua.EndpointDescription:
    found = ua.EndpointDescription()
    found.EndpointUrl, found.Server.ApplicationUri = "opc.tcp://plc-1:4840", "urn:server"
    found.ServerCertificate, found.SecurityPolicyUri = (
        certificate,
        f"http://opcfoundation.org/UA/SecurityPolicy#{policy}",
    )
    for kind in ua.UserTokenType:
        token = ua.UserTokenPolicy()
        token.PolicyId, token.TokenType = kind.name, kind
        found.UserIdentityTokens.append(token)
    return found


def created(signature: ua.SignatureData | None = None, certificate: bytes = SERVER) -> bytes:
    told = ua.CreateSessionResponse()
    told.Parameters.SessionId, told.Parameters.AuthenticationToken = ua.NodeId(5, 1), TOKEN
    told.Parameters.ServerNonce, told.Parameters.ServerCertificate = NONCE, certificate
    told.Parameters.ServerEndpoints = [endpoint("Basic256Sha256"), endpoint("Basic256")]
    told.Parameters.ServerSignature = signature or signed(SERVER, GATE + CLIENT_NONCE)
    return encoded(told)


def activate(token: Any = None, nonce: bytes = NONCE, by: bytes = CLIENT, session: ua.NodeId = TOKEN) -> bytes:
    asked = ua.ActivateSessionRequest()
    asked.Parameters.ClientSignature = signed(by, GATE + nonce)
    asked.Parameters.LocaleIds = ["en"]
    asked.Parameters.UserIdentityToken = token or ua.AnonymousIdentityToken()
    body = encoded(asked)
    return body if session == TOKEN else body.replace(b"token-that-nobody-may-see", b"token-of-somebody-else-xx")


def read_back(kind: type, body: bytes) -> Any:
    return struct_from_binary(kind, Buffer(body))


def opened() -> messages.Sessions:
    sessions = messages.Sessions(Notary())
    sessions.request(7, create())
    sessions.response(7, created())
    return sessions


def test_a_session_is_made_with_the_gates_certificate_on_both_sides() -> None:
    sessions = messages.Sessions(Notary())
    asked = read_back(ua.CreateSessionRequest, sessions.request(7, create())).Parameters
    assert (asked.ClientCertificate, asked.ClientDescription.ApplicationUri) == (GATE, "urn:gate")
    assert (asked.ServerUri, asked.ClientNonce, asked.SessionName) == (None, CLIENT_NONCE, "a session")
    told = read_back(ua.CreateSessionResponse, sessions.response(7, created())).Parameters
    assert (told.ServerCertificate, told.AuthenticationToken, told.ServerNonce) == (GATE, TOKEN, NONCE)
    assert told.ServerSignature.Signature == b"gate:" + CLIENT + CLIENT_NONCE
    (only,) = told.ServerEndpoints
    assert (only.ServerCertificate, only.Server.ApplicationUri) == (GATE, "urn:gate")
    assert {token.TokenType for token in only.UserIdentityTokens} == {
        ua.UserTokenType.Anonymous,
        ua.UserTokenType.UserName,
        ua.UserTokenType.IssuedToken,
    }


@pytest.mark.parametrize(
    "answer",
    [
        created(signed(CLIENT, GATE + CLIENT_NONCE)),
        created(signed(SERVER, CLIENT + CLIENT_NONCE)),
        created(signed(SERVER, GATE + NONCE)),
        created(certificate=CLIENT),
    ],
)
def test_a_server_that_does_not_prove_who_it_is_gets_no_session(answer: bytes) -> None:
    sessions = messages.Sessions(Notary())
    sessions.request(7, create())
    with pytest.raises(Malformed):
        sessions.response(7, answer)


def status_of(sessions: messages.Sessions, body: bytes) -> int:
    with pytest.raises(messages.Refused) as refused:
        sessions.request(8, body)
    return refused.value.status


@pytest.mark.parametrize("certificate", [SERVER, b"", CLIENT[:-1]])
def test_a_session_is_for_the_certificate_that_opened_the_channel(certificate: bytes) -> None:
    found = status_of(messages.Sessions(Notary()), create(certificate))
    assert found == ua.StatusCodes.BadSecurityChecksFailed


def test_who_signs_in_is_signed_for_again_with_each_nonce() -> None:
    sessions = opened()
    asked = read_back(ua.ActivateSessionRequest, sessions.request(8, activate())).Parameters
    assert asked.ClientSignature.Signature == b"gate:" + SERVER + NONCE
    assert asked.LocaleIds == ["en"]
    told = ua.ActivateSessionResponse()
    told.Parameters.ServerNonce = b"m" * 32
    assert sessions.response(8, encoded(told)) == encoded(told)
    with pytest.raises(Malformed):
        sessions.request(9, activate())
    again = read_back(ua.ActivateSessionRequest, sessions.request(9, activate(nonce=b"m" * 32))).Parameters
    assert again.ClientSignature.Signature == b"gate:" + SERVER + b"m" * 32


def test_a_refused_sign_in_leaves_the_nonce_as_it_was() -> None:
    sessions = opened()
    sessions.request(8, activate())
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
    sessions.response(8, encoded(fault))
    assert sessions.request(9, activate())


def test_another_connections_session_cannot_be_taken_over() -> None:
    other = ua.NodeId("token-of-somebody-else-xx", 1)
    assert status_of(opened(), activate(session=other)) == ua.StatusCodes.BadSessionIdInvalid


def test_somebody_elses_signature_ends_the_connection() -> None:
    with pytest.raises(Malformed):
        opened().request(8, activate(by=SERVER))


def user(password: bytes, algorithm: str | None = "urn:oaep") -> ua.UserNameIdentityToken:
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName, token.Password = "p", "operator", password
    token.EncryptionAlgorithm = algorithm
    return token


def test_a_password_is_sealed_for_the_server_and_all_else_stays() -> None:
    asked = read_back(ua.ActivateSessionRequest, opened().request(8, activate(user(b"sealed" + NONCE)))).Parameters
    token = asked.UserIdentityToken
    assert (token.UserName, token.Password, token.PolicyId) == ("operator", b"again:sealed" + NONCE, "p")
    asked = read_back(ua.ActivateSessionRequest, opened().request(8, activate(user(b"open", None)))).Parameters
    assert asked.UserIdentityToken.Password == b"open"


@pytest.mark.parametrize("token", [user(b"sealed"), user(b"sealed" + NONCE, "urn:rsa-1_5")])
def test_a_password_that_was_not_sealed_for_the_gate_is_refused(token: ua.UserNameIdentityToken) -> None:
    assert status_of(opened(), activate(token)) == ua.StatusCodes.BadIdentityTokenInvalid


def test_a_users_own_certificate_is_refused_for_nobody_can_sign_for_him() -> None:
    token = ua.X509IdentityToken()
    token.CertificateData = b"certificate"
    assert status_of(opened(), activate(token)) == ua.StatusCodes.BadIdentityTokenRejected


def test_one_connection_has_no_more_than_some_sessions() -> None:
    sessions = messages.Sessions(Notary())
    for number in range(messages.MAX_SESSIONS):
        sessions.request(number, create())
    with pytest.raises(messages.Refused):
        sessions.request(99, create())


def test_what_is_no_session_passes_as_it_is() -> None:
    sessions, body = opened(), encoded(reading("ns=2;i=5"))
    assert sessions.request(9, body) is body
    assert sessions.response(9, body) is body


BODIES = [create(), activate(), activate(user(b"sealed" + NONCE)), created(), encoded(reading("i=5"))]


@given(
    st.sampled_from(BODIES),
    st.integers(0, 400),
    st.binary(max_size=6),
    st.integers(0, 400),
    st.sampled_from(["asked", "told"]),
)
def test_broken_messages_raise_what_is_declared(body: bytes, at: int, put: bytes, end: int, way: str) -> None:
    broken = (body[:at] + put + body[at + len(put) :])[: len(body) - end % max(len(body), 1)]
    sessions = opened()
    try:
        if way == "told":
            sessions.request(8, create())
            sessions.response(8, broken)
        else:
            sessions.request(8, broken)
    except (Malformed, messages.Refused, IndexError, struct.error):
        pass
