"""How people prove who they are at one site, exactly as the site document's `identity:` says it, defaults filled in.

Plain data.  `penstock.policy` reads it, `penstock.identity` makes sources out of it.  Secrets are never in here: a
source names the file of its secret below the gate's ``keys/sources`` folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias

from penstock.model.subject import LOCAL, FactorStrength


class SourceKind(StrEnum):
    """What an identity source is."""

    LOCAL = "local"
    OIDC = "oidc"
    LDAP = "ldap"
    SMART_CARD = "smart-card"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMap:
    """Which groups of a source are believed: `taken` maps the source's own name of a group to the site's.

    A group that is not listed is not taken: an identity source must not be able to invent membership.
    """

    taken: tuple[tuple[str, str], ...] = ()

    def of(self, theirs: frozenset[str]) -> frozenset[str]:
        """The site's groups for the source's."""
        return frozenset(ours for name, ours in self.taken if name in theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRule:
    """What a provider's token must say to be worth `strength`.

    One of `acr`, or all of `amr_all`, or two of `amr_two_of`.

    RFC 8176 has the words of `amr`; `acr` values are the provider's own.
    """

    strength: FactorStrength
    acr: tuple[str, ...] = ()
    amr_all: tuple[str, ...] = ()
    amr_two_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcPlan:
    """An OpenID Connect provider on the plant's own premises.

    `authorities` (PEM) are the only ones believed for its TLS; `secret` names the file of the client's secret
    (``None``: a public client).  `rules` grade a token's evidence, the strongest that fits counts, and a token that
    fits none is worth `unproved`.  `acr_words` says what to ask the provider for, by strength.  `max_age_s`: how old a
    sign-in at the provider may be at ours.  `refresh_s`: how often groups are read again.  `skew_s`: how far its clock
    may be off.
    """

    name: str
    title: str
    issuer: str
    client_id: str
    secret: str | None = None
    authorities: str | None = None
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    groups: GroupMap = GroupMap()
    rules: tuple[EvidenceRule, ...] = ()
    unproved: FactorStrength = FactorStrength.ONE
    acr_words: tuple[tuple[FactorStrength, str], ...] = ()
    amr_words: tuple[tuple[str, str], ...] = ()
    trusts_auth_time: bool = True
    max_age_s: int = 300
    refresh_s: int = 30
    skew_s: int = 60


class DirectoryKind(StrEnum):
    """Whose schema a directory follows; it decides what the plan leaves open."""

    OPENLDAP = "openldap"
    ACTIVE_DIRECTORY = "active-directory"


class GroupWay(StrEnum):
    """How a directory says who is in which group.

    `MEMBER_OF` is an attribute of the person.  `MEMBER`, `UNIQUE_MEMBER` and `MEMBER_UID` are attributes of the group.
    `IN_CHAIN` lets Active Directory follow groups in groups itself (LDAP_MATCHING_RULE_IN_CHAIN).
    """

    MEMBER_OF = "memberOf"
    MEMBER = "member"
    UNIQUE_MEMBER = "uniqueMember"
    MEMBER_UID = "memberUid"
    IN_CHAIN = "in-chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapPlan:
    """A directory over TLS: LDAP (RFC 4511) or Active Directory.

    `urls` are servers with the same content, the first that answers is asked; ``ldap://`` only with `start_tls`.
    `authorities` (PEM) are the only ones believed.  The gate binds as `bind_name` with the secret in the file `secret`,
    finds people below `people` that match `people_filter` by their `name_attribute`, and knows them for ever by their
    `key_attribute`.  Groups lie below `group_base`; with `nested`, a member of a group is a member of the groups that
    hold it.  `groups` takes a group by its DN, or by its cn.  `refresh_s`: how often membership is read again.
    `timeout_s`: how long one question to the directory may take as a whole.
    """

    name: str
    title: str
    urls: tuple[str, ...]
    authorities: str
    bind_name: str
    secret: str
    people: str
    start_tls: bool = False
    directory: DirectoryKind = DirectoryKind.OPENLDAP
    people_filter: str = "(objectClass=person)"
    name_attribute: str = "uid"
    key_attribute: str = "entryUUID"
    group_base: str = ""
    group_way: GroupWay = GroupWay.MEMBER
    nested: bool = True
    groups: GroupMap = GroupMap()
    refresh_s: int = 60
    timeout_s: int = 5


class CardRule(StrEnum):
    """What of a card's certificate names its holder.  A source has one rule and never falls back to another."""

    UPN = "upn"
    EDIPI = "edipi"
    FASCN = "fascn"
    CARD_UUID = "card-uuid"
    EMAIL = "email"
    ISSUER_AND_SERIAL = "issuer-and-serial"


