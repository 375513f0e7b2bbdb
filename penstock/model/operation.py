"""An operation: one thing that a protocol message asks an asset (or, from an asset, a client) to do.

Decoders (`penstock.wire`) make operations out of bytes, the policy judges them, evidence keeps them.
Addresses are those of the wire (Modbus: zero-based protocol addresses), never a vendor's display form.

These two values are made for every inspected message that was not judged before, so they are msgspec structs: a frozen
dataclass takes thirteen times as long to make.  Positional arguments in the order of the fields are the fast form.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

#: What a message writes or an answer shows, one element.  Bytes without a meaning are text in hexadecimal: ``0x1a2b``.
Value = bool | int | float | str


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
    ENCRYPTED = "encrypted"
    """Bytes that only the two ends can read: any operation may be among them."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """What one class of an operation touches.

    `table` is the protocol's own object space (Modbus ``coils``, S7 ``DB10``, DNP3 ``analog_output``), `first` and
    `count` a range of numbers in it.  `name` is the object where it has a name instead of a number, or
    beside it (CIP a tag path, OPC UA a node id, BACnet a property), in the one spelling that the protocol's own
    `WireProtocol` describes.  `values` are the values that a write would leave there (or an answer shows), one an
    element; ``None`` where the message does not say (a read, a masked write), so that a conduit that limits values
    cannot be met by it.  `memory` are the raw bytes of them where the protocol writes memory without a type of its own
    (S7 bytes), so that a conduit may read them as the type that it names.  `aliases` are other names of the same
    object (OPC UA browse paths that the traffic told): a conduit that names any of them means this object.
    """

    operation_class: OperationClass
    table: str
    first: int = 0
    count: int = 1
    name: str = ""
    values: tuple[Value, ...] | None = None
    memory: bytes | None = None
    aliases: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The last address of the range, inclusive."""
        return self.first + self.count - 1


class Operation(msgspec.Struct, frozen=True):
    """One thing that a message asks for.

    `classes` are all the classes that a conduit must allow (Modbus function 23 reads and writes; a container's are
    those of everything in it).  `code` is the protocol's own code as text (``6``, ``8/1``, ``90/0x41``), `name` the
    standard's name of it.  `unit` is the device behind the address (Modbus unit, IEC 104 common address, DNP3 link
    address).
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
