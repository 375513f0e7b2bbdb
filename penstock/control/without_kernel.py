"""What stands in for the enforcer where there is no kernel to enforce with (``penstock serve --no-kernel``).

Pure.  Grants take effect in the worker alone.  It must never say that something took effect which only the kernel
could have done: such a command fails.
"""

from __future__ import annotations

from penstock.model import (
    Binding,
    Command,
    Done,
    Invalid,
    Json,
    OpenGrant,
    Problem,
    Record,
    RecordKind,
    Reply,
    Unavailable,
)
from penstock.policy import Policy, needs_kernel


class AbsentKernel:
    """Fills the contract `penstock.control.ports.Enforcer`: everything that is asked for is nothing, or it fails."""

    is_synchronised = True

    async def command(self, command: Command) -> Reply:
        """Nothing to do.  Raises `Unavailable` for a grant that only the kernel could carry."""
        if isinstance(command, OpenGrant) and command.grant.binding is Binding.ADDRESS:
            raise Unavailable("this gate runs without the kernel, so no grant can be bound to an address")
        return Done()


def require_fit(policy: Policy, *, has_kernel: bool) -> None:
    """A gate without the kernel takes no document that needs it.  Raises `Invalid` with every reason."""
    problems: tuple[Problem, ...] = () if has_kernel else tuple(needs_kernel(policy.site))
    if problems:
        raise Invalid(*problems)


def started(at_us: int, not_enforced: tuple[str, ...]) -> Record:
    """The record that control begins, and what this gate does not enforce."""
    missing: list[Json] = [*not_enforced]
    detail: dict[str, Json] = {"has_kernel": not missing, "not_enforced": missing}
    return Record(kind=RecordKind.GATE_STARTED, at_us=at_us, detail=detail)
