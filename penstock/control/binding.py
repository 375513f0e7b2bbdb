"""Whether a grant can be bound to an address at all, on this gate and for this source.  Pure.

Stands behind the policy, which says who may: an address-bound grant is an element of the kernel's table, so it needs
the kernel, and an IPv4 source, because assets and the overlay are IPv4.  It must never allow what the policy refused.
"""

from __future__ import annotations

from dataclasses import replace

from penstock.model import Binding, Decision, Miss, Reason
from penstock.policy import Reach

_REMEDY = "use penstock connect, which is bound to your certificate"


def narrowed(way: Reach, binding: Binding, source: str, *, has_kernel: bool, is_near: bool = True) -> Reach:
    """The same answer, or a refusal where the policy allows a binding that cannot be made here.

    `source` is the address of whoever asks; empty where it does not matter yet.  `is_near`: the gate sees the hardware
    address that packets from there come with.
    """
    miss = _obstacle(source, has_kernel=has_kernel, is_near=is_near) if binding is Binding.ADDRESS else None
    if miss is None or not way.decision.is_allowed:
        return way
    allowed = way.decision
    refused = Decision(
        is_allowed=False, reason=miss.reason, revision=allowed.revision, conduit=allowed.conduit, misses=(miss,)
    )
    return replace(way, decision=refused)


def _obstacle(source: str, *, has_kernel: bool, is_near: bool) -> Miss | None:
    if not has_kernel:
        found = "a gate without the kernel (--no-kernel)"
        return Miss(criterion="binding", reason=Reason.KERNEL_ABSENT, wanted="certificate", found=found, remedy=_REMEDY)
    if ":" in source:
        return Miss(
            criterion="binding",
            reason=Reason.ADDRESS_NOT_IPV4,
            wanted="an IPv4 source, or a certificate",
            found=f"the IPv6 source {source}",
            remedy=_REMEDY,
        )
    if not is_near:
        return Miss(
            criterion="binding",
            reason=Reason.STATION_CHANGED,
            wanted="a station whose hardware address the gate sees",
            found=f"the source {source}, whose packets do not come over the gate's leg",
            remedy=_REMEDY,
        )
    return None
