"""Pure: the elements of the static sets, which a ruleset brings along: where things are, who stands, what is limited.

Stands between a `Ruleset` and `render`.  It must never put two answers to one question into a map: that is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from penstock.kernel import checked
from penstock.kernel.optional import Needs, Pace
from penstock.kernel.segments import segments
from penstock.model import COPIED_BIT, SAFETY_BIT, UPSTREAM_BIT, PortRange, PortTranslation, Ruleset, Standing

#: The longest range of ports that can be reached at other ports than its own: each is an element.
MAX_MOVED = 4096
_MAX_CONNECTIONS, _MAX_OPENS, _MAX_PERIOD_S = 65_535, 1_000_000, 7 * 86_400
_ECHO = "icmp"


def fillings(ruleset: Ruleset) -> dict[str, set[str]]:
    """The elements of each static set, as nft writes them.  Raises `Invalid` with the first value that is none."""
    places = Places(ruleset)
    hardware = {*ruleset.hardware, *((asset.underlay, asset.mac) for asset in ruleset.assets if asset.mac is not None)}
    found = {
        "assets": {f"{checked.address(overlay)} : {checked.address(own)}" for overlay, own in places.own.items()},
        "mapped": {element for each in ruleset.ports for element in places.moved(each)},
        "underlay": {checked.address(own) for own in places.everywhere},
        "overlay": overlay_addresses(ruleset) if ruleset.overlay_is_shared else set(),
        "shown": {checked.address(each.underlay) for each in ruleset.assets if each.keeps_client_address},
        "inspect": {checked.service(each.overlay, each.transport, each.port) for each in ruleset.inspected},
        "ranges": set(_spans(places)),
        **_standing(ruleset, places),
        "declared": {checked.address(source) for source, _ in hardware},
        "hardware": {f"{checked.address(source)} . {checked.mac(mac)}" for source, mac in hardware},
        **segments(ruleset.segments, hardware),
        "slots": {f"{own} : {checked.mark(count)}" for own, count in _slots(ruleset)},
        "paces": {f"{own} : {checked.mark(pace.key)}" for own, pace in _paces(ruleset)},
    }
    for name, elements in found.items():
        _refuse_two_answers(name, elements)
    return found


def overlay_addresses(ruleset: Ruleset) -> set[str]:
    """Every overlay address that leads somewhere."""
    used = {each.overlay for each in ruleset.assets if each.overlay} | {each.overlay for each in ruleset.ports}
    return {checked.address(overlay) for overlay in used}


def needs(ruleset: Ruleset) -> Needs:
    """Which optional statements this ruleset needs."""
    return Needs(
        copies=ruleset.has_copies or any(flow.is_copied for flow in ruleset.standing),
        ranges=bool(ruleset.ranges) or any(flow.last_port is not None for flow in ruleset.standing),
        ports=bool(ruleset.ports),
        shown=any(asset.keeps_client_address for asset in ruleset.assets),
        segments=bool(ruleset.segments),
        datagrams=any(each.transport == "udp" for each in ruleset.inspected),
        slots=tuple(sorted({count for _, count in _slots(ruleset)})),
        paces=tuple(sorted({pace for _, pace in _paces(ruleset)})),
    )


class Places:
    """Where overlay addresses and ports lead."""

    def __init__(self, ruleset: Ruleset) -> None:
        pairs = {(each.overlay, each.underlay) for each in ruleset.assets if each.overlay}
        shared = Counter(overlay for overlay, _ in pairs)
        #: Overlay address -> own address, where nobody else has it; the others are reached by port only.
        self.own = {overlay: own for overlay, own in pairs if shared[overlay] == 1}
        self.everywhere = {each.underlay for each in ruleset.assets} | {each.underlay for each in ruleset.ports}
        self._moved = {(each.overlay, each.transport, each.overlay_port): each for each in ruleset.ports}
        standing = (
            PortRange(overlay=each.overlay, transport=each.transport, first=each.port, last=each.last_port)
            for each in ruleset.standing
            if each.last_port is not None
        )
        self.ranges = {*ruleset.ranges, *standing}

    def of(self, overlay: str, transport: str, port: int) -> tuple[str, int]:
        """The asset's own address and port.  Raises `Invalid` where the overlay address leads nowhere."""
        moved = self._moved.get((overlay, transport, port))
        if moved is not None:
            return moved.underlay, moved.port
        if overlay not in self.own:
            raise checked.invalid("overlay address, it is without asset", overlay)
        return self.own[overlay], port

    def moved(self, first: PortTranslation) -> Iterable[str]:
        """The elements for one port, and for those behind it where it is the first of a range."""
        at = first.overlay, first.transport, first.overlay_port
        same = (each.last for each in self.ranges if (each.overlay, each.transport, each.first) == at)
        last = max(same, default=first.overlay_port)
        if last - at[2] >= MAX_MOVED:
            raise checked.invalid(f"range of ports to move, {MAX_MOVED} at most", f"{at[2]}-{last}")
        for step in range(last - at[2] + 1):
            one = replace(first, overlay_port=at[2] + step, port=first.port + step)
            if step == 0 or (one.overlay, one.transport, one.overlay_port) not in self._moved:
                key = checked.service(one.overlay, one.transport, one.overlay_port)
                yield f"{key} : {checked.address(one.underlay)} . {checked.port(one.port)}"


