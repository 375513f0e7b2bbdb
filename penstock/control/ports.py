"""What control is given: a clock, the evidence, the enforcer and the workers, as narrow contracts.

Pure.  `links` and `main` fill them with sockets and files, tests with values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from penstock.control.tally import Tally
from penstock.model import Command, Publication, Record, Reply

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One instant on two clocks, in microseconds.

    `wall_us` counts from the Unix epoch, is for people and records, and may be set.  `steady_us` counts from the start
    of the machine, nobody can set it, and everything that expires goes by it.  `boot` names that start.
    """

    wall_us: int
    steady_us: int
    boot: str


Clock: TypeAlias = Callable[[], Moment]


class Recorder(Protocol):
    """The evidence, as control writes it."""

    async def write(self, records: Sequence[Record], *, urgent: bool = False) -> range:
        """Durable on return.  Raises `Unavailable`: then nothing may take effect."""
        ...

    @property
    def is_healthy(self) -> bool:
        """Whether the last records reached the disk."""
        ...

    @property
    def size(self) -> int:
        """How many records the evidence holds."""
        ...

    @property
    def tally(self) -> Tally:
        """What it has taken since control started."""
        ...

    def put(self, records: Sequence[Record]) -> bool:
        """Written soon, for what has happened already; tells whether the disk takes it."""
        ...


class Enforcer(Protocol):
    """The kernel's side of the gate."""

    @property
    def is_synchronised(self) -> bool:
        """Whether the kernel holds what control wants."""
        ...

    async def command(self, command: Command) -> Reply:
        """Carry it out; in force on return.  Raises `Unavailable` when it is silent or says that it failed.

        The answer is `Done` but where the command asks for something: see `Reply`.
        """
        ...


class Workers(Protocol):
    """The inspecting proxies, all of them alike."""

    @property
    def is_alive(self) -> bool:
        """Whether at least one worker has its revision and its dead-man switch is armed."""
        ...

    async def publish(self, publication: Publication) -> None:
        """Tell every worker; all that there are know on return.  Raises `Unavailable` when one is silent."""
        ...
