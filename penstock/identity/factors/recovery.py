"""Recovery codes: ten single-use codes on paper that stand in for a lost authenticator.

Pure.  A code has 16 signs out of 30, some 78 bits.  What is kept of it is a mark under the gate's own key, bound to its
subject (`sealing`).  It must never say how near a wrong code was, and never keep a code.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

COUNT = 10
#: Without letters and digits that are taken for each other.
ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
_LENGTH, _GROUP = 16, 4
_NOBODYS = "-" * 64


def make_codes(choose: Callable[[str], str]) -> tuple[str, ...]:
    """Ten codes in groups of four signs; `choose` picks one sign at random (`secrets.choice`)."""
    return tuple(_grouped("".join(choose(ALPHABET) for _ in range(_LENGTH))) for _ in range(COUNT))


def normal(typed: str) -> str | None:
    """The signs of a code as it was typed (case, spaces and dashes are forgiven); ``None`` when it has not its shape.

    The shape tells it from a code of an authenticator, which has digits only.
    """
    signs = "".join(sign for sign in typed.upper() if sign not in " -\t")
    return signs if len(signs) == _LENGTH and all(sign in ALPHABET for sign in signs) else None


def matching(mark: str, kept: Sequence[str]) -> str | None:
    """Which of the marks that are kept is this one; as many comparisons as codes are made, whatever is found."""
    found: str | None = None
    for each in (*kept, *[_NOBODYS] * (COUNT - len(kept))):
        if hmac.compare_digest(each.encode(), mark.encode()):
            found = each
    return found


def _grouped(signs: str) -> str:
    return "-".join(signs[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))
