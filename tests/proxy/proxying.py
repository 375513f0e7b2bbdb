"""A grant, a policy of three lines, and an inspected flow whose journal can be read, for tests of the proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import (
    Binding,
    Charge,
    Decision,
    Grant,
    Miss,
    Operation,
    OperationClass,
    Reason,
    Record,
    Request,
    Site,
    Subject,
    SubjectKind,
)
from penstock.proxy.held import HoldBook
from penstock.proxy.inspect import Inspection
from penstock.proxy.meter import Meters
from penstock.proxy.rates import Rates
from penstock.wire import Decoder, ModbusDecoder

T0 = 1_764_000_000_000_000
SECOND = 1_000_000
GRANT = Grant(
    number=12,
    subject=Subject(name="scada-1", kind=SubjectKind.MACHINE, role="scada"),
    asset="plc-filter-1",
    service="modbus",
    protocol="modbus",
    transport="tcp",
    port=502,
    overlay="100.64.0.50",
    underlay="192.168.10.50",
    conduits=("SCADA polls the filters",),
    binding=Binding.ADDRESS,
    revision=3,
    opened_at_us=T0,
    expires_at_us=T0 + 3600 * SECOND,
    idle_s=900,
    is_inspected=True,
)
READ = bytes.fromhex("0000 0006 01 03 0000 0002")
READ_REPLY = bytes.fromhex("0000 0007 01 03 04 0000 0001")
WRITE = bytes.fromhex("0000 0006 01 06 0001 0055")
STOP = bytes.fromhex("0000 0006 01 08 0001 0000")


def message(number: int, rest: bytes) -> bytes:
    return number.to_bytes(2, "big") + rest


def decide(operation: Operation) -> Decision:
    """Sessions and reads are free, three writes a minute are, and nothing else is allowed."""
    match operation.classes:
        case (OperationClass.READ,) | (OperationClass.SESSION,):
            return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=3, conduit="polls")
        case (OperationClass.WRITE,):
            charge = Charge(key="writes", count=3, period_s=60)
            return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=3, conduit="sets", charges=(charge,))
    miss = Miss(criterion="operation", reason=Reason.OPERATION_NOT_ALLOWED, wanted="read", found=operation.title)
    return Decision(is_allowed=False, reason=Reason.OPERATION_NOT_ALLOWED, revision=3, conduit="polls", misses=(miss,))


class PlainJudge:
    """`decide` as a policy."""

    @classmethod
    def of_site(cls, _site: Site, _revision: int) -> PlainJudge:
        return cls()

    def judge(self, request: Request, _spent: Callable[[str, int], int]) -> Decision:
        assert request.operation is not None
        return decide(request.operation)


class Inspected:
    """One inspected flow between bytes; `judged` are the operations that the policy was asked about."""

    def __init__(self, folder: Path, grant: Grant = GRANT, decoder: Decoder | None = None) -> None:
        path = folder / "worker-1.ring"
        self.journal = Journal(RingWriter(path, 1 << 15), T0)
        self.reader = JournalReader(path)
        self.reader.read(T0)
        self.judged: list[Operation] = []
        self.meters = Meters()
        self.flow = self.journal.open_flow(grant, "192.168.10.12:40001", T0)
        self.decoder = decoder or ModbusDecoder()
        self.book = HoldBook()
        self.inspection = Inspection(
            grant, self.decoder, self._judge, self.journal, self.flow, Rates(), self.meters, self.book
        )
        self.client, self.asset = self.inspection.from_client, self.inspection.from_asset

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        self.judged.append(operation)
        return decide(operation)

    def records(self, kind: str, now_us: int = T0 + 60 * SECOND) -> list[Record]:
        """The records of one kind that control can read now."""
        return [r for r in self.reader.read(now_us) + self.reader.read(now_us + 10 * SECOND) if r.kind == kind]

    def rows(self) -> list[list[int]]:
        """Latencies and outcomes of everything that was forwarded."""
        return [row[2:] for record in self.records("operations") for row in record.detail["rows"]]


def safety_grant() -> Grant:
    return replace(GRANT, is_safety_critical=True, expires_at_us=None)
