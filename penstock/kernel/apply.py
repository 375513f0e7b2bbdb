"""I/O: the slow side of the kernel: loading the table, policy routing, kernel parameters, and what this kernel lacks.

Stands between the enforcer and ``nft``, ``ip`` and /proc/sys; used when a gate starts and when its ruleset changes,
never per grant.  It must never leave a half-loaded table: nft's transaction is all or nothing, and is tried before.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from penstock.kernel.elements import Elements
from penstock.kernel.refusals import RefusalLog
from penstock.kernel.render import TABLE
from penstock.model import FIRST_WORKER_MARK, TPROXY_BIT, GatePlace, Unavailable

#: The routing table and the priority of the rule that bring packets of inspected flows to the worker.
ROUTE_TABLE = 100
RULE_PRIORITY = 100
#: Who is root in a namespace only may not raise a socket's buffer beyond net.core.wmem_max (SO_SNDBUFFORCE, socket(7)).
_TOO_LONG = (
    "; the ruleset does not fit into one netlink message here: run as the machine's root, or raise net.core.wmem_max"
)
#: Loading 10,000 assets takes well under a second; more than this means that nft hangs.
_TIMEOUT_S = 30.0

#: What a gate needs, and why.  ``{leg}`` is its interface.
PARAMETERS = {
    "net/ipv4/ip_forward": ("1", "the kernel path forwards packets"),
    "net/ipv4/tcp_fwmark_accept": ("1", "the worker reads the grant from the accepted socket"),
    "net/netfilter/nf_conntrack_acct": ("1", "flows end with their counters"),
    "net/netfilter/nf_conntrack_events": ("1", "flows that begin while the enforcer is away tell of their end, too"),
    "net/netfilter/nf_conntrack_timestamp": ("1", "flows end with their times"),
    "net/netfilter/nf_conntrack_tcp_loose": ("1", "standing flows survive a change to the standby gate"),
    "net/ipv4/conf/all/send_redirects": ("0", "nobody is told of a way around the gate"),
    "net/ipv4/conf/{leg}/send_redirects": ("0", "nobody is told of a way around the gate"),
    "net/ipv4/conf/all/accept_redirects": ("0", "nobody tells the gate of a way around it"),
    "net/ipv4/conf/{leg}/accept_redirects": ("0", "nobody tells the gate of a way around it"),
    "net/ipv4/conf/all/route_localnet": ("0", "loopback ports are not reachable from the plant"),
    "net/ipv4/conf/{leg}/route_localnet": ("0", "loopback ports are not reachable from the plant"),
    "net/ipv4/conf/{leg}/rp_filter": ("1", "forged sources do not pass"),
}


def load_script(script: str) -> None:
    """Load one transaction, all of it or nothing.  Raises `Unavailable` with nft's words."""
    run_tool(["nft", "-f", "-"], script)


def listing() -> str:
    """The table's rules as text, without counters and elements.  Raises `Unavailable`."""
    return run_tool(["nft", "-s", "-t", "list", "table", "inet", TABLE])


def prepare(place: GatePlace) -> None:
    """Set up policy routing and kernel parameters; twice is the same as once.  Raises `Unavailable`."""
    bit = f"{TPROXY_BIT:#x}/{TPROXY_BIT:#x}"
    rule = ["iif", place.interface, "fwmark", bit, "lookup", str(ROUTE_TABLE), "priority", str(RULE_PRIORITY)]
    present = run_tool(["ip", "-4", "rule", "show", "priority", str(RULE_PRIORITY)])
    parts = f"iif {place.interface} ", f"fwmark {bit} ", f"lookup {ROUTE_TABLE} "
    if not any(all(part in f"{line} " for part in parts) for line in present.splitlines()):
        run_tool(["ip", "-4", "rule", "add", *rule])
    run_tool(["ip", "-4", "route", "replace", "local", "default", "dev", "lo", "table", str(ROUTE_TABLE)])
    for name, (value, why) in PARAMETERS.items():
        _set(Path("/proc/sys", name.format(leg=place.interface)), value, why)


