"""Which objects of one protocol are the same, and what an operation leaves in them: for old values on record.

Pure.  A protocol whose tables, names and values speak for themselves needs nothing of this.  When in doubt an object
must count as changed: an old value on record is one that traffic showed, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from penstock.model import Operation, OperationClass, Target, Value


class Left(Enum):
    """What an operation that went well leaves in an object that it touches."""

    VALUES = "values"
    """The values that it names."""
    UNKNOWN = "unknown"
    """Something: a pulse, a step, the outcome of a priority."""
    NOTHING_NEW = "nothing_new"
    """What was there (a select arms only)."""
    ANYTHING = "anything"
    """It may have touched other objects as well: which memory it means is not in the message."""


#: Operations of these classes may change every object of the asset.
_SWEEPING = frozenset(
    {
        OperationClass.EXECUTE,
        OperationClass.PROGRAM_TO_DEVICE,
        OperationClass.FIRMWARE,
        OperationClass.VENDOR,
        OperationClass.UNKNOWN,
    }
)
#: These change what their targets name.
_CHANGING = frozenset({OperationClass.WRITE, OperationClass.CONFIG, OperationClass.FILE_WRITE})


_ROOT = re.compile(r"[.\[/]")


def _itself(text: str) -> str:
    return text


def _values(_operation: Operation, target: Target) -> Left:
    return Left.UNKNOWN if target.values is None else Left.VALUES


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """How one protocol's objects are told apart.

    `same` are tables that are another one under another name.  `wide` are tables and names in requests whose answers
    show other objects than they name (an interrogation, a list of all properties).  `bare` is a name without how it is
    written there (a priority).  `has_parts` is false where a name is no way into an object: then a write to an
    object touches all of its names.  `left`: see `Left`.  `reread` reads memory as the type that a target has.
    """

    same: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    wide: frozenset[str] = frozenset()
    bare: Callable[[str], str] = _itself
    has_parts: bool = True
    left: Callable[[Operation, Target], Left] = _values
    reread: Callable[[bytes, Target], tuple[Value, ...] | None] | None = None

    def family(self, table: str) -> str:
        """The table under its one name."""
        return self.same.get(table, table)

    def neighbourhood(self, target: Target) -> tuple[str, str]:
        """Two targets that may meet have the same, or one of them the empty name in it: table and root of the name."""
        base = self.family(target.table).partition("[")[0]
        return base, _ROOT.split(self.bare(target.name), maxsplit=1)[0] if self.has_parts else ""

    def is_wide(self, target: Target) -> bool:
        """Whether the answer to a request for this target shows other objects."""
        return target.table in self.wide or target.name in self.wide

    def may_meet(self, one: Target, other: Target) -> bool:
        """Whether changing one of the two may change the other."""
        if self.family(one.table).partition("[")[0] != self.family(other.table).partition("[")[0]:
            return False
        if self.has_parts and one.name != other.name:
            return _is_part(self.bare(one.name), self.bare(other.name))
        return one.first <= other.last and other.first <= one.last

    def is_same(self, one: Target, other: Target) -> bool:
        """Whether both name places in the same object, or in the same table of numbers."""
        return self.family(one.table) == self.family(other.table) and self.bare(one.name) == self.bare(other.name)

    def changed_by(self, operation: Operation) -> tuple[tuple[Target, Left], ...] | None:
        """Each target that an operation changes, and what it leaves there; ``None``: it may change everything."""
        if not _SWEEPING.isdisjoint(operation.classes):
            return None
        changed = [each for each in operation.targets if each.operation_class in _CHANGING]
        found = tuple((each, self.left(operation, each)) for each in changed)
        touched = {each.operation_class for each in changed}
        if any(left is Left.ANYTHING for _, left in found) or not _CHANGING.intersection(operation.classes) <= touched:
            return None
        return found


def _is_part(one: str, other: str) -> bool:
    """Whether two names are equal, or one is a way into the other (``Motor`` and ``Motor.Speed``)."""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    return long.startswith(short) and (len(short) == len(long) or not short or long[len(short)] in ".[/")


#: Of a protocol whose objects speak for themselves.
PLAIN: Final = Objects()
