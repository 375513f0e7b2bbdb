"""What a gate is told when it starts: where it stands, where it keeps things, where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model.ruleset import GatePlace

#: What is missing where the kernel is not used (``penstock serve --no-kernel``).
NOT_ENFORCED = (
    "no packet is filtered: whoever reaches an asset without the gate is neither stopped nor recorded",
    "no overlay: assets are reached through penstock connect only, not from a station by its address",
    "no flows of machines, no ports that are not inspected, and nothing that goes on when inspection dies",
    "no dead-man switch in the kernel: a hung worker passes nothing, and is killed within two seconds",
    "a withdrawn grant is ended by the worker alone, and nothing but the worker's own code limits where it dials",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A TCP listening address; `descriptor` is an inherited listening socket that stands for it."""

    host: str
    port: int
    descriptor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What the listeners show, and how old their TLS may be.

    Without `certificate` and `key` (PEM files of the site) the gate's own authority makes a certificate.  `authority`
    is what clients are to believe then.  `allows_1_2`: the portal and the card listener speak TLS 1.2 as well.
    """

    allows_1_2: bool = False
    certificate: str | None = None
    key: str | None = None
    authority: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """One gate.

    `state_dir` outlives the gate (database, keys, evidence), `run_dir` does not (local sockets, journals of workers).
    `names` are the host names and addresses that the portal's certificate is made out to; the first is shown to people.
    `cards` are where smart cards are asked for in the handshake, apart from the portal: a listener that asks for a
    certificate bothers everybody who has one.
    `responders` answer for the site's domain (DNS, over UDP and TCP).
    Without `has_kernel` there is no enforcer and no packet filter: only the tunnel and the proxy stand in the way.
    """

    state_dir: str
    run_dir: str
    site_path: str
    names: tuple[str, ...]
    place: GatePlace
    portal: tuple[Listener, ...]
    tunnel: tuple[Listener, ...]
    has_kernel: bool = True
    responders: tuple[Listener, ...] = ()
    tls: TlsSettings = TlsSettings()
    cards: tuple[Listener, ...] = ()

    @property
    def not_enforced(self) -> tuple[str, ...]:
        """What this gate does not enforce and a whole one does, a sentence each; every report says so."""
        return () if self.has_kernel else NOT_ENFORCED
