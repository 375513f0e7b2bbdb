"""I/O: network namespaces as simulated cables: hosts (`Node`) on switches (`Lan`), without any right on the machine.

Stands below the lab's plant, the kernel tests and the benchmarks.  `enter` moves the running program into a user,
network and mount namespace of its own, where it is root over an empty network stack; every `Node` and `Lan` made
after that is one more network namespace, held open by a descriptor and gone when the program ends.

It must never touch the network of the machine it runs on, and never leave a process behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET
from socket import socket as new_socket
from typing import Any, TypeAlias

from penstock.model import Unavailable

Socket: TypeAlias = new_socket

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x0002_0000, 0x1000_0000, 0x4000_0000
_MS_REC, _MS_PRIVATE = 0x4000, 0x4_0000
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_OWN_NETWORK = "/proc/thread-self/ns/net"

FORBIDDEN = (
    "this machine does not let an ordinary user make network namespaces: as root, set the sysctl "
    "kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 23.10 and "
    "later) or user.max_user_namespaces=15000 (others), or run as root; in a container, allow CAP_SYS_ADMIN"
)

_libc = ctypes.CDLL(None, use_errno=True)
_mac_numbers = count(1)
_entered: list[int] = []


def enter(*, keeps_root: bool = False) -> None:
    """Move this program into a user, network and mount namespace of its own; twice is the same as once.

    `keeps_root`: where root runs it, it stays the machine's root, as a gate in service is, and only the network and the
    mounts are its own.  Very large rulesets need that: the root of a namespace may not raise its socket buffers.

    The program keeps its process number, its descriptors (open sockets go on living in the namespace where they were
    made) and its files.  It must have a single thread.  Raises `Unavailable` with what to enable where the machine
    forbids it.
    """
    if _entered:  # a fork of a program that is inside is inside as well
        return
    user, group = os.geteuid(), os.getegid()
    try:
        if keeps_root and user == 0:
            _isolate()
        else:
            _enter_as(user, group)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _up("lo")
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"{FORBIDDEN} ({error})") from error
    _entered.append(os.getpid())


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that made it ends."""
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


