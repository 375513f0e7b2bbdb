"""Names of EtherNet/IP and CIP codes, for people and for records.

Data only.  Sources: ODVA CIP Volume 1, appendices A (services) and B (general status); Rockwell 1756-PM020 and
1770-6.5.16.  Names of services that no standard has (Logix program transfer) say what captures show.
"""

from __future__ import annotations

from typing import Final

from penstock.wire.enip.codes import TAG

SERVICES: Final = {
    0x01: "Get Attributes All",
    0x02: "Set Attributes All",
    0x03: "Get Attribute List",
    0x04: "Set Attribute List",
    0x05: "Reset",
    0x06: "Start",
    0x07: "Stop",
    0x08: "Create",
    0x09: "Delete",
    0x0A: "Multiple Service Packet",
    0x0D: "Apply Attributes",
    0x0E: "Get Attribute Single",
    0x10: "Set Attribute Single",
    0x11: "Find Next Object Instance",
    0x15: "Restore",
    0x16: "Save",
    0x17: "Nop",
    0x18: "Get Member",
    0x19: "Set Member",
    0x1A: "Insert Member",
    0x1B: "Remove Member",
    0x1C: "Group Sync",
}

_TAG_SERVICES: Final = {
    0x4C: "Read Tag",
    0x4D: "Write Tag",
    0x4E: "Read-Modify-Write Tag",
    0x52: "Read Tag Fragmented",
    0x53: "Write Tag Fragmented",
    0x55: "Get Instance Attribute List",
}
_PROJECT: Final = (0x64, 0x68, 0x69, 0x6A, 0x6B, 0x6D, 0x6F, 0x70, 0x77, 0x7E, 0x8B, 0xA2, 0xA3, 0xAC)
_PROJECT_SERVICES: Final = {
    0x4B: "list instances and attributes",
    0x4F: "read fragment of the project",
    0x50: "write fragment of the project",
}
_OF_CLASS: Final[dict[int, dict[int, str]]] = {
    0x06: {
        0x4E: "Forward Close",
        0x52: "Unconnected Send",
        0x54: "Forward Open",
        0x56: "Get Connection Data",
        0x57: "Search Connection Data",
        0x5A: "Get Connection Owner",
        0x5B: "Large Forward Open",
    },
    0x37: {
        0x4B: "initiate upload",
        0x4C: "initiate download",
        0x4D: "partial read",
        0x4E: "partial write",
        0x4F: "upload transfer",
        0x50: "download transfer",
        0x51: "clear file",
    },
    0x44: {
        0x4B: "Read Discrete Inputs",
        0x4C: "Read Coils",
        0x4D: "Read Input Registers",
        0x4E: "Read Holding Registers",
        0x4F: "Write Coils",
        0x50: "Write Holding Registers",
        0x51: "Modbus passthrough",
    },
    0x67: {0x4B: "Execute PCCC"},
    0x72: {0x4B: "online data", 0x4C: "cyclic online read"},
    0x74: {0x4B: "take edit lock", 0x4C: "release edit lock"},
    0x8E: {0x06: "run mode", 0x07: "program mode"},
    0xA1: {0x4B: "start firmware update", 0x4D: "transfer firmware", 0x51: "finish firmware update"},
    TAG: _TAG_SERVICES,
    0x6C: _TAG_SERVICES,
}

#: (class of objects, service) → name
SPECIAL_NAMES: Final[dict[tuple[int, int], str]] = {
    **{(number, service): name for number in _PROJECT for service, name in _PROJECT_SERVICES.items()},
    (0x6B, 0x4C): "Read Tag",
    (0x6B, 0x4D): "Write Tag",
    (0x6B, 0x4E): "Read-Modify-Write Tag",
    (0x6B, 0x52): "Read Tag Fragmented",
    (0x6B, 0x53): "Write Tag Fragmented",
    (0x6B, 0x55): "Get Instance Attribute List",
    **{(number, service): name for number, named in _OF_CLASS.items() for service, name in named.items()},
}

