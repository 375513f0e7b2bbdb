import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from penstock.identity import Authority, read_or_make_secret
from penstock.model import Invalid, Tampered

NOW_US = 1_800_000_000_000_000
NOW = dt.datetime.fromtimestamp(NOW_US // 1_000_000, dt.UTC)
DAY_US = 86_400_000_000
NAMES = ("gate.riverside.ot", "10.20.0.2")


def request(key: object = None, name: str = "somebody else") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signing = key or ec.generate_private_key(ec.SECP256R1())
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(signing, algorithm)  # type: ignore[arg-type]
    return built.public_bytes(Encoding.PEM).decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "keys", "riverside", NAMES, NOW_US)


def test_the_gates_certificate_is_made_out_to_its_names_and_verifies(authority: Authority, tmp_path: Path) -> None:
    gate = x509.load_pem_x509_certificate((tmp_path / "keys/gate.pem").read_bytes())
    store = Store([x509.load_pem_x509_certificate(authority.pem.encode())])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(NAMES[0]))
    assert verifier.verify(gate, [])[0] == gate
    names = gate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.20.0.2"]


def test_a_client_certificate_names_the_subject_of_the_sign_in_not_of_the_request(authority: Authority) -> None:
    issued = authority.issue(request(name="administrator"), "ada", NOW_US + 3600 * 10**6, NOW_US)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=ada"
    assert issued.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem.encode()))


def test_a_client_certificate_never_lives_longer_than_twelve_hours(authority: Authority) -> None:
    issued = authority.issue(request(), "ada", NOW_US + DAY_US, NOW_US)
    assert issued.expires_at_us == NOW_US + 12 * 3600 * 10**6
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert certificate.not_valid_after_utc == NOW + dt.timedelta(hours=12)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
)
def test_requests_with_other_strong_keys_are_signed(authority: Authority, key: object) -> None:
    assert authority.issue(request(key), "ada", NOW_US + 10**9, NOW_US).serial


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        dsa.generate_private_key(2048),
    ],
)
def test_requests_with_weak_or_odd_keys_are_refused(authority: Authority, key: object) -> None:
    with pytest.raises(Invalid):
        authority.issue(request(key), "ada", NOW_US + 10**9, NOW_US)


def test_a_request_whose_signature_does_not_hold_is_refused(authority: Authority) -> None:
    der = bytearray(x509.load_pem_x509_csr(request(name="aaaa").encode()).public_bytes(Encoding.DER))
    at = der.index(b"aaaa")
    der[at : at + 4] = b"bbbb"
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(Invalid, match="signature does not hold"):
        authority.issue(forged, "ada", NOW_US + 10**9, NOW_US)


@pytest.mark.parametrize("text", ["", "garbage", "x" * 20_000, "-----BEGIN CERTIFICATE REQUEST-----\nAA\n-----END"])
def test_garbage_is_refused_as_an_invalid_request(authority: Authority, text: str) -> None:
    with pytest.raises(Invalid):
        authority.issue(text, "ada", NOW_US + 10**9, NOW_US)


def test_the_gates_certificate_is_renewed_a_week_before_its_end_and_not_earlier(authority: Authority) -> None:
    assert not authority.renew(NOW_US + 6 * DAY_US)
    assert authority.renew(NOW_US + 8 * DAY_US)
    assert not authority.renew(NOW_US + 8 * DAY_US)


def test_a_restart_keeps_the_authority_and_a_new_name_makes_a_new_gate_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    before = (tmp_path / "keys/gate.pem").read_bytes()
    same = Authority(tmp_path / "keys", "riverside", NAMES, NOW_US)
    assert same.pem == authority.pem
    assert (tmp_path / "keys/gate.pem").read_bytes() == before
    Authority(tmp_path / "keys", "riverside", ("gate2.riverside.ot",), NOW_US)
    assert (tmp_path / "keys/gate.pem").read_bytes() != before


def test_keys_are_readable_by_the_gates_own_user_only(authority: Authority, tmp_path: Path) -> None:
    assert authority.pem
    for name in ("ca.key", "gate.key"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_a_key_that_others_can_read_is_not_used(authority: Authority, tmp_path: Path) -> None:
    assert authority.pem
    (tmp_path / "keys/ca.key").chmod(0o644)
    with pytest.raises(Tampered, match=r"ca\.key"):
        Authority(tmp_path / "keys", "riverside", NAMES, NOW_US)


def test_a_secret_file_is_made_once_and_kept(tmp_path: Path) -> None:
    first = read_or_make_secret(tmp_path / "keys/totp.key")
    assert len(first) == 32
    assert read_or_make_secret(tmp_path / "keys/totp.key") == first
    (tmp_path / "keys/totp.key").write_bytes(b"short")
    with pytest.raises(Tampered):
        read_or_make_secret(tmp_path / "keys/totp.key")


def test_the_gate_is_an_application_of_opc_ua_with_a_key_that_its_policies_take(
    authority: Authority, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    assert not (keys / "opcua.key").exists(), "a site that wants none has none"
    der = authority.make_application(NOW_US)
    assert der is not None
    assert not (keys / "opcua.der").exists(), "it is on record before it is used"
    authority.keep_application(der)
    made = x509.load_der_x509_certificate((keys / "opcua.der").read_bytes())
    key = made.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, made.issuer) == (2048, made.subject)
    made.verify_directly_issued_by(made)
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:gate.riverside.ot:penstock"]
    assert names.get_values_for_type(x509.DNSName) == ["gate.riverside.ot"]
    purposes = set(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert (keys / "opcua.key").stat().st_mode & 0o077 == 0


def test_the_application_that_others_trust_is_never_made_anew(authority: Authority, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    authority.keep_application(authority.make_application(NOW_US) or b"")
    before = (keys / "opcua.der").read_bytes(), (keys / "opcua.key").read_bytes()
    assert authority.make_application(NOW_US + 3000 * DAY_US) is None
    assert ((keys / "opcua.der").read_bytes(), (keys / "opcua.key").read_bytes()) == before
    (keys / "opcua.key").chmod(0o644)
    with pytest.raises(Tampered):
        authority.make_application(NOW_US)
    (keys / "opcua.key").unlink()
    with pytest.raises(Tampered):
        authority.make_application(NOW_US)
