"""The responder: names of the site's domain, for those who may reach what they name.

Stands beside the gate's other processes and touches no flow.  It must never tell a name to somebody who may not reach
it, never ask another server anything, and never give a stranger more bytes than he sent for.
"""

from penstock.names.answer import Transport, Verdict, answer
from penstock.names.directory import Directory
from penstock.names.limits import RefusedAskers, Speed, SpeedLimit
from penstock.names.responder import run as run_names

__all__ = ["Directory", "RefusedAskers", "Speed", "SpeedLimit", "Transport", "Verdict", "answer", "run_names"]
