"""The numbers of IEC 60870-5-104: formats, types with the size of their objects, causes, and the class of each type.

Data only.  Sources: IEC 60870-5-104:2006 (sections 5 to 9), IEC 60870-5-101:2003 (7.2 and 7.3, whose section numbers
stand beside the tables) and IEC 60870-5-7 (authentication).  A type without a class is `unknown`.
"""

from __future__ import annotations

from typing import Final

from penstock.model import OperationClass as Is

#: -104, 5.1 and figure 8: the functions of the U format, by the bits 3 to 8 of the first control octet.
U_FUNCTIONS: Final = {
    0x01: "STARTDT act",
    0x02: "STARTDT con",
    0x04: "STOPDT act",
    0x08: "STOPDT con",
    0x10: "TESTFR act",
    0x20: "TESTFR con",
}

#: (type identifications, name, classes): the project's taxonomy.
CLASSES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((*range(1, 17), 20, 21, *range(30, 41)), "process information in monitor direction", (Is.READ,)),
    (
        tuple(range(45, 52)),
        "single, double, step command; set point (normalised, scaled, float); bitstring",
        (Is.WRITE,),
    ),
    (tuple(range(58, 65)), "the same with time tag", (Is.WRITE,)),
    ((70,), "end of initialisation", (Is.SESSION,)),
    ((100,), "interrogation", (Is.READ,)),
    ((101,), "counter interrogation", (Is.READ,)),
    ((102,), "read", (Is.READ,)),
    ((103,), "clock synchronisation", (Is.CONFIG,)),
    ((105,), "reset process", (Is.EXECUTE,)),
    ((107,), "test with time tag", (Is.DIAGNOSTICS,)),
    ((110, 111, 112, 113), "parameters and their activation", (Is.CONFIG,)),
    (
        (120, 121, 123, 124, 125, 126),
        "file and section ready, last section, ack, segment, directory",
        (Is.FILE_WRITE,),
    ),
    ((122, 127), "call or select file; query log", (Is.FILE_READ,)),
    ((41, *range(81, 88), *range(90, 96)), "security extension", (Is.AUTH,)),
)
CLASS_OF: Final = {number: classes for numbers, _, classes in CLASSES for number in numbers}

