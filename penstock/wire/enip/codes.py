"""Which EtherNet/IP and CIP code is which class of operation: the project's taxonomy as tables.

Data only.  Sources: ODVA CIP Volume 1 (common services, Connection Manager) and Volume 2 (EtherNet/IP encapsulation);
Rockwell 1756-PM020 (Logix data access) and 1770-6.5.16 (DF1: PCCC commands).  Logix program transfer and firmware have
no public specification: those services are known from captures.  A code that is not here is `unknown`.

A service number from 0x31 up has a meaning only together with its class: 0x52 is Unconnected Send on class 0x06 and
Read Tag Fragmented on a tag.
"""

from __future__ import annotations

from typing import Final

from penstock.model import OperationClass as Is

Classes = tuple[Is, ...]

#: What stands for the classes of a container: what it carries decides.
CARRIES: Final[Classes] = ()
#: The class of a symbolic path.  Symbol and template objects (0x6B, 0x6C) have the services of tags as well.
TAG: Final = -1
TAG_CLASSES: Final = (TAG, 0x6B, 0x6C)

MESSAGE_ROUTER: Final = 0x02
ASSEMBLY: Final = 0x04
CONNECTION_MANAGER: Final = 0x06
MODBUS_OBJECT: Final = 0x44
PCCC_OBJECT: Final = 0x67
SYMBOL: Final = 0x6B
TEMPLATE: Final = 0x6C

#: Encapsulation commands (Volume 2, 2-3.2): (command, name, classes).
COMMANDS: Final[tuple[tuple[int, str, Classes], ...]] = (
    (0x0000, "NOP", (Is.SESSION,)),
    (0x0004, "List Services", (Is.DISCOVERY,)),
    (0x0063, "List Identity", (Is.DISCOVERY,)),
    (0x0064, "List Interfaces", (Is.DISCOVERY,)),
    (0x0065, "Register Session", (Is.SESSION,)),
    (0x0066, "Unregister Session", (Is.SESSION,)),
    (0x006F, "Send RR Data", CARRIES),
    (0x0070, "Send Unit Data", CARRIES),
    (0x00C8, "Start DTLS", (Is.SESSION,)),
)

Services = tuple[tuple[tuple[int, ...], Classes], ...]

#: Of any class, unless `BY_CLASS` says otherwise (Volume 1, appendix A).
COMMON_SERVICES: Final[Services] = (
    ((0x01, 0x03, 0x0E, 0x18), (Is.READ,)),
    ((0x11,), (Is.DISCOVERY,)),
    ((0x02, 0x04, 0x10, 0x19, 0x1A, 0x1B), (Is.WRITE,)),
    ((0x05,), (Is.EXECUTE,)),
    ((0x06, 0x07), (Is.EXECUTE,)),
    ((0x08, 0x09), (Is.PROGRAM_TO_DEVICE,)),
    ((0x0A,), CARRIES),
    ((0x0D,), (Is.CONFIG,)),
    ((0x15, 0x16), (Is.CONFIG,)),
    ((0x17,), (Is.SESSION,)),
    ((0x1C,), (Is.CONFIG,)),
)

