"""Which DNP3 code is which class of operation: the project's taxonomy as tables.

Data only.  Sources: IEEE 1815-2012, section 4.2 (function codes) and 9.2.4 (link functions), annex A (object groups).
A code that is not here is `unknown`.
"""

from __future__ import annotations

from typing import Final

from penstock.model import OperationClass as Is

CONFIRM: Final = 0
READ: Final = 1
WRITE: Final = 2
SELECT: Final = 3
OPERATE: Final = 4
DIRECT_OPERATE: Final = 5
DIRECT_OPERATE_NO_ACK: Final = 6
FREEZES: Final = (7, 8, 9, 10)
FREEZES_AT_TIME: Final = (11, 12)
RESTARTS: Final = (13, 14)
INITIALIZE_DATA: Final = 15
APPLICATIONS: Final = (16, 17, 18)
SAVE_CONFIGURATION: Final = 19
ENABLE_UNSOLICITED: Final = 20
DISABLE_UNSOLICITED: Final = 21
ASSIGN_CLASS: Final = 22
DELAY_MEASUREMENT: Final = 23
RECORD_TIME: Final = 24
OPEN_FILE: Final = 25
CLOSE_FILE: Final = 26
DELETE_FILE: Final = 27
FILE_INFORMATION: Final = 28
AUTHENTICATE_FILE: Final = 29
ABORT_FILE: Final = 30
ACTIVATE_CONFIGURATION: Final = 31
AUTHENTICATION_REQUEST: Final = 32
AUTHENTICATION_NO_ACK: Final = 33
RESPONSE: Final = 129
UNSOLICITED: Final = 130
AUTHENTICATION_RESPONSE: Final = 131

#: (function codes, what they are together, class).
CODES: Final[tuple[tuple[tuple[int, ...], str, Is], ...]] = (
    ((0,), "Confirm", Is.SESSION),
    ((1,), "Read", Is.READ),
    ((2,), "Write", Is.WRITE),
    ((3,), "Select", Is.WRITE),
    ((4,), "Operate", Is.WRITE),
    ((5,), "Direct Operate", Is.WRITE),
    ((6,), "Direct Operate No Ack", Is.WRITE),
    ((7, 8, 9, 10, 11, 12), "freeze counters (with clear, at time, without ack)", Is.WRITE),
    ((13,), "Cold Restart", Is.EXECUTE),
    ((14,), "Warm Restart", Is.EXECUTE),
    ((15,), "Initialize Data", Is.EXECUTE),
    ((16, 17, 18), "initialise, start, stop application", Is.EXECUTE),
    ((19,), "Save Configuration", Is.CONFIG),
    ((20, 21), "enable, disable unsolicited", Is.CONFIG),
    ((22,), "Assign Class", Is.CONFIG),
    ((23,), "Delay Measurement", Is.DIAGNOSTICS),
    ((24,), "Record Current Time", Is.CONFIG),
    ((25,), "Open File", Is.FILE_READ),
    ((26,), "Close File", Is.FILE_READ),
    ((27,), "Delete File", Is.FILE_WRITE),
    ((28,), "Get File Info", Is.FILE_READ),
    ((29,), "Authenticate File", Is.AUTH),
    ((30,), "Abort File", Is.FILE_READ),
    ((31,), "Activate Configuration", Is.PROGRAM_TO_DEVICE),
    ((32, 33), "authentication request (33: no ack)", Is.AUTH),
    ((129, 130, 131), "response, unsolicited response, authentication response", Is.SESSION),
)
CLASSES: Final = {code: found for codes, _, found in CODES for code in codes}

#: What a write of each object group is (function 2); a group that is not here is unknown.
GROUPS: Final[tuple[tuple[tuple[int, ...], str, Is], ...]] = (
    ((10, 12, 13), "binary output, CROB", Is.WRITE),
    ((40, 41, 43), "analog output", Is.WRITE),
    ((34,), "analog deadband", Is.CONFIG),
    ((50, 51, 52), "time and date", Is.CONFIG),
    ((70,), "file transfer", Is.FILE_WRITE),
    ((80,), "internal indications (clear restart bit)", Is.SESSION),
    ((85, 86, 87, 88), "data sets", Is.WRITE),
    ((110, 112), "octet string, virtual terminal", Is.WRITE),
    ((120,), "authentication", Is.AUTH),
    ((0,), "device attributes", Is.CONFIG),
)
WRITTEN: Final = {group: found for groups, _, found in GROUPS for group in groups}
#: What a read of a group is where it is more than a read.
READ_OTHERWISE: Final = {0: Is.DISCOVERY, 70: Is.FILE_READ}

