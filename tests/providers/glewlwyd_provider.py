"""Debian's glewlwyd, as scripts/test-providers unpacked it, set up through its own administrator's interface."""

from __future__ import annotations

import gzip
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from playwright.sync_api import Page
from provider import FETCHED, PASSWORD, TOTP, Codes, Missing, Program, address, indented, new_secret, web
from trust import Trust

from penstock.lab.machine import free_port

UNPACKED = FETCHED / "glewlwyd"
#: The two come with its dependency glewlwyd-common.
PAGES = Path("/usr/share/glewlwyd/webapp")
#: What a new installation has: the package documents it, and says to change it.
ADMIN = {"username": "admin", "password": "password"}


class Glewlwyd:
    """One server with its database in a file."""

    name, title = "third", "Third provider"

    def __init__(self, folder: Path, trust: Trust) -> None:
        if not (UNPACKED / "usr" / "bin" / "glewlwyd").exists() or not PAGES.is_dir():
            raise Missing("glewlwyd")
        self._home, self._trust, self._port = folder / "glewlwyd", trust, free_port()
        self._program, self.codes, self.secret = Program(folder / "glewlwyd.log"), Codes(), new_secret()
        self._base = address(self._port)
        self.issuer = f"{self._base}/api/oidc"

    def start(self, gate_url: str, gate_authority: Path) -> None:
        """Start it.  It calls nobody with a certificate of the gate's own: it knows the system's authorities only."""
        del gate_authority
        is_new = not self._home.exists()
        if is_new:
            self._home.mkdir()
            self._write_pages()
            self._write_database()
            self._write_settings()
        self._run()
        if is_new:
            with web(self._trust, self._base) as http:
                self._set_up(http, gate_url)

    def stop(self) -> None:
        """End it; the database stays."""
        self._program.stop()

    def start_again(self) -> None:
        """After `stop`, with what it knew."""
        self._run()

    def plan(self) -> str:
        """As docs/guides/openid-connect.md has it."""
        return f"""
    {self.name}:
      kind: oidc
      title: Third provider
      issuer: {self.issuer}
      client: penstock
      secret: {self.name}
      authorities: |
{indented(self._trust.authority.read_text(), 8)}
      groups: {{operators: operators}}
      amr: {{password: pwd}}
      auth_time: untrusted
      refresh: 5s
      factors:
        two: [{{amr: [pwd, otp]}}]
"""

    def pass_pages(self, page: Page, person: str, *, with_code: bool = False) -> None:
        """Name and password, once the consent to hand over the profile, the code, and on."""
        page.locator("#username").fill(person)
        page.locator("#password").fill(PASSWORD)
        page.get_by_role("button", name="OK").click()
        consent, code = page.locator("#grant-profile"), page.locator("#value")
        consent.or_(code).first.wait_for()
        if consent.is_visible():
            consent.check()
            page.get_by_role("button", name="Grant access").click()
        assert with_code, "the scope `profile` needs both here"
        code.fill(self.codes.next())
        page.get_by_role("button", name="OK").click()
        page.get_by_title("Continue to client application").click()

    def put_in_groups(self, person: str, *groups: str) -> None:
        """By the administrator."""
        self._change(person, groups=list(groups))

    def disable(self, person: str) -> None:
        """By the administrator."""
        self._change(person, enabled=False)

    def _change(self, person: str, **values: Any) -> None:
        with web(self._trust, self._base) as http:
            _call(http, "POST", "/auth/", ADMIN)
            found = _call(http, "GET", f"/user/{person}")
            _call(http, "PUT", f"/user/{person}", {**found, **values})

    def _run(self) -> None:
        self._program.start([str(UNPACKED / "usr/bin/glewlwyd"), f"--config-file={self._home / 'glewlwyd.conf'}"])
        self._program.wait_for(f"{self._base}/config", self._trust)

    def _write_pages(self) -> None:
        """A copy: the server follows no links, and the package's own link for `config.json` leads to a folder."""
        shutil.copytree(PAGES, self._home / "web", ignore=shutil.ignore_patterns("config.json", "*.map"))
        shutil.copy("/usr/share/glewlwyd/templates/config.json", self._home / "web" / "config.json")

    def _write_database(self) -> None:
        made = sqlite3.connect(self._home / "db")
        made.executescript((UNPACKED / "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3").read_text())
        made.commit()
        made.close()

    def _write_settings(self) -> None:
        text = gzip.decompress((UNPACKED / "usr/share/doc/glewlwyd/glewlwyd.conf.sample.gz").read_bytes()).decode()
        text = text.replace("/var/cache/glewlwyd/glewlwyd.db", str(self._home / "db")).replace(
            '"/usr/lib/glewlwyd/', f'"{UNPACKED}/usr/lib/glewlwyd/'
        )
        text = text.replace('cookie_domain="localhost"', "")
        settings = {
            "port": self._port,
            "bind_address": '"127.0.0.1"',
            "external_url": f'"{self._base}"',
            "static_files_path": f'"{self._home / "web"}"',
            "log_mode": '"console"',
            "cookie_secure": 1,
            "use_secure_connection": "true",
            "secure_connection_key_file": f'"{self._trust.key}"',
            "secure_connection_pem_file": f'"{self._trust.certificate}"',
            "secure_connection_ca_file": f'"{self._trust.authority}"',
        }
        for name, value in settings.items():
            text, changed = re.subn(rf"(?m)^[# ]*{name}\s*=.*$", f"{name}={value}", text, count=1)
            assert changed, f"no setting {name} in the package's file"
        (self._home / "glewlwyd.conf").write_text(text)

    def _set_up(self, http: httpx2.Client, gate_url: str) -> None:
        """As an administrator would at its pages."""
        _call(http, "POST", "/auth/", ADMIN)
        people = _call(http, "GET", "/mod/user/database")
        people["parameters"]["data-format"]["groups"] = {"multiple": True, "read": True, "write": True}
        _call(http, "PUT", "/mod/user/database", people)
        _call(http, "PUT", "/mod/user/database/reset")
        _call(http, "POST", "/mod/scheme/", CODE_SCHEME)
        _call(http, "POST", "/scope/", PROFILE_SCOPE)
        person = {"name": "Tom", "password": PASSWORD, "scope": ["openid", "profile"], "enabled": True}
        _call(http, "POST", "/user/", {"username": "tom", "groups": ["operators"], **person})
        code = {"type": "TOTP", "secret": TOTP, "time_step_size": 30, "start_offset": 0}
        wish = {"username": "tom", "scheme_type": "otp", "scheme_name": "code", "value": code}
        _call(http, "POST", "/delegate/tom/profile/scheme/register/", wish)
        _call(http, "POST", "/client/", self._client(gate_url))
        plugin = {"module": "oidc", "name": "oidc", "display_name": "Plant"}
        _call(http, "POST", "/mod/plugin/", {**plugin, "parameters": self._oidc()})

    def _client(self, gate_url: str) -> dict[str, Any]:
        return {
            "client_id": "penstock",
            "name": "Penstock gate",
            "enabled": True,
            "confidential": True,
            "client_secret": self.secret,
            "redirect_uri": [f"{gate_url}/sign-in/oidc/{self.name}/callback"],
            "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_basic"],
            "scope": [],
        }

    def _oidc(self) -> dict[str, Any]:
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {
            **OIDC,
            "iss": self.issuer,
            "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "cert": public.decode(),
        }


