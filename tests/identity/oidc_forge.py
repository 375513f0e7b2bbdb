"""A provider in memory that can do everything wrong: real keys and tokens, HTTP without a network."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from penstock.identity.oidc import OidcSource, Pending, Rim
from penstock.identity.oidc.http import Http
from penstock.identity.oidc.logout import EVENT
from penstock.model import EvidenceRule, FactorStrength, GroupMap, OidcPlan

S = 1_000_000
NOW_US = 1_800_000_000 * S
ISSUER = "https://idp.plant.example/realms/plant"
CALLBACK = "https://gate.riverside.ot/sign-in/oidc/keycloak/callback"
SECRET = "a client's secret: % and +"
PLAN = OidcPlan(
    name="keycloak",
    title="Plant sign-in",
    issuer=ISSUER,
    client_id="penstock",
    secret="keycloak",
    groups=GroupMap(taken=(("/operators", "operators"), ("/safety", "safety"))),
    rules=(
        EvidenceRule(strength=FactorStrength.TWO, acr=("mfa",)),
        EvidenceRule(strength=FactorStrength.TWO, amr_all=("pwd", "otp")),
        EvidenceRule(strength=FactorStrength.PHISHING_RESISTANT, acr=("hardware",)),
    ),
    acr_words=((FactorStrength.TWO, "mfa"), (FactorStrength.PHISHING_RESISTANT, "hardware")),
    amr_words=(("password", "pwd"),),
)

Bend = Callable[[httpx2.Request], "httpx2.Response | Awaitable[httpx2.Response]"]
SignKey = RSAKey | ECKey | OKPKey
RSA = RSAKey.generate_key(2048, {"kid": "k1", "alg": "RS256", "use": "sig"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "k1", "alg": "RS256", "use": "sig"})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: dict[str, Any], claims: object, key: SignKey) -> str:
    """A compact token, by hand: no library stands between a forger and its bytes."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{b64(json.dumps(header).encode())}.{b64(body)}"
    model = jws.JWSRegistry.algorithms[header["alg"]]
    return f"{text}.{b64(model.sign(text.encode(), key))}"