#: The modes of Open File (annex A.28.3) and what they are.
FILE_MODES: Final = {1: Is.FILE_READ, 2: Is.FILE_WRITE, 3: Is.FILE_WRITE}

#: Functions of a primary station (9.2.4.1.3.3): 3 and 4 carry the application layer.
RESET_LINK: Final = 0
TEST_LINK: Final = 2
CONFIRMED_DATA: Final = 3
UNCONFIRMED_DATA: Final = 4
LINK_STATUS: Final = 9
LINK_SESSION: Final = frozenset({RESET_LINK, TEST_LINK, LINK_STATUS})
LINK_DATA: Final = frozenset({CONFIRMED_DATA, UNCONFIRMED_DATA})
#: Functions of a secondary station: acknowledge, do not, status of link, not functioning, not supported.
ACK: Final = 0
NOT_SUPPORTED: Final = 15
LINK_ANSWERS: Final = frozenset({ACK, 1, 11, 14, NOT_SUPPORTED})

#: Everybody's addresses (8.2.1.3): all outstations hear, none answers.
BROADCAST: Final = frozenset({0xFFFD, 0xFFFE, 0xFFFF})
#: The outstation that is there, whatever its address (self-address); those below are reserved.
SELF_ADDRESS: Final = 0xFFFC
FIRST_RESERVED: Final = 0xFFF0

#: Requests that nobody answers.
SILENT: Final = frozenset({CONFIRM, DIRECT_OPERATE_NO_ACK, 8, 10, 12, AUTHENTICATION_NO_ACK})
#: Requests whose answer repeats their objects with a status in each.
CONTROLS: Final = frozenset({SELECT, OPERATE, DIRECT_OPERATE, DIRECT_OPERATE_NO_ACK})

NAMES: Final = {
    0: "Confirm",
    1: "Read",
    2: "Write",
    3: "Select",
    4: "Operate",
    5: "Direct Operate",
    6: "Direct Operate No Ack",
    7: "Immediate Freeze",
    8: "Immediate Freeze No Ack",
    9: "Freeze and Clear",
    10: "Freeze and Clear No ACK",
    11: "Freeze With Time",
    12: "Freeze With Time No ACK",
    13: "Cold Restart",
    14: "Warm Restart",
    15: "Initialize Data",
    16: "Initialize Application",
    17: "Start Application",
    18: "Stop Application",
    19: "Save Configuration",
    20: "Enable Spontaneous Messages",
    21: "Disable Spontaneous Messages",
    22: "Assign Classes",
    23: "Delay Measurement",
    24: "Record Current Time",
    25: "Open File",
    26: "Close File",
    27: "Delete File",
    28: "Get File Info",
    29: "Authenticate File",
    30: "Abort File",
    31: "Activate Config",
    32: "Authentication Request",
    33: "Authentication Error",
    129: "Response",
    130: "Unsolicited Response",
    131: "Authentication Response",
}
PRIMARY_NAMES: Final = {
    0: "Reset of Remote Link",
    1: "Reset of User Process",
    2: "Test Function For Link",
    3: "User Data",
    4: "Unconfirmed User Data",
    9: "Request Link Status",
}
SECONDARY_NAMES: Final = {
    0: "ACK",
    1: "NACK",
    11: "Status of Link",
    14: "Link Service Not Functioning",
    15: "Link Service Not Used or Implemented",
}

#: Control-related status (annex A.8.1, table of status codes).
STATUSES: Final = {
    0: "success",
    1: "timeout since the select",
    2: "no select",
    3: "format error",
    4: "not supported for this point",
    5: "already active",
    6: "hardware error",
    7: "local",
    8: "too many operations",
    9: "not authorized",
    10: "automation inhibit",
    11: "processing limited",
    12: "out of range",
    13: "downstream local",
    14: "already complete",
    15: "blocked",
    16: "cancelled",
    17: "blocked by another master",
    18: "downstream fail",
    126: "non-participating",
    127: "undefined error",
}
#: File-related status (annex A.28.4).
FILE_STATUSES: Final = {
    0: "success",
    1: "permission denied",
    2: "invalid mode",
    3: "not found",
    4: "locked",
    5: "too many open",
    6: "invalid handle",
    7: "write block size",
    8: "communication lost",
    9: "cannot abort",
    16: "not opened",
    17: "handle expired",
    18: "buffer overrun",
    19: "fatal",
    20: "block sequence",
    255: "undefined",
}
#: Second octet of the internal indications (4.2.2.5): what says no to a request.
REFUSALS: Final = {
    0: "no function code support",
    1: "object unknown",
    2: "parameter error",
    4: "already executing",
}
REFUSING_BITS: Final = 0b0001_0111
