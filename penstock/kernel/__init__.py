"""Enforcement on packets: the nftables table, grants as set elements, connections, and the process that holds them.

Pure: `render`.  I/O: everything that talks to the kernel.  It must never mint a grant: it is told.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# at once: whoever imports the file of this name would otherwise leave the module in the function's place
from penstock.kernel.render import render

if TYPE_CHECKING:
    from penstock.kernel.apply import prepare, probe
    from penstock.kernel.copies import Copy, CopyLog
    from penstock.kernel.enforcer import run as run_enforcer

#: Where each name lives.  A process loads only what it uses: the observer, for one, does without the enforcer.
_HOMES = {
    "prepare": ("apply", "prepare"),
    "probe": ("apply", "probe"),
    "Copy": ("copies", "Copy"),
    "CopyLog": ("copies", "CopyLog"),
    "run_enforcer": ("enforcer", "run"),
}


def __getattr__(name: str) -> object:
    """Load the name's own file when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _HOMES[name]
    value = getattr(importlib.import_module(f"penstock.kernel.{module}"), own)
    globals()[name] = value
    return value


__all__ = ["Copy", "CopyLog", "prepare", "probe", "render", "run_enforcer"]
