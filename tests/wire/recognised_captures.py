"""Which capture is of which recognised protocol, and which of tshark's units are its own."""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.wire import KNOWN, Known

#: By their names.
BY_NAME: Final = {each.name: each for each in KNOWN}


class Captured(NamedTuple):
    """One capture of a protocol: its carrier, tshark's units, and whether tshark's unit is the packet."""

    name: str
    protocol: str
    carrier: str
    kinds: tuple[str, ...]
    is_by_packet: bool = False

    @property
    def known(self) -> Known:
        return BY_NAME[self.protocol]


CAPTURED: Final = (
    Captured("http-get.pcap", "http", "tcp", ("http",)),
    Captured("http-post-multipart.pcap", "http", "tcp", ("http",)),
    Captured("modbus-port502-mixed.pcap", "http", "tcp", ("http",)),
    Captured("ftp-retr.pcap", "ftp", "tcp", ("ftp",)),
    Captured("telnet-login.pcap", "telnet", "tcp", ("telnet",), is_by_packet=True),
    Captured("ssh-session.pcap", "ssh", "tcp", ("ssh",), is_by_packet=True),
    Captured("tls-ecdhe.pcap", "tls", "tcp", ("tls",), is_by_packet=True),
    Captured("modbus-port502-mixed.pcap", "tls", "tcp", ("tls",), is_by_packet=True),
    Captured("vnc-auth.pcap", "vnc", "tcp", ("vnc",)),
    Captured("smb2-read-write.pcap", "smb", "tcp", ("smb", "smb2", "data")),
    Captured("melsec-melsoft-udp.pcap", "melsec_slmp", "udp", ("data",)),
    Captured("mms-read.pcap", "mms", "tcp", ("mms", "cotp")),
    Captured("mms-write.pcap", "mms", "tcp", ("mms", "cotp")),
    Captured("mms-name-list.pcap", "mms", "tcp", ("mms", "cotp")),
    Captured("mms-long.pcap", "mms", "tcp", ("mms", "cotp")),
    Captured("rdp-x509.pcap", "rdp", "tcp", ("rdp", "t125", "cotp")),
    Captured("s7-plus-mixed.pcap", "s7comm_plus", "tcp", ("data",)),
    Captured("profinet-io-cm.pcapng", "profinet", "udp", ("dcerpc",)),
    Captured("profinet-dcp-set-ip.pcap", "profinet", "ether/8892", ("pn_rt",)),
)
