"""Roles of the gate itself: who may operate, approve, write policy, audit and administer it.

Roles are state of the gate, given and taken by administrators, never part of the policy that an author writes.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What somebody may do to the gate.  A role says nothing about assets: only conduits do."""

    OPERATOR = "operator"
    APPROVER = "approver"
    AUTHOR = "author"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


#: Pairs that nobody may hold together (separation of duties, NIST SP 800-53 AC-5): who writes policy does not approve
#: it, who administers people neither approves nor audits what these people did, and auditors change nothing.
APART: frozenset[frozenset[Role]] = frozenset(
    frozenset(pair)
    for pair in (
        (Role.AUTHOR, Role.APPROVER),
        (Role.ADMINISTRATOR, Role.APPROVER),
        (Role.ADMINISTRATOR, Role.AUDITOR),
        (Role.AUTHOR, Role.AUDITOR),
        (Role.OPERATOR, Role.AUDITOR),
        (Role.APPROVER, Role.AUDITOR),
    )
)
