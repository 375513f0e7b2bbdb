"""Recognised protocols as services of a gate: the words of a site document for them, and how a flow is held to each.

Pure.  What is said in such a flow has no refusal that the gate speaks: what is not allowed ends the flow.  Where each
message tells its class and none can hide in another, a conduit may name classes; elsewhere all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from penstock.model import OperationClass
from penstock.wire.protocol import Known
from penstock.wire.recognised import RecognisedProtocol
from penstock.wire.recognised.ftp import FTP
from penstock.wire.recognised.ge_srtp import GE_SRTP
from penstock.wire.recognised.http import HTTP
from penstock.wire.recognised.mms import MMS
from penstock.wire.recognised.profinet import PROFINET
from penstock.wire.recognised.rdp import RDP
from penstock.wire.recognised.s7comm_plus import S7COMM_PLUS
from penstock.wire.recognised.slmp import SLMP
from penstock.wire.recognised.smb import SMB
from penstock.wire.recognised.ssh import SSH
from penstock.wire.recognised.telnet import TELNET
from penstock.wire.recognised.tls import TLS
from penstock.wire.recognised.vnc import VNC
from penstock.wire.spoken.beginning import Beginning, Opens, Prelude
from penstock.wire.spoken.course import Course, Piece
from penstock.wire.spoken.framed import ge_srtp_course, slmp_course
from penstock.wire.spoken.opening import nothing, opens_http, opens_mms, opens_smb, opens_tls, transport_connect
from penstock.wire.spoken.osi import MmsCourse, S7PlusCourse
from penstock.wire.spoken.remote_desktop import RdpCourse
from penstock.wire.spoken.streams import SmbCourse, SshCourse, TelnetCourse, TlsCourse, VncCourse
from penstock.wire.spoken.transfer import FtpCourse
from penstock.wire.spoken.web import HttpCourse

#: A channel that passes unread is a class of protocols whose endpoints the gate knows; here it is `unknown`.
_CLASSES: Final = frozenset(OperationClass) - {OperationClass.ENCRYPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One recognised protocol as a site document names it (`word`, a DNS label).

    `course` makes what a flow over TCP is held to, ``None`` where it is not spoken so; over UDP each datagram is known
    by `Known.fits`.  `opens` and `prelude`: see `Beginning`.  `classes` are those that a conduit may name; without any
    it is ``any`` or nothing.
    """

    word: str
    protocol: RecognisedProtocol
    course: Callable[[], Course] | None
    opens: Opens
    prelude: Prelude = nothing
    classes: frozenset[OperationClass] = frozenset()

    @property
    def transports(self) -> tuple[str, ...]:
        """Over which a worker holds flows to it: ``tcp``, ``udp``."""
        over_udp = ("udp",) if "udp" in self.protocol.dissectors else ()
        return (*(("tcp",) if self.course is not None else ()), *over_udp)

    @property
    def everything(self) -> tuple[OperationClass, ...]:
        """What ``any`` stands for; `discovery` only of what knows it, for it permits echo as well."""
        left_out = frozenset() if self.classes else {OperationClass.DISCOVERY}
        return tuple(each for each in OperationClass if each in _CLASSES and each not in left_out)

    def beginning(self, known: tuple[Known, ...]) -> Beginning:
        """Of one flow."""
        return Beginning(self.word, self.opens, self.prelude, known)


def _spoken(
    protocol: RecognisedProtocol,
    course: Callable[[], Course] | None,
    *words: str,
    opens: Opens | None = None,
    prelude: Prelude = nothing,
    is_told_apart: bool = False,
) -> tuple[Spoken, ...]:
    classes = _CLASSES if is_told_apart else frozenset()
    return tuple(
        Spoken(
            word=word,
            protocol=protocol,
            course=course,
            opens=opens or protocol.fits,
            prelude=prelude,
            classes=classes,
        )
        for word in words or (protocol.name,)
    )


#: By the word of a site document.  A new one is a line here.
SPOKEN: Final[Mapping[str, Spoken]] = MappingProxyType(
    {
        each.word: each
        for each in (
            *_spoken(MMS, MmsCourse, opens=opens_mms, prelude=transport_connect, is_told_apart=True),
            *_spoken(S7COMM_PLUS, S7PlusCourse, "s7comm-plus", prelude=transport_connect, is_told_apart=True),
            *_spoken(GE_SRTP, ge_srtp_course, "ge-srtp", is_told_apart=True),
            *_spoken(SLMP, slmp_course, "slmp", "melsec", is_told_apart=True),
            *_spoken(PROFINET, None),
            *_spoken(SSH, SshCourse),
            *_spoken(RDP, RdpCourse, prelude=transport_connect),
            *_spoken(VNC, VncCourse),
            *_spoken(HTTP, HttpCourse, opens=opens_http),
            *_spoken(TLS, TlsCourse, "tls", "https", opens=opens_tls),
            *_spoken(SMB, SmbCourse, opens=opens_smb),
            *_spoken(FTP, FtpCourse),
            *_spoken(TELNET, TelnetCourse),
        )
    }
)

__all__ = ["SPOKEN", "Beginning", "Course", "Piece", "Spoken"]
