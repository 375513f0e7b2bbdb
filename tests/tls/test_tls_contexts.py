"""What the gate's listeners speak: shown by handshakes in memory with the context that a listener really gets."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from penstock.identity import Authority, check_fips, check_own, listener_crypto, module_crypto
from penstock.model import GatePlace, GateSettings, Invalid, TlsSettings
from penstock.tls import key_files, served

NAME = "gate.riverside.ot"
NOW = datetime.now(UTC)
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def settings(tmp_path: Path) -> GateSettings:
    Authority(tmp_path / "keys", NAME, (NAME,), int(NOW.timestamp() * 1_000_000))
    place = GatePlace(interface="", address="127.0.0.1")
    return GateSettings(
        state_dir=str(tmp_path), run_dir=str(tmp_path), site_path="", names=(NAME,), place=place, portal=(), tunnel=()
    )


def handshake(server: ssl.SSLContext, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLObject:
    """A client that speaks this version only.  Raises `ssl.SSLError` of whichever end refuses."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = client.maximum_version = version
    if ciphers:
        client.set_ciphers(ciphers)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=NAME),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        waiting = 0
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting += 1
        if not waiting:
            return ends[0]
    raise AssertionError("the handshake does not end")


def own_certificate(
    folder: Path, names: tuple[str, ...] = (NAME,), until: datetime = NOW + timedelta(days=30)
) -> TlsSettings:
    """A certificate of the site's own authority, and its key."""
    top, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Riverside CA")])
    started = NOW - timedelta(days=40)

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(started)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .sign(top, hashes.SHA256())
        )

    leaf = signed(x509.Name([]), key.public_key(), is_ca=False)
    chain = (leaf, signed(issuer, top.public_key(), is_ca=True))
    (folder / "own.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    path = folder / "own.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return TlsSettings(certificate=str(folder / "own.pem"), key=str(path))


def test_listeners_speak_tls_1_3_and_nothing_older(settings: GateSettings) -> None:
    context = served(settings, ("http/1.1",), may_be_old=True).context
    assert handshake(context, V1_3).version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        handshake(context, V1_2)


def test_tls_1_2_is_a_setting_of_its_own_and_only_with_forward_secrecy(settings: GateSettings) -> None:
    old = replace(settings, tls=TlsSettings(allows_1_2=True))
    context = served(old, ("http/1.1",), may_be_old=True).context
    assert handshake(context, V1_3).version() == "TLSv1.3"
    assert handshake(context, V1_2, "ECDHE+AESGCM").version() == "TLSv1.2"
    for weak in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"):  # no forward secrecy; no authenticated encryption
        with pytest.raises(ssl.SSLError):
            handshake(context, V1_2, weak)


def test_the_tunnel_never_speaks_tls_1_2(settings: GateSettings) -> None:
    old = replace(settings, tls=TlsSettings(allows_1_2=True))
    with pytest.raises(ssl.SSLError):
        handshake(served(old, ("penstock/1",)).context, V1_2)


def test_a_certificate_that_was_renewed_is_shown_without_a_restart(settings: GateSettings) -> None:
    tls = served(settings, ())
    before = handshake(tls.context, V1_3).getpeercert(binary_form=True)
    assert not tls.refresh()
    later = int((NOW + timedelta(days=10)).timestamp() * 1_000_000)
    Authority(Path(settings.state_dir) / "keys", NAME, (NAME,), later)
    assert tls.refresh()
    after = handshake(tls.context, V1_3).getpeercert(binary_form=True)
    assert before != after


def test_a_certificate_that_is_half_written_changes_nothing(settings: GateSettings) -> None:
    tls, path = served(settings, ()), Path(settings.state_dir) / "keys" / "gate.pem"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert not tls.refresh()
    handshake(tls.context, V1_3)
    path.write_bytes(whole)
    assert tls.refresh()


def test_a_certificate_whose_key_is_not_there_yet_changes_nothing(settings: GateSettings, tmp_path: Path) -> None:
    tls, keys = served(settings, ()), Path(settings.state_dir) / "keys"
    Authority(tmp_path / "other", NAME, (NAME,), int(NOW.timestamp() * 1_000_000))
    (keys / "gate.pem").write_bytes((tmp_path / "other" / "gate.pem").read_bytes())
    assert not tls.refresh()
    handshake(tls.context, V1_3)


def test_the_gates_own_certificate_lives_for_two_weeks_at_most(settings: GateSettings) -> None:
    shown = listener_crypto("portal", "", served(settings, ()).context, key_files(settings).certificate)
    assert shown.certificate["lifetime_days"] == 14


def test_the_sites_own_certificate_is_shown_and_the_inventory_says_so(settings: GateSettings, tmp_path: Path) -> None:
    own = replace(settings, tls=own_certificate(tmp_path))
    check_own(own, NOW)
    context = served(own, ("http/1.1",), may_be_old=True).context
    shown = handshake(context, V1_3).getpeercert(binary_form=True)
    assert shown is not None
    assert x509.load_der_x509_certificate(shown).issuer.rfc4514_string() == "CN=Riverside CA"
    listed = listener_crypto("portal", "", context, key_files(own).certificate)
    assert listed.versions == ("TLSv1.3",)
    assert "TLS_AES_256_GCM_SHA384" in listed.suites
    assert listed.certificate["key"] == "ECDSA secp384r1"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({"names": ("other.ot",)}, "not made out to"),
        ({"until": NOW - timedelta(days=1)}, "not in its time"),
    ],
)
def test_a_site_certificate_that_clients_would_refuse_is_refused_before_anything_starts(
    settings: GateSettings, tmp_path: Path, spoil: dict[str, object], why: str
) -> None:
    own = replace(settings, tls=own_certificate(tmp_path, **spoil))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match=why):
        check_own(own, NOW)


def test_a_key_of_another_certificate_one_that_others_read_and_one_that_is_missing_are_refused(
    settings: GateSettings, tmp_path: Path
) -> None:
    own = own_certificate(tmp_path)
    cases = (
        (replace(own, key=str(Path(settings.state_dir) / "keys" / "gate.key")), "cannot be used"),
        (replace(own, key=str(tmp_path / "missing.key")), "cannot be read"),
        (replace(own, key=None), "belong together"),
    )
    for wrong, why in cases:
        with pytest.raises(Invalid, match=why):
            check_own(replace(settings, tls=wrong), NOW)
    Path(own.key or "").chmod(0o644)
    with pytest.raises(Invalid, match="others may read it"):
        check_own(replace(settings, tls=own), NOW)


def test_fips_mode_is_found_by_trying_and_not_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSSL_FIPS", "1")
    found = check_fips()
    tried = {each.what: each.found for each in found.findings}
    assert tried["ssl: SHA-256"] == "works"
    assert found.is_on == all(each.wanted == each.found for each in found.findings)
    assert (tried["ssl: MD5"] == "refused") == module_crypto().is_fips
    assert found.is_on is False or found.module, "a mode without a module is none"


def test_hybrid_key_exchange_is_claimed_only_where_openssl_has_it() -> None:
    modules = module_crypto()
    assert modules.has_hybrid == (ssl.OPENSSL_VERSION_INFO >= (3, 5) and not modules.is_fips)
