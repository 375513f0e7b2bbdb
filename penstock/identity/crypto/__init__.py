"""What cryptography the gate uses, asked of the libraries; whether FIPS mode is on; the site's own certificate."""

from penstock.identity.crypto.fips import FipsCheck, FipsFinding, check_fips, fips_mode
from penstock.identity.crypto.inventory import (
    ListenerCrypto,
    ModuleCrypto,
    certificate_facts,
    listener_crypto,
    module_crypto,
)
from penstock.identity.crypto.own import check_own

__all__ = [
    "FipsCheck",
    "FipsFinding",
    "ListenerCrypto",
    "ModuleCrypto",
    "certificate_facts",
    "check_fips",
    "check_own",
    "fips_mode",
    "listener_crypto",
    "module_crypto",
]
