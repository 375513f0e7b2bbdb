"""The site: inventory and policy as values, exactly as a site document says them, with every default filled in.

`penstock.policy` makes a `Site` out of YAML and judges requests against it.  Everything here is plain data that
crosses process borders unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from penstock.model.identity import Identity
from penstock.model.operation import OperationClass
from penstock.model.subject import Binding, FactorStrength

#: ICMP echo (RFC 792), "ping": the name, the protocol and the transport of that service.
ECHO = "icmp"
#: No last address: later than any protocol's.
ANY_LAST = (1 << 63) - 1


class FailureMode(StrEnum):
    """What becomes of a conduit's flows when inspection is not alive."""

    OPEN = "open"
    CLOSED = "closed"


class RecordMode(StrEnum):
    """How fully the evidence tells what passes through a conduit.  What changes an asset is told one by one in each."""

    SESSION = "session"
    """Reads are only counted: in the end of their flow, and in that of the session."""
    WRITES = "writes"
    """Reads are summed for each second and object."""
    OPERATIONS = "operations"
    """Every operation by itself."""
    PAYLOAD = "payload"
    """Every operation by itself, with the exact bytes of its answer; packets of flows that are not inspected."""

    @property
    def rank(self) -> int:
        """The fuller, the higher."""
        return tuple(RecordMode).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Assets with the same security requirements (IEC 62443-3-2), found by their networks (CIDR).

    `keeps_client_address`: its assets have a route back through the gate, so they are shown who really talks to them.
    `routers` are the hardware addresses from which packets of its networks come, where it lies behind routers.
    """

    name: str
    networks: tuple[str, ...]
    security_level: int | None = None
    keeps_client_address: bool = False
    routers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One port that an asset offers: `name` in the document, `protocol`, `transport` (tcp, udp, icmp) and `port`.

    `last_port` makes it a range of ports, `port` to `last_port`, both included.  `overlay_port` is the port on the
    overlay address where that differs.  Echo (ping) is a service of its own: transport ``icmp``, port 0.
    `server_certificate` (PEM): the gate ends secured channels itself, and knows the server by this certificate.
    """

    name: str
    protocol: str
    port: int
    transport: str = "tcp"
    last_port: int | None = None
    overlay_port: int | None = None
    server_certificate: str = ""

    @property
    def reached_at(self) -> int:
        """The (first) port on the overlay address."""
        return self.port if self.overlay_port is None else self.overlay_port

    @property
    def size(self) -> int:
        """How many ports it has."""
        return 1 if self.last_port is None else self.last_port - self.port + 1

    @property
    def at(self) -> str:
        """``tcp/502``, ``udp/5000-5010`` or ``icmp``: where the asset offers it."""
        return place_of(self.transport, self.port, self.last_port)

    @property
    def overlay_at(self) -> str:
        """The same on the overlay address."""
        last = None if self.last_port is None else self.reached_at + self.size - 1
        return place_of(self.transport, self.reached_at, last)


