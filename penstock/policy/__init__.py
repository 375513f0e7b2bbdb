"""The policy: a site document in, decisions out.  Pure but for `files`.

document (parse) → assertions (its own tests) → compile (→ `Policy`, `Ruleset`) → decide, with one file a criterion.
"""

from penstock.policy.asking import OBJECTS, What, Who, read_object, read_value, request_of
from penstock.policy.assertions import accept
from penstock.policy.compile import MachinePath, Policy, compile_policy, machine_paths
from penstock.policy.criteria import CRITERIA, can_carry
from penstock.policy.decide import decide, misses_text
from penstock.policy.describe import permission_text, target_text, window_text
from penstock.policy.document import Document, parse
from penstock.policy.files import read_documents
from penstock.policy.judge import Judge
from penstock.policy.needs import needs_kernel
from penstock.policy.numbers import duration_text, latency_text
from penstock.policy.overlay import moved_services
from penstock.policy.reach import Reach, reach, reach_service
from penstock.policy.ruleset import compile_ruleset
from penstock.policy.schema import site_schema
from penstock.policy.sections import Assertion
from penstock.policy.selection import is_port_of, service_at
from penstock.policy.timezones import timezone_names
from penstock.policy.windows import is_open, next_opening
from penstock.wire import UnreadableError

__all__ = [
    "CRITERIA",
    "OBJECTS",
    "Assertion",
    "Document",
    "Judge",
    "MachinePath",
    "Policy",
    "Reach",
    "UnreadableError",
    "What",
    "Who",
    "accept",
    "can_carry",
    "compile_policy",
    "compile_ruleset",
    "decide",
    "duration_text",
    "is_open",
    "is_port_of",
    "latency_text",
    "machine_paths",
    "misses_text",
    "moved_services",
    "needs_kernel",
    "next_opening",
    "parse",
    "permission_text",
    "reach",
    "reach_service",
    "read_documents",
    "read_object",
    "read_value",
    "request_of",
    "service_at",
    "site_schema",
    "target_text",
    "timezone_names",
    "window_text",
]