class Node:
    """One host: a network namespace with a name.  Addresses and routes are given as `ip` takes them."""

    def __init__(self, name: str) -> None:
        self.name = name
        with _unchanged_network():
            _call("unshare", _CLONE_NEWNET)
            self.descriptor = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        self._children: list[subprocess.Popen[Any]] = []
        self._sockets: list[Socket] = []
        self.ip("link set lo up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside the node's network until the block ends.  Never `await` in the block."""
        with _unchanged_network():
            _call("setns", self.descriptor, _CLONE_NEWNET)
            yield

    def ip(self, *commands: str) -> None:
        """Run `ip` commands, given without their first word.  Raises `Unavailable` at the first that fails."""
        with self.entered():
            _ip(*commands)

    def run(self, arguments: Sequence[str], timeout_s: float = 30.0) -> str:
        """What the program prints.  Raises `subprocess.CalledProcessError` where it fails, its text in `stderr`."""
        with self.entered():
            return subprocess.run(
                [*_MORTAL, *arguments], check=True, capture_output=True, text=True, timeout=timeout_s
            ).stdout

    def popen(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a program on this node; it is killed when this thread ends, or by `close`.

        `options` go to `subprocess.Popen`; its process number is that of the program itself.
        """
        with self.entered():
            child = subprocess.Popen([*_MORTAL, *arguments], env=environment, **options)
        self._children.append(child)
        return child

    def socket(self, family: int = AF_INET, kind: int = SOCK_STREAM, protocol: int = 0) -> Socket:
        """A socket of this node, usable from any thread and in any event loop; `close` closes it."""
        with self.entered():
            made = new_socket(family, kind, protocol)
        self._sockets = [*(kept for kept in self._sockets if kept.fileno() >= 0), made]
        return made

    def listen(self, address: str, port: int, kind: int = SOCK_STREAM) -> Socket:
        """A socket bound to `address` and `port`, and listening where that means something."""
        bound = self.socket(kind=kind)
        bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        bound.bind((address, port))
        if kind == SOCK_STREAM:
            bound.listen(1024)
        return bound

    def connect(self, address: str, port: int, timeout_s: float = 2.0) -> Socket:
        """A TCP connection from this node.  Raises `OSError` as `socket.connect` does."""
        client = self.socket()
        client.settimeout(timeout_s)
        try:
            client.connect((address, port))
        except BaseException:
            client.close()
            raise
        return client

    def route(self, network: str, via: str) -> None:
        """Send what is for `network` by way of `via`."""
        self.ip(f"route replace {network} via {via}")

    def sysctl(self, name: str, value: str | int) -> None:
        """Set one kernel parameter of the node, such as ``net.ipv4.ip_forward``."""
        with self.entered():
            Path("/proc/sys", *name.split(".")).write_text(f"{value}\n", encoding="ascii")

    def close(self) -> None:
        """Kill what was started here, close the sockets and give the namespace back."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        self._children.clear()
        for opened in self._sockets:
            opened.close()
        self._sockets.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Lan:
    """One flat switch: a bridge in a namespace of its own, and the nodes that are plugged into it."""

    BRIDGE = "switch"

    def __init__(self, name: str = "lan", address: str | None = None) -> None:
        """`address` (with prefix length) is what the switch's own router answers at, where there is one."""
        self.node = Node(name)
        self.nodes: dict[str, Node] = {}
        self._ports = count(1)
        bridge = self.BRIDGE
        self.node.ip(f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        if address is not None:
            self.node.ip(f"addr add {address} dev {bridge}")
        self.node.ip(f"link set {bridge} up")

    def add(self, name: str, *addresses: str, mac: str | None = None) -> Node:
        """A new node with an ``eth0`` on this switch.  `addresses` carry their prefix length."""
        node = Node(name)
        self.plug(node, *addresses, mac=mac)
        self.nodes[name] = node
        return node

    def plug(self, node: Node, *addresses: str, mac: str | None = None, interface: str = "eth0") -> str:
        """Plug a further interface of a node into this switch; returns the name of the switch's port."""
        port = f"port{next(self._ports)}"
        hardware = mac or "02:00:00:00:{:02x}:{:02x}".format(*divmod(next(_mac_numbers), 256))
        self.node.ip(f"link add {port} type veth peer name {interface} netns /proc/{os.getpid()}/fd/{node.descriptor}")
        self.node.ip(f"link set {port} master {self.BRIDGE} up")
        node.ip(
            f"link set {interface} address {hardware}",
            *(f"addr add {address} dev {interface}" for address in addresses),
            f"link set {interface} up",
        )
        return port

    def close(self) -> None:
        """Close every node that was added here, then the switch."""
        for node in self.nodes.values():
            node.close()
        self.nodes.clear()
        self.node.close()


#: Runs a program that the kernel kills when the thread that started it ends (PR_SET_PDEATHSIG).
_MORTAL = ("setpriv", "--pdeathsig", "KILL", "--")


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library that returns -1 and sets errno where it fails.  Raises `OSError`."""
    if getattr(_libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _enter_as(user: int, group: int) -> None:
    try:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWNS)
    except OSError as error:
        # Where user namespaces are forbidden, root does not need one.
        if user != 0 or error.errno not in (errno.EPERM, errno.ENOSPC, errno.EINVAL):
            raise
        _isolate()
    else:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")


def _isolate() -> None:
    _call("unshare", _CLONE_NEWNET | _CLONE_NEWNS)


@contextmanager
def _unchanged_network() -> Iterator[None]:
    """Whatever happens in the block, this thread is back in its network namespace after it."""
    own = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _call("setns", own, _CLONE_NEWNET)
        finally:
            os.close(own)


def _up(interface: str) -> None:
    subprocess.run(["ip", "link", "set", interface, "up"], check=True, capture_output=True)


def _ip(*commands: str) -> None:
    """One `ip` process for all the commands, in this thread's network namespace."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"ip: {done.stderr.strip()}")
