"""An inspected flow under which everything is allowed, in one mode of recording, for tests of what goes on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from proxying import GRANT, SECOND, T0, Inspected

from penstock.bus import Outcome
from penstock.model import Decision, Operation, Reason, RecordMode
from penstock.proxy.inspect import Inspection
from penstock.proxy.rates import Rates
from penstock.proxy.shown import Shown, objects_of
from penstock.wire import Decoder


class Telling(Inspected):
    """One flow; `step` is the time between two messages, so that no two are of the same microsecond."""

    def __init__(
        self, folder: Path, protocol: str, decoder: Decoder, record: RecordMode = RecordMode.OPERATIONS
    ) -> None:
        grant = replace(GRANT, service=protocol, protocol=protocol)
        super().__init__(folder, grant, decoder)
        self.record, self.now_us = record, T0
        self.shown = Shown(objects_of(protocol))
        self.inspection = self.another(grant, decoder)
        self.client, self.asset = self.inspection.from_client, self.inspection.from_asset

    def another(self, grant: Any, decoder: Decoder) -> Inspection:
        """One more flow to the same service."""
        flow = self.journal.open_flow(grant, "192.168.10.12:40002", T0)
        return Inspection(grant, decoder, self._judge, self.journal, flow, Rates(), self.meters, shown=self.shown)

    def _judge(self, operation: Operation, _now_us: int) -> Decision:
        self.judged.append(operation)
        return Decision(is_allowed=True, reason=Reason.ALLOWED, revision=3, conduit="all", record=self.record)

    def exchange(self, request: bytes, reply: bytes = b"", latency_us: int = 4200) -> None:
        """A request, and its answer where there is one; a second goes by."""
        self.now_us += SECOND
        assert self.client(request, self.now_us).to_asset == request
        if reply:
            effect = self.asset(reply, self.now_us + latency_us)
            assert (effect.to_client, effect.ending) == (reply, None)

    def told(self) -> list[dict[str, Any]]:
        """Every single operation that control has on record, in its order, with its result."""
        found: list[tuple[int, dict[str, Any]]] = []
        for record in self.records("operations", self.now_us + SECOND):
            detail: Any = record.detail
            results = {each["row"]: each for each in detail.get("results", [])}
            for place, (offset, index, latency, outcome) in enumerate(detail["rows"]):
                line = detail["operations"][index]
                one = {"name": line["operation"], "targets": line["targets"], "latency_us": latency}
                found.append((detail["from_us"] + offset, one | {"outcome": Outcome(outcome)} | results.get(place, {})))
        return [one for _, one in sorted(found, key=lambda each: each[0])]

    def changes(self) -> list[tuple[list[Any] | None, list[Any] | None, str]]:
        """Old values, new values and status of every operation that is no read; no old values: they are not known."""
        return [change_of(one) for one in self.told() if not one["name"].endswith((".read", ".session"))]


def change_of(one: dict[str, Any]) -> tuple[list[Any] | None, list[Any] | None, str]:
    old = [value for each in one.get("old", []) for value in each["values"]]
    new = [value for target in one["targets"] for value in target["values"] or ()]
    return old or None, new or None, one.get("status", "")
