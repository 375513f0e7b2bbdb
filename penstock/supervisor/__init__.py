"""Starts the processes of one gate, watches their heartbeats, and starts them again.

Stands above every other package's process and inside none of them.  It must never hold a secret or a capability.
"""

from penstock.supervisor.alone import alone_on
from penstock.supervisor.plan import Charge, Kill, Plan, Start
from penstock.supervisor.run import Program, Supervisor, die_with_parent, python

__all__ = ["Charge", "Kill", "Plan", "Program", "Start", "Supervisor", "alone_on", "die_with_parent", "python"]
