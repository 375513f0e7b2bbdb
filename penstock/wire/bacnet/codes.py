"""Which BACnet code is which class of operation: the project's taxonomy as tables.

Data only.  Facts: ANSI/ASHRAE 135-2020, clauses 6.4 (network messages), 21 (services) and J.2 (BVLL functions).  A code
that is not here is `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.model import OperationClass as Is

Meanings = Mapping[int, tuple[str, tuple[Is, ...]]]

#: J.2.  Those that carry a network message are `CARRIERS`: they are judged by what is in them.
BVLC_RESULT: Final = 0x00
WRITE_BDT: Final = 0x01
READ_BDT: Final = 0x02
READ_BDT_ACK: Final = 0x03
FORWARDED: Final = 0x04
REGISTER: Final = 0x05
READ_FDT: Final = 0x06
READ_FDT_ACK: Final = 0x07
DELETE_FDT: Final = 0x08
DISTRIBUTE: Final = 0x09
UNICAST: Final = 0x0A
BROADCAST: Final = 0x0B
SECURED: Final = 0x0C
CARRIERS: Final = frozenset({FORWARDED, DISTRIBUTE, UNICAST, BROADCAST})
FUNCTIONS: Final[Meanings] = {
    BVLC_RESULT: ("BVLC-Result", (Is.SESSION,)),
    WRITE_BDT: ("Write-Broadcast-Distribution-Table", (Is.CONFIG,)),
    READ_BDT: ("Read-Broadcast-Distribution-Table", (Is.DIAGNOSTICS,)),
    READ_BDT_ACK: ("Read-Broadcast-Distribution-Table-Ack", (Is.SESSION,)),
    FORWARDED: ("Forwarded-NPDU", ()),
    REGISTER: ("Register-Foreign-Device", (Is.SESSION,)),
    READ_FDT: ("Read-Foreign-Device-Table", (Is.DIAGNOSTICS,)),
    READ_FDT_ACK: ("Read-Foreign-Device-Table-Ack", (Is.SESSION,)),
    DELETE_FDT: ("Delete-Foreign-Device-Table-Entry", (Is.CONFIG,)),
    DISTRIBUTE: ("Distribute-Broadcast-To-Network", ()),
    UNICAST: ("Original-Unicast-NPDU", ()),
    BROADCAST: ("Original-Broadcast-NPDU", ()),
    SECURED: ("Secured-BVLL", (Is.VENDOR,)),
}

#: 6.4.  0x0A to 0x11 were network security, removed from the standard.
WHO_IS_ROUTER: Final = 0x00
I_AM_ROUTER: Final = 0x01
REJECT_MESSAGE: Final = 0x03
INITIALIZE: Final = 0x06
INITIALIZE_ACK: Final = 0x07
ESTABLISH: Final = 0x08
DISCONNECT: Final = 0x09
NETWORK_NUMBER_IS: Final = 0x13
MESSAGES: Final[Meanings] = {
    WHO_IS_ROUTER: ("Who-Is-Router-To-Network", (Is.DISCOVERY,)),
    I_AM_ROUTER: ("I-Am-Router-To-Network", (Is.DISCOVERY,)),
    0x02: ("I-Could-Be-Router-To-Network", (Is.DISCOVERY,)),
    REJECT_MESSAGE: ("Reject-Message-To-Network", (Is.DISCOVERY,)),
    0x04: ("Router-Busy-To-Network", (Is.DISCOVERY,)),
    0x05: ("Router-Available-To-Network", (Is.DISCOVERY,)),
    INITIALIZE: ("Initialize-Routing-Table", (Is.CONFIG,)),
    INITIALIZE_ACK: ("Initialize-Routing-Table-Ack", (Is.CONFIG,)),
    ESTABLISH: ("Establish-Connection-To-Network", (Is.EXECUTE,)),
    DISCONNECT: ("Disconnect-Connection-To-Network", (Is.EXECUTE,)),
    0x12: ("What-Is-Network-Number", (Is.DISCOVERY,)),
    NETWORK_NUMBER_IS: ("Network-Number-Is", (Is.DISCOVERY,)),
}

#: BACnetConfirmedServiceChoice.
ATOMIC_READ_FILE: Final = 6
ATOMIC_WRITE_FILE: Final = 7
ADD_LIST_ELEMENT: Final = 8
REMOVE_LIST_ELEMENT: Final = 9
CREATE_OBJECT: Final = 10
DELETE_OBJECT: Final = 11
READ_PROPERTY: Final = 12
READ_PROPERTY_MULTIPLE: Final = 14
WRITE_PROPERTY: Final = 15
WRITE_PROPERTY_MULTIPLE: Final = 16
DEVICE_COMMUNICATION_CONTROL: Final = 17
PRIVATE_TRANSFER: Final = 18
REINITIALIZE_DEVICE: Final = 20
VT_CLOSE: Final = 22
AUTHENTICATE: Final = 24
READ_RANGE: Final = 26
SUBSCRIBE_COV_PROPERTY_MULTIPLE: Final = 30
CONFIRMED: Final[Meanings] = {
    0: ("acknowledgeAlarm", (Is.WRITE,)),
    1: ("confirmedCOVNotification", (Is.READ,)),
    2: ("confirmedEventNotification", (Is.READ,)),
    3: ("getAlarmSummary", (Is.DIAGNOSTICS,)),
    4: ("getEnrollmentSummary", (Is.DIAGNOSTICS,)),
    5: ("subscribeCOV", (Is.READ,)),
    ATOMIC_READ_FILE: ("atomicReadFile", (Is.FILE_READ,)),
    ATOMIC_WRITE_FILE: ("atomicWriteFile", (Is.FILE_WRITE,)),
    ADD_LIST_ELEMENT: ("addListElement", (Is.CONFIG,)),
    REMOVE_LIST_ELEMENT: ("removeListElement", (Is.CONFIG,)),
    CREATE_OBJECT: ("createObject", (Is.PROGRAM_TO_DEVICE,)),
    DELETE_OBJECT: ("deleteObject", (Is.PROGRAM_TO_DEVICE,)),
    READ_PROPERTY: ("readProperty", (Is.READ,)),
    13: ("readPropertyConditional", (Is.READ,)),
    READ_PROPERTY_MULTIPLE: ("readPropertyMultiple", (Is.READ,)),
    WRITE_PROPERTY: ("writeProperty", (Is.WRITE,)),
    WRITE_PROPERTY_MULTIPLE: ("writePropertyMultiple", (Is.WRITE,)),
    DEVICE_COMMUNICATION_CONTROL: ("deviceCommunicationControl", (Is.EXECUTE,)),
    PRIVATE_TRANSFER: ("confirmedPrivateTransfer", (Is.VENDOR,)),
    19: ("confirmedTextMessage", (Is.WRITE,)),
    REINITIALIZE_DEVICE: ("reinitializeDevice", (Is.EXECUTE,)),
    21: ("vtOpen", (Is.VENDOR,)),
    VT_CLOSE: ("vtClose", (Is.VENDOR,)),
    23: ("vtData", (Is.VENDOR,)),
    AUTHENTICATE: ("authenticate", (Is.AUTH,)),
    25: ("requestKey", (Is.AUTH,)),
    READ_RANGE: ("readRange", (Is.READ,)),
    27: ("lifeSafetyOperation", (Is.WRITE,)),
    28: ("subscribeCOVProperty", (Is.READ,)),
    29: ("getEventInformation", (Is.DIAGNOSTICS,)),
    SUBSCRIBE_COV_PROPERTY_MULTIPLE: ("subscribeCovPropertyMultiple", (Is.READ,)),
    31: ("confirmedCovNotificationMultiple", (Is.READ,)),
    32: ("confirmedAuditNotification", (Is.READ,)),
    33: ("auditLogQuery", (Is.DIAGNOSTICS,)),
}

#: 16.4.1.1: what reinitializeDevice (service 20) asks for decides.
START_BACKUP, END_BACKUP, START_RESTORE, END_RESTORE, ABORT_RESTORE = 2, 3, 4, 5, 6
STATES: Final[Meanings] = {
    0: ("coldstart", (Is.EXECUTE,)),
    1: ("warmstart", (Is.EXECUTE,)),
    START_BACKUP: ("startbackup", (Is.PROGRAM_FROM_DEVICE,)),
    END_BACKUP: ("endbackup", (Is.PROGRAM_FROM_DEVICE,)),
    START_RESTORE: ("startrestore", (Is.PROGRAM_TO_DEVICE,)),
    END_RESTORE: ("endrestore", (Is.PROGRAM_TO_DEVICE,)),
    ABORT_RESTORE: ("abortrestore", (Is.PROGRAM_TO_DEVICE,)),
    7: ("activate-changes", (Is.CONFIG,)),
}
#: 16.1.1.1.2.
COMMUNICATION: Final = {0: "enable", 1: "disable", 2: "disable-initiation"}

#: BACnetUnconfirmedServiceChoice.
UNCONFIRMED: Final[Meanings] = {
    0: ("i-Am", (Is.DISCOVERY,)),
    1: ("i-Have", (Is.DISCOVERY,)),
    2: ("unconfirmedCOVNotification", (Is.READ,)),
    3: ("unconfirmedEventNotification", (Is.READ,)),
    4: ("unconfirmedPrivateTransfer", (Is.VENDOR,)),
    5: ("unconfirmedTextMessage", (Is.WRITE,)),
    6: ("timeSynchronization", (Is.CONFIG,)),
    7: ("who-Has", (Is.DISCOVERY,)),
    8: ("who-Is", (Is.DISCOVERY,)),
    9: ("utcTimeSynchronization", (Is.CONFIG,)),
    10: ("writeGroup", (Is.WRITE,)),
    11: ("unconfirmedCovNotificationMultiple", (Is.READ,)),
    12: ("unconfirmedAuditNotification", (Is.READ,)),
    13: ("who-am-I", (Is.DISCOVERY,)),
    14: ("you-are", (Is.CONFIG,)),
}

#: Notifications (confirmed, unconfirmed) are the device's; one that a client sends feeds the device with values.
CONFIRMED_NOTIFICATIONS: Final = frozenset({1, 2, 31, 32})
UNCONFIRMED_NOTIFICATIONS: Final = frozenset({2, 3, 11, 12})

#: Objects whose properties are settings, not process data: device, program, schedule, network-port.
SETTINGS: Final = frozenset({8, 16, 17, 56})
