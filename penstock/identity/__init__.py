"""Who asks: identity sources, factors, lock-out, and the gate's own certificate authority.

Stands between the sign-in forms of `penstock.web` and the subjects that `penstock.control` grants to.  It must never
know what a subject may reach.
"""

from penstock.identity.authority import Authority, read_or_make_secret, read_secret
from penstock.identity.card import (
    CardChallenges,
    CardRefused,
    CardSource,
    Outside,
    Revocations,
    SignedChallenge,
    Unfit,
    refused_certificate,
)
from penstock.identity.certificates import ClientCertificate
from penstock.identity.crypto import (
    FipsCheck,
    ListenerCrypto,
    ModuleCrypto,
    check_fips,
    check_own,
    listener_crypto,
    module_crypto,
)
from penstock.identity.directory import AuthenticatorStore, DirectorySource
from penstock.identity.factors import passkey as passkeys
from penstock.identity.factors import totp
from penstock.identity.factors.challenge import NONCE_BYTES, Challenges
from penstock.identity.factors.passkey import Party, Passkey, PasskeyFault, PasskeyRefused, party_of
from penstock.identity.ldap import LdapSource
from penstock.identity.limited import LimitedSource
from penstock.identity.local import (
    Account,
    AccountStore,
    Enrolment,
    Invitation,
    LocalSource,
    NotLookedAt,
    Preparation,
    subject_of,
)
from penstock.identity.lockout import Attempts, Limit, counted, counted_as, wait_s
from penstock.identity.oidc import Flaw, NotProved, OidcSource, Pending, oidc_source, state_of
from penstock.identity.password import Passwords
from penstock.identity.password import problems as password_problems
from penstock.identity.recovering import RecoveryCodes
from penstock.identity.sealing import Seal
from penstock.identity.source import (
    Credentials,
    Directory,
    Membership,
    NotAsked,
    Proof,
    Reading,
    Refused,
    SignIn,
    Source,
)
from penstock.identity.turns import Busy, Turns
from penstock.identity.turnstile import MAX_NAME_LENGTH, CounterStore, Entry, Turnstile, Unseen

__all__ = [
    "MAX_NAME_LENGTH",
    "NONCE_BYTES",
    "Account",
    "AccountStore",
    "Attempts",
    "AuthenticatorStore",
    "Authority",
    "Busy",
    "CardChallenges",
    "CardRefused",
    "CardSource",
    "Challenges",
    "ClientCertificate",
    "CounterStore",
    "Credentials",
    "Directory",
    "DirectorySource",
    "Enrolment",
    "Entry",
    "FipsCheck",
    "Flaw",
    "Invitation",
    "LdapSource",
    "Limit",
    "LimitedSource",
    "ListenerCrypto",
    "LocalSource",
    "Membership",
    "ModuleCrypto",
    "NotAsked",
    "NotLookedAt",
    "NotProved",
    "OidcSource",
    "Outside",
    "Party",
    "Passkey",
    "PasskeyFault",
    "PasskeyRefused",
    "Passwords",
    "Pending",
    "Preparation",
    "Proof",
    "Reading",
    "RecoveryCodes",
    "Refused",
    "Revocations",
    "Seal",
    "SignIn",
    "SignedChallenge",
    "Source",
    "Turns",
    "Turnstile",
    "Unfit",
    "Unseen",
    "check_fips",
    "check_own",
    "counted",
    "counted_as",
    "listener_crypto",
    "module_crypto",
    "oidc_source",
    "party_of",
    "passkeys",
    "password_problems",
    "read_or_make_secret",
    "read_secret",
    "refused_certificate",
    "state_of",
    "subject_of",
    "totp",
    "wait_s",
]