CODE_SCHEME = {
    "module": "otp", "name": "code", "display_name": "Code", "expiration": 600, "max_use": 0,
    "allow_user_register": False,
    "parameters": {
        "otp-length": 6, "issuer": "plant", "secret-minimum-size": 16, "totp-allowed": True, "totp-start-offset": 0,
        "totp-window": 1, "time-step-size": 30, "hotp-allowed": False, "hotp-window": 1,
    },
}  # fmt: skip
#: Whoever asks for `profile` needs a password and a code: the provider knows no `acr`.
PROFILE_SCOPE = {
    "name": "profile", "display_name": "Profile", "description": "name and groups", "password_required": True,
    "password_max_age": 36000, "scheme": {"code": [{"scheme_name": "code"}]}, "scheme_required": {"code": 1},
}  # fmt: skip
OIDC = {
    "jwt-type": "rsa", "jwt-key-size": "256", "access-token-duration": 60, "refresh-token-duration": 36000,
    "code-duration": 60, "refresh-token-rolling": True, "allow-non-oidc": False, "auth-type-code-enabled": True,
    "auth-type-token-enabled": False, "auth-type-id-token-enabled": True, "auth-type-none-enabled": False,
    "auth-type-password-enabled": False, "auth-type-client-enabled": False, "auth-type-device-enabled": False,
    "auth-type-refresh-enabled": True, "jwks-show": True, "request-parameter-allow": False,
    "request-uri-allow-https-non-secure": False, "secret-type": "public", "address-claim": {"type": "no"},
    "name-claim": "no", "email-claim": "no", "scope-claim": "no", "allowed-scope": ["openid", "profile"],
    "pkce-allowed": True, "pkce-method-plain-allowed": False, "pkce-required": True, "oauth-as-iss-id": True,
    "introspection-revocation-allowed": False, "register-client-allowed": False, "session-management-allowed": False,
    "scope": [], "additional-parameters": [],
    "claims": [
        {"name": name, "user-property": of, "type": "string", "mandatory": True, "on-demand": False, "scope": []}
        for name, of in (("groups", "groups"), ("preferred_username", "username"))
    ],
}  # fmt: skip


def _call(http: httpx2.Client, method: str, path: str, body: Any = None) -> Any:
    answer = http.request(method, f"/api{path}", json=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
    return answer.json() if answer.content else None
