"""Pure: what the kernel holds against what it was told, as differences in words.

Stands between `readback`, which brings what the kernel holds, and `oversight`, which puts it right.  It must never call
equal what it did not compare, and never count as a difference what a packet, a heartbeat or time may change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from penstock.kernel.readback import ChainShape, ForeignChain, Hook, TableShape
from penstock.kernel.told import Element, Kept

#: What an element's time may differ by: the kernel counts in jiffies, and this process may have been held up.
TIME_TOLERANCE_S = 2.0
#: Differences of one kind that are told one by one; the rest is a number.
MAX_EACH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it was told.  `is_ours`: it is put right by writing everything anew."""

    what: str
    is_ours: bool = True


def of_table(expected: TableShape, found: TableShape | None) -> list[Difference]:
    """Chains and their rules, sets, objects, flow tables and flags."""
    if found is None:
        return [Difference(what="the table inet penstock is gone")]
    told = [*_names("set", expected.sets, found.sets), *_names("counter", expected.objects, found.objects)]
    told += _names("flow table", expected.flowtables, found.flowtables)
    told += _names("chain", expected.chains, found.chains)
    told += [f"set {name} is declared differently" for name in _changed(expected.sets, found.sets)]
    if expected.flags != found.flags:
        told.append(f"the table's flags are {found.flags:#x} instead of {expected.flags:#x}")
    for name in _changed(expected.chains, found.chains):
        told += _of_chain(name, expected.chains[name], found.chains[name])
    return [Difference(what=each) for each in told]


def of_static(name: str, expected: frozenset[bytes], found: frozenset[bytes]) -> list[Difference]:
    """The elements of a set that only a ruleset changes."""
    if expected == found:
        return []
    more, less = len(found - expected), len(expected - found)
    return [Difference(what=f"set {name}: elements that are not ours: {more}, elements that are missing: {less}")]


def of_dynamic(
    expected: Mapping[bytes, Kept], found: Iterable[Element], now_s: float
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Keys that are missing, not ours, and with another value or time; what is about to end may be there or not."""
    left, unknown, changed = dict(expected), [], []
    for element in {element.key: element for element in found}.values():  # a set has none twice, a dump may
        kept = left.pop(element.key, None)
        ends_s = None if element.left_ms is None else now_s + element.left_ms / 1000
        if kept is None:
            if ends_s is None or ends_s > now_s + TIME_TOLERANCE_S:
                unknown.append(element.key)
        elif kept.data != element.data or not _is_near(kept.ends_s, ends_s):
            changed.append(element.key)
    missing = [key for key, kept in left.items() if kept.ends_s is None or kept.ends_s > now_s + TIME_TOLERANCE_S]
    return missing, unknown, changed


def in_words(set_name: str, verb: str, keys: Sequence[str]) -> list[Difference]:
    """The elements of one set that differ in one way, by their texts."""
    told = [Difference(what=f"set {set_name}: element {key} {verb}") for key in keys[:MAX_EACH]]
    if len(keys) > MAX_EACH:
        told.append(Difference(what=f"set {set_name}: {len(keys) - MAX_EACH} further elements {verb}"))
    return told


def of_rules(expected: Mapping[str, Sequence[str]], found: Mapping[str, Sequence[str]]) -> list[Difference]:
    """The texts of the rules that are too many or missing, chain by chain; what the bytes have shown, in words."""
    told = []
    for name in sorted(expected.keys() & found.keys()):
        ours, theirs = Counter(expected[name]), Counter(found[name])
        told += [f"chain {name}: rule that is not ours: {text}" for text in (theirs - ours).elements()]
        told += [f"chain {name}: missing rule: {text}" for text in (ours - theirs).elements()]
        if ours == theirs and list(expected[name]) != list(found[name]):
            told.append(f"chain {name}: the rules are in another order")
    return [Difference(what=each) for each in told]


def of_foreign(chains: Iterable[ForeignChain]) -> list[Difference]:
    """What somebody else lets the kernel do with packets: told, never removed."""
    return [
        Difference(
            what=f"foreign: table {chain.family} {chain.table}, chain {chain.name} ({_hook_text(chain.hook)})",
            is_ours=False,
        )
        for chain in chains
    ]


def rules_in(listing: str) -> dict[str, list[str]]:
    """The rules of each chain in the text of ``nft -s -t list table``."""
    found: dict[str, list[str]] = {}
    rules: list[str] | None = None
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("\tchain "):
            rules = found.setdefault(words[1], [])
        elif line.startswith("\t}"):
            rules = None
        elif rules is not None and words and not (words[0] == "type" and "hook" in words):
            rules.append(" ".join(words))
    return found


def _names(kind: str, expected: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    yield from (f"{kind} {name} is not ours" for name in sorted({*found} - {*expected}))
    yield from (f"{kind} {name} is missing" for name in sorted({*expected} - {*found}))


def _changed(expected: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    return [name for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]


def _of_chain(name: str, expected: ChainShape, found: ChainShape) -> list[str]:
    told = []
    if expected.hook != found.hook:
        told.append(f"chain {name}: {_hook_text(found.hook)} instead of {_hook_text(expected.hook)}")
    if expected.rules != found.rules:
        told.append(f"chain {name}: its rules are not ours ({len(found.rules)} of {len(expected.rules)})")
    return told


def _hook_text(hook: Hook | None) -> str:
    if hook is None:
        return "no hook"
    device = f" device {hook.device}" if hook.device else ""
    policy = "" if hook.policy else ", policy drop"
    return f"{hook.kind} {hook.hook}{device} priority {hook.priority}{policy}"


def _is_near(told_s: float | None, found_s: float | None) -> bool:
    if told_s is None or found_s is None:
        return told_s is found_s
    return abs(told_s - found_s) <= TIME_TOLERANCE_S
