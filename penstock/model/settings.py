"""What a gate is told when it starts: where it stands, where it keeps things, where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model.ruleset import GatePlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A TCP listening address; `descriptor` is an inherited listening socket that stands for it."""

    host: str
    port: int
    descriptor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """One gate.

    `state_dir` outlives the gate (database, keys, evidence), `run_dir` does not (local sockets, journals of workers).
    `names` are the host names and addresses that the portal's certificate is made out to; the first is shown to people.
    """

    state_dir: str
    run_dir: str
    site_path: str
    names: tuple[str, ...]
    place: GatePlace
    portal: tuple[Listener, ...]
    tunnel: tuple[Listener, ...]
