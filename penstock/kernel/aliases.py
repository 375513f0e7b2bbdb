"""I/O: overlay addresses inside the leg's own network, as addresses that the gate owns there.

Where overlay and underlay share a subnet, stations ask for an overlay address by ARP, and the kernel answers for the
/32 addresses that the leg has.  They carry a label of their own, so that this never touches anybody else's address,
and what an earlier enforcer added is known.  It must never take an address before asking whether it is free.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from penstock.kernel import arp
from penstock.model import Ruleset, Unavailable

#: Times of RFC 5227 section 1.1 are for hosts that were switched on together and may be seconds from answering.  Here
#: one host asks for some addresses on a network that runs, and whoever has one answers within milliseconds.
PROBES: Final = 3
BETWEEN_PROBES_S: Final = 0.3
WAIT_S: Final = 0.8
ANNOUNCE_AGAIN_S: Final = 2.0
#: How long a probe's answer holds.
FREE_FOR_S: Final = 60.0
_LABEL: Final = ":ps"
_MAX_LABEL: Final = 15  # IFNAMSIZ in linux/if.h, without the zero
_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 64
_WHOLE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leg:
    """The leg as the kernel has it.

    `own` are the gate's addresses in `networks`, `present` all that it has, `ours` those that were added here.
    """

    hardware: bytes
    networks: tuple[IPv4Network, ...]
    own: frozenset[IPv4Address]
    present: frozenset[IPv4Address]
    ours: frozenset[IPv4Address]


class Aliases:
    """The gate's own overlay addresses on its leg.  Lives in one event loop."""

    def __init__(self, conflict: Callable[[str, str], None]) -> None:
        """`conflict` hears of an address that was needed without being asked for before, and is somebody else's."""
        self._loop, self._conflict = asyncio.get_running_loop(), conflict
        self._free_until: dict[IPv4Address, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Stop asking; the addresses stay."""
        for task in self._tasks:
            task.cancel()

    async def occupied(self, ruleset: Ruleset) -> dict[IPv4Address, str]:
        """The overlay addresses that this ruleset would need and somebody else uses, with their hardware addresses.

        Takes about 1.5 seconds where there is anything to ask, and changes nothing.  Raises `Unavailable`.
        """
        leg = _look(ruleset.place.interface)
        wanted = _wanted(ruleset, leg)
        asked = wanted - leg.present
        held = await self._ask(ruleset.place.interface, leg, asked) if asked else {}
        return held | dict.fromkeys(wanted & leg.own, "the gate itself")

    def take(self, ruleset: Ruleset) -> None:
        """Add what is missing and known to be free; the rest is asked for in the background.  Raises `Unavailable`."""
        interface = ruleset.place.interface
        leg = _look(interface)
        missing = _wanted(ruleset, leg) - leg.present
        now_s = self._loop.time()
        free = {address for address in missing if self._free_until.get(address, 0.0) > now_s}
        self._add(interface, leg, free)
        if unknown := missing - free:
            task = self._loop.create_task(self._take_later(interface, leg, unknown))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def release(self, ruleset: Ruleset) -> None:
        """Remove what an earlier ruleset needed and this one does not.  Raises `Unavailable`."""
        leg = _look(ruleset.place.interface)
        unwanted = leg.ours - _wanted(ruleset, leg)
        _ip(f"addr del {address}/32 dev {ruleset.place.interface}" for address in sorted(unwanted))

    async def _take_later(self, interface: str, leg: _Leg, unknown: AbstractSet[IPv4Address]) -> None:
        try:
            held = await self._ask(interface, leg, unknown)
            self._add(interface, leg, unknown - held.keys() - _look(interface).present)
        except Unavailable as error:
            held = dict.fromkeys(unknown, str(error))
        for address, holder in sorted(held.items()):
            self._conflict(str(address), holder)

    async def _ask(self, interface: str, leg: _Leg, asked: AbstractSet[IPv4Address]) -> dict[IPv4Address, str]:
        held: dict[IPv4Address, str] = {}
        with _listening(interface) as listening:

            def receive() -> None:
                for _ in range(_AT_ONCE):
                    try:
                        found = arp.holder_of(listening.recv(2048), leg.hardware, asked)
                    except OSError:
                        return
                    if found is not None:
                        held[found[0]] = found[1]

            self._loop.add_reader(listening.fileno(), receive)
            try:
                for _ in range(PROBES):
                    _send(listening, (arp.probe(leg.hardware, address) for address in sorted(asked - held.keys())))
                    await asyncio.sleep(BETWEEN_PROBES_S)
                await asyncio.sleep(WAIT_S)
                receive()
            finally:
                self._loop.remove_reader(listening.fileno())
        until_s = self._loop.time() + FREE_FOR_S
        self._free_until = dict.fromkeys(asked - held.keys(), until_s)
        return held

    def _add(self, interface: str, leg: _Leg, free: AbstractSet[IPv4Address]) -> None:
        if not free:
            return
        label = interface + _LABEL
        if len(label) > _MAX_LABEL:
            why = f"the name of the leg, {interface}, is too long to mark its overlay addresses"
            raise Unavailable(f"{why}: rename it to at most {_MAX_LABEL - len(_LABEL)} characters")
        _ip(f"addr add {address}/32 dev {interface} label {label}" for address in sorted(free))
        self._announce(interface, leg.hardware, frozenset(free))
        self._loop.call_later(ANNOUNCE_AGAIN_S, self._announce, interface, leg.hardware, frozenset(free))

    @staticmethod
    def _announce(interface: str, hardware: bytes, addresses: frozenset[IPv4Address]) -> None:
        """Whoever remembers another hardware address for it learns the new one."""
        try:
            still = _look(interface).ours & addresses
            with _listening(interface) as sending:
                _send(sending, (arp.announcement(hardware, address) for address in sorted(still)))
        except (OSError, Unavailable):
            return  # an announcement is a courtesy: who asks gets the answer from the kernel


def standing_addresses(ruleset: Ruleset) -> tuple[str, ...]:
    """The overlay addresses of safety-critical flows that the gate must own on its leg.  Raises `Unavailable`."""
    standing = {flow.overlay for flow in ruleset.standing}
    return tuple(
        sorted(str(each) for each in _wanted(ruleset, _look(ruleset.place.interface)) if str(each) in standing)
    )


def _wanted(ruleset: Ruleset, leg: _Leg) -> frozenset[IPv4Address]:
    overlay = (IPv4Address(asset.overlay) for asset in ruleset.assets if asset.overlay)
    return frozenset(address for address in overlay if any(address in network for network in leg.networks))


def _look(interface: str) -> _Leg:
    (shown,) = json.loads(_run(["ip", "-j", "addr", "show", "dev", interface]))
    found = [each for each in shown["addr_info"] if each["family"] == "inet"]
    ours = {IPv4Address(each["local"]) for each in found if each.get("label") == interface + _LABEL}
    wide = [each for each in found if each["prefixlen"] < _WHOLE]
    return _Leg(
        hardware=bytes.fromhex(shown.get("address", "").replace(":", "")),
        networks=tuple(IPv4Network((each["local"], each["prefixlen"]), strict=False) for each in wide),
        own=frozenset(IPv4Address(each["local"]) for each in wide),
        present=frozenset(IPv4Address(each["local"]) for each in found),
        ours=frozenset(ours),
    )


def _listening(interface: str) -> socket.socket:
    """A raw socket for ARP on the leg (packet(7)).  Needs CAP_NET_RAW.  Raises `Unavailable`."""
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(arp.ETHERTYPE))
        opened.setblocking(False)
        opened.bind((interface, arp.ETHERTYPE))
    except OSError as error:
        raise Unavailable(f"cannot ask who has an address on {interface}: {error.strerror}") from error
    return opened


def _send(sending: socket.socket, frames: Iterable[bytes]) -> None:
    for frame in frames:
        try:
            sending.send(frame)
        except OSError as error:
            raise Unavailable(f"cannot ask who has an address: {error.strerror}") from error


def _ip(commands: Iterable[str]) -> None:
    text = "\n".join(commands)
    if text:
        _run(["ip", "-batch", "-"], text)


def _run(arguments: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(arguments)}: {error}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
