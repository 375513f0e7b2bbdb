"""May this subject do this to this asset?  A request is allowed if and only if one conduit meets it on every criterion.

Pure: counts of a rate come in through `spent`, charges go out with the decision.  There is no deny and no order.  A
denial is a value that names the conduit that came closest and every criterion that failed on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from penstock.model import Conduit, Decision, Miss, Reason, Request, SubjectKind
from penstock.policy.compile import Policy, Way
from penstock.policy.criteria import CRITERIA, charges
from penstock.policy.lanes import Lane, Question, lane_of
from penstock.policy.permits import Spent
from penstock.policy.selection import fits_subject

_CHECKS = tuple(criterion.is_met for criterion in CRITERIA)


def nothing_spent(key: str, period_s: int) -> int:  # noqa: ARG001 - stands in for a ledger
    """The count of a ledger that nothing was charged to."""
    return 0


def decide(policy: Policy, request: Request, spent: Spent = nothing_spent) -> Decision:
    """Judge one request.

    `spent(key, period_s)` is how many operations were charged under `key` in the last `period_s` seconds; the caller
    charges what `Decision.charges` lists, once the operation is let through.  `request.protocol` is the name of a
    service of the asset, or its protocol, or its port as ``tcp/5432``.
    """
    way = policy.ways.get((request.asset, request.protocol))
    if way is None:
        return _deny(policy, Question(request, policy.assets.get(request.asset), None, spent))
    question = Question(request, way.asset, way.service, spent)
    charged: Decision | None = None
    held: Decision | None = None
    for lane in _lanes(way, request):
        for is_met in _CHECKS:
            if not is_met(lane, question):
                break
        else:
            if not lane.rated and not lane.held:
                return lane.allowed
            decision = _charge(lane, question)
            if lane.held and any(demanded in lane.held for demanded, _ in question.demands):
                held = held or replace(decision, hold_s=lane.conduit.hold_s)
            elif not decision.charges:
                return decision
            else:
                charged = charged or decision
    return charged or held or _deny(policy, question)


def _lanes(way: Way, request: Request) -> list[Lane]:
    """The lanes that may fit the subject, in the order of the conduits' names within one key."""
    subject, lanes = request.subject, way.lanes
    if subject.kind is SubjectKind.PERSON:
        found = list(lanes.get(("user", subject.name), ()))
        if len(subject.groups) > 1:
            for group in sorted(subject.groups):
                found += lanes.get(("group", group), ())
        else:
            for group in subject.groups:
                found += lanes.get(("group", group), ())
        return found
    found = list(lanes.get(("asset", subject.name), ()))
    if subject.role is not None:
        found += lanes.get(("role", subject.role), ())
    if subject.zone is not None:
        found += lanes.get(("zone", subject.zone), ())
    return found


def _charge(lane: Lane, question: Question) -> Decision:
    due = charges(lane, question)
    if not due:
        return lane.allowed
    allowed = lane.allowed
    return replace(allowed, charges=due)


def with_fullest_record(policy: Policy, request: Request, decision: Decision, spent: Spent) -> Decision:
    """The decision, told as fully as the fullest conduit that allows this wants it, whichever is named.

    So no conduit that is added makes the evidence of what another one lets pass any poorer.
    """
    way = policy.ways.get((request.asset, request.protocol))
    if way is None or not way.differs_in_record or not decision.is_allowed:
        return decision
    question = Question(request, way.asset, way.service, spent)
    fullest = decision.record
    for lane in _lanes(way, request):
        mode = lane.conduit.record
        if mode.rank > fullest.rank and all(is_met(lane, question) for is_met in _CHECKS):
            fullest = mode
    return decision if fullest is decision.record else replace(decision, record=fullest)


def _deny(policy: Policy, question: Question) -> Decision:
    """Name the conduit that came closest and all that failed on it."""
    best: tuple[tuple[int, int, tuple[bool, ...]], Lane] | None = None
    for conduit in _near(policy, question):
        lane = lane_of(conduit, question.asset, question.service, question.protocol, policy.revision)
        passed = tuple(is_met(lane, question) for is_met in _CHECKS)
        # Conduits of this subject to this asset first; then by how much is met; then by which comes first.
        closeness = (sum(passed[:2]), sum(passed), passed)
        if best is None or closeness > best[0]:
            best = closeness, lane
    if best is None:
        return Decision(is_allowed=False, reason=Reason.NO_CONDUIT, revision=policy.revision)
    (named, _, passed), lane = best
    misses = tuple(
        criterion.explain(lane, question) for criterion, is_met in zip(CRITERIA, passed, strict=True) if not is_met
    )
    return Decision(
        is_allowed=False,
        reason=misses[0].reason if named else Reason.NO_CONDUIT,
        revision=policy.revision,
        conduit=lane.conduit.name,
        misses=misses,
    )


def _near(policy: Policy, question: Question) -> Iterator[Conduit]:
    """The conduits to compare: the few of this subject to this asset; all only where there are none."""
    subject = question.request.subject
    leading = [each for each in policy.leading.get(question.request.asset, ()) if fits_subject(each.source, subject)]
    return iter(leading or policy.conduits)


def misses_text(misses: tuple[Miss, ...]) -> tuple[str, ...]:
    """One line for each criterion that failed, as the portal and the command line show it."""
    return tuple(
        f"{miss.criterion}: wanted {miss.wanted}, found {miss.found}" + (f" ({miss.remedy})" if miss.remedy else "")
        for miss in misses
    )
