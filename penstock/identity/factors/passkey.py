"""Passkeys (WebAuthn Level 3): what the browser is asked, and whether its answer proves anything.

Pure around the library `webauthn`: options, answers and keys come in, a verdict goes out.  The gate's own checks come
first, so that every refusal has a reason out of a closed set; the library's come after, and have the last word.  It
must never accept an answer without user verification, of another origin, or out of a frame of another site.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import webauthn
from cryptography import x509
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    options_to_json,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_authenticator_data,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AttestationFormat,
    AttestationObject,
    AuthenticationCredential,
    AuthenticatorData,
    AuthenticatorSelectionCriteria,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from penstock.model import PasskeyRules

#: An answer with a chain of attestation certificates has some 6 KiB.
MAX_ANSWER_CHARACTERS = 24 << 10
#: WebAuthn Level 3 section 4: a credential ID has at most 1023 bytes.
MAX_CREDENTIAL_ID_BYTES = 1023
TIMEOUT_MS = 110_000
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
#: FIDO extension of an attestation certificate that names the model (WebAuthn Level 3 section 8.2.1).
_MODEL = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
_PLAIN_FORMATS = frozenset(
    (
        AttestationFormat.NONE,
        AttestationFormat.PACKED,
        AttestationFormat.TPM,
        AttestationFormat.APPLE,
        AttestationFormat.ANDROID_KEY,
    )
)


class PasskeyFault(StrEnum):
    """Why an answer of a passkey was refused.  These words go into the evidence, never to whoever asks."""

    UNREADABLE = "unreadable"
    CHALLENGE = "challenge_not_valid"
    ORIGIN = "wrong_origin"
    PARTY = "wrong_relying_party"
    UNVERIFIED = "user_not_verified"
    UNKNOWN = "unknown_passkey"
    FOREIGN = "passkey_of_another_subject"
    SIGNATURE = "signature_not_valid"
    CLONED = "sign_counter_went_back"
    BARRED = "barred_since_it_was_copied"
    SYNCED = "synced_passkeys_not_allowed"
    MODEL = "model_not_allowed"
    ATTESTATION = "attestation_not_valid"
    KNOWN = "known_already"
    TOO_MANY = "too_many_passkeys"


class PasskeyRefused(Exception):
    """The answer proves nothing; `fault` says why, `passkey` which one it was, where that is known."""

    def __init__(self, fault: PasskeyFault, passkey: Passkey | None = None) -> None:
        super().__init__(fault.value)
        self.fault, self.passkey = fault, passkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """The gate as a relying party: a passkey is bound to the host name `rp_id`, an answer to the `origin`."""

    rp_id: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """One passkey as it is kept.

    `credential_id` and `user_handle` are base64url.  `is_synced`: its maker may copy it to other devices (the flag
    BE); otherwise it never leaves the device.  `barred_at_us`: its counter went back then, so somebody has a copy.
    """

    credential_id: str
    subject: str
    rp_id: str
    user_handle: str
    public_key: bytes
    sign_count: int
    aaguid: str
    title: str
    is_synced: bool
    added_at_us: int
    used_at_us: int | None = None
    barred_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the browser sent to sign in, read but not believed yet."""

    credential_id: str
    user_handle: str | None
    client: CollectedClientData
    data: AuthenticatorData
    credential: AuthenticationCredential

    @property
    def challenge(self) -> bytes:
        """The challenge that it says it answers."""
        return self.client.challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClaim:
    """What the browser sent to add a passkey, read but not believed yet."""

    credential_id: str
    client: CollectedClientData
    attestation: AttestationObject
    credential: RegistrationCredential

    @property
    def challenge(self) -> bytes:
        """The challenge that it says it answers."""
        return self.client.challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new passkey, verified."""

    credential_id: str
    public_key: bytes
    sign_count: int
    aaguid: str
    is_synced: bool
    attestation: str


def party_of(host: str, names: Sequence[str]) -> Party | None:
    """The relying party for the ``Host`` that was asked for: one of the gate's `names`, and never an IP address.

    An address cannot be a relying party ID (WebAuthn Level 3 section 5.1.3, "effective domain"), so there are no
    passkeys where the portal is visited by its address.
    """
    name, _, port = host.lower().partition(":")
    if name not in {each.lower() for each in names} or not is_domain(name) or not (port or "443").isdigit():
        return None
    return Party(rp_id=name, origin=f"https://{name}" if port in ("", "443") else f"https://{name}:{port}")


def is_domain(name: str) -> bool:
    """Whether a passkey can be bound to it: a DNS name or ``localhost``."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        return all(_LABEL.match(label) for label in labels) and not labels[-1].isdigit()
    return False