#: -101, 7.3: mnemonic, meaning and the bytes of one object behind its address; ``None`` where the object says it.
TYPES: Final[dict[int, tuple[str, str, int | None]]] = {
    1: ("M_SP_NA_1", "single point", 1),
    2: ("M_SP_TA_1", "single point with short time tag", 4),
    3: ("M_DP_NA_1", "double point", 1),
    4: ("M_DP_TA_1", "double point with short time tag", 4),
    5: ("M_ST_NA_1", "step position", 2),
    6: ("M_ST_TA_1", "step position with short time tag", 5),
    7: ("M_BO_NA_1", "bitstring", 5),
    8: ("M_BO_TA_1", "bitstring with short time tag", 8),
    9: ("M_ME_NA_1", "measured value, normalised", 3),
    10: ("M_ME_TA_1", "measured value, normalised, with short time tag", 6),
    11: ("M_ME_NB_1", "measured value, scaled", 3),
    12: ("M_ME_TB_1", "measured value, scaled, with short time tag", 6),
    13: ("M_ME_NC_1", "measured value, float", 5),
    14: ("M_ME_TC_1", "measured value, float, with short time tag", 8),
    15: ("M_IT_NA_1", "counter", 5),
    16: ("M_IT_TA_1", "counter with short time tag", 8),
    17: ("M_EP_TA_1", "event of protection equipment with short time tag", 6),
    18: ("M_EP_TB_1", "start events of protection equipment with short time tag", 7),
    19: ("M_EP_TC_1", "output circuits of protection equipment with short time tag", 7),
    20: ("M_PS_NA_1", "packed single points with changes", 5),
    21: ("M_ME_ND_1", "measured value, normalised, without quality", 2),
    30: ("M_SP_TB_1", "single point with time tag", 8),
    31: ("M_DP_TB_1", "double point with time tag", 8),
    32: ("M_ST_TB_1", "step position with time tag", 9),
    33: ("M_BO_TB_1", "bitstring with time tag", 12),
    34: ("M_ME_TD_1", "measured value, normalised, with time tag", 10),
    35: ("M_ME_TE_1", "measured value, scaled, with time tag", 10),
    36: ("M_ME_TF_1", "measured value, float, with time tag", 12),
    37: ("M_IT_TB_1", "counter with time tag", 12),
    38: ("M_EP_TD_1", "event of protection equipment with time tag", 10),
    39: ("M_EP_TE_1", "start events of protection equipment with time tag", 11),
    40: ("M_EP_TF_1", "output circuits of protection equipment with time tag", 11),
    41: ("S_IT_TC_1", "security statistics", 13),
    45: ("C_SC_NA_1", "single command", 1),
    46: ("C_DC_NA_1", "double command", 1),
    47: ("C_RC_NA_1", "step command", 1),
    48: ("C_SE_NA_1", "set point, normalised", 3),
    49: ("C_SE_NB_1", "set point, scaled", 3),
    50: ("C_SE_NC_1", "set point, float", 5),
    51: ("C_BO_NA_1", "bitstring command", 4),
    58: ("C_SC_TA_1", "single command with time tag", 8),
    59: ("C_DC_TA_1", "double command with time tag", 8),
    60: ("C_RC_TA_1", "step command with time tag", 8),
    61: ("C_SE_TA_1", "set point, normalised, with time tag", 10),
    62: ("C_SE_TB_1", "set point, scaled, with time tag", 10),
    63: ("C_SE_TC_1", "set point, float, with time tag", 12),
    64: ("C_BO_TA_1", "bitstring command with time tag", 11),
    70: ("M_EI_NA_1", "end of initialisation", 1),
    81: ("S_CH_NA_1", "authentication challenge", None),
    82: ("S_RP_NA_1", "authentication reply", None),
    83: ("S_AR_NA_1", "aggressive mode authentication request", None),
    84: ("S_KR_NA_1", "session key status request", None),
    85: ("S_KS_NA_1", "session key status", None),
    86: ("S_KC_NA_1", "session key change", None),
    87: ("S_ER_NA_1", "authentication error", None),
    90: ("S_US_NA_1", "user status change", None),
    91: ("S_UQ_NA_1", "update key change request", None),
    92: ("S_UR_NA_1", "update key change reply", None),
    93: ("S_UK_NA_1", "update key change, symmetric", None),
    94: ("S_UA_NA_1", "update key change, asymmetric", None),
    95: ("S_UC_NA_1", "update key change confirmation", None),
    100: ("C_IC_NA_1", "interrogation", 1),
    101: ("C_CI_NA_1", "counter interrogation", 1),
    102: ("C_RD_NA_1", "read", 0),
    103: ("C_CS_NA_1", "clock synchronisation", 7),
    104: ("C_TS_NA_1", "test", 2),
    105: ("C_RP_NA_1", "reset process", 1),
    106: ("C_CD_NA_1", "delay acquisition", 2),
    107: ("C_TS_TA_1", "test with time tag", 9),
    110: ("P_ME_NA_1", "parameter of a measured value, normalised", 3),
    111: ("P_ME_NB_1", "parameter of a measured value, scaled", 3),
    112: ("P_ME_NC_1", "parameter of a measured value, float", 5),
    113: ("P_AC_NA_1", "parameter activation", 1),
    120: ("F_FR_NA_1", "file ready", 6),
    121: ("F_SR_NA_1", "section ready", 7),
    122: ("F_SC_NA_1", "call or select a file or section", 4),
    123: ("F_LS_NA_1", "last section or segment", 5),
    124: ("F_AF_NA_1", "acknowledge file or section", 4),
    125: ("F_SG_NA_1", "segment", None),
    126: ("F_DR_TA_1", "directory", 13),
    127: ("F_SC_NB_1", "query log", 16),
}
SINGLE_COMMAND, DOUBLE_COMMAND, STEP_COMMAND = 45, 46, 47
END_OF_INITIALISATION: Final = 70
AGGRESSIVE_REQUEST: Final = 83
INTERROGATION, COUNTER_INTERROGATION, READ, CLOCK, RESET = 100, 101, 102, 103, 105
CALL_FILE, ACKNOWLEDGE_FILE, SEGMENT = 122, 124, 125
#: Set points and commands, without and with a time tag behind them.
COMMANDS: Final = frozenset({*range(45, 52), *range(58, 65)})
FILES: Final = frozenset(range(120, 128))
SECURITY: Final = frozenset({*range(81, 88), *range(90, 96)})
#: Types that tell what is (-101, 7.2.1, table 8).
MONITOR: Final = frozenset({*range(1, 22), *range(30, 42), END_OF_INITIALISATION})
#: -101, 7.2.4: these four may go to every station of a link at once.
BROADCAST: Final = 0xFFFF
BROADCAST_TYPES: Final = frozenset({INTERROGATION, COUNTER_INTERROGATION, CLOCK, RESET})
#: The address 0 belongs to these: they speak of the whole station (-101, 7.3.4 and 7.3.2).
WITHOUT_ADDRESS: Final = frozenset({INTERROGATION, COUNTER_INTERROGATION, CLOCK, 104, RESET, 106, 107})

