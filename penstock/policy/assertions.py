"""A document's own tests: a revision that breaks one of them is refused."""

from __future__ import annotations

from penstock.model import Invalid, Problem
from penstock.policy.compile import Policy, compile_policy
from penstock.policy.decide import decide, misses_text
from penstock.policy.describe import operation_text, subject_text, target_text
from penstock.policy.document import Document
from penstock.policy.sections import Assertion


def accept(document: Document, revision: int) -> Policy:
    """The compiled policy, once every assertion holds.  Raises `Invalid` with each one that does not."""
    policy = compile_policy(document.site, revision)
    problems = [problem for each in document.assertions if (problem := judge(policy, each)) is not None]
    if problems:
        raise Invalid(*problems)
    return policy


def judge(policy: Policy, assertion: Assertion) -> Problem | None:
    """What is wrong with one assertion, or ``None`` where it holds."""
    decision = decide(policy, assertion.request)
    is_held = decision.hold_s is not None
    is_as_claimed = assertion.is_held in {None, is_held} or not decision.is_allowed
    if decision.is_allowed == assertion.is_allowed and is_as_claimed:
        return None
    request = assertion.request
    asked = f"{operation_text(request.operation)} on {request.asset} as {subject_text(request.subject)}"
    targets = () if request.operation is None else request.operation.targets
    if targets:
        asked += f", {', '.join(target_text(target, request.protocol) for target in targets)}"
    if decision.is_allowed and assertion.is_allowed:
        says, does = ("held", "allowed at once") if assertion.is_held else ("not held", "held for a second person")
        why = f"test failed: it says {says}, but {asked} is {does}"
        return Problem(where=assertion.where, why=why, hint=f"conduit {decision.conduit!r} allows it")
    if decision.is_allowed:
        return Problem(
            where=assertion.where,
            why=f"test failed: it says may_not, but {asked} is allowed",
            hint=f"conduit {decision.conduit!r} allows it",
        )
    missed = "; ".join(misses_text(decision.misses))
    nearest = (
        "no conduit leads there" if decision.conduit is None else f"nearest conduit {decision.conduit!r}: {missed}"
    )
    return Problem(where=assertion.where, why=f"test failed: it says may, but {asked} is denied", hint=nearest)
