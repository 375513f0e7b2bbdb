"""I/O: a policy with the clock and the counts that rates need: what a worker asks for every operation.

The only door to time in this package; deciding itself is pure (`decide`).
"""

from __future__ import annotations

import time

from penstock.model import Decision, Request, Site
from penstock.policy.compile import Policy, compile_policy
from penstock.policy.decide import decide
from penstock.policy.rate import Ledger


class Judge:
    """Judges requests by one revision.  Counts of rates start anew with each revision and each worker."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._ledger = Ledger()

    @classmethod
    def of_site(cls, site: Site, revision: int) -> Judge:
        """The judge of one revision of a site that was accepted before."""
        return cls(compile_policy(site, revision))

    def judge(self, request: Request) -> Decision:
        """The decision; what is allowed is charged to its rates."""
        decision = decide(self._policy, request, self._spent)
        if decision.is_allowed:
            for charge in decision.charges:
                self._ledger.charge(charge.key, time.monotonic())
        return decision

    def _spent(self, key: str, period_s: int) -> int:
        return self._ledger.count(key, period_s, time.monotonic())
