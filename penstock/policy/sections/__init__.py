"""The sections of a site document, one file each: YAML values in, placed values of the model out."""

from penstock.policy.sections.assertions import Assertion, read_assertion
from penstock.policy.sections.assets import PlacedAsset, read_asset
from penstock.policy.sections.conduits import PlacedConduit, read_conduit
from penstock.policy.sections.identity import fit_zones, read_identity
from penstock.policy.sections.naming import read_askers
from penstock.policy.sections.windows import read_window
from penstock.policy.sections.zones import PlacedZone, network_of, read_zone

__all__ = [
    "Assertion",
    "PlacedAsset",
    "PlacedConduit",
    "PlacedZone",
    "fit_zones",
    "network_of",
    "read_askers",
    "read_assertion",
    "read_asset",
    "read_conduit",
    "read_identity",
    "read_window",
    "read_zone",
]
