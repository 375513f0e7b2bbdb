"""HTTP to one gate: the portal's JSON API over TLS pinned to the gate's own authority, and its admin socket.

Stands between the verbs and the gate; every request of the command line passes here.  It must never send anything
secret over a connection whose certificate was not verified, and never follow the proxy settings of the environment.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from penstock.cli.answers import (
    AboutGate,
    AddedSubject,
    Codes,
    DeviceBegun,
    Enrolled,
    Enrolment,
    ErrorAnswer,
    GrantsSeen,
    NotNow,
    OpenedGrant,
    Proved,
    ReachAnswer,
    Refusal,
    SignedIn,
    TypedProof,
)
from penstock.model import Invalid, Json, Problem, Unauthenticated, Unavailable

T = TypeVar("T")

#: The gate answers from memory; Argon2id at sign-in is the slowest thing it does (about 0.25 s).
TIMEOUT_S = 10.0
#: What is asked again and again, and would hang where the network has changed under an open connection.
GLANCE_TIMEOUT_S = 3.0
#: A cut waits for the enforcer twice, for the workers and for two disks, each for a bounded time: the answer that says
#: what is not done yet must not be given up before it comes.
ADMIN_TIMEOUT_S = 30.0
_DEFAULT_RUN_DIR = "/run/penstock"
_BAD_REQUEST, _UNAUTHENTICATED, _FORBIDDEN, _TOO_MANY, _SERVER_FAILED, _NOT_NOW = 400, 401, 403, 429, 500, 503


class CodeRefused(Unauthenticated):
    """A confirmation does not count, or not yet; `word` is the reason in RFC 6749's and RFC 8628's words."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the gate does not take the confirmation ({word or 'no reason given'})")
        self.word = word
        self.add_note("penstock login asks again")


class Stranger(Unauthenticated):
    """What answers does not prove to be the known gate; of the sign-in there, that says nothing."""


class _Http:
    """One HTTP client, and the errors of `penstock.model` in place of its own."""

    def __init__(self, client: httpx2.Client, where: str, sign_in_hint: str = "") -> None:
        """`sign_in_hint` is what to do where the gate does not know the caller (any more)."""
        self._client, self._where, self._sign_in_hint = client, where, sign_in_hint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _ask(
        self, method: str, path: str, body: Mapping[str, Json] | None = None, timeout_s: float | None = None
    ) -> httpx2.Response:
        patience = self._client.timeout if timeout_s is None else timeout_s
        try:
            response = self._client.request(method, path, json=body, timeout=patience)
        except httpx2.ConnectError as error:
            raise _not_connected(self._where, error) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"{self._where} did not answer: {str(error) or type(error).__name__}") from error
        return response

    def _answer(self, kind: type[T], method: str, path: str, body: Mapping[str, Json] | None = None) -> T:
        response = self._ask(method, path, body)
        self._expect_done(response)
        return _decoded(kind, response, self._where)

    def _told(self, method: str, path: str, body: Mapping[str, Json] | None = None) -> dict[str, Json]:
        """An order whose answer may have something to say."""
        response = self._ask(method, path, body)
        self._expect_done(response)
        return _decoded(dict[str, Any], response, self._where) if response.content else {}

    def _order(self, method: str, path: str, body: Mapping[str, Json] | None = None) -> None:
        self._expect_done(self._ask(method, path, body))

    def _expect_done(self, response: httpx2.Response) -> None:
        try:
            _raise_for(response, self._where)
        except Unauthenticated as error:
            if self._sign_in_hint:
                error.add_note(self._sign_in_hint)
            raise


