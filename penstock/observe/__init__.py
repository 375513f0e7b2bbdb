"""What the kernel path carries, seen in copies: kept as it was, and read passively.  It must never touch a packet.

Pure: `pcapng`, `packets`, `reassembly`, `reading`, and what reads captures of others: `capture_files`, `links`,
`internet`, `captured_flows`, `dissection`, `decoded`.  I/O: the payload store's writer and the process `observer`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.observe.capture_files import CaptureFileError, packets_of
    from penstock.observe.captured_flows import Flows
    from penstock.observe.decoded import HEADINGS, line_of, rows_of
    from penstock.observe.dissection import Dissection, Seen
    from penstock.observe.links import LINK_TYPES
    from penstock.observe.observer import run as run_observer
    from penstock.observe.pcapng import about_of, blocks, packet_of, preamble

#: Where each name lives: the command line reads files without loading the process.
_HOMES = {
    "CaptureFileError": ("capture_files", "CaptureFileError"),
    "Flows": ("captured_flows", "Flows"),
    "packets_of": ("capture_files", "packets_of"),
    "Dissection": ("dissection", "Dissection"),
    "Seen": ("dissection", "Seen"),
    "HEADINGS": ("decoded", "HEADINGS"),
    "line_of": ("decoded", "line_of"),
    "rows_of": ("decoded", "rows_of"),
    "LINK_TYPES": ("links", "LINK_TYPES"),
    "run_observer": ("observer", "run"),
    "about_of": ("pcapng", "about_of"),
    "blocks": ("pcapng", "blocks"),
    "packet_of": ("pcapng", "packet_of"),
    "preamble": ("pcapng", "preamble"),
}


def __getattr__(name: str) -> object:
    """Load the name's own file when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _HOMES[name]
    value = getattr(importlib.import_module(f"penstock.observe.{module}"), own)
    globals()[name] = value
    return value


__all__ = [
    "HEADINGS",
    "LINK_TYPES",
    "CaptureFileError",
    "Dissection",
    "Flows",
    "Seen",
    "about_of",
    "blocks",
    "line_of",
    "packet_of",
    "packets_of",
    "preamble",
    "rows_of",
    "run_observer",
]
