"""Protocols that are recognised from their bytes, with the operation of each message, and not enforced.

Pure.  The gate refuses a flow whose bytes are one of these where its service declares another; passive decoding shows
them.  A protocol moves from here to `PROTOCOLS` when somebody writes its decoder.
"""

from __future__ import annotations

from typing import Final

from penstock.wire.recognised.ftp import FTP
from penstock.wire.recognised.ge_srtp import GE_SRTP
from penstock.wire.recognised.http import HTTP
from penstock.wire.recognised.mms import MMS
from penstock.wire.recognised.profinet import PROFINET
from penstock.wire.recognised.rdp import RDP
from penstock.wire.recognised.reading import RecognisedProtocol
from penstock.wire.recognised.s7comm_plus import S7COMM_PLUS
from penstock.wire.recognised.slmp import SLMP
from penstock.wire.recognised.smb import SMB
from penstock.wire.recognised.ssh import SSH
from penstock.wire.recognised.telnet import TELNET
from penstock.wire.recognised.tls import TLS
from penstock.wire.recognised.vnc import VNC

#: Every protocol that is recognised and not enforced.  A new one is a line here.
RECOGNISED: Final[tuple[RecognisedProtocol, ...]] = (
    MMS,
    S7COMM_PLUS,
    GE_SRTP,
    SLMP,
    PROFINET,
    SSH,
    RDP,
    VNC,
    HTTP,
    TLS,
    SMB,
    FTP,
    TELNET,
)

__all__ = ["RECOGNISED", "RecognisedProtocol"]
