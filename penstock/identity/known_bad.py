"""I/O: one file of this package.  Passwords that anybody tries first (SP 800-63B section 5.1.1.2).

The list is zxcvbn's (see the head of ``known_bad.txt``).  Most of it is shorter than what the gate takes, so it is used
as people use it: with digits and signs around it, letters written as digits, or said twice.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("known_bad.txt")
_LEET = str.maketrans("013457@$!", "oieastasi")
_TRIMMINGS = "0123456789!?.,-_#*+$@&%=/:;()[]{}'\"<>|\\^~ "
_FEWEST_DIFFERENT = 5
_SHORTEST_WORD = 3
_RUNS = ("01234567890123456789012345678901234567890", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz")
#: What this trade tries first, besides what everybody does.
_OF_THE_TRADE = """
administrator automation changeme engineer engineering herbst ignition modbus operator passwort penstock plant profinet
qwertz rockwell scada schneider siemens sommer spring summer supervisor vendor wincc winter autumn wonderware
"""


@cache
def known() -> frozenset[str]:
    """The list, in lower case."""
    text = _FILE.read_text(encoding="utf-8")
    listed = frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
    return listed | frozenset(_OF_THE_TRADE.split())


def is_known_bad(password: str, context: frozenset[str]) -> bool:
    """Whether this password is among the first that anybody tries.

    `context` are words that stand for the site and for whose it is.  Nothing here asks for kinds of signs: several
    words are enough.
    """
    folded = password.casefold()
    if len(set(folded)) < _FEWEST_DIFFERENT or any(folded in run for run in _RUNS):
        return True
    words = {part for word in context for part in _parts(word.casefold())}
    return any(_is_bad_stem(stem, words) for stem in _stems(folded))


def _stems(password: str) -> set[str]:
    """What is left of it without what people put around a word."""
    trimmed = password.strip(_TRIMMINGS)
    spoken = password.translate(_LEET)
    stems = {password, trimmed, spoken, trimmed.translate(_LEET), spoken.strip(_TRIMMINGS)}
    stems |= {"".join(sign for sign in each if sign.isalpha()) for each in (password, spoken)}
    pieces = {piece for piece in re.split(r"\W+|_", password) if piece and not piece.isdigit()}
    if len(pieces) == 1:  # one word, with years and signs around it
        stems |= pieces
    return stems | {_unit(stem) for stem in stems}


def _is_bad_stem(stem: str, context: set[str]) -> bool:
    if len(stem) < _SHORTEST_WORD or stem in known() or stem in context:
        return True
    rest = stem
    for word in sorted(context, key=len, reverse=True):
        rest = rest.replace(word, "")
    rest = rest.strip(_TRIMMINGS)
    return rest != stem and (not rest or rest in known())


def _parts(word: str) -> set[str]:
    """A name and its parts: ``gate.riverside.ot`` is known by ``riverside`` as well."""
    parts = {word}
    for sign in "._@+-":
        parts |= {piece for part in parts for piece in part.split(sign)}
    return {part for part in parts if len(part) > _SHORTEST_WORD}


def _unit(text: str) -> str:
    """What a text is a repetition of: ``abc`` for ``abcabc``; itself where it is none."""
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) else text
