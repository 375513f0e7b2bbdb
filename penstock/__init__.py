"""Penstock: an on-premise Zero Trust access gate for operational technology networks.

The map of the packages, and who may import whom, stands in ARCHITECTURE.md and is held by ``tests/architecture``.
"""

__version__ = "0.1.0"
