"""What verifying a log found: values only.

Pure.  `verify` fills it, the command line and the reports print it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: So many findings, notes and gaps are told one by one; the rest is only counted.
MOST_TOLD = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found: in which file, at which byte, from which record on, and what it is."""

    file: str
    offset: int | None = None
    seq: int | None = None
    why: str

    def __str__(self) -> str:
        byte = "" if self.offset is None else f", byte {self.offset}"
        record = "" if self.seq is None else f", record {self.seq}"
        return f"{self.file}{byte}{record}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A `log.gap` record: the log itself tells that records were lost, how many of each kind, and why."""

    seq: int
    at_us: int
    lost: Mapping[str, int]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of verifying a log.

    `first_seq` is the first record that is here (older ones may have been removed under retention), `size` the number
    after the last one, `covered` how many the newest checkpoint signs.  `findings` are what must not be; `notes` are
    honest oddities: a crash, a clock that went back, records that no checkpoint covers yet.  `hidden_findings` counts
    those beyond the first hundred.
    """

    origin: str
    first_seq: int
    size: int
    records: int
    covered: int
    checkpoints: int
    first_us: int | None
    last_us: int | None
    by_kind: Mapping[str, int] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    findings: Sequence[Finding] = ()
    notes: Sequence[Finding] = ()
    hidden_findings: int = 0

    @property
    def is_verified(self) -> bool:
        """Whether nothing was found that must not be."""
        return not self.findings

    @property
    def uncovered(self) -> int:
        """How many records at the end no checkpoint signs yet."""
        return max(0, self.size - self.covered)
