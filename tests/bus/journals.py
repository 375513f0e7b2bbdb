"""A worker's and control's end of one small journal, for tests."""

from __future__ import annotations

from pathlib import Path

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Binding, Grant, Operation, OperationClass, Record, Subject, SubjectKind, Target

T0 = 1_764_000_000_000_000
SLOTS = 1 << 15

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
    expires_at_us=None,
    idle_s=900,
    is_inspected=True,
)
SOURCE = "192.168.10.12:40001"


def operation(kind: OperationClass, first: int = 0, *values: int) -> Operation:
    target = Target(
        operation_class=kind,
        table="holding_registers",
        first=first,
        count=len(values) or 2,
        values=values or None,
    )
    code, name = ("3", "Read Holding Registers") if kind is OperationClass.READ else ("16", "Write Multiple Registers")
    return Operation(protocol="modbus", classes=(kind,), code=code, name=name, unit=1, targets=(target,))


READ = operation(OperationClass.READ)
READ_BYTES = bytes.fromhex("000100000006010300000002")
WRITE = operation(OperationClass.WRITE, 10, 300)


class Both:
    """Both ends of a journal in one process; `restart_reader` and `restart_writer` are what a crash leaves."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "worker-1.ring"
        self.restart_writer()
        self.reader = JournalReader(self.path)
        self.read(T0)

    def restart_writer(self) -> None:
        """A worker that knows nothing of the one before it."""
        self.journal = Journal(RingWriter(self.path, SLOTS), T0)

    def restart_reader(self) -> None:
        """A control process that knows nothing of the one before it."""
        self.reader.close()
        self.reader = JournalReader(self.path)

    def read(self, now_us: int) -> list[Record]:
        """What control gets."""
        return self.reader.read(now_us)

    def read_rows(self, now_us: int) -> list[list[int]]:
        """Offsets from T0, codes, latencies and outcomes of every row that control gets."""
        rows = []
        for record in self.read(now_us):
            if record.kind == "operations":
                assert record.detail["from_us"] == record.at_us
                for offset, index, latency, outcome in record.detail["rows"]:
                    code = record.detail["operations"][index]["code"]
                    rows.append([record.at_us - T0 + offset, int(code), latency, outcome])
        return rows
