"""Service, attribute, method and status numbers of OPC UA and what they mean, as data.

Pure.  Classes are those of the operations taxonomy; a code that is not listed is `unknown`.  Names are those of
OPC 10000-4 and 10000-6 (identifiers of namespace 0).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from penstock.model import OperationClass, Reason

_C = OperationClass

#: OPC 10000-4, 5: services by the node id of the binary encoding of their request.
SERVICES: Final = MappingProxyType(
    {
        410: ("TestStack", _C.DIAGNOSTICS),
        416: ("TestStackEx", _C.DIAGNOSTICS),
        422: ("FindServers", _C.DISCOVERY),
        428: ("GetEndpoints", _C.DISCOVERY),
        437: ("RegisterServer", _C.CONFIG),
        446: ("OpenSecureChannel", _C.SESSION),
        452: ("CloseSecureChannel", _C.SESSION),
        461: ("CreateSession", _C.SESSION),
        467: ("ActivateSession", _C.AUTH),
        473: ("CloseSession", _C.SESSION),
        479: ("Cancel", _C.SESSION),
        488: ("AddNodes", _C.PROGRAM_TO_DEVICE),
        494: ("AddReferences", _C.PROGRAM_TO_DEVICE),
        500: ("DeleteNodes", _C.PROGRAM_TO_DEVICE),
        506: ("DeleteReferences", _C.PROGRAM_TO_DEVICE),
        527: ("Browse", _C.DISCOVERY),
        533: ("BrowseNext", _C.DISCOVERY),
        554: ("TranslateBrowsePathsToNodeIds", _C.DISCOVERY),
        560: ("RegisterNodes", _C.DISCOVERY),
        566: ("UnregisterNodes", _C.DISCOVERY),
        615: ("QueryFirst", _C.DISCOVERY),
        621: ("QueryNext", _C.DISCOVERY),
        631: ("Read", _C.READ),
        664: ("HistoryRead", _C.READ),
        673: ("Write", _C.WRITE),
        700: ("HistoryUpdate", _C.WRITE),
        712: ("Call", _C.EXECUTE),
        751: ("CreateMonitoredItems", _C.READ),
        763: ("ModifyMonitoredItems", _C.READ),
        769: ("SetMonitoringMode", _C.READ),
        775: ("SetTriggering", _C.READ),
        781: ("DeleteMonitoredItems", _C.READ),
        787: ("CreateSubscription", _C.READ),
        793: ("ModifySubscription", _C.READ),
        799: ("SetPublishingMode", _C.READ),
        826: ("Publish", _C.READ),
        832: ("Republish", _C.READ),
        841: ("TransferSubscriptions", _C.READ),
        847: ("DeleteSubscriptions", _C.READ),
        12208: ("FindServersOnNetwork", _C.DISCOVERY),
        12211: ("RegisterServer2", _C.CONFIG),
    }
)
SERVICE_FAULT: Final = 397
#: OPC 10000-6, table 1: numbers of two built-in types.
NODE_KIND, EXTENSION_KIND = 17, 22
OPEN_CHANNEL, CLOSE_CHANNEL = 446, 452
READ, WRITE, CALL = 631, 673, 712
ACTIVATE_SESSION, CREATE_SESSION = 467, 461
BROWSE, TRANSLATE_PATHS, REGISTER_NODES, UNREGISTER_NODES = 527, 554, 560, 566

#: A response's number follows its request's: by 3, or by 1 where services were added later.
RESPONSES: Final = MappingProxyType({code + (3 if code < 10_000 else 1): code for code in SERVICES})  # noqa: PLR2004
#: Every message by the number of its type.
MESSAGE_NAMES: Final = MappingProxyType(
    {
        SERVICE_FAULT: "ServiceFault",
        **{code: f"{name}Request" for code, (name, _) in SERVICES.items()},
        **{response: f"{SERVICES[code][0]}Response" for response, code in RESPONSES.items()},
    }
)

#: OPC 10000-6, A.1: attributes by number.
ATTRIBUTES: Final = MappingProxyType(
    dict(
        enumerate(
            (
                "NodeId", "NodeClass", "BrowseName", "DisplayName", "Description", "WriteMask", "UserWriteMask",
                "IsAbstract", "Symmetric", "InverseName", "ContainsNoLoops", "EventNotifier", "Value", "DataType",
                "ValueRank", "ArrayDimensions", "AccessLevel", "UserAccessLevel", "MinimumSamplingInterval",
                "Historizing", "Executable", "UserExecutable", "DataTypeDefinition", "RolePermissions",
                "UserRolePermissions", "AccessRestrictions", "AccessLevelEx",
            ),
            start=1,
        )
    )
)  # fmt: skip
VALUE_ATTRIBUTE: Final = 13

#: OPC 10000-20, 4: what the methods of a file do, by their name in namespace 0.  `Open` says itself how (its mode).
FILE_METHODS: Final = MappingProxyType(
    {
        "Open": _C.FILE_READ,
        "Close": _C.FILE_READ,
        "Read": _C.FILE_READ,
        "GetPosition": _C.FILE_READ,
        "SetPosition": _C.FILE_READ,
        "Write": _C.FILE_WRITE,
        "CreateDirectory": _C.FILE_WRITE,
        "CreateFile": _C.FILE_WRITE,
        "Delete": _C.FILE_WRITE,
        "MoveOrCopy": _C.FILE_WRITE,
        "OpenWithMasks": _C.FILE_READ,
        "CloseAndUpdate": _C.CONFIG,
        "AddCertificate": _C.CONFIG,
        "RemoveCertificate": _C.CONFIG,
    }
)
#: OPC 10000-100, 8: methods of a software update that bring another program into a device, in whatever namespace.
FIRMWARE_METHODS: Final = frozenset({"InstallSoftwarePackage", "InstallFiles", "Uninstall"})
#: Methods of namespace 0 by node id: those of FileType, FileDirectoryType and TrustListType, which a client may name
#: instead of the object's own (OPC 10000-4, 5.12.2), and those of the server's own trust lists and file system.
_TYPES: Final = (
    (11580, "Open"), (11583, "Close"), (11585, "Read"), (11588, "Write"), (11590, "GetPosition"),
    (11593, "SetPosition"), (12543, "OpenWithMasks"), (12546, "CloseAndUpdate"), (12548, "AddCertificate"),
    (12550, "RemoveCertificate"), (13387, "CreateDirectory"), (13390, "CreateFile"), (13393, "Delete"),
    (13395, "MoveOrCopy"), (16348, "CreateDirectory"), (16351, "CreateFile"), (16354, "Delete"),
    (16356, "MoveOrCopy"),
)  # fmt: skip
_TRUST_LIST: Final = (
    (0, "Open"), (3, "Close"), (5, "Read"), (8, "Write"), (10, "GetPosition"), (13, "SetPosition"),
    (16, "OpenWithMasks"), (19, "CloseAndUpdate"),
)  # fmt: skip
#: The trust lists of the applications, HTTPS and user tokens: each has its methods in a row from here on.
_TRUST_LISTS: Final = (12647, 14095, 14129)
STANDARD_METHODS: Final = MappingProxyType(
    dict(_TYPES) | {start + step: name for start in _TRUST_LISTS for step, name in _TRUST_LIST}
)
#: OPC 10000-20, 4.2.2: the bits of a mode that do more than read.
OPEN_FOR_READ: Final = 1

#: OPC 10000-7: lengths of the symmetric signature in bytes, by the last part of a policy's URI.
SIGNATURE_BYTES: Final = MappingProxyType(
    {
        "None": 0,
        "Basic128Rsa15": 20,
        "Basic256": 20,
        "Basic256Sha256": 32,
        "Aes128_Sha256_RsaOaep": 32,
        "Aes256_Sha256_RsaPss": 32,
        "ECC_nistP256": 32,
        "ECC_nistP384": 48,
        "ECC_brainpoolP256r1": 32,
        "ECC_brainpoolP384r1": 48,
        "ECC_curve25519": 16,
        "ECC_curve448": 16,
    }
)
POLICY_PREFIX: Final = "http://opcfoundation.org/UA/SecurityPolicy#"

#: OPC 10000-4, 7.40: who a client says that it is, by the encoding of the token's type.
USER_TOKENS: Final = MappingProxyType(
    {0: "none", 321: "anonymous", 324: "user name", 327: "certificate", 940: "issued"}
)

#: OPC 10000-6, A.2: the status codes that the gate gives, or that clients meet often.
STATUS_NAMES: Final = MappingProxyType(
    {
        0x80010000: "Bad_UnexpectedError",
        0x80020000: "Bad_InternalError",
        0x80040000: "Bad_ResourceUnavailable",
        0x80050000: "Bad_CommunicationError",
        0x80070000: "Bad_DecodingError",
        0x800A0000: "Bad_Timeout",
        0x800B0000: "Bad_ServiceUnsupported",
        0x800D0000: "Bad_ServerNotConnected",
        0x800F0000: "Bad_NothingToDo",
        0x80100000: "Bad_TooManyOperations",
        0x80130000: "Bad_SecurityChecksFailed",
        0x801F0000: "Bad_UserAccessDenied",
        0x80200000: "Bad_IdentityTokenInvalid",
        0x80210000: "Bad_IdentityTokenRejected",
        0x80220000: "Bad_SecureChannelIdInvalid",
        0x80250000: "Bad_SessionIdInvalid",
        0x80260000: "Bad_SessionClosed",
        0x80270000: "Bad_SessionNotActivated",
        0x80280000: "Bad_SubscriptionIdInvalid",
        0x80330000: "Bad_NodeIdInvalid",
        0x80340000: "Bad_NodeIdUnknown",
        0x80350000: "Bad_AttributeIdInvalid",
        0x80360000: "Bad_IndexRangeInvalid",
        0x80370000: "Bad_IndexRangeNoData",
        0x803A0000: "Bad_NotReadable",
        0x803B0000: "Bad_NotWritable",
        0x803C0000: "Bad_OutOfRange",
        0x803D0000: "Bad_NotSupported",
        0x803E0000: "Bad_NotFound",
        0x803F0000: "Bad_ObjectDeleted",
        0x80540000: "Bad_SecurityModeRejected",
        0x80550000: "Bad_SecurityPolicyRejected",
        0x806F0000: "Bad_NoMatch",
        0x80730000: "Bad_WriteNotSupported",
        0x80740000: "Bad_TypeMismatch",
        0x80750000: "Bad_MethodInvalid",
        0x80760000: "Bad_ArgumentsMissing",
        0x80780000: "Bad_TooManyPublishRequests",
        0x80790000: "Bad_NoSubscription",
        0x80800000: "Bad_TcpMessageTooLarge",
        0x80AC0000: "Bad_ConnectionRejected",
        0x80AB0000: "Bad_InvalidArgument",
        0x80AF0000: "Bad_InvalidState",
        0x81110000: "Bad_NotExecutable",
    }
)
ACCESS_DENIED: Final = 0x801F0000
MODE_REJECTED: Final = 0x80540000
POLICY_REJECTED: Final = 0x80550000
#: A status whose two highest bits are 10 or 11 says no (OPC 10000-4, 7.39).
BAD: Final = 0x80000000
#: What a refusal says; where no other fits it is `Bad_UserAccessDenied`.
REFUSALS: Final = MappingProxyType(
    {
        Reason.VALUE_OUT_OF_RANGE: 0x803C0000,
        Reason.UNKNOWN_OPERATION: 0x800B0000,
        Reason.MALFORMED: 0x80070000,
        Reason.RATE_EXCEEDED: 0x80100000,
        Reason.TOO_MANY_IN_FLIGHT: 0x80100000,
        Reason.EVIDENCE_UNAVAILABLE: 0x80040000,
        Reason.INSPECTION_UNAVAILABLE: 0x80040000,
        Reason.HOLD_TIMED_OUT: 0x800A0000,
    }
)
#: What it says of an encrypted channel: that mode is not allowed, or not with this policy, endpoint or certificate.
ENCRYPTED_REFUSALS: Final = MappingProxyType(
    {
        Reason.OPERATION_NOT_ALLOWED: MODE_REJECTED,
        Reason.NO_CONDUIT: MODE_REJECTED,
        Reason.OBJECT_OUT_OF_RANGE: POLICY_REJECTED,
    }
)


def status_text(status: int) -> str:
    """``0x801F0000 Bad_UserAccessDenied``; the low bits say details, not the kind."""
    name = STATUS_NAMES.get(status & 0xFFFF0000, "")
    return f"0x{status:08X} {name}".rstrip()
