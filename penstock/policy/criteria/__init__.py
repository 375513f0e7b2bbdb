"""The criteria that a conduit is judged by, one file each, in the order in which a denial names them."""

from penstock.policy.criteria.asset import ASSET
from penstock.policy.criteria.binding import BINDING, can_carry
from penstock.policy.criteria.bound import BOUND
from penstock.policy.criteria.confirmed import CONFIRMED
from penstock.policy.criteria.contract import Criterion
from penstock.policy.criteria.factors import FACTORS
from penstock.policy.criteria.freshness import FRESHNESS
from penstock.policy.criteria.objects import OBJECTS
from penstock.policy.criteria.operation import OPERATION
from penstock.policy.criteria.rate import RATE, charges
from penstock.policy.criteria.subject import SUBJECT
from penstock.policy.criteria.tls import TLS
from penstock.policy.criteria.values import VALUES

#: All of them must hold on one conduit for it to allow a request.
CRITERIA: tuple[Criterion, ...] = (
    SUBJECT,
    ASSET,
    OPERATION,
    OBJECTS,
    VALUES,
    RATE,
    FACTORS,
    FRESHNESS,
    CONFIRMED,
    TLS,
    BOUND,
    BINDING,
)

__all__ = ["CRITERIA", "Criterion", "can_carry", "charges"]