#: (classes of objects, services).
BY_CLASS: Final[tuple[tuple[tuple[int, ...], Services], ...]] = (
    ((0x01,), (((0x01, 0x03, 0x0E), (Is.DISCOVERY,)), ((0x05,), (Is.EXECUTE,)))),
    (
        (CONNECTION_MANAGER,),
        (
            ((0x54, 0x5B), (Is.SESSION,)),
            ((0x4E,), (Is.SESSION,)),
            ((0x52,), CARRIES),
            ((0x56, 0x57, 0x5A), (Is.DIAGNOSTICS,)),
        ),
    ),
    (
        TAG_CLASSES,
        (
            ((0x4C, 0x52), (Is.READ,)),
            ((0x4D, 0x53), (Is.WRITE,)),
            ((0x4E,), (Is.WRITE,)),
            ((0x55,), (Is.DISCOVERY,)),
        ),
    ),
    ((PCCC_OBJECT,), (((0x4B,), CARRIES),)),
    (
        (0x37,),
        (
            ((0x4B, 0x4D, 0x4F), (Is.FILE_READ,)),
            ((0x4C, 0x4E, 0x50), (Is.FILE_WRITE,)),
            ((0x51,), (Is.FILE_WRITE,)),
        ),
    ),
    (
        (MODBUS_OBJECT,),
        (((0x4B, 0x4C, 0x4D, 0x4E), (Is.READ,)), ((0x4F, 0x50), (Is.WRITE,)), ((0x51,), CARRIES)),
    ),
    ((0x43, 0x47, 0x48, 0xF4, 0xF5, 0xF6), (((0x02, 0x04, 0x10), (Is.CONFIG,)),)),
    ((0x5D, 0x5E, 0x5F), (((0x02, 0x04, 0x08, 0x09, 0x10), (Is.CONFIG,)),)),
    ((0xA1,), (((0x4B, 0x4D, 0x51), (Is.FIRMWARE,)),)),
    ((0x8E,), (((0x06, 0x07), (Is.EXECUTE,)), ((0x02, 0x04, 0x10), (Is.CONFIG,)))),
    ((0x74,), (((0x4B, 0x4C), (Is.AUTH,)),)),
    (
        (0x64, 0x68, 0x69, 0x6A, 0x6B, 0x6D, 0x6F, 0x70, 0x77, 0x7E, 0x8B, 0xA2, 0xA3, 0xAC),
        (
            ((0x04, 0x08, 0x09, 0x50), (Is.PROGRAM_TO_DEVICE,)),
            ((0x4F,), (Is.PROGRAM_FROM_DEVICE,)),
            ((0x4B,), (Is.DIAGNOSTICS,)),
        ),
    ),
    ((0x72,), (((0x4C,), (Is.READ,)), ((0x05, 0x08, 0x4B), (Is.DIAGNOSTICS,)))),
)

#: (DF1 command, functions, classes).
PCCC: Final[tuple[tuple[int, tuple[int, ...], Classes], ...]] = (
    (0x06, (0, 1, 3, 9), (Is.DIAGNOSTICS,)),
    (0x06, (2, 4, 5, 6, 7, 8, 10), (Is.CONFIG,)),
    (0x07, (0, 1, 3), (Is.EXECUTE,)),
    (0x07, (4, 5, 6), (Is.PROGRAM_TO_DEVICE,)),
    (0x0F, (0x01, 0x04, 0x09, 0x17, 0x29, 0x68, 0xA1, 0xA2, 0xA7), (Is.READ,)),
    (0x0F, (0x00, 0x02, 0x03, 0x08, 0x18, 0x26, 0x67, 0x79, 0xA9, 0xAA, 0xAB, 0xAF), (Is.WRITE,)),
    (0x0F, (0x05, 0x50, 0x52), (Is.PROGRAM_TO_DEVICE,)),
    (0x0F, (0x06, 0x53, 0x55), (Is.PROGRAM_FROM_DEVICE,)),
    (0x0F, (0x07, 0x0A, 0x3A, 0x80), (Is.EXECUTE,)),
    (0x0F, (0x11, 0x12), (Is.AUTH,)),
    (0x0F, (0x41,), (Is.WRITE,)),
    (0x0F, (0x57, 0x8F), (Is.CONFIG,)),
    (0x0F, (0x81, 0x82), (Is.FILE_READ,)),
    (0x0F, (0x88,), CARRIES),
)

#: command → (name, classes)
COMMAND_MEANINGS: Final = {command: (name, classes) for command, name, classes in COMMANDS}
#: service → classes, for classes of objects that do not say otherwise
COMMON: Final = {service: classes for services, classes in COMMON_SERVICES for service in services}
#: (class of objects, service) → classes
SPECIAL: Final = {
    (number, service): classes
    for numbers, entries in BY_CLASS
    for services, classes in entries
    for number in numbers
    for service in services
}
#: (DF1 command, function) → classes
PCCC_MEANINGS: Final = {(command, each): classes for command, functions, classes in PCCC for each in functions}


def classes_of(number: int, service: int) -> Classes | None:
    """The classes of a service of objects of the class `number`; ``None`` where the taxonomy has none."""
    found = SPECIAL.get((number, service))
    return COMMON.get(service) if found is None else found