def place_of(transport: str, port: int, last_port: int | None = None) -> str:
    """``tcp/502``, ``udp/5000-5010`` or ``icmp``."""
    if transport == ECHO:
        return ECHO
    return f"{transport}/{port}" if last_port in {None, port} else f"{transport}/{port}-{last_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `count` operations in any `period_s` seconds."""

    count: int
    period_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an asset can bear, all who reach it taken together; safety-critical flows count, but are never refused.

    At most `connections` at a time, and `opens` new ones in a period.  One too many waits up to `queue_s` seconds for
    its turn where it is inspected, and is refused at once where it is not.
    """

    connections: int | None = None
    opens: Rate | None = None
    queue_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A thing that is reached or that talks.  `address` is its own (underlay), `overlay` leads through the gate."""

    name: str
    zone: str
    role: str
    address: str
    overlay: str
    mac: str | None = None
    services: tuple[Service, ...] = ()
    handles_cui: bool = False
    limits: Limits = Limits()

    def service(self, name: str | None = None) -> Service | None:
        """The service of that name, else the first of that protocol; without a name the first; or ``None``."""
        if name is None:
            return self.services[0] if self.services else None
        named = next((s for s in self.services if s.name == name), None)
        return named or next((s for s in self.services if s.protocol == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One end of a conduit: every field that is given must fit."""

    group: str | None = None
    user: str | None = None
    role: str | None = None
    zone: str | None = None
    asset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Objects that a permission names: of one table, with numbers from `first` to `last`, inclusive.

    No `table`: of every table.  `name` must fit the object's name where it is given; ``*`` in it stands for any text.
    `element` is the type as which written memory is read for `Permission.values` (S7 ``word`` or ``real``), empty
    where messages say it themselves.  A target must fit a span of each `axis` that the permission has.
    """

    table: str
    first: int = 0
    last: int = ANY_LAST
    name: str | None = None
    element: str = ""
    axis: str = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Values from `low` to `high`, inclusive."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One operation class of one protocol, narrowed to `spans`, `values` and a `rate` where these are given.

    No spans: every object.  No values and no words: every value.  An object must lie in the union of the spans of each
    axis.  `words` are values that are no numbers (``latch_on``).  `units` are the devices behind the address
    (Modbus units, IEC 104 common addresses), none: all.
    """

    protocol: str
    operation_class: OperationClass
    spans: tuple[Span, ...] = ()
    values: tuple[Interval, ...] = ()
    rate: Rate | None = None
    words: tuple[str, ...] = ()
    units: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPermission:
    """``tcp/5432: any``, ``udp/2222-2230: any``, echo (icmp, port 0): enforced in the kernel, not inspected."""

    transport: str
    port: int
    last_port: int | None = None

    @property
    def at(self) -> str:
        """``tcp/5432``, ``udp/5000-5010`` or ``icmp``: as the document writes it."""
        return place_of(self.transport, self.port, self.last_port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What must be true of the subject and its way to the gate."""

    factors: FactorStrength = FactorStrength.NONE
    tls: bool = False
    binding: Binding = Binding.ADDRESS
    """The weakest binding that is enough."""
    reauthenticate_s: int | None = None
    """A proof older than this many seconds does not count, also while the session goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a grant lives, and how long its flows may be idle, in seconds."""

    length_s: int = 8 * 3600
    idle_s: int = 15 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A recurring time of the week: `days` 0 (Monday) to 6, from minute to minute of the day in `timezone` (IANA).

    `until_minute` at or before `from_minute` reaches into the next day.
    """

    name: str
    days: tuple[int, ...]
    from_minute: int
    until_minute: int
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillPlan:
    """When a conduit's failure mode may be exercised (the name of a window), and how often it must be (seconds)."""

    window: str
    every_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBudget:
    """How long the gate itself may take for a request and its answer, in microseconds, and what follows if it is over.

    `steps_aside`: the conduit's flows move to the kernel path, uninspected; for safety-critical conduits only.
    """

    limit_us: int
    steps_aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduit:
    """The only permitted path, and its conditions.  What no conduit names is denied.

    `failure_reason` says why its failure mode is as it is.  `record` is how fully the evidence tells what passes.
    """

    name: str
    source: Selector
    target: Selector
    permissions: tuple[Permission, ...] = ()
    ports: tuple[PortPermission, ...] = ()
    require: Requirements = Requirements()
    session: SessionLimits = SessionLimits()
    on_failure: FailureMode = FailureMode.CLOSED
    approved_by: str | None = None
    failure_reason: str | None = None
    drill: DrillPlan | None = None
    latency: LatencyBudget | None = None
    record: RecordMode = RecordMode.OPERATIONS
    hold: tuple[OperationClass, ...] = ()
    """Each operation of these classes waits until a second person approves it, and is refused after `hold_s`."""
    hold_s: int = 60

    @property
    def is_safety_critical(self) -> bool:
        """Whether its flows go on when inspection dies."""
        return self.on_failure is FailureMode.OPEN

    @property
    def records_payload(self) -> bool:
        """Whether copies of its kernel path flows go into the evidence's payload store."""
        return self.record is RecordMode.PAYLOAD

    @property
    def is_for_people(self) -> bool:
        """Whether people, not machines, are at its source end."""
        return self.source.group is not None or self.source.user is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site: what there is, and who may do what to it.

    `askers` are the networks (CIDR) whose machines may ask for names of assets, beside those that a conduit or a
    live grant names.
    """

    name: str
    domain: str
    overlay: str
    zones: tuple[Zone, ...] = ()
    assets: tuple[Asset, ...] = ()
    conduits: tuple[Conduit, ...] = ()
    windows: tuple[Window, ...] = ()
    askers: tuple[str, ...] = ()
    identity: Identity = field(default_factory=Identity)

    def asset(self, name: str) -> Asset | None:
        """The asset of that name, or ``None``."""
        return next((a for a in self.assets if a.name == name), None)