def authority(name: str) -> str:
    """The certificate of an authority that is made for this."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


#: With one authority a TLS context is made in no time; with all of the machine's it is not.
AUTHORITY = authority("plant CA")


class Forge:
    """One provider.  Whatever a test sets is what it says; `bend` replaces whole answers by path."""

    def __init__(self, plan: OidcPlan = PLAN, clock: Callable[[], int] = lambda: NOW_US) -> None:
        self.plan, self.steady_s, self.clock = plan, 1000.0, clock
        self.keys: list[SignKey] = [RSA]
        self.signing: SignKey = RSA
        self.algorithm, self.header, self.claims = "RS256", dict[str, Any](), dict[str, Any]()
        self.missing: set[str] = set()
        self.userinfo: dict[str, Any] = {"sub": "u-1"}
        self.discovery: dict[str, Any] = {}
        self.groups: list[str] | None = ["/operators", "/not-listed"]
        self.subject, self.name, self.acr, self.amr = "u-1", "ada", "mfa", ["pwd", "otp"]
        self.auth_time_s: float | None = None
        self.bend: dict[str, Bend] = {}
        self.asked = Counter[str]()
        self.requests: list[httpx2.Request] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: set[str] = set()
        self.used: set[str] = set()
        self.rotates, self.gives_refresh, self.refresh_has_id_token, self.is_gone = True, True, True, False
        self._count = 0

    @property
    def now_us(self) -> int:
        """The provider's own clock."""
        return self.clock()

    def source(self, plan: OidcPlan | None = None, secret: str | None = SECRET, timeout_s: float = 5.0) -> OidcSource:
        http = Http(AUTHORITY, httpx2.MockTransport(self.answer), timeout_s)
        rim = Rim(http=http, make_token=self.random, steady_s=lambda: self.steady_s)
        return OidcSource(plan or self.plan, secret, CALLBACK, rim)

    def random(self) -> str:
        self._count += 1
        return f"random-{self._count}-".ljust(43, "x")

    def document(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/certs",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "PS256", "EdDSA", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
            "claims_parameter_supported": True,
            **self.discovery,
        }

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/realms/plant").strip("/").replace(".well-known/openid-", "")
        self.asked[path] += 1
        self.requests.append(request)
        if path in self.bend:
            bent = self.bend[path](request)
            return bent if isinstance(bent, httpx2.Response) else await bent
        return getattr(self, f"_{path}")(request)

    def _configuration(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=self.document())

    def _certs(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"keys": [key.as_dict(private=False) for key in self.keys]})

    def _par(self, request: httpx2.Request) -> httpx2.Response:
        self.codes["pushed"] = dict(parse_qsl(request.content.decode()))
        return httpx2.Response(201, json={"request_uri": "urn:pushed:1", "expires_in": 60})

    def _userinfo(self, request: httpx2.Request) -> httpx2.Response:
        if self.is_gone or not request.headers.get("authorization", "").startswith("Bearer access-"):
            return httpx2.Response(401, json={"error": "invalid_token"})
        groups = {} if self.groups is None else {"groups": self.groups}
        return httpx2.Response(200, json={"preferred_username": self.name, **groups, **self.userinfo})

    def _token(self, request: httpx2.Request) -> httpx2.Response:
        form = dict(parse_qsl(request.content.decode()))
        if form["grant_type"] == "refresh_token":
            return self._refresh(form)
        asked = self.codes.pop(form["code"], None)
        verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
        if asked is None or b64(verifier) != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return httpx2.Response(400, json={"error": "invalid_grant"})
        return self._tokens({"nonce": asked["nonce"]})

    def _refresh(self, form: dict[str, str]) -> httpx2.Response:
        token = form["refresh_token"]
        if token in self.used:  # a second use is taken for theft: the whole family is over
            self.refresh_tokens.clear()
        if self.is_gone or token not in self.refresh_tokens:
            return httpx2.Response(400, json={"error": "invalid_grant"})
        if self.rotates:
            self.refresh_tokens.discard(token)
            self.used.add(token)
        return self._tokens({}, has_id_token=self.refresh_has_id_token)

    def _tokens(self, claims: dict[str, Any], *, has_id_token: bool = True) -> httpx2.Response:
        access = f"access-{self.random()}"
        given: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        if self.gives_refresh:
            given["refresh_token"] = f"refresh-{self.random()}"
            self.refresh_tokens.add(given["refresh_token"])
        if has_id_token:
            half = hashlib.sha256(access.encode()).digest()[:16]
            given["id_token"] = self.token({"at_hash": b64(half), **claims})
        return httpx2.Response(200, json=given)

    def id_claims(self, more: dict[str, Any]) -> dict[str, Any]:
        now_s = self.now_us // S
        claims = {
            "iss": ISSUER,
            "sub": self.subject,
            "aud": self.plan.client_id,
            "iat": now_s,
            "exp": now_s + 300,
            "auth_time": now_s if self.auth_time_s is None else self.auth_time_s,
            "acr": self.acr,
            "amr": self.amr,
            "sid": "s-1",
            "preferred_username": self.name,
            **({} if self.groups is None else {"groups": self.groups}),
            **more,
            **self.claims,
        }
        return {name: value for name, value in claims.items() if name not in self.missing}

    def token(self, more: dict[str, Any]) -> str:
        header = {"alg": self.algorithm, "kid": "k1", "typ": "JWT", **self.header}
        return sign({n: v for n, v in header.items() if v is not None}, self.id_claims(more), self.signing)

    def logout(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now_s = self.now_us // S
        said = {"iss": ISSUER, "aud": self.plan.client_id, "iat": now_s, "exp": now_s + 120, "jti": self.random()}
        said |= {"events": {EVENT: {}}, "sub": "u-1", "sid": "s-1"} | claims
        kept = {name: value for name, value in said.items() if value is not None}
        return sign({"alg": "RS256", "kid": "k1", "typ": "logout+jwt", **(header or {})}, kept, self.signing)

    def send_back(self, address: str, code: str = "code-1", **more: str) -> str:
        """The person gives their factors: the query that the browser brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        asked = self.codes.pop("pushed", asked) if "request_uri" in asked else asked
        self.codes[code] = asked
        return urlencode({"code": code, "state": asked["state"], "iss": ISSUER, **more})


async def begun(
    source: OidcSource, want: FactorStrength = FactorStrength.NONE, *, is_fresh: bool = False, now_us: int = NOW_US
) -> tuple[str, Pending]:
    """A detour that has just begun."""
    return await source.begin(want, is_fresh=is_fresh, now_us=now_us)


def with_plan(**changes: Any) -> Forge:
    """A provider for a site document that says something else."""
    return Forge(replace(PLAN, **changes))
