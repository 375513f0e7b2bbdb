"""What the processes say to each other: commands in the imperative, events in the past tense.

Every message is a frozen dataclass; `penstock.bus` puts them on local sockets.  Nothing else crosses a process border.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model.grant import Grant
from penstock.model.message_held import HoldDecided, HoldEnded, OperationHeld
from penstock.model.message_traffic import (
    EventsLost,
    KernelFlowsFolded,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    TrafficCounted,
)
from penstock.model.ruleset import Ruleset
from penstock.model.site import Site

# --- any process -> the one it connects to


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message on a link to control: who speaks.

    `mark` is the packet mark of a worker's heartbeat; `pid` tells one worker from the next, which has the same mark.
    """

    role: str
    mark: int = 0
    pid: int = 0


# --- control -> enforcer


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRuleset:
    """Replace the kernel table's rules in one transaction; dynamic grants stay."""

    ruleset: Ruleset


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGrant:
    """Let packets of this grant pass for `ttl_ms` milliseconds.

    An address-bound grant also admits new flows from its source; a certificate-bound one only lets the proxy dial.
    """

    grant: Grant
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseGrant:
    """Cut every flow of this grant now, then close both of its ends and forget its connections."""

    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseGrants:
    """Cut every flow of all these grants now, in one transaction, then close both of their ends."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandAside:
    """From now on count inspection as not alive for these grants: their declared failure mode decides.

    Flows under way are reset, so that their clients dial anew.  It ends by itself after `ttl_ms`; ``None``: when told.
    """

    numbers: tuple[int, ...]
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandBack:
    """Inspect these grants again: flows that went on uninspected are reset, so that their clients dial anew."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyKernel:
    """Read back what the kernel holds and compare it with what it was told; answered with `Verified`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTraffic:
    """Count what all the open flows have carried so far: `TrafficCounted` follows soon, after the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOverlay:
    """Does anybody else use an overlay address that this ruleset needs on the leg?  `Done`, or `Occupied`.

    Changes nothing, and may be asked on a link of its own: the answer takes more than a second.
    """

    ruleset: Ruleset


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepGrants:
    """After a restart of control: cut every live grant whose number is not listed."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmWorker:
    """Arm the dead-man switch of a worker: from now on its heartbeat keeps it armed.

    Fails for a process whose switch has tripped already.  `was_armed`: it was armed before, perhaps by an earlier
    enforcer, so where the kernel does not count it any more, it has tripped.  The process 0 is nobody in particular.
    """

    mark: int
    pid: int = 0
    was_armed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFlows:
    """Tell what the kernel carries now for these grants (none: every safety-critical one); see `FlowsCounted`."""

    numbers: tuple[int, ...] = ()


# --- enforcer -> control


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFlows:
    """The open flows of one grant to an inspected service: how many the worker has, and how many go on without it.

    `closing` are flows without it that are over, but whose end has not been told yet.  Packets and bytes (both
    directions) are those of the latter two, `since_us` is when the oldest of them began (0: not known).
    """

    grant: int
    inspected: int
    uninspected: int
    closing: int = 0
    packets: int = 0
    bytes: int = 0
    since_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsCounted:
    """The answer: grants without a flow are left out.

    `failed_open` and `failed_closed` are first packets that were let through or refused because inspection was not
    alive, of all grants, since the kernel's table was made.
    """

    flows: tuple[GrantFlows, ...]
    at_us: int
    failed_open: int = 0
    failed_closed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command took effect in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A command did not take effect; `why` is for the record."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the kernel holds against what it was told: a line each difference, none where it is as it should be."""

    differences: tuple[str, ...]
    checked: int = 0
    """How many rules, elements, routes and parameters were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """Overlay addresses that somebody else on the leg uses: pairs of address and hardware address."""

    holders: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsRefused:
    """The kernel dropped first packets of a flow that nothing admits: `count` of them since the last such message.

    The source 0.0.0.0 stands for what was counted but not told apart.  `reason` is a value of `Reason`.
    """

    source: str
    destination: str
    transport: str
    port: int
    count: int
    at_us: int
    reason: str = "grant_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScanned:
    """A source tried so many different things that they are told together: how many, and how often in all.

    `destinations` and `ports` are distinct ones since `since_us`, and at most 1,024; `examples` are the first few.
    """

    source: str
    destinations: int
    ports: int
    count: int
    at_us: int
    since_us: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDrifted:
    """Somebody else changed what the kernel holds; `by` names the process as far as the kernel tells."""

    differences: tuple[str, ...]
    by: str
    is_corrected: bool
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelVerified:
    """The kernel was read back and compared: how much of it, and how many differences there were."""

    differences: int
    checked: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMeasured:
    """Transactions of one conduit since the last such message, as counts in the buckets of `penstock.bus.histogram`.

    `total` is from request to answer, `own` the gate's share of it; a path that only sees copies measures no `own`.
    """

    conduit: str
    path: str
    total: dict[int, int]
    own: dict[int, int]
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMeasured:
    """How a worker is, each second: it says so also when nothing happens.

    `lag` are counts, in the same buckets, of how long what was ready to be read waited for the event loop.  `flows` are
    its live flows by the number of their grant, `queues` those that wait for a place, by asset.
    """

    mark: int
    pid: int
    lag: dict[int, int]
    flows: dict[int, int]
    queues: dict[str, int]
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFlowOpened:
    """A flow took the kernel path.  `has_failed_open`: its service is inspected, but inspection was not alive.

    `was_found`: it was open already when the enforcer started; told only where it has failed open.
    """

    grant: int
    source: str
    source_port: int
    overlay: str
    port: int
    at_us: int
    has_failed_open: bool
    transport: str = "tcp"
    was_found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFlowClosed:
    """A flow on the kernel path ended, with its counters: of both directions, and of what the client sent.

    `is_complete` is false where its end was missed: its counters are not known then.
    """

    grant: int
    source: str
    source_port: int
    overlay: str
    port: int
    at_us: int
    packets: int
    bytes: int
    has_failed_open: bool
    transport: str = "tcp"
    opened_at_us: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTripped:
    """The dead-man switch of this worker, which was armed, has tripped: what it holds may be stale."""

    mark: int
    pid: int
    at_us: int


# --- control -> worker


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRevision:
    """The policy to judge by from now on.  A worker without one does not beat, so nothing is sent to it."""

    revision: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishGrant:
    """A grant that flows may be opened under."""

    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawGrant:
    """End every flow of this grant and forget it."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawGrants:
    """End every flow of all these grants and forget them."""

    numbers: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarSources:
    """No tunnel from these networks (CIDR), which are isolated, whoever's it is; in place of those of before."""

    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceGrants:
    """All the grants there are: sent when a worker or control starts."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishNames:
    """The names of the domain from now on: pairs of label and overlay address, and who may know which.

    `askers` are pairs of an address and the labels that it may know; machines of the `networks` may know all.
    """

    revision: int
    domain: str
    gate_address: str
    names: tuple[tuple[str, str], ...]
    askers: tuple[tuple[str, tuple[str, ...]], ...]
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesRefused:
    """Somebody who may not know any name asked for some: `count` times since the last such message."""

    source: str
    count: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveGrants:
    """All the grants whose packets are copied; the numbers of those whose packets are also kept."""

    grants: tuple[Grant, ...]
    stored: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWorker:
    """End at once and send nothing on: a fresh worker takes over."""

    why: str


# --- supervisor -> control


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnded:
    """A process of the gate ended; `status` is its exit status, negative for a signal."""

    name: str
    pid: int
    status: int
    why: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted:
    """A process of the gate was started."""

    name: str
    pid: int
    at_us: int


Command = (
    ApplyRuleset
    | OpenGrant
    | CloseGrant
    | CloseGrants
    | StandAside
    | StandBack
    | VerifyKernel
    | CountFlows
    | CountTraffic
    | ProbeOverlay
    | KeepGrants
    | ArmWorker
)
Reply = Done | Failed | Verified | FlowsCounted | Occupied
Event = (
    FlowsRefused
    | SourceScanned
    | KernelDrifted
    | KernelVerified
    | LatencyMeasured
    | WorkerMeasured
    | KernelFlowOpened
    | KernelFlowClosed
    | KernelFlowsFolded
    | TrafficCounted
    | EventsLost
    | PayloadStored
    | PayloadLost
    | PayloadRemoved
    | WorkerTripped
    | OperationHeld
    | HoldEnded
    | NamesRefused
    | ProcessEnded
    | ProcessStarted
)
Publication = (
    PublishRevision
    | PublishGrant
    | WithdrawGrant
    | WithdrawGrants
    | ReplaceGrants
    | BarSources
    | PublishNames
    | ObserveGrants
    | HoldDecided
    | EndWorker
)
