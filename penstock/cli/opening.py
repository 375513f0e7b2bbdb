"""From what a person names to open doors: which services are meant, their local sockets, and a grant for each.

Stands between `connect` and the gate.  The socket comes before the grant, for a grant that cannot be used need not be
minted.  What is refused, or cannot be opened here, is said with its reason and does not keep the rest from opening.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from penstock.cli import local, output, profile
from penstock.cli.answers import OpenedGrant, Reachable, Refusal
from penstock.cli.door import UDP, Door, Opening
from penstock.cli.shared_grants import Grantor
from penstock.model import Invalid, PenstockError, Problem

#: Local ports of one range.
MAX_PORTS = 64
_LAST_PORT = 65_535
_ECHO = "icmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One service that shall be opened; `listed` is the gate's row about it, ``None`` where it shows none."""

    asset: str
    service: str | None
    listed: Reachable | None


@dataclass(slots=True)
class Opened:
    """What came of the wishes."""

    doors: list[Door] = field(default_factory=list)
    refused: list[tuple[Wish, Refusal]] = field(default_factory=list)
    failed: list[PenstockError] = field(default_factory=list)


def wishes(rows: tuple[Reachable, ...], assets: Iterable[str], services: Iterable[str]) -> list[Wish]:
    """What is meant: the named services of each asset, else all that may be reached of it.

    Where there is nothing of the kind the gate is asked all the same, so that the attempt is on record.
    """
    found: dict[tuple[str, str | None], Wish] = {}
    named = tuple(services)
    for asset in assets:
        offered = [row for row in rows if row.asset == asset]
        if named:
            meant = [(_row(offered, name), name) for name in named]
        else:
            allowed = [row for row in offered if row.is_allowed]
            meant = [(row, row.service) for row in allowed]
        for row, name in meant:
            wish = Wish(asset=asset, service=name if row is None else row.service, listed=row)
            found.setdefault((asset, wish.service), wish)
        if not meant:
            found[asset, None] = Wish(asset=asset, service=None, listed=None)
    return list(found.values())


def left_out(rows: tuple[Reachable, ...], assets: Iterable[str], services: Iterable[str]) -> list[Reachable]:
    """The services of assets that were named as a whole, of which a part may be reached, that may not be."""
    if tuple(services):
        return []
    asked = [row for asset in dict.fromkeys(assets) for row in rows if row.asset == asset]
    reached = {row.asset for row in asked if row.is_allowed}
    return [row for row in asked if row.asset in reached and not row.is_allowed]


class Opener:
    """Opens wishes one after the other; what it opened is undone with `stack`."""

    def __init__(
        self, gate: Grantor, place: profile.Profile, stack: contextlib.ExitStack, port: int | None, *, on_overlay: bool
    ) -> None:
        """`port` is asked for by the person; `on_overlay`: listen on the asset's overlay address."""
        self._gate, self._place, self._stack, self._port = gate, place, stack, port
        self._on_overlay = on_overlay
        self.opened = Opened()

    def open(self, wish: Wish) -> None:
        """Open one; what became of it is in `opened`."""
        try:
            with contextlib.ExitStack() as sockets:
                door = self._door(wish, sockets)
                if door is not None:
                    self.opened.doors.append(door)
                    self._stack.push(sockets.pop_all())
        except Invalid as error:
            self.opened.failed.append(error)

    def _door(self, wish: Wish, sockets: contextlib.ExitStack) -> Door | None:
        openings = None if wish.listed is None else self._openings(wish.listed, sockets)
        answer = self._gate.open_grant(wish.asset, wish.service)
        if isinstance(answer, Refusal):
            self.opened.refused.append((wish, answer))
            return None
        if openings is None:
            try:
                openings = self._openings(answer, sockets)
            except Invalid:
                self._gate.close_grant(answer.grant)
                raise
        return Door(answer, openings)

    def _openings(self, row: Reachable | OpenedGrant, sockets: contextlib.ExitStack) -> tuple[Opening, ...]:
        """A socket for each of the service's ports.  Raises `Invalid` where one of them cannot be had."""
        last = row.port if row.last_port is None else row.last_port
        size = last - row.port + 1
        if size > MAX_PORTS:
            why = f"{row.asset} {row.service} has {size} ports, and a client opens {MAX_PORTS} at most"
            hint = "open it in the portal from a station on the plant network, and use the overlay address there"
            raise Invalid(Problem(where=f"{row.asset} {row.service}", why=why, hint=hint))
        if self._port is not None and (size > 1 or self._on_overlay):
            raise Invalid(Problem(where="--port", why="it is for one service with one port, on loopback"))
        kind = socket.SOCK_DGRAM if row.transport == UDP else socket.SOCK_STREAM
        return tuple(
            Opening(
                socket=self._listening(row, row.port + step, kind, sockets),
                port=None if row.last_port is None else row.port + step,
            )
            for step in range(size)
        )

    def _listening(
        self, row: Reachable | OpenedGrant, port: int, kind: socket.SocketKind, sockets: contextlib.ExitStack
    ) -> socket.socket:
        service = local.local_name(row.service, port, row.last_port)
        if self._on_overlay:
            first = row.port if row.overlay_port is None else row.overlay_port
            host, own = row.overlay, first + port - row.port
        else:
            host, own = local.HOST, self._own_port(row.asset, service, lambda each: local.is_free(each, kind))
        listening = local.listen(own, host, kind)
        if listening is None:
            raise local.in_use(own, self._place.listening(own), host)
        sockets.enter_context(listening)
        if not self._on_overlay:
            sockets.enter_context(self._place.announced(listening.getsockname()[1], row.asset, service))
        return listening

    def _own_port(self, asset: str, service: str, is_free: Callable[[int], bool]) -> int:
        port = self._place.port_of(asset, service, is_free) if self._port is None else self._port
        if not 0 <= port <= _LAST_PORT:
            raise Invalid(Problem(where="--port", why=f"{port} is not a port"))
        return port


def say_refused(wish: Wish, refusal: Refusal) -> None:
    """Why not, and what helps."""
    output.say(f"penstock: no access to {_name(wish.asset, wish.service)}: {refusal.words}")
    if refusal.conduit:
        output.say(f"closest conduit: “{refusal.conduit}”")
    for miss in refusal.misses:
        output.say(f"  {miss}")
        output.hint(miss.remedy)
    output.hint(refusal.way_back)


def say_left_out(row: Reachable) -> None:
    """One line for a service that nobody asked for by its name; for echo, which each asset has, not even that."""
    if row.protocol != _ECHO:
        why = "; ".join(f"{miss}" for miss in row.misses) or "no conduit leads there for you"
        output.say(f"not opened: {row.asset} {row.service}: {why}")


def _name(asset: str, service: str | None) -> str:
    return asset if service is None else f"{asset} {service}"


def _row(rows: list[Reachable], name: str) -> Reachable | None:
    named = next((row for row in rows if row.service == name), None)
    return named or next((row for row in rows if row.protocol == name), None)