def sign_in_options(party: Party, challenge: bytes, allowed: Sequence[Passkey] = ()) -> str:
    """What the browser is asked to prove somebody with, as JSON; without `allowed`, with any passkey of the gate."""
    options = webauthn.generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=[_descriptor(each) for each in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def registration_options(
    party: Party, challenge: bytes, subject: str, user_handle: str, present: Sequence[Passkey], rules: PasskeyRules
) -> str:
    """What the browser is asked to make, as JSON: a passkey that can be found without a name, with a PIN or the like.

    Where the model matters it is asked for its attestation; otherwise not, because it says more than the gate needs.
    """
    asks = rules.needs_attestation or bool(rules.aaguids)
    options = webauthn.generate_registration_options(
        rp_id=party.rp_id,
        rp_name="Penstock",
        user_name=subject,
        user_id=base64url_to_bytes(user_handle),
        challenge=challenge,
        timeout=TIMEOUT_MS,
        attestation=AttestationConveyancePreference.DIRECT if asks else AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[_descriptor(each) for each in present],
    )
    return options_to_json(options)


def read_claim(answer: str) -> Claim:
    """Read an answer to `sign_in_options`.  Raises `PasskeyRefused`, whatever it is."""
    _check_size(answer)
    try:
        credential = parse_authentication_credential_json(answer)
        handle = credential.response.user_handle
        return Claim(
            credential_id=bytes_to_base64url(credential.raw_id),
            user_handle=None if handle is None else bytes_to_base64url(handle),
            client=parse_client_data_json(credential.response.client_data_json),
            data=parse_authenticator_data(credential.response.authenticator_data),
            credential=credential,
        )
    except Exception as error:
        raise PasskeyRefused(PasskeyFault.UNREADABLE) from error


def read_new(answer: str) -> NewClaim:
    """Read an answer to `registration_options`.  Raises `PasskeyRefused`, whatever it is."""
    _check_size(answer)
    try:
        credential = parse_registration_credential_json(answer)
        return NewClaim(
            credential_id=bytes_to_base64url(credential.raw_id),
            client=parse_client_data_json(credential.response.client_data_json),
            attestation=parse_attestation_object(credential.response.attestation_object),
            credential=credential,
        )
    except Exception as error:
        raise PasskeyRefused(PasskeyFault.UNREADABLE) from error


def is_taken(passkey: Passkey, rules: PasskeyRules) -> bool:
    """Whether this passkey can prove anything at all: it was not copied, and the site takes its kind."""
    try:
        _check_rules(rules, passkey.aaguid, is_synced=passkey.is_synced)
    except PasskeyRefused:
        return False
    return passkey.barred_at_us is None


def check_sign_in(claim: Claim, passkey: Passkey, party: Party, rules: PasskeyRules) -> int:
    """Whether this answer, whose challenge was ours, proves the owner of this passkey; the new sign counter.

    Raises `PasskeyRefused`.  What concerns this passkey alone is said only to whoever signed with it.  A counter that
    did not grow means that somebody has a copy (WebAuthn Level 3 section 6.1.1).
    """
    _check_origin(claim.client, party)
    _check_data(claim.data, party)
    if claim.credential_id != passkey.credential_id or claim.user_handle not in (None, passkey.user_handle):
        raise PasskeyRefused(PasskeyFault.FOREIGN)
    if claim.data.flags.be != passkey.is_synced:
        raise PasskeyRefused(PasskeyFault.SIGNATURE)
    try:
        verified = webauthn.verify_authentication_response(
            credential=claim.credential,
            expected_challenge=claim.challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:
        raise PasskeyRefused(PasskeyFault.SIGNATURE) from error
    if passkey.barred_at_us is not None:
        raise PasskeyRefused(PasskeyFault.BARRED)
    _check_rules(rules, passkey.aaguid, is_synced=passkey.is_synced)
    if verified.new_sign_count <= passkey.sign_count and (verified.new_sign_count or passkey.sign_count):
        raise PasskeyRefused(PasskeyFault.CLONED)
    return verified.new_sign_count


def check_new(claim: NewClaim, party: Party, rules: PasskeyRules) -> Made:
    """Whether this answer, whose challenge was ours, is a new passkey that may be added.  Raises `PasskeyRefused`."""
    data = claim.attestation.auth_data
    _check_origin(claim.client, party)
    _check_data(data, party)
    attested = data.attested_credential_data
    if attested is None or not 0 < len(attested.credential_id) <= MAX_CREDENTIAL_ID_BYTES:
        raise PasskeyRefused(PasskeyFault.UNREADABLE)
    _check_attestation(claim.attestation, rules)
    try:
        verified = webauthn.verify_registration_response(
            credential=claim.credential,
            expected_challenge=claim.challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            require_user_verification=True,
            pem_root_certs_bytes_by_fmt=_roots(rules),
        )
    except Exception as error:
        raise PasskeyRefused(PasskeyFault.ATTESTATION) from error
    _check_rules(rules, verified.aaguid, is_synced=data.flags.be)
    return Made(
        credential_id=bytes_to_base64url(verified.credential_id),
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        aaguid=verified.aaguid,
        is_synced=data.flags.be,
        attestation=AttestationFormat(verified.fmt).value,
    )


def _check_size(answer: str) -> None:
    if len(answer) > MAX_ANSWER_CHARACTERS or not answer.isascii():
        raise PasskeyRefused(PasskeyFault.UNREADABLE)


def _check_origin(client: CollectedClientData, party: Party) -> None:
    """The right page asked, and not out of a frame of another site: no page of ours is ever in one."""
    if client.origin != party.origin or client.cross_origin:
        raise PasskeyRefused(PasskeyFault.ORIGIN)


def _check_data(data: AuthenticatorData, party: Party) -> None:
    if data.rp_id_hash != hashlib.sha256(party.rp_id.encode()).digest():
        raise PasskeyRefused(PasskeyFault.PARTY)
    if not data.flags.up or not data.flags.uv:
        raise PasskeyRefused(PasskeyFault.UNVERIFIED)


def _check_rules(rules: PasskeyRules, aaguid: str, *, is_synced: bool) -> None:
    if is_synced and not rules.allows_synced:
        raise PasskeyRefused(PasskeyFault.SYNCED)
    if rules.aaguids and aaguid not in rules.aaguids:
        raise PasskeyRefused(PasskeyFault.MODEL)


def _check_attestation(attestation: AttestationObject, rules: PasskeyRules) -> None:
    """Where attestation is required: a chain of certificates, whose first is for the model that the passkey names."""
    if not rules.needs_attestation:
        if attestation.fmt not in _PLAIN_FORMATS:
            raise PasskeyRefused(PasskeyFault.ATTESTATION)
        return
    chain, attested = attestation.att_stmt.x5c, attestation.auth_data.attested_credential_data
    if attestation.fmt != AttestationFormat.PACKED or not chain or attested is None or not rules.authorities:
        raise PasskeyRefused(PasskeyFault.ATTESTATION)
    try:
        named = x509.load_der_x509_certificate(chain[0]).extensions.get_extension_for_oid(_MODEL).value
    except x509.ExtensionNotFound:
        return
    except Exception as error:  # what a parser raises on garbage is its own affair
        raise PasskeyRefused(PasskeyFault.ATTESTATION) from error
    if not isinstance(named, x509.UnrecognizedExtension) or named.value != b"\x04\x10" + attested.aaguid:
        raise PasskeyRefused(PasskeyFault.MODEL)


def _roots(rules: PasskeyRules) -> dict[AttestationFormat, list[bytes]] | None:
    if not rules.needs_attestation or rules.authorities is None:
        return None
    mark = "-----END CERTIFICATE-----"
    pems = [f"{part}{mark}\n".encode() for part in rules.authorities.split(mark)[:-1]]
    return {AttestationFormat.PACKED: pems}


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(passkey.credential_id))
