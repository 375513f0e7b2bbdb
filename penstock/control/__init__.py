"""The control plane: state, sign-ins, grants, revisions, and the process that runs them.

Stands between the portal (`penstock.web`) and the enforcement points, which it tells what to admit.  It must never open
a path that the evidence does not hold, and never see a packet.
"""

from penstock.control.arrivals import Arrival, NotSignedIn, SignedIn
from penstock.control.break_glass import NotYet
from penstock.control.cards import Cards
from penstock.control.client_codes import is_challenge, user_code_text
from penstock.control.client_logins import (
    MAX_HOST,
    ClientError,
    ClientWay,
    DeviceCodes,
    LetIn,
    TooMany,
    Visitor,
)
from penstock.control.conduits import ConduitNow, Measured
from penstock.control.detours import Departure, Returned, Trouble
from penstock.control.drill import Drill, DrillResult
from penstock.control.exposition import CONTENT_TYPE as METRICS_TYPE
from penstock.control.factor_store import MAX_PASSKEYS, FactorChange
from penstock.control.gate import Gate, Given
from penstock.control.glass import Glass
from penstock.control.grants import Asking
from penstock.control.held import Held, HoldState, Verdict, hold_key, hold_name
from penstock.control.holds import Holds
from penstock.control.intervals import Cause, Interval
from penstock.control.latency import Figures, figures
from penstock.control.main import check_fit, run_control
from penstock.control.metrics import metrics_page
from penstock.control.observers import count_traffic
from penstock.control.own_factors import Factors, ProofNeeded, ProvedAgain, TooWeak
from penstock.control.ports import Clock, Enforcer, Moment, Recorder, Workers
from penstock.control.register import RegisterRow
from penstock.control.rows import (
    ActiveSignIn,
    IsolatedKind,
    Isolation,
    LiveGrant,
    SignInKind,
    StoredRevision,
    StoredSubject,
)
from penstock.control.second_person import NotSeen, SecondPerson, is_own
from penstock.control.sign_ins import local_proof
from penstock.control.status import Status
from penstock.control.store import Store

__all__ = [
    "MAX_HOST",
    "MAX_PASSKEYS",
    "METRICS_TYPE",
    "ActiveSignIn",
    "Arrival",
    "Asking",
    "Cards",
    "Cause",
    "ClientError",
    "ClientWay",
    "Clock",
    "ConduitNow",
    "Departure",
    "DeviceCodes",
    "Drill",
    "DrillResult",
    "Enforcer",
    "FactorChange",
    "Factors",
    "Figures",
    "Gate",
    "Given",
    "Glass",
    "Held",
    "HoldState",
    "Holds",
    "Interval",
    "IsolatedKind",
    "Isolation",
    "LetIn",
    "LiveGrant",
    "Measured",
    "Moment",
    "NotSeen",
    "NotSignedIn",
    "NotYet",
    "ProofNeeded",
    "ProvedAgain",
    "Recorder",
    "RegisterRow",
    "Returned",
    "SecondPerson",
    "SignInKind",
    "SignedIn",
    "Status",
    "Store",
    "StoredRevision",
    "StoredSubject",
    "TooMany",
    "TooWeak",
    "Trouble",
    "Verdict",
    "Visitor",
    "Workers",
    "check_fit",
    "count_traffic",
    "figures",
    "hold_key",
    "hold_name",
    "is_challenge",
    "is_own",
    "local_proof",
    "metrics_page",
    "run_control",
    "user_code_text",
]