class Gate(_Http):
    """The JSON API of a gate's portal, for people.

    Every method raises `Unauthenticated`, `Unavailable` or `Invalid` as `penstock.model.errors` says.
    """

    def __init__(self, url: str, ca_pem: str, token: str | None = None) -> None:
        """`url` is ``https://HOST:PORT``; `ca_pem` the only authority that is believed."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        hint = "penstock login" if token else ""

        def connect() -> httpx2.Client:
            return _https(url, verifying(ca_pem), headers)

        self._connect: Callable[[], httpx2.Client] = connect
        self._is_stale = False
        super().__init__(self._connect(), where=url, sign_in_hint=hint)

    def reconnect(self) -> None:
        """The network has changed: the next question uses no connection that was opened before.

        Another thread may be asking at this moment; a connection that is closed under it would read from whatever gets
        its descriptor next.
        """
        self._is_stale = True

    def _ask(
        self, method: str, path: str, body: Mapping[str, Json] | None = None, timeout_s: float | None = None
    ) -> httpx2.Response:
        if self._is_stale:
            self._is_stale = False
            self._client.close()
            self._client = self._connect()
        return super()._ask(method, path, body, timeout_s)

    def about(self) -> AboutGate:
        """Which gate this is."""
        return self._answer(AboutGate, "GET", "/api/gate")

    def enrol(self, code: str) -> Enrolment:
        """Present the one-time code; the answer is for the authenticator app."""
        return self._answer(Enrolment, "POST", "/api/enrolments", {"code": code})

    def confirm_enrolment(self, code: str, password: str, totp: str) -> tuple[str, ...]:
        """Set the password, proving that the authenticator works; answers the recovery codes, which exist here only."""
        body: dict[str, Json] = {"code": code, "password": password, "totp": totp}
        return self._answer(Enrolled, "POST", "/api/enrolments/confirm", body).recovery_codes

    def sign_in(self, proof: TypedProof, csr_pem: str, notice: str | None = None) -> SignedIn:
        """Sign in with what was typed; the certificate is for the key of `csr_pem`, `notice` what was accepted."""
        body: dict[str, Json] = {**_typed(proof), "csr_pem": csr_pem}
        if notice is not None:
            body["notice"] = notice
        return self._answer(SignedIn, "POST", "/api/sign-ins", body)

    def begin_device(self, host: str) -> DeviceBegun:
        """Codes for a computer without a browser, called `host`."""
        return self._answer(DeviceBegun, "POST", "/api/clients/devices", {"host": host})

    def redeem(self, codes: Codes, csr_pem: str) -> SignedIn:
        """A sign-in for what somebody confirmed at the portal.  Raises `CodeRefused`."""
        return self._redeemed(SignedIn, "/api/clients/tokens", {**_given(codes), "csr_pem": csr_pem})

    def prove_again(self, codes: Codes) -> Proved:
        """A fresh proof for this sign-in, out of what somebody confirmed at the portal.  Raises `CodeRefused`."""
        return self._redeemed(Proved, "/api/clients/proofs", _given(codes))

    def prove_again_here(self, proof: TypedProof) -> Proved:
        """A fresh proof for this sign-in, out of what was typed."""
        return self._answer(Proved, "POST", "/api/sign-ins/current/proofs", _typed(proof))

    def _redeemed(self, kind: type[T], path: str, body: Mapping[str, Json]) -> T:
        response = self._ask("POST", path, body)
        if response.status_code == _BAD_REQUEST:
            raise CodeRefused(_error_of(response).error)
        self._expect_done(response)
        return _decoded(kind, response, self._where)

    def card_challenge(self) -> str:
        """Something fresh for a smart card to sign."""
        return self._answer(dict[str, str], "POST", "/api/cards/challenges", {}).get("challenge", "")

    def prove_card(self, proof: Mapping[str, Json]) -> SignedIn:
        """Sign in with a card: the signed challenge, as `login_card` makes it."""
        return self._answer(SignedIn, "POST", "/api/cards/proofs", proof)

    def prove_card_again(self, proof: Mapping[str, Json]) -> Proved:
        """A fresh proof for this sign-in, by its card."""
        return self._answer(Proved, "POST", "/api/sign-ins/current/proofs/card", proof)

    def sign_out(self) -> None:
        """End the sign-in, and with it every session under it."""
        self._order("DELETE", "/api/sign-ins/current")

    def reach(self) -> ReachAnswer:
        """Every service of every asset, and whether this subject may; and what the gate does not enforce."""
        return self._answer(ReachAnswer, "GET", "/api/reach")

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        """Ask for a grant that is bound to the certificate.  A denial is an answer, not an error."""
        body: dict[str, Json] = {"asset": asset, "binding": "certificate"}
        if service is not None:
            body["service"] = service
        response = self._ask("POST", "/api/grants", body)
        if response.status_code == _FORBIDDEN:
            return _decoded(Refusal, response, self._where)
        self._expect_done(response)
        return _decoded(OpenedGrant, response, self._where)

    def close_grant(self, number: int) -> None:
        """Give the grant back; its flows end."""
        self._order("DELETE", f"/api/grants/{number}")

    def grants(self) -> GrantsSeen:
        """Which of this subject's grants live, and why others ended lately; asked often, so not waited for long."""
        response = self._ask("GET", "/api/sessions", timeout_s=GLANCE_TIMEOUT_S)
        self._expect_done(response)
        rows = _decoded(dict[str, list[dict[str, Any]]], response, self._where)
        return GrantsSeen.of(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInAt:
    """Where somebody is signed in, and with which token."""

    url: str
    ca_pem: str
    token: str = field(repr=False)


class Admin(_Http):
    """The administrator's API: on a local socket, where who may open it is the administrator, or by roles over TLS."""

    def __init__(self, path: Path | None, signed_in: SignedInAt | None = None) -> None:
        """On the socket at `path`; without one, with the roles of whoever is signed in."""
        if path is None and signed_in is not None:
            headers = {"Authorization": f"Bearer {signed_in.token}"}
            client = _https(f"{signed_in.url}/api", verifying(signed_in.ca_pem), headers, ADMIN_TIMEOUT_S)
            super().__init__(client, where=signed_in.url, sign_in_hint="penstock login")
            return
        path = path or admin_socket(None)
        _require_socket(path)
        transport = httpx2.HTTPTransport(uds=str(path))
        client = httpx2.Client(base_url="http://gate", transport=transport, timeout=ADMIN_TIMEOUT_S, trust_env=False)
        super().__init__(client, where=f"the gate at {path}")

    def add_subject(self, name: str, groups: list[str]) -> AddedSubject:
        """Add a person, who enrols with the code of the answer."""
        body: dict[str, Json] = {"name": name, "groups": list(groups)}
        return self._answer(AddedSubject, "POST", "/admin/subjects", body)

    def tell(self, method: str, path: str, body: Mapping[str, Json] | None = None) -> dict[str, Json]:
        """An order or a question under ``/admin/``, and the answer, empty where there is none."""
        return self._told(method, f"/admin/{path}", body)

    def suspend(self, name: str) -> dict[str, Json]:
        """Suspend a subject, which ends what is under way; what is not done yet."""
        return self._told("POST", f"/admin/subjects/{quoted(name)}/suspend")

    def resume(self, name: str) -> None:
        """Let a subject sign in again."""
        self._order("POST", f"/admin/subjects/{quoted(name)}/resume")

    def revoke_grant(self, number: int) -> dict[str, Json]:
        """Revoke one grant; its flows end at once, but for what is not done yet."""
        return self._told("DELETE", f"/admin/grants/{number}")

    def isolate(self, kind: str, name: str, reason: str, even_safety_critical: bool) -> dict[str, Json]:  # noqa: FBT001
        """Cut an asset, a zone or the site off."""
        body: dict[str, Json] = {
            "kind": kind,
            "name": name,
            "reason": reason,
            "even_safety_critical": even_safety_critical,
        }
        return self._answer(dict[str, Any], "POST", "/admin/isolations", body)

    def release(self, kind: str, name: str) -> dict[str, Json]:
        """End an isolation."""
        return self._answer(
            dict[str, Any], "DELETE", f"/admin/isolations/{kind}" + (f"/{quoted(name)}" if name else "")
        )

    def failures_of(self, conduit: str) -> dict[str, Json]:
        """The intervals and drills of one conduit."""
        return self._answer(dict[str, Any], "GET", f"/admin/failures/{quoted(conduit)}")

    def restore(self, conduit: str) -> dict[str, Json]:
        """Bring what goes on uninspected back into inspection."""
        return self._answer(dict[str, Any], "POST", f"/admin/failures/{quoted(conduit)}/restore")

    def begin_drill(self, conduit: str, length_s: int) -> dict[str, Json]:
        """Begin a drill of this conduit."""
        return self._answer(dict[str, Any], "POST", "/admin/drills", {"conduit": conduit, "length_s": length_s})

    def drill(self, number: int) -> dict[str, Json]:
        """A drill, running or over."""
        return self._answer(dict[str, Any], "GET", f"/admin/drills/{number}")

    def stop_drill(self) -> None:
        """End the drill that runs."""
        self._order("DELETE", "/admin/drills/running")

    def apply_revision(self, documents: Mapping[str, str]) -> dict[str, Json]:
        """Make these site documents (name to text) the policy.  Raises `Invalid` with every problem."""
        return self._answer(dict[str, Any], "POST", "/admin/revisions", {"documents": dict(documents)})

    def return_conduit(self, name: str) -> None:
        """Inspect a conduit again that has stepped aside.  Raises `Invalid` where it has not."""
        self._order("POST", "/admin/conduits/return", {"conduit": name})

    def metrics(self) -> str:
        """The page of metrics."""
        response = self._ask("GET", "/admin/metrics")
        self._expect_done(response)
        return response.text

    def verify_kernel(self) -> dict[str, Json]:
        """Have the kernel read back and compared."""
        return self._answer(dict[str, Any], "POST", "/admin/kernel/verify")

    def check_fips(self) -> dict[str, Json]:
        """Have the gate try what FIPS mode must refuse."""
        return self._answer(dict[str, Any], "POST", "/admin/crypto/fips-check")

    def look(self, noun: str) -> dict[str, Json]:
        """``GET /admin/NOUN``: subjects, grants, revisions or status."""
        return self._answer(dict[str, Any], "GET", f"/admin/{noun}")


def first_contact(url: str) -> AboutGate:
    """What the gate says of itself over a connection that proves nothing: nothing secret may be sent on it.

    The caller compares the authority's fingerprint with what it knows, then speaks through `Gate` only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _Unverified(_https(url, context, {}), where=url) as http:
        return http.about()


class _Unverified(_Http):
    def about(self) -> AboutGate:
        """Which gate this claims to be."""
        return self._answer(AboutGate, "GET", "/api/gate")


def admin_socket(given: Path | None) -> Path:
    """Where the gate's admin socket is: as given, or in the gate's folder for local sockets."""
    return given or Path(os.environ.get("PENSTOCK_RUN") or _DEFAULT_RUN_DIR) / "admin.sock"


def verifying(ca_pem: str) -> ssl.SSLContext:
    """A TLS 1.3 client context that believes this authority only, and checks the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise Invalid(Problem(where="authority", why="not a certificate in PEM form")) from error
    return context


def single_authority(ca_pem: str) -> bytes:
    """The DER form of the one certificate in `ca_pem`.  Raises `Invalid` where there is none, or more than one.

    More than one must never be pinned: a fingerprint speaks for the first only, TLS would believe them all.
    """
    text = ca_pem.strip()
    if text.count("BEGIN CERTIFICATE") != 1:
        why = f"{text.count('BEGIN CERTIFICATE')} certificates where exactly one is expected"
        raise Invalid(Problem(where="authority", why=why))
    try:
        return ssl.PEM_cert_to_DER_cert(text)
    except ValueError as error:
        raise Invalid(Problem(where="authority", why="not a certificate in PEM form")) from error


def fingerprint(ca_pem: str) -> str:
    """SHA-256 over the certificate's DER form, as pairs of hex digits.  Raises `Invalid`."""
    return hashlib.sha256(single_authority(ca_pem)).digest().hex(":").upper()


def _typed(proof: TypedProof) -> dict[str, Json]:
    given: dict[str, Json] = {"subject": proof.subject, "password": proof.password, "totp": proof.code}
    return {**given, "source": proof.source} if proof.source else given


def _given(codes: Codes) -> dict[str, Json]:
    if codes.device_code:
        return {"device_code": codes.device_code}
    return {"code": codes.code, "verifier": codes.verifier}


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _require_socket(path: Path) -> None:
    """Say at once what is wrong with the socket.  Raises `Unavailable`."""
    try:
        is_there = path.is_socket()
    except OSError as error:
        closed = Unavailable(f"{path} cannot be opened: {error.strerror}")
        closed.add_note("run this as the user that the gate runs as")
        raise closed from error
    if not is_there:
        silent = Unavailable(f"no gate listens at {path}")
        silent.add_note("start the gate, or name its admin socket with --socket or PENSTOCK_RUN")
        raise silent


def _https(
    url: str, context: ssl.SSLContext, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> httpx2.Client:
    if not url.startswith("https://"):
        raise Invalid(Problem(where="--gate", why=f"{url} is not an https address", hint="https://HOST:8443"))
    return httpx2.Client(base_url=url, verify=context, headers=dict(headers), timeout=timeout_s, trust_env=False)


def _not_connected(where: str, error: httpx2.ConnectError) -> Unavailable | Stranger:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            stranger = Stranger(f"{where} does not prove to be the known gate: {cause.verify_message}")
            stranger.add_note("someone may be in between, or the gate was installed anew; compare fingerprints first")
            return stranger
        cause = cause.__cause__ or cause.__context__
    silent = Unavailable(f"{where} does not answer: {error}")
    silent.add_note("check that the gate runs and can be reached from here")
    return silent


def _raise_for(response: httpx2.Response, where: str) -> None:
    """The error that this status stands for; nothing where the gate did what was asked."""
    status = response.status_code
    if status < 300:  # noqa: PLR2004  2xx, RFC 9110 section 15.3
        return
    said = _error_of(response)
    text = said.error or f"HTTP {status}"
    if status == _UNAUTHENTICATED:
        raise Unauthenticated(text)
    if status == _TOO_MANY:
        locked = Unauthenticated(text)
        locked.add_note(f"try again in {response.headers.get('Retry-After', 'some')} seconds")
        raise locked
    if status >= _SERVER_FAILED:
        raise (NotNow if status == _NOT_NOW else Unavailable)(f"{where}: {text}")
    problems = said.problems
    raise Invalid(
        *(Problem(where=p.where, why=p.why, hint=p.hint) for p in problems)
        if problems
        else (Problem(where="", why=text),)
    )


def _error_of(response: httpx2.Response) -> ErrorAnswer:
    try:
        return msgspec.json.decode(response.content, type=ErrorAnswer)
    except msgspec.MsgspecError:
        return ErrorAnswer()


def _decoded(kind: type[T], response: httpx2.Response, where: str) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{where} does not answer as a gate does: {error}") from error
