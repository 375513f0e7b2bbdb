"""Ranges, rates, durations and ports as people write them.

Pure text to numbers; each function returns ``None`` for what it cannot read.  It must never accept half of a text.
"""

from __future__ import annotations

import re

from penstock.wire import read_range

#: Modbus Application Protocol V1.1b3, section 4.4: data addresses are 16 bits wide.
MAX_ADDRESS = 0xFFFF
#: A register holds 16 bits; the document may speak of it as unsigned or as two's complement.
MIN_VALUE, MAX_VALUE = -0x8000, 0xFFFF
MAX_SIGNED = 0x7FFF
MAX_PORT = 65535
#: More operations in one period are not a limit any more; it also bounds the ledger's memory.
MAX_RATE_COUNT = 10_000
MAX_RATE_PERIOD_S = 86_400
#: By their place in the week, as `datetime.weekday` counts them.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_NUMBER = r"-?[0-9]{1,10}(?:\.[0-9]{1,10})?"
_INTERVAL = re.compile(rf"\s*({_NUMBER})\s*(?:(?:-|\.\.)\s*({_NUMBER})\s*)?\Z", re.ASCII)
_RATE = re.compile(r"\s*([0-9]{1,7})\s*/\s*([0-9]{0,5})\s*(s|min|h|d)\s*\Z", re.ASCII)
_DURATION = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?\Z", re.ASCII)
_LATENCY = re.compile(r"([0-9]{1,9})(us|ms|s)\Z", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z", re.ASCII)
_PORT = re.compile(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?\Z", re.ASCII)
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})\Z", re.ASCII)
_UNITS_US = {"us": 1, "ms": 1000, "s": 1_000_000}
_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
#: The periods that nft's `limit rate` knows.
PERIODS_S = frozenset(_UNITS_S.values())


def read_interval(text: str) -> tuple[float, float] | None:
    """``10-12``, ``5``, ``-5..10`` or ``0-5.5`` as first and last, whole numbers as such; ``None`` if it is none."""
    whole = read_range(text)
    if whole is not None:
        return whole
    found = _INTERVAL.match(text)
    if found is None:
        return None
    low = float(found[1])
    high = low if found[2] is None else float(found[2])
    return (low, high) if low <= high else None


def read_rate(text: str) -> tuple[int, int] | None:
    """``6/min``, ``1/10s`` or ``20/h`` as count and period in seconds; ``None`` outside 1 to 10000 in up to a day."""
    found = _RATE.match(text)
    if found is None:
        return None
    count, period_s = int(found[1]), int(found[2] or 1) * _UNITS_S[found[3]]
    return (count, period_s) if 1 <= count <= MAX_RATE_COUNT and 1 <= period_s <= MAX_RATE_PERIOD_S else None


def read_duration(text: str) -> int | None:
    """``8h``, ``15m``, ``1h30m`` or ``90s`` in seconds; ``None`` if it is no duration or zero."""
    found = _DURATION.match(text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds or None


def read_latency(text: str) -> int | None:
    """``5ms``, ``800us`` or ``1s`` in microseconds; ``None`` if it is neither or zero."""
    found = _LATENCY.match(text)
    return int(found[1]) * _UNITS_US[found[2]] or None if found else None


def latency_text(microseconds: int) -> str:
    """The way back, in the largest unit that divides it: ``5ms``, ``800us``, ``1s``."""
    unit = next(unit for unit in ("s", "ms", "us") if microseconds % _UNITS_US[unit] == 0)
    return f"{microseconds // _UNITS_US[unit]}{unit}"


def read_clock(text: str) -> int | None:
    """``06:00`` as the minute of the day; ``None`` if it is no time from 00:00 to 23:59."""
    found = _CLOCK.match(text)
    return int(found[1]) * 60 + int(found[2]) if found else None


def clock_text(minute: int) -> str:
    """The way back: ``06:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def read_port(text: str) -> tuple[str, int, int] | None:
    """``tcp/5432`` or ``udp/5000-5010`` as transport, first and last port; ``None`` if it is not of that form.

    The ports may be out of range, and the last before the first.
    """
    found = _PORT.match(text)
    return (found[1], int(found[2]), int(found[3] or found[2])) if found else None


def read_ports(text: str) -> tuple[int, int] | None:
    """``5000-5010`` as first and last port; ``None`` if it is not of that form.  The ports may be out of range."""
    found = _PORTS.match(text)
    return (int(found[1]), int(found[2])) if found else None


def is_port(number: int) -> bool:
    """Whether a flow can go to this port."""
    return 1 <= number <= MAX_PORT


def range_text(first: float, last: float) -> str:
    """The way back: ``10-12``, ``5``, ``-5..10``."""
    if first == last:
        return str(first)
    return f"{first}-{last}" if first >= 0 else f"{first}..{last}"


def duration_text(seconds: int) -> str:
    """The way back, in the largest units that fit: ``8h``, ``1h30m``, ``90s`` as ``1m30s``."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def period_text(seconds: int) -> str:
    """A period as a rate names it: ``min``, ``h``, ``10s``."""
    for unit in ("d", "h", "min"):
        amount, rest = divmod(seconds, _UNITS_S[unit])
        if amount and not rest:
            return unit if amount == 1 else f"{amount}{unit}"
    return "s" if seconds == 1 else f"{seconds}s"
