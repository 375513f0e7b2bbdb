"""The policy of one revision as one object: what a worker is given, so that it need not know this package.

Pure, and immutable: a new revision is a new judge.
"""

from __future__ import annotations

from penstock.model import Decision, Request, Site
from penstock.policy.compile import Policy, compile_policy
from penstock.policy.decide import decide, nothing_spent, with_fullest_record
from penstock.policy.permits import Spent


class Judge:
    """Judges requests by one compiled policy."""

    __slots__ = ("policy",)

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @classmethod
    def of_site(cls, site: Site, revision: int) -> Judge:
        """The judge of this revision.  Raises `Invalid` as `compile_policy` does."""
        return cls(compile_policy(site, revision))

    def judge(self, request: Request, spent: Spent = nothing_spent) -> Decision:
        """May this subject do this to this asset?

        Without `spent` every rate counts as unused, and the caller must hold what `Decision.charges` lists.
        """
        return with_fullest_record(self.policy, request, decide(self.policy, request, spent), spent)
