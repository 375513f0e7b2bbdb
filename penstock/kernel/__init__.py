"""Enforcement on packets: the nftables table, grants as set elements, connections, and the process that holds them.

Pure: `render`.  I/O: everything that talks to the kernel.  It must never mint a grant: it is told.
"""

from penstock.kernel.apply import prepare, probe
from penstock.kernel.enforcer import run as run_enforcer
from penstock.kernel.render import render

__all__ = ["prepare", "probe", "render", "run_enforcer"]
