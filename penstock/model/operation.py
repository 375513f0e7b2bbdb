"""An operation: one thing that a protocol message asks an asset to do.

Decoders (`penstock.wire`) make operations out of bytes, the policy judges them, evidence keeps them.
Addresses are those of the wire (Modbus: zero-based protocol addresses), never a vendor's display form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OperationClass(StrEnum):
    """The closed set of neutral classes in which a site document speaks of operations."""

    SESSION = "session"
    DISCOVERY = "discovery"
    READ = "read"
    DIAGNOSTICS = "diagnostics"
    FILE_READ = "file_read"
    PROGRAM_FROM_DEVICE = "program_from_device"
    AUTH = "auth"
    WRITE = "write"
    FILE_WRITE = "file_write"
    CONFIG = "config"
    EXECUTE = "execute"
    PROGRAM_TO_DEVICE = "program_to_device"
    FIRMWARE = "firmware"
    VENDOR = "vendor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one class of an operation touches.

    `table` is the protocol's own object space (Modbus: ``coils``, ``discrete_inputs``, ``holding_registers``,
    ``input_registers``, ``files``, ``fifo``), `first` and `count` a range in it.  `values` are the values that a
    write would leave there, one an element; ``None`` where the message does not say (a read, a masked write), so a
    conduit that limits values cannot be met by it.
    """

    operation_class: OperationClass
    table: str
    first: int
    count: int
    values: tuple[int, ...] | None = None

    @property
    def last(self) -> int:
        """The last address of the range, inclusive."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that a message asks for.

    `classes` are all the classes that a conduit must allow (Modbus function 23 reads and writes).  `code` is the
    protocol's own code as text (``6``, ``8/1``, ``90/0x41``), `name` the standard's name of it.
    """

    protocol: str
    classes: tuple[OperationClass, ...]
    code: str
    name: str
    unit: int | None = None
    targets: tuple[Target, ...] = ()

    @property
    def title(self) -> str:
        """``modbus.write`` or ``modbus.read+write``: how people and records name it."""
        return f"{self.protocol}.{'+'.join(self.classes)}"
