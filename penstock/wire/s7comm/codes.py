"""Which S7comm code is which class of operation: the project's taxonomy as tables, and the names of the codes.

Data only.  S7comm has no public standard; codes and names are those of public dissectors and of captures.  What is not
here is `unknown`.  `MEANINGS` is by the number of the function, or by PI service, or by group and sub-function.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from penstock.model import OperationClass as Is


class Origin(Enum):
    """Which end asks for it."""

    CLIENT = "client"
    DEVICE = "device"
    BOTH = "both"


_DEVICE: Final = Origin.DEVICE

#: Kinds of PDU (ROSCTR).
JOB: Final = 1
ACK: Final = 2
ACK_DATA: Final = 3
USERDATA: Final = 7
KINDS: Final = {JOB: "Job", ACK: "Ack", ACK_DATA: "Ack_Data", USERDATA: "Userdata"}

#: Functions of jobs.
CPU_SERVICES: Final = 0x00
READ_VAR: Final = 0x04
WRITE_VAR: Final = 0x05
REQUEST_DOWNLOAD: Final = 0x1A
DOWNLOAD_BLOCK: Final = 0x1B
DOWNLOAD_ENDED: Final = 0x1C
START_UPLOAD: Final = 0x1D
UPLOAD: Final = 0x1E
END_UPLOAD: Final = 0x1F
PI_SERVICE: Final = 0x28
PLC_STOP: Final = 0x29
SETUP: Final = 0xF0

#: (function, name, class, who asks).
FUNCTIONS: Final[tuple[tuple[int, str, Is, Origin], ...]] = (
    (SETUP, "Setup communication", Is.SESSION, Origin.CLIENT),
    (CPU_SERVICES, "CPU services", Is.VENDOR, Origin.CLIENT),
    (READ_VAR, "Read Var", Is.READ, Origin.CLIENT),
    (WRITE_VAR, "Write Var", Is.WRITE, Origin.CLIENT),
    (REQUEST_DOWNLOAD, "Request download", Is.PROGRAM_TO_DEVICE, Origin.CLIENT),
    (DOWNLOAD_BLOCK, "Download block", Is.PROGRAM_TO_DEVICE, _DEVICE),
    (DOWNLOAD_ENDED, "Download ended", Is.PROGRAM_TO_DEVICE, _DEVICE),
    (START_UPLOAD, "Start upload", Is.PROGRAM_FROM_DEVICE, Origin.CLIENT),
    (UPLOAD, "Upload", Is.PROGRAM_FROM_DEVICE, Origin.CLIENT),
    (END_UPLOAD, "End upload", Is.PROGRAM_FROM_DEVICE, Origin.CLIENT),
    (PLC_STOP, "PLC Stop", Is.EXECUTE, Origin.CLIENT),
)

#: (PI services, what they do, class).
PI_SERVICES: Final[tuple[tuple[tuple[str, ...], str, Is], ...]] = (
    (("P_PROGRAM",), "start the program", Is.EXECUTE),
    (("_INSE", "_INS2"), "activate a downloaded block", Is.PROGRAM_TO_DEVICE),
    (("_DELE",), "delete a block", Is.PROGRAM_TO_DEVICE),
    (("_MODU",), "copy RAM to ROM", Is.PROGRAM_TO_DEVICE),
    (("_GARB",), "compress memory", Is.CONFIG),
    (("_N_LOGIN_", "_N_LOGOUT"), "NC login and logout", Is.AUTH),
    (("_N_F_OPER", "_N_F_XFER"), "NC file open and transfer", Is.FILE_READ),
    (("_N_F_DELE", "_N_F_DELR"), "NC file delete", Is.FILE_WRITE),
    (("_N_SELECT", "_N_EXTERN", "_N_EXTMOD"), "NC program selection", Is.EXECUTE),
)

#: Groups of userdata.
MODE_TRANSITION: Final = 0
PROGRAMMER: Final = 1
CYCLIC: Final = 2
BLOCKS: Final = 3
CPU: Final = 4
SECURITY: Final = 5
BSEND: Final = 6
TIME: Final = 7
NC: Final = 15
GROUPS: Final = {
    MODE_TRANSITION: "Mode-transition",
    PROGRAMMER: "Programmer commands",
    CYCLIC: "Cyclic services",
    BLOCKS: "Block functions",
    CPU: "CPU functions",
    SECURITY: "Security",
    BSEND: "PBC BSEND/BRECV",
    TIME: "Time functions",
    NC: "NC programming",
}
#: Sub-functions that are read in detail.
VARIABLE_STATUS: Final = 2
FORCE_SELECTION: Final = 7
MODIFY_VARIABLE: Final = 8
FORCE: Final = 9
REPLACE_JOB: Final = 18
#: Disable, enable, delete and replace act on a job that was set up earlier.
CONTROLS_JOBS: Final = frozenset({13, 14, 15, REPLACE_JOB})
READ_SZL: Final = 1
SET_CLOCK: Final = frozenset({2, 4})
#: System status lists that say what the module is (the low byte is the list, the high byte says which part of it).
IDENTITY_LISTS: Final = frozenset({0x11, 0x1C})

#: (group, sub-functions, class, who asks).  Without sub-functions the group alone decides.
USERDATA_CODES: Final[tuple[tuple[int, tuple[int, ...], Is, Origin], ...]] = (
    (MODE_TRANSITION, (), Is.DIAGNOSTICS, _DEVICE),
    (PROGRAMMER, (1, 19), Is.DIAGNOSTICS, Origin.CLIENT),
    (PROGRAMMER, (VARIABLE_STATUS,), Is.READ, Origin.CLIENT),
    (PROGRAMMER, (3, 4, 5, 6), Is.DIAGNOSTICS, Origin.CLIENT),
    (PROGRAMMER, (FORCE_SELECTION, FORCE), Is.WRITE, Origin.CLIENT),
    (PROGRAMMER, (MODIFY_VARIABLE,), Is.WRITE, Origin.CLIENT),
    (PROGRAMMER, (10, 11), Is.EXECUTE, Origin.CLIENT),
    (PROGRAMMER, (12,), Is.PROGRAM_TO_DEVICE, Origin.CLIENT),
    (PROGRAMMER, (13, 14, 15, REPLACE_JOB), Is.DIAGNOSTICS, Origin.CLIENT),
    (PROGRAMMER, (16, 17), Is.DIAGNOSTICS, Origin.CLIENT),
    (PROGRAMMER, (22,), Is.DISCOVERY, Origin.CLIENT),
    (CYCLIC, (1, 4, 5, 7), Is.READ, Origin.CLIENT),
    (CYCLIC, (8,), Is.READ, Origin.CLIENT),
    (BLOCKS, (1, 2, 3), Is.DIAGNOSTICS, Origin.CLIENT),
    (CPU, (READ_SZL,), Is.DIAGNOSTICS, Origin.CLIENT),
    (CPU, (2, 19), Is.READ, Origin.CLIENT),
    (CPU, (3, 4, 5, 9, 12, 13, 14, 16, 17, 18, 22), Is.READ, _DEVICE),
    (CPU, (7, 8, 11), Is.WRITE, Origin.CLIENT),
    (SECURITY, (1,), Is.AUTH, Origin.CLIENT),
    (BSEND, (), Is.WRITE, Origin.BOTH),
    (TIME, (1, 3), Is.READ, Origin.CLIENT),
    (TIME, (2, 4), Is.CONFIG, Origin.CLIENT),
    (NC, (1, 2, 3, 4), Is.PROGRAM_TO_DEVICE, Origin.CLIENT),
    (NC, (6, 7, 8), Is.PROGRAM_FROM_DEVICE, Origin.CLIENT),
)

#: Names of sub-functions, by group.
SUBFUNCTIONS: Final = {
    PROGRAMMER: {
        1: "Block status",
        2: "Variable status",
        3: "Output ISTACK",
        4: "Output BSTACK",
        5: "Output LSTACK",
        6: "Time measurement from to",
        7: "Force selection",
        8: "Modify variable",
        9: "Force",
        10: "Breakpoint",
        11: "Exit HOLD",
        12: "Memory reset",
        13: "Disable job",
        14: "Enable job",
        15: "Delete job",
        16: "Read job list",
        17: "Read job",
        18: "Replace job",
        19: "Block status v2",
        22: "Flash LED",
    },
    CYCLIC: {
        1: "Cyclic transfer",
        4: "Unsubscribe",
        5: "Change driven transfer",
        7: "Change driven transfer modify",
        8: "RDREC",
    },
    BLOCKS: {1: "List blocks", 2: "List blocks of type", 3: "Get block info"},
    CPU: {
        1: "Read SZL",
        2: "Message service",
        3: "Diagnostic message",
        5: "ALARM_8 indication",
        6: "NOTIFY indication",
        7: "ALARM_8 lock",
        8: "ALARM_8 unlock",
        9: "SCAN indication",
        11: "ALARM ack",
        12: "ALARM ack indication",
        13: "ALARM lock indication",
        14: "ALARM unlock indication",
        17: "ALARM_SQ indication",
        18: "ALARM_S indication",
        19: "ALARM query",
        22: "NOTIFY_8 indication",
    },
    SECURITY: {1: "PLC password"},
    TIME: {1: "Read clock", 2: "Set clock", 3: "Read clock (following)", 4: "Set clock"},
    NC: {
        1: "Request download",
        2: "Download block",
        3: "Continue download",
        4: "Download ended",
        6: "Start upload",
        7: "Upload",
        8: "Continue upload",
    },
}

FUNCTION_MEANINGS: Final = {code: (name, (found,), origin) for code, name, found, origin in FUNCTIONS}
PI_MEANINGS: Final = {name: (text, (found,)) for names, text, found in PI_SERVICES for name in names}
USERDATA_MEANINGS: Final = {
    (group, sub): ((found,), origin) for group, subs, found, origin in USERDATA_CODES for sub in subs or (None,)
}


def userdata_name(group: int, sub: int) -> str:
    """``Modify variable``, or the group's name where the sub-function has none, or ``unknown function 9/1``."""
    return SUBFUNCTIONS.get(group, {}).get(sub) or GROUPS.get(group) or f"unknown function {group}/{sub}"