PCCC_FUNCTIONS: Final[dict[int, dict[int, str]]] = {
    0x06: {
        0: "Echo",
        1: "Read diagnostic counters",
        2: "Set variables",
        3: "Diagnostic status",
        4: "Set timeout",
        5: "Set NAKs",
        6: "Set ENQs",
        7: "Reset diagnostic counters",
        8: "Set data table size",
        9: "Read link parameters",
        10: "Set link parameters",
    },
    0x07: {
        0: "Disable outputs",
        1: "Enable outputs",
        3: "Enable PLC scanning",
        4: "Enter download mode",
        5: "Exit download/upload mode",
        6: "Enter upload mode",
    },
    0x0F: {
        0x00: "Word range write",
        0x01: "Word range read",
        0x02: "Bit write",
        0x03: "File write",
        0x04: "File read",
        0x05: "Download request",
        0x06: "Upload",
        0x07: "Shutdown",
        0x08: "Physical write",
        0x09: "Physical read",
        0x0A: "Restart request",
        0x11: "Get edit resource",
        0x12: "Return edit resource",
        0x17: "Read bytes physical",
        0x18: "Write bytes physical",
        0x26: "Read-modify-write",
        0x29: "Read section size",
        0x3A: "Set CPU mode",
        0x41: "Disable forces",
        0x50: "Download all request",
        0x52: "Download completed",
        0x53: "Upload all request (upload)",
        0x55: "Upload completed",
        0x57: "Initialize memory",
        0x5E: "Modify PLC-2 compatibility file",
        0x67: "Typed write",
        0x68: "Typed read",
        0x79: "Read-modify-write N",
        0x80: "Change CPU mode",
        0x81: "Open file",
        0x82: "Close file",
        0x88: "Execute Multiple Commands",
        0x8F: "Apply port configuration",
        0xA1: "Protected typed logical read with two address fields",
        0xA2: "Protected typed logical read with three address fields",
        0xA7: "Protected typed file read",
        0xA9: "Protected typed logical write with two address fields",
        0xAA: "Protected typed logical write with three address fields",
        0xAB: "Protected typed logical masked-write with three address fields",
        0xAF: "Protected typed file write",
    },
}

#: CIP Volume 1, appendix B-1.
GENERAL_STATUS: Final = {
    0x00: "success",
    0x01: "connection failure",
    0x02: "resource unavailable",
    0x03: "invalid parameter value",
    0x04: "path segment error",
    0x05: "path destination unknown",
    0x06: "partial transfer",
    0x07: "connection lost",
    0x08: "service not supported",
    0x09: "invalid attribute value",
    0x0A: "attribute list error",
    0x0B: "already in requested mode or state",
    0x0C: "object state conflict",
    0x0D: "object already exists",
    0x0E: "attribute not settable",
    0x0F: "privilege violation",
    0x10: "device state conflict",
    0x11: "reply data too large",
    0x12: "fragmentation of a primitive value",
    0x13: "not enough data",
    0x14: "attribute not supported",
    0x15: "too much data",
    0x16: "object does not exist",
    0x17: "service fragmentation sequence not in progress",
    0x18: "no stored attribute data",
    0x19: "store operation failure",
    0x1A: "routing failure, request packet too large",
    0x1B: "routing failure, response packet too large",
    0x1C: "missing attribute list entry data",
    0x1D: "invalid attribute value list",
    0x1E: "embedded service error",
    0x1F: "vendor specific error",
    0x20: "invalid parameter",
    0x21: "write-once value or medium already written",
    0x22: "invalid reply received",
    0x23: "buffer overflow",
    0x24: "invalid message format",
    0x25: "key failure in path",
    0x26: "path size invalid",
    0x27: "unexpected attribute in list",
    0x28: "invalid member ID",
    0x29: "member not settable",
    0x2A: "group 2 only server general failure",
    0x2B: "unknown Modbus error",
    0x2C: "attribute not gettable",
    0xFF: "general error",
}

#: CIP Volume 2, 2-3.3.
ENCAPSULATION_STATUS: Final = {
    0x00: "success",
    0x01: "invalid or unsupported command",
    0x02: "insufficient memory",
    0x03: "poorly formed or incorrect data",
    0x64: "invalid session handle",
    0x65: "invalid length",
    0x69: "unsupported protocol revision",
    0x6A: "encapsulated CIP service not allowed on this port",
}

#: 1770-6.5.16, chapter 8: the status byte of a PCCC reply.
PCCC_STATUS: Final = {
    0x10: "illegal command or format",
    0x20: "host has a problem and will not communicate",
    0x30: "remote node is missing, disconnected, or shut down",
    0x40: "host could not complete function due to hardware fault",
    0x50: "addressing problem or memory protect rungs",
    0x60: "function not allowed due to command protection selection",
    0x70: "processor is in program mode",
    0x80: "compatibility mode file missing or communication zone problem",
    0x90: "remote node cannot buffer command",
    0xF0: "error code in the extended status byte",
}


def service_name(number: int, service: int) -> str:
    """The name of a service of objects of the class `number`, empty where it has none."""
    return SPECIAL_NAMES.get((number, service)) or SERVICES.get(service, "")
