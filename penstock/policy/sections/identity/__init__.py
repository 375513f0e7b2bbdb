"""The `identity:` section of a site document: how people prove who they are.  One file for each kind of source."""

from penstock.policy.sections.identity.card import fit_zones
from penstock.policy.sections.identity.section import KEYS, read_identity

__all__ = ["KEYS", "fit_zones", "read_identity"]
