"""The conduit must allow the protocol and every class of the operation.

``session`` operations are allowed wherever a session is.  ``unknown`` is a class like any other: allowed only by name.
A port that is permitted as a whole allows everything on it.
"""

from __future__ import annotations

from penstock.model import Miss, OperationClass, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.describe import named_operations
from penstock.policy.lanes import Lane, Question


def is_met(lane: Lane, question: Question) -> bool:
    """Whether the conduit says something about the service, and names every class that is asked for."""
    if lane.is_port:
        return True
    permits, operation = lane.permits, question.operation
    if not permits:
        return False
    if operation is None:
        return True
    if operation.protocol != question.protocol or not question.demands:
        return False
    for demanded, _ in question.demands:
        if demanded not in permits and demanded is not OperationClass.SESSION:
            return False
    return True


def explain(lane: Lane, question: Question) -> Miss:
    """What the conduit allows on this service."""
    operation, protocol = question.operation, question.protocol
    reason, found = Reason.OPERATION_NOT_ALLOWED, f"a session over {protocol}"
    remedy = "ask for a conduit that allows it"
    if operation is None:
        pass
    elif operation.protocol != protocol:
        reason, found = Reason.WRONG_PROTOCOL, f"{operation.protocol} on a service that speaks {protocol}"
        remedy = "use the service that speaks this protocol"
    else:
        missing = [
            each for each, _ in question.demands if each not in lane.permits and each is not OperationClass.SESSION
        ]
        found = f"{protocol}.{'+'.join(dict.fromkeys(missing)) or 'session'}"
        if OperationClass.UNKNOWN in missing:
            reason, found = Reason.UNKNOWN_OPERATION, f"{protocol} code {operation.code or 'none'} (unknown)"
    return Miss(
        criterion="operation",
        reason=reason,
        wanted=", ".join(named_operations(lane.conduit)) or "nothing",
        found=found,
        remedy=remedy,
    )


OPERATION = Criterion(name="operation", is_met=is_met, explain=explain)
