"""Who asks: identity sources, factors, lock-out, and the gate's own certificate authority.

Stands between the sign-in forms of `penstock.web` and the subjects that `penstock.control` grants to.  It must never
know what a subject may reach.
"""

from penstock.identity.authority import Authority, read_or_make_secret, read_secret
from penstock.identity.certificates import ClientCertificate
from penstock.identity.local import (
    MAX_NAME_LENGTH,
    Account,
    AccountStore,
    Enrolment,
    Invitation,
    LocalSource,
    NotLookedAt,
    Preparation,
    subject_of,
)
from penstock.identity.lockout import Attempts, counted_as
from penstock.identity.password import Passwords
from penstock.identity.sealing import Seal
from penstock.identity.source import Credentials, Directory, Membership, Proof, Reading, Refused, SignIn, Source

__all__ = [
    "MAX_NAME_LENGTH",
    "Account",
    "AccountStore",
    "Attempts",
    "Authority",
    "ClientCertificate",
    "Credentials",
    "Directory",
    "Enrolment",
    "Invitation",
    "LocalSource",
    "Membership",
    "NotLookedAt",
    "Passwords",
    "Preparation",
    "Proof",
    "Reading",
    "Refused",
    "Seal",
    "SignIn",
    "Source",
    "counted_as",
    "read_or_make_secret",
    "read_secret",
    "subject_of",
]