def _spans(places: Places) -> Iterable[str]:
    """Ranges on the overlay, and where they are on the assets: the first port stands for all of them."""
    found: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for each in places.ranges:
        own, port = places.of(each.overlay, each.transport, each.first)
        found.setdefault((each.overlay, each.transport), set()).add((each.first, each.last))
        found.setdefault((own, each.transport), set()).add((port, port + each.last - each.first))
    for (at, transport), spans in found.items():
        for (first, last), (following, _) in pairwise(sorted(spans)):
            if following <= last:
                raise checked.invalid("ranges of ports, they overlap", f"{at} {transport} {first}-{last}, {following}-")
        for first, last in spans:
            yield f"{checked.span(at, transport, first, last)} : {checked.mark(first)}"


def _standing(ruleset: Ruleset, places: Places) -> dict[str, set[str]]:
    """The sets of the standing flows: who is admitted, which numbers are good, where each number leads."""
    names = ("safety", "standing_dials", "ranged_safety", "standing_ranged_dials", "safety_echoes")
    found: dict[str, set[str]] = {name: set() for name in names}
    for flow in ruleset.standing:
        source, number = checked.address(flow.source), checked.number(flow.grant)
        mark = checked.mark(number | SAFETY_BIT | (COPIED_BIT if flow.is_copied else 0))
        if flow.transport == _ECHO:
            places.of(flow.overlay, _ECHO, 0)
            found["safety_echoes"].add(f"{source} . {checked.address(flow.overlay)} : {mark}")
            continue
        own, port = _led_to(flow, places)
        if flow.last_port is None:
            found["safety"].add(f"{source} . {checked.service(flow.overlay, flow.transport, flow.port)} : {mark}")
            found["standing_dials"].add(f"{checked.service(own, flow.transport, port)} . {checked.mark(number)}")
        else:
            dialled = checked.mark(number | SAFETY_BIT | UPSTREAM_BIT)
            found["ranged_safety"].add(f"{source} . {_ranged(flow.overlay, flow.transport, flow.port)} : {mark}")
            found["standing_ranged_dials"].add(f"{_ranged(own, flow.transport, port)} . {dialled}")
    return {"standing": {checked.mark(flow.grant) for flow in ruleset.standing}, **found}


def _led_to(flow: Standing, places: Places) -> tuple[str, int]:
    if flow.underlay is not None:
        return flow.underlay, flow.port if flow.to_port is None else flow.to_port
    own, port = places.of(flow.overlay, flow.transport, flow.port)
    return own, port if flow.to_port is None else flow.to_port


def _ranged(to: str, over: str, first: int) -> str:
    return f"{checked.address(to)} . {checked.transport(over)} . {checked.mark(checked.port(first))}"


def _slots(ruleset: Ruleset) -> Iterable[tuple[str, int]]:
    for asset in ruleset.assets:
        if asset.limits is not None and asset.limits.connections is not None:
            count = checked.count("limit on connections", asset.limits.connections, _MAX_CONNECTIONS)
            yield checked.address(asset.underlay), count


def _paces(ruleset: Ruleset) -> Iterable[tuple[str, Pace]]:
    for asset in ruleset.assets:
        if asset.limits is not None and asset.limits.opens is not None:
            count = checked.count("limit on new connections", asset.limits.opens.count, _MAX_OPENS)
            period_s = checked.count("period of seconds", asset.limits.opens.period_s, _MAX_PERIOD_S)
            yield checked.address(asset.underlay), Pace(count=count, period_s=period_s)


def _refuse_two_answers(name: str, elements: set[str]) -> None:
    keys = Counter(element.split(" : ")[0] for element in elements)
    for key, count in keys.items():
        if count > 1:
            raise checked.invalid(f"map {name}, it has two answers", key)
