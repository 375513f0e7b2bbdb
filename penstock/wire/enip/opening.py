"""Forward Open and Forward Close: what a connection will carry, and to whom.

Pure.  ODVA CIP Volume 1, 3-5.5 (services of the Connection Manager) and 3-5.4.1.10 (which path is consumed and which
is produced).  An explicit connection is a session.  An implicit one (transport class 0 or 1) that sends data to the
asset writes there for as long as it stands, without another request: it counts as a write.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.enip.codes import ASSEMBLY, MESSAGE_ROUTER
from penstock.wire.enip.path import NO_CLASS, Path, read_path

_small = Struct("<BBIIHHIB3xIHIHBB")
_large = Struct("<BBIIHHIB3xIIIIBB")
_close = Struct("<BBHHIBB")
LARGE: Final = 0x5B
#: Bits of the connection parameters (3-5.5.1.1): the type (0: none in this direction), and the size in bytes.
_SMALL_TYPE, _SMALL_SIZE = 13, 0x1FF
_LARGE_TYPE, _LARGE_SIZE = 29, 0xFFFF
_TYPE_BITS: Final = 3
_CLASS_BITS: Final = 0x0F
_IMPLICIT: Final = (0, 1)
_EXPLICIT: Final = (2, 3)
#: Class 1 puts a sequence count of 16 bits in front of the data (3-4.4.2): with nothing else it is a heartbeat.
_COUNT_BYTES: Final = {0: 0, 1: 2}
_MAX_PATHS: Final = 3

#: Connection serial number, vendor and serial number of the originator.
Triad = tuple[int, int, int]


class Opening(msgspec.Struct, frozen=True, gc=False):
    """A connection that somebody wants: its triad, the id towards the originator, what it carries and to whom.

    `consumed` and `produced` are the objects that an implicit connection writes to and reads from, in their one
    spelling, empty where it does not.  `configured` is the object that the opening itself configures.
    `is_router` is true where the connection ends at the message router, so that it carries requests.
    """

    triad: Triad
    to_originator: int
    path: Path
    is_implicit: bool
    is_router: bool
    consumed: tuple[str, ...] = ()
    produced: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()


def read_opening(service: int, data: bytes) -> Opening:
    """The connection that a (Large) Forward Open asks for.  Raises `Malformed`."""
    layout = _large if service == LARGE else _small
    if len(data) < layout.size:
        raise Malformed("a Forward Open ends before its path (3-5.5.2)")
    fields = layout.unpack_from(data)
    to_originator, serial, vendor, originator = fields[3:7]
    to_target, from_target, trigger, words = fields[9], fields[11], fields[12], fields[13]
    if len(data) != layout.size + 2 * words:
        raise Malformed(f"a Forward Open announces a path of {words} words and has {len(data) - layout.size} bytes")
    path = read_path(data[layout.size :])
    transport = trigger & _CLASS_BITS
    triad = (serial, vendor, originator)
    if transport in _EXPLICIT:
        configured = tuple(application_paths(path)[:1]) or (path.name or "?",)
        return Opening(triad, to_originator, path, False, _is_router(path), (), (), configured if path.config else ())
    if transport not in _IMPLICIT:
        raise Malformed(f"{transport} is no transport class (3-4.4.1)")
    shift, mask = (_LARGE_TYPE, _LARGE_SIZE) if service == LARGE else (_SMALL_TYPE, _SMALL_SIZE)
    consumes = bool(to_target >> shift & _TYPE_BITS) and to_target & mask > _COUNT_BYTES[transport]
    produces = bool(from_target >> shift & _TYPE_BITS)
    consumed, produced, configured = _roles(
        path, is_two_way=bool(to_target >> shift & _TYPE_BITS), consumes=consumes, produces=produces
    )
    return Opening(triad, to_originator, path, True, False, consumed, produced, configured)


def read_closing(data: bytes) -> tuple[Triad, Path]:
    """Which connection a Forward Close ends.  Raises `Malformed`."""
    if len(data) < _close.size:
        raise Malformed("a Forward Close ends before its path (3-5.5.3)")
    _, _, serial, vendor, originator, words, _ = _close.unpack_from(data)
    if len(data) != _close.size + 2 * words:
        raise Malformed(f"a Forward Close announces a path of {words} words and has {len(data) - _close.size} bytes")
    return (serial, vendor, originator), read_path(data[_close.size :])


def targets_of(opening: Opening) -> tuple[tuple[OperationClass, ...], tuple[Target, ...]]:
    """What the opening itself asks for: a session, and what an implicit connection does as long as it stands."""
    classes = [OperationClass.SESSION]
    targets: list[Target] = []
    for each, names in (
        (OperationClass.WRITE, opening.consumed),
        (OperationClass.READ, opening.produced),
        (OperationClass.CONFIG, opening.configured),
    ):
        if names:
            classes.append(each)
            targets += [Target(each, "objects", 0, 1, name) for name in names]
    return tuple(classes), tuple(targets)


def _is_router(path: Path) -> bool:
    """Whether the connection ends at the message router itself."""
    return path.is_known and path.numbers == (("class", MESSAGE_ROUTER), ("instance", 1)) and not path.config


def _roles(
    path: Path, *, is_two_way: bool, consumes: bool, produces: bool
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Which of up to three application paths is consumed, produced and configured (3-5.4.1.10).

    Where both directions carry something and there are two paths, the first is consumed; with three the first is
    configured.  What is not laid down there counts as everything.
    """
    ends = application_paths(path)
    if not path.is_known or len(ends) > _MAX_PATHS or not ends:
        everything = tuple(ends) or (path.name or "?",)
        return everything, everything if produces else (), everything if path.config else ()
    configured = (ends[0],) if path.config else ()
    if not (is_two_way and produces):
        only = (ends[-1],) if len(ends) < _MAX_PATHS else tuple(ends)
        return only if consumes else (), only if produces else (), configured
    consumed = ends[-2] if len(ends) > 1 else ends[0]
    return (consumed,) if consumes else (), (ends[-1],), configured


def application_paths(path: Path) -> list[str]:
    """The objects that a connection path names behind its route: ``0x4/100``, or a tag."""
    if path.symbols:
        return [path.name]
    ends: list[str] = []
    number = NO_CLASS
    for kind, value in path.numbers:
        if kind == "class":
            number = value
        elif kind in ("instance", "connpoint"):
            ends.append(f"0x{number if number != NO_CLASS else ASSEMBLY:x}/{value}")
    return ends
