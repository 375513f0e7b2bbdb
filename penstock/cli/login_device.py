"""Signing in on a computer without a browser: a person types on any other one what this one shows (RFC 8628).

The picture holds the address only, never the code: whoever types the code has this computer before their eyes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import segno

from penstock.cli import output
from penstock.cli.answers import Codes
from penstock.cli.client import CodeRefused, Gate
from penstock.cli.login_browser import host_name, refused
from penstock.model import Unauthenticated, Unavailable

T = TypeVar("T")

#: How much slower after each ``slow_down`` (RFC 8628 section 3.5).
SLOWER_S = 5
#: Whatever a gate says, within these.
_MIN_INTERVAL_S, _MAX_INTERVAL_S = 1, 60


def wait(
    http: Gate,
    gate_url: str,
    redeem: Callable[[Codes], T],
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> T:
    """Show a code, and ask the gate until somebody has confirmed it.  Raises `Unauthenticated` and `Unavailable`."""
    begun = http.begin_device(host_name())
    _show(f"{gate_url}{begun.verification_path}", begun.user_code, begun.expires_in)
    interval_s, ends = min(max(begun.interval, _MIN_INTERVAL_S), _MAX_INTERVAL_S), now() + begun.expires_in
    is_silent = False
    while now() < ends:
        sleep(interval_s)
        try:
            return redeem(Codes(device_code=begun.device_code))
        except CodeRefused as error:
            if error.word == "access_denied":
                raise refused() from None
            if error.word == "slow_down":
                interval_s += SLOWER_S
            elif error.word != "authorization_pending":
                break
        except Unavailable as error:  # the code lives on in the gate; a network comes back
            if not is_silent:
                output.say(f"{error}; still waiting")
            is_silent = True
    late = Unauthenticated("nobody confirmed the code in time, or whoever did is signed out again")
    late.add_note("penstock login --device shows a new one")
    raise late


def _show(address: str, user_code: str, length_s: int) -> None:
    if sys.stderr.isatty():
        segno.make(address, micro=False).terminal(out=sys.stderr, compact=True)
    half = len(user_code) // 2
    output.say(f"open {address} in any browser, and type the code")
    output.say("")
    output.say(f"  {user_code[:half]}-{user_code[half:]}")
    output.say("")
    output.say(f"it counts for {length_s // 60} minutes; read it to nobody, and type it nowhere else")