#: The policy of PIV Authentication certificates (FIPS 201-3, X.509 Certificate Policy for the U.S. Federal PKI Common
#: Policy Framework, id-fpki-common-authentication): the card's key works only after its PIN.
PIV_AUTHENTICATION = "2.16.840.1.101.3.2.1.3.13"
#: What `CardPlan.ocsp` is where the certificate itself names its responder (RFC 5280 section 4.2.2.1).
OCSP_OF_CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPlan:
    """Smart cards (PIV, CAC): client certificates of these `authorities` (PEM).

    `rule` names the holder.  `policies` are the certificate policies of which a card must state one; none: any will
    do.  Revocation: `crls` are files below the gate's ``keys/sources``, `crl` and `ocsp` addresses (`ocsp` may be
    `OCSP_OF_CERTIFICATE`).  `tolerated_s` is how long after the last confirmation a card still counts while nothing
    says anything about it: 0 not at all, ``None`` without an end; `zones` has the same for every zone of the site.
    """

    name: str
    title: str
    authorities: str
    rule: CardRule = CardRule.UPN
    folds_case: bool = False
    policies: tuple[str, ...] = (PIV_AUTHENTICATION,)
    needs_logon_usage: bool = False
    crls: tuple[str, ...] = ()
    crl: str | None = None
    ocsp: str | None = None
    needs_nonce: bool = True
    tolerated_s: int | None = 0
    zones: tuple[tuple[str, int | None], ...] = ()
    groups: GroupMap = GroupMap()
    refresh_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyRules:
    """Which passkeys are taken.  `aaguids`: only these models (empty: any); `allows_synced`: also such as are copied.

    `needs_attestation`: a new one proves its model by a certificate of these `authorities` (PEM); without it, its model
    is its own word.
    """

    allows_synced: bool = True
    aaguids: tuple[str, ...] = ()
    needs_attestation: bool = False
    authorities: str | None = None


class Approval(StrEnum):
    """What opens a break-glass account: a second person, or also two halves of a code in sealed envelopes."""

    TWO_PEOPLE = "two-people"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlan:
    """The gate's own store, as far as a site may choose; every gate has it, whether or not the document names it."""

    name: str = LOCAL
    title: str = "Account of this gate"
    passkeys: PasskeyRules = PasskeyRules()
    break_glass: Approval = Approval.TWO_PEOPLE


SourcePlan: TypeAlias = LocalPlan | OidcPlan | LdapPlan | CardPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """The notice that everybody must accept before signing in (NIST SP 800-53 AC-8).  `text` may have several lines."""

    title: str
    text: str

    @property
    def digest(self) -> str:
        """What an acceptance refers to: SHA-256 (hex) of title and text."""
        return sha256(f"{self.title}\n{self.text}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLimits:
    """How long a sign-in lasts, how long a portal may be left alone, and how many one subject may have at once.

    `has_device_way`: a computer without a browser may be signed in by a code that is typed on another one.
    """

    length_s: int = 10 * 3600
    idle_s: int = 15 * 60
    at_once: int = 5
    has_device_way: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything about people at one site.

    `order` are the names of the sources as the document has them: the sign-in page shows them so, and the first that
    takes a password is meant where somebody signs in with a password and names none.  The local store is always among
    them, last unless the document places it.
    """

    local: LocalPlan = LocalPlan()
    oidc: tuple[OidcPlan, ...] = ()
    ldap: tuple[LdapPlan, ...] = ()
    cards: tuple[CardPlan, ...] = ()
    order: tuple[str, ...] = (LOCAL,)
    banner: Banner | None = None
    limits: SignInLimits = SignInLimits()

    @property
    def sources(self) -> tuple[SourcePlan, ...]:
        """Every source, in the order of the document."""
        every: tuple[SourcePlan, ...] = (*self.oidc, *self.ldap, *self.cards, self.local)
        named = {each.name: each for each in every}
        return tuple(named[name] for name in self.order)

    def source(self, name: str) -> SourcePlan | None:
        """The source of that name, or ``None``."""
        return next((each for each in self.sources if each.name == name), None)
