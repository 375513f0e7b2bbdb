"""Which Modbus code is which class of operation: the project's taxonomy as a table.

Data only.  Sources: MODBUS Application Protocol Specification V1.1b3 for public codes; the UMAS codes (function 90)
are vendor-defined and known from public dissectors and captures.  A code that is not here is `unknown`.
"""

from __future__ import annotations

from typing import Final

from penstock.model import OperationClass as Is

#: Diagnostics (sub-functions), Encapsulated Interface Transport (MEI types), Schneider UMAS (its function codes).
DIAGNOSTICS: Final = 8
INTERFACE: Final = 43
UMAS: Final = 90

#: (function codes, sub-codes, name, classes).  Without sub-codes the function code alone decides.
CODES: Final[tuple[tuple[tuple[int, ...], tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((1,), (), "Read Coils", (Is.READ,)),
    ((2,), (), "Read Discrete Inputs", (Is.READ,)),
    ((3,), (), "Read Holding Registers", (Is.READ,)),
    ((4,), (), "Read Input Registers", (Is.READ,)),
    ((5,), (), "Write Single Coil", (Is.WRITE,)),
    ((6,), (), "Write Single Register", (Is.WRITE,)),
    ((7,), (), "Read Exception Status", (Is.DIAGNOSTICS,)),
    ((8,), (0,), "Return Query Data", (Is.DIAGNOSTICS,)),
    ((8,), (1,), "Restart Communications Option", (Is.EXECUTE,)),
    ((8,), (2,), "Return Diagnostic Register", (Is.DIAGNOSTICS,)),
    ((8,), (3,), "Change ASCII Input Delimiter", (Is.CONFIG,)),
    ((8,), (4,), "Force Listen Only Mode", (Is.EXECUTE,)),
    ((8,), (10,), "Clear Counters and Diagnostic Register", (Is.CONFIG,)),
    ((8,), (11, 12, 13, 14, 15, 16, 17, 18), "Return counters", (Is.DIAGNOSTICS,)),
    ((8,), (20,), "Clear Overrun Counter and Flag", (Is.CONFIG,)),
    ((11,), (), "Get Comm Event Counter", (Is.DIAGNOSTICS,)),
    ((12,), (), "Get Comm Event Log", (Is.DIAGNOSTICS,)),
    ((15,), (), "Write Multiple Coils", (Is.WRITE,)),
    ((16,), (), "Write Multiple Registers", (Is.WRITE,)),
    ((17,), (), "Report Server ID", (Is.DISCOVERY,)),
    ((20,), (), "Read File Record", (Is.FILE_READ,)),
    ((21,), (), "Write File Record", (Is.FILE_WRITE,)),
    ((22,), (), "Mask Write Register", (Is.WRITE,)),
    ((23,), (), "Read/Write Multiple Registers", (Is.READ, Is.WRITE)),
    ((24,), (), "Read FIFO Queue", (Is.READ,)),
    ((43,), (13,), "CANopen General Reference", (Is.VENDOR,)),
    ((43,), (14,), "Read Device Identification", (Is.DISCOVERY,)),
    ((9, 10, 13, 14, 18, 19), (), "old Modicon programming, polling and link codes", (Is.VENDOR,)),
    ((90,), (0x01, 0x0A, 0x12), "init, repeat, keep alive", (Is.SESSION,)),
    ((90,), (0x02, 0x03, 0x04, 0x06), "read id, project, PLC and card information", (Is.DISCOVERY,)),
    ((90,), (0x10, 0x11), "take, release reservation", (Is.AUTH,)),
    ((90,), (0x20,), "read memory block", (Is.READ,)),
    ((90,), (0x22, 0x24, 0x26, 0x70), "read variables, coils and registers, data dictionary, I/O object", (Is.READ,)),
    ((90,), (0x23, 0x25, 0x71), "write variables, coils and registers, I/O object", (Is.WRITE,)),
    (
        (90,),
        (0x30, 0x31, 0x32),
        "strategy transfer PC to PLC: initialise, block, end (Schneider: upload)",
        (Is.PROGRAM_TO_DEVICE,),
    ),
    (
        (90,),
        (0x33, 0x34, 0x35),
        "strategy transfer PLC to PC: initialise, block, end (Schneider: download)",
        (Is.PROGRAM_FROM_DEVICE,),
    ),
    ((90,), (0x39,), "read Ethernet master data", (Is.DIAGNOSTICS,)),
    ((90,), (0x40,), "start PLC", (Is.EXECUTE,)),
    ((90,), (0x41,), "stop PLC", (Is.EXECUTE,)),
    ((90,), (0x50, 0x58, 0x73), "monitor, check, module status", (Is.DIAGNOSTICS,)),
    ((*range(65, 73), *range(100, 111)), (), "user-defined codes", (Is.VENDOR,)),
)

#: (function code, sub-code or ``None``) → (name, classes).
MEANINGS: Final = {
    (code, sub): (name, classes) for codes, subs, name, classes in CODES for code in codes for sub in subs or (None,)
}
#: Function codes whose sub-code decides.
REFINED: Final = frozenset({DIAGNOSTICS, INTERFACE, UMAS})