def probe() -> list[str]:
    """What this kernel or this process lacks to be a gate, one sentence each; nothing where all is there.

    Loads nothing: features of nft are asked with ``nft -c``.
    """
    missing = []
    for question, sentence in _QUESTIONS:
        try:
            question()
        except (OSError, Unavailable) as error:
            missing.append(f"{sentence} ({error})")
    return missing


def _set(path: Path, value: str, why: str) -> None:
    try:
        if path.read_text(encoding="ascii").strip() != value:
            path.write_text(value, encoding="ascii")
    except OSError as error:
        raise Unavailable(f"cannot set {path} to {value}, needed because {why}: {error.strerror}") from error


def run_tool(arguments: list[str], text: str = "") -> str:
    """What a program of the system prints when it is given `text`.  Raises `Unavailable` with its complaint."""
    try:
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise Unavailable(f"the program {arguments[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(arguments)} did not end in {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        hint = _TOO_LONG if os.strerror(errno.EMSGSIZE) in done.stderr else ""
        raise Unavailable(f"{' '.join(arguments)}: {done.stderr.strip()}{hint}")
    return done.stdout


def _nft(statement: str, chain: str = "type filter hook prerouting priority mangle;") -> Callable[[], None]:
    script = f"table inet {TABLE}_probe {{ set s {{ type mark; flags dynamic,timeout; }}\n"
    script += "set c { type mark; flags dynamic; }\n"
    script += f"chain c {{ {chain}\n{statement}\n}}\n}}\n"

    def ask() -> None:
        run_tool(["nft", "-c", "-f", "-"], script)

    return ask


def _transparent_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT in linux/in.h
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, FIRST_WORKER_MARK)


def _marked_datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, 75, 1)  # SO_RCVMARK in asm-generic/socket.h


def _refusal_log() -> None:
    RefusalLog(group=0xFFFF).close()


def _netlink() -> None:
    Elements().close()


def _parameters() -> None:
    absent = [name for name in PARAMETERS if "{" not in name and not os.access(f"/proc/sys/{name}", os.W_OK)]
    if absent:
        raise OSError(errno.EACCES, "cannot write " + ", ".join(absent))


_QUESTIONS = (
    (
        _nft("ct mark 1 meta mark @s accept"),
        "nftables with connection marks is missing: CONFIG_NF_TABLES, CONFIG_NFT_CT",
    ),
    (
        _nft("meta l4proto tcp tproxy ip to 127.0.0.1:1 accept"),
        "delivery to the transparent proxy is missing: CONFIG_NFT_TPROXY",
    ),
    (
        _nft("meta l4proto tcp reject with tcp reset"),
        "reset before routing is missing: CONFIG_NFT_REJECT_INET, Linux 5.9 or later",
    ),
    (_nft("log group 1 drop"), "packet log is missing: CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG"),
    (_nft("update @s { meta mark timeout 1s } accept"), "refreshing set elements is missing: CONFIG_NFT_SET_HASH"),
    (_nft("fib saddr . iif oif missing drop"), "the way back to a source cannot be asked for: CONFIG_NFT_FIB_INET"),
    (_nft("add @c { meta mark ct count over 1 } drop"), "connections cannot be limited: CONFIG_NFT_CONNLIMIT"),
    (_nft("meta mark 1 notrack", "type filter hook output priority raw;"), "notrack is missing: CONFIG_NFT_CT"),
    (
        _nft("dnat ip to 192.0.2.1", "type nat hook prerouting priority dstnat;"),
        "address translation is missing: CONFIG_NFT_NAT",
    ),
    (_netlink, "netlink to nftables cannot be opened: CONFIG_NETFILTER_NETLINK"),
    (_refusal_log, "the packet log cannot be read: CAP_NET_ADMIN, CONFIG_NETFILTER_NETLINK_LOG"),
    (_transparent_socket, "transparent sockets or socket marks are not allowed: CAP_NET_ADMIN"),
    (_marked_datagrams, "inspected datagrams come without their mark: Linux 5.19 or later"),
    (_parameters, "kernel parameters of the gate are not there or not writable"),
)
