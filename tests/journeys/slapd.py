"""A real OpenLDAP server for tests: started by the test, on loopback, with TLS, in a folder of its own.

It runs a copy of the distribution's program (a profile of AppArmor for /usr/sbin/slapd does not concern it), as the
test's own user, and never looks at the system's configuration or server.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from penstock.lab.machine import free_port

ROOT, PEOPLE, GROUPS = "dc=plant,dc=example", "ou=people,dc=plant,dc=example", "ou=groups,dc=plant,dc=example"
GATE, GATE_SECRET = "cn=gate,ou=services,dc=plant,dc=example", "the gate's own secret"
DIRECTOR, DIRECTOR_SECRET = "cn=director,dc=plant,dc=example", "the director's secret"
PASSWORD = "boiler house nine"
GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
_PROGRAM, _MODULES, _SCHEMA = Path("/usr/sbin/slapd"), Path("/usr/lib/ldap"), Path("/etc/ldap/schema")

#: Attributes of Active Directory and of 389 Directory Server, with their own object identifiers.
LIKE_AD = """
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.782 NAME 'objectCategory' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.1460 NAME 'msDS-User-Account-Control-Computed' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.662 NAME 'lockoutTime' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.96 NAME 'pwdLastSet' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top AUXILIARY
  MAY ( sAMAccountName $ objectGUID $ objectCategory $ userAccountControl $ msDS-User-Account-Control-Computed $
        lockoutTime $ accountExpires $ pwdLastSet $ nsAccountLock ) )
"""
CONFIG = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
include {schema}/nis.schema
include {folder}/like-ad.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
moduleload ppolicy
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
pidfile {folder}/slapd.pid
database mdb
maxsize 33554432
suffix "{root}"
rootdn "{director}"
rootpw "{director_secret}"
directory {folder}/data
index objectClass,uid,entryUUID,member eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{gate}" read by * none
overlay memberof
memberof-refint TRUE
overlay ppolicy
ppolicy_default "cn=default,{root}"
ppolicy_use_lockout
"""


class Slapd:
    """One server.  `people` (LDIF, with operational attributes) is loaded before it starts, `groups` afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.plain_port = free_port(), free_port()
        self.authorities = _certificates(folder)
        (folder / "data").mkdir()
        (folder / "like-ad.schema").write_text(LIKE_AD)
        self._program = folder / "slapd"
        shutil.copy(_PROGRAM, self._program)
        self._config = folder / "slapd.conf"
        places = {"schema": _SCHEMA, "modules": _MODULES, "folder": folder, "root": ROOT, "gate": GATE}
        self._config.write_text(CONFIG.format(director=DIRECTOR, director_secret=DIRECTOR_SECRET, **places))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ldaps://127.0.0.1:{self.port}"

    def load(self, ldif: str) -> None:
        """Write entries into the database, before the server starts."""
        self._run([str(self._program), "-T", "add", "-f", str(self._config)], ldif)

    def start(self) -> None:
        """Start, and wait until it answers."""
        urls = f"ldaps://127.0.0.1:{self.port} ldap://127.0.0.1:{self.plain_port}"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "-f", str(self._config), "-h", urls, "-d", "0"], stdout=log, stderr=log
            )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("slapd does not listen")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def add(self, ldif: str) -> None:
        """Add entries to the running server, so that its overlays see them."""
        self._tool("ldapadd", ldif)

    def change(self, ldif: str) -> None:
        """Change entries; also operational attributes."""
        self._tool("ldapmodify", ldif)

    def read(self, dn: str, attribute: str) -> list[str]:
        """The values of an attribute, as the director sees them."""
        found = self._tool("ldapsearch", "", "-LLL", "-o", "ldif-wrap=no", "-b", dn, "-s", "base", attribute)
        head = f"{attribute}: "
        return [line[len(head) :] for line in found.splitlines() if line.startswith(head)]

    def _tool(self, name: str, ldif: str, *words: str) -> str:
        relaxed = [] if name == "ldapsearch" else ["-e", "!relax"]
        asked = [name, "-x", "-H", self.url, "-D", DIRECTOR, "-w", DIRECTOR_SECRET, *relaxed, *words]
        return self._run(asked, ldif, LDAPTLS_CACERT=str(self.folder / "ca.pem"))

    def _run(self, words: list[str], given: str, **more: str) -> str:
        env = {**os.environ, **more}
        done = subprocess.run(words, input=given, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
        return done.stdout


def person(uid: str, *more: str, password: str = PASSWORD, classes: tuple[str, ...] = ()) -> str:
    """LDIF of one person below `PEOPLE`."""
    kinds = "".join(f"objectClass: {each}\n" for each in ("inetOrgPerson", *classes))
    lines = "".join(f"{line}\n" for line in more)
    return f"dn: uid={uid},{PEOPLE}\n{kinds}uid: {uid}\ncn: {uid}\nsn: {uid}\nuserPassword: {ssha(password)}\n{lines}\n"


def group(cn: str, *members: str, place: str = GROUPS) -> str:
    """LDIF of one group of names."""
    lines = "".join(f"member: {dn}\n" for dn in members)
    return f"dn: cn={cn},{place}\nobjectClass: groupOfNames\ncn: {cn}\n{lines}\n"


def of(uid: str) -> str:
    """The DN of a person."""
    return f"uid={uid},{PEOPLE}"


def beginning() -> str:
    """LDIF of the tree itself, the gate's account and the rules for passwords."""
    parts = [f"dn: {ROOT}\nobjectClass: dcObject\nobjectClass: organization\ndc: plant\no: plant\n"]
    parts += [
        f"dn: ou={name},{ROOT}\nobjectClass: organizationalUnit\nou: {name}\n"
        for name in ("people", "groups", "services", "elsewhere")
    ]
    parts.append(
        f"dn: {GATE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gate\n"
        f"userPassword: {ssha(GATE_SECRET)}\n"
    )
    parts.append(
        f"dn: cn=default,{ROOT}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: default\n"
        "pwdAttribute: userPassword\npwdMaxAge: 7776000\npwdLockout: TRUE\npwdMaxFailure: 3\npwdLockoutDuration: 600\n"
        "pwdMustChange: TRUE\n"
    )
    return "\n".join(parts) + "\n"


def ssha(password: str) -> str:
    """As slappasswd(8) writes it."""
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def _certificates(folder: Path) -> str:
    """An authority, and a server's certificate for 127.0.0.1; answers the authority's PEM."""
    now = datetime.now(UTC)

    def made(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        )
        if name != issuer:
            names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = made("authority", authority, "authority", authority).public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "server.pem").write_bytes(made("directory", server, "authority", authority).public_bytes(Encoding.PEM))
    key = folder / "server.key"
    key.touch(0o600)
    key.write_bytes(server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem.decode()