#: -101, 7.2.3: the six bits of the cause; the two above it say "negative" and "test".
NEGATIVE: Final = 0x40
TEST: Final = 0x80
CAUSE_BITS: Final = 0x3F
REQUESTED, ACTIVATION, ACTIVATION_CON, DEACTIVATION, DEACTIVATION_CON, TERMINATION, FILE_TRANSFER = (
    5,
    6,
    7,
    8,
    9,
    10,
    13,
)
UNKNOWN_TYPE, UNKNOWN_CAUSE, UNKNOWN_STATION, UNKNOWN_OBJECT = 44, 45, 46, 47
CAUSES: Final = {
    1: "periodic",
    2: "background scan",
    3: "spontaneous",
    4: "initialised",
    REQUESTED: "requested",
    ACTIVATION: "activation",
    ACTIVATION_CON: "activation confirmation",
    DEACTIVATION: "deactivation",
    DEACTIVATION_CON: "deactivation confirmation",
    TERMINATION: "activation termination",
    11: "return by a remote command",
    12: "return by a local command",
    FILE_TRANSFER: "file transfer",
    14: "authentication",
    15: "maintenance of a session key",
    16: "maintenance of user role and update key",
    20: "interrogated by station",
    **{20 + group: f"interrogated by group {group}" for group in range(1, 17)},
    37: "counters by general request",
    **{37 + group: f"counters by request of group {group}" for group in range(1, 5)},
    UNKNOWN_TYPE: "unknown type identification",
    UNKNOWN_CAUSE: "unknown cause of transmission",
    UNKNOWN_STATION: "unknown common address",
    UNKNOWN_OBJECT: "unknown information object address",
}
#: What answers something: confirmations, terminations, and the four ways not to know.
REPLIES: Final = frozenset({ACTIVATION_CON, DEACTIVATION_CON, TERMINATION, 44, 45, 46, 47})

_BOTH: Final = frozenset({ACTIVATION, DEACTIVATION})
_ACT: Final = frozenset({ACTIVATION})
#: -101, 7.4 (table of causes by type), control direction.
ASKING_CAUSES: Final[dict[int, frozenset[int]]] = {
    **dict.fromkeys(COMMANDS, _BOTH),
    INTERROGATION: _BOTH,
    COUNTER_INTERROGATION: _BOTH,
    READ: frozenset({REQUESTED}),
    CLOCK: _ACT,
    104: _ACT,
    RESET: _ACT,
    106: frozenset({3, ACTIVATION}),
    107: _ACT,
    **dict.fromkeys((110, 111, 112), _ACT),
    113: _BOTH,
    **dict.fromkeys((120, 121, 123, 124, 125), frozenset({FILE_TRANSFER})),
    **dict.fromkeys((122, 127), frozenset({REQUESTED, FILE_TRANSFER})),
    **dict.fromkeys(SECURITY, frozenset({14, 15, 16})),
}
