"""What can be wrong with a provider's answer: a closed set, for the evidence, never for whoever was refused."""

from __future__ import annotations

from enum import StrEnum

from penstock.model import Unauthenticated


class Flaw(StrEnum):
    """Why an answer of a provider proves nobody."""

    ANSWER = "answer_malformed"
    STATE = "state_wrong"
    OTHER_PROVIDER = "answer_of_another_provider"
    PROVIDER_REFUSED = "provider_refused"
    CODE = "code_refused"
    TOKEN = "token_malformed"
    TYPE = "token_type_wrong"
    ALGORITHM = "algorithm_not_allowed"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE = "signature_wrong"
    ISSUER = "issuer_wrong"
    AUDIENCE = "audience_wrong"
    PARTY = "authorized_party_wrong"
    EXPIRED = "expired"
    NOT_YET = "not_yet_valid"
    TOO_OLD = "issued_too_early"
    NONCE = "nonce_wrong"
    HASH = "access_token_hash_wrong"
    PROOF_AGE = "proof_too_old"
    FACTORS = "factors_too_weak"
    SUBJECT = "subject_missing"
    NAME = "name_unusable"
    GROUPS = "groups_unusable"
    EVENT = "logout_event_missing"
    REPLAYED = "replayed"


class NotProved(Unauthenticated):
    """The answer proves nobody.  The text says nothing else; `flaw` and `detail` are for the evidence alone.

    `detail` is short, printable, and never part of a token, a code or a secret.
    """

    def __init__(self, flaw: Flaw, detail: str = "") -> None:
        super().__init__("the identity provider's answer proves nobody")
        self.flaw, self.detail = flaw, detail
