"""What the gate tells a monitoring system of itself.  The names are promised in docs/reference/metrics.md.

Pure.  No metric names a subject: who did what is in the evidence.
"""

from __future__ import annotations

from penstock.control.conduits import Way
from penstock.control.exposition import Page
from penstock.control.gate import Gate
from penstock.control.latency import Path, Window
from penstock.control.ports import US_PER_S
from penstock.model import HoldEnding, ProcessStarted


def metrics_page(gate: Gate) -> str:
    """Everything, in the Prometheus text format."""
    page = Page()
    _gate(page, gate)
    _conduits(page, gate)
    _transactions(page, gate)
    return page.text


def _gate(page: Page, gate: Gate) -> None:
    status, moment = gate.status(), gate.clock()
    page.gauge("penstock_revision", "The revision of the policy in force", [({}, status.revision)])
    page.gauge("penstock_inspection_alive", "A worker inspects, and its dead-man switch is armed (0 or 1)",
               [({}, int(status.has_inspection))])  # fmt: skip
    page.gauge("penstock_kernel_synchronised", "The kernel holds what control wants (0 or 1)",
               [({}, int(status.has_enforcer and gate.settings.has_kernel))])  # fmt: skip
    page.gauge("penstock_process_running", "A process of the gate runs (0 or 1)",
               [({"process": name}, int(isinstance(event, ProcessStarted)))
                for name, event in sorted(gate.events.processes.items())])  # fmt: skip
    page.gauge("penstock_worker_silence_seconds", "Since when the worker has told nothing",
               [({}, gate.overload.pulse.silent_us(moment.steady_us) / US_PER_S)])  # fmt: skip
    page.gauge("penstock_evidence_healthy", "The last records reached the disk (0 or 1)",
               [({}, int(status.evidence_is_healthy))])  # fmt: skip
    page.counter("penstock_evidence_size_total", "Records in the evidence", [({}, status.evidence_size)])
    page.counter("penstock_records_total", "Records taken by the evidence since control started, by kind and reason",
                 [({"kind": kind, "reason": reason}, count)
                  for (kind, reason), count in sorted(gate.recorder.tally.counts.items())])  # fmt: skip
    kinds = [live.grant.subject.kind.value for live in gate.state.now.grants.values()]
    page.gauge("penstock_grants", "Live grants, by kind of subject",
               [({"kind": kind}, kinds.count(kind)) for kind in sorted(set(kinds))])  # fmt: skip
    page.gauge("penstock_sign_ins", "Live sign-ins", [({}, status.sign_ins)])
    page.gauge(
        "penstock_break_glass_open", "Break-glass accounts that are open now", [({}, len(gate.break_glass.open))]
    )
    _held(page, gate)
    page.counter("penstock_sign_ins_unseen_total", "Sign-in attempts that were not looked at, since control started",
                 [({}, gate.unseen.total)])  # fmt: skip
    page.gauge("penstock_waiting_flows", "Flows that wait for a connection of an asset",
               [({"asset": asset}, count) for asset, count in sorted(gate.overload.queues.items())])  # fmt: skip
    page.histogram("penstock_loop_lag_seconds", "How long what was ready waited for the worker's event loop",
                   [({}, gate.overload.lag)])  # fmt: skip


def _held(page: Page, gate: Gate) -> None:
    holds = gate.holds
    page.gauge("penstock_held_operations", "Operations that wait for a second person now", [({}, len(holds.waiting))])
    page.counter("penstock_held_ended_total", "Held operations that wait no longer, by what became of them",
                 [({"ending": ending.value}, holds.endings[ending]) for ending in HoldEnding])  # fmt: skip
    page.counter("penstock_held_decided_total", "Decisions of second persons about held operations",
                 [({"decision": "approved" if is_approved else "refused"}, holds.decided[is_approved])
                  for is_approved in (True, False)])  # fmt: skip
    page.counter("penstock_held_unshown_total", "Held operations that nobody could be shown: too many waited",
                 [({}, holds.unshown)])  # fmt: skip


def _conduits(page: Page, gate: Gate) -> None:
    conduits = gate.conduits.now()
    page.gauge("penstock_conduit_flows", "Open flows, by conduit and path",
               [({"conduit": each.name, "path": path.value}, count)
                for each in conduits for path, count in each.flows.items()])  # fmt: skip
    page.gauge("penstock_conduit_aside", "A conduit stands aside: its flows go on uninspected (0 or 1)",
               [({"conduit": each.name}, int(each.way is Way.ASIDE)) for each in conduits])  # fmt: skip
    budgets = [each for each in conduits if each.budget_us is not None]
    page.gauge("penstock_latency_budget_seconds", "How long the gate itself may take, by conduit",
               [({"conduit": each.name}, (each.budget_us or 0) / US_PER_S) for each in budgets])  # fmt: skip
    page.gauge("penstock_over_budget", "A conduit is over its latency budget now (0 or 1)",
               [({"conduit": each.name}, int(each.over_since_us is not None)) for each in budgets])  # fmt: skip
    page.counter("penstock_over_budget_transactions_total", "Transactions over their conduit's latency budget",
                 [({"conduit": name, "path": path.value}, count)
                  for (name, path), count in sorted(gate.overload.over.items())])  # fmt: skip


def _transactions(page: Page, gate: Gate) -> None:
    now_us = gate.clock().steady_us
    conduits = [each.name for each in gate.conduits.now()]
    known = [(name, path, gate.overload.latencies.of(name, path, Window.START, now_us))
             for name in conduits for path in Path]  # fmt: skip
    page.histogram("penstock_transaction_seconds", "From a request to its answer, by conduit and path",
                   [({"conduit": name, "path": path.value}, counts.total)
                    for name, path, counts in known if counts.total])  # fmt: skip
    page.histogram("penstock_own_seconds", "The gate's own share of that, where it inspects",
                   [({"conduit": name}, counts.own) for name, _, counts in known if counts.own])  # fmt: skip
